"""Controls: does D move where nothing generalises, and what does generalising add to it?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.plot.panel import PAGE, Layout, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import judge
from grokcrit.questions.cells import CELL, CELL_DENSITY, EFFECT, of_families
from grokcrit.questions.density import Series, draw
from grokcrit.questions.design import DECAY, GENERALISING
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer, Question, Shown
from grokcrit.questions.rows import (
    ends,
    groups,
    index,
    interval,
    of,
    p_cell,
    p_of,
    shown,
    varying,
)
from grokcrit.scaling.clocks import BIN, CLOCKS, RELATIVE_BIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of each clock: label, unit and shift of an axis.
AXES = {
    "epoch": ("epoch", 1.0, 0.0),
    "aligned": (r"$t - t_\mathrm{grok}$ of the partner (epochs)", 1.0, BIN / 2),
    "relative": (r"$t / t_\mathrm{grok}$ of the partner", 0.01, RELATIVE_BIN / 2),
    "memorised": ("epochs since memorising", 1.0, BIN / 2),
    "loss": (r"$\log_{10}$ of the training loss (nats)", 0.01, 0.0),
}


def section(rows: list[Row], _: list[str]) -> Summary:
    """Sum up D of the mean size around grokking: every cell, then every contrast."""
    mine = [row for row in of_mean_size(rows) if row["n_params"] is None]
    names = varying(mine)
    counts = index(of(rows, "grokked"), *names, "part")
    at = index(mine, *names, "part", "window")
    cells, effects = [], []
    counted = {row["window"]: row["n"] for row in of(mine, CELL)}
    outcome = {key[-1]: count["value"] for key, count in counts.items()}
    for row in of(mine, *dict.fromkeys(r["quantity"] for r in mine), window=DIFFERENCE):
        place = {name: row[name] for name in names}
        key = (*place.values(), row["part"])
        change = {"change": row["value"], "95 % CI": ends(row), "p": p_cell(row)}
        if row["quantity"] == CELL:
            count = counts[key]
            place |= {"cell": row["part"], "grokked": f"{count['value']:.0f} of {count['n']}"}
            before, after = (at[(*key, window)]["value"] for window in ("pre", "post"))
            jump = at[(*key, "jump at grokking")]
            told = shown(jump["value"]) + "*" * judge.apart(judge.adjusted(jump))
            place |= {"jump": told if jump["value"] is not None else None}
            cells.append(place | {"before": before, "after": after} | change)
        else:
            post = at[(*key, "post")]
            effect = row["quantity"].removeprefix("effect-")
            pair = row["part"].split(" - ")
            if effect == DECAY and outcome.get(pair[0]) != outcome.get(pair[1]):
                effect = "decay and outcome"
            place |= {"effect": effect, "of": row["part"]}
            place |= {"after": post["value"], "CI after": ends(post), "p after": p_cell(post)}
            effects.append(place | change)
    spans = " and ".join(
        f"the {counted.get(window)} snapshots {side}"
        for window, side in (("pre", "before"), ("post", "after"))
    )
    title = (
        f"controls: D of the mean size in {spans} each run's grokking epoch, of controls their "
        "partner's; jump: between as many of both; *: p below 0.05"
    )
    more = [
        Summary("what generalising and weight decay do to D, in pairs of runs", effects),
        Summary(
            "the same on every clock, mean over its times (how many); *: p below 0.05",
            on_clocks(mine),
        ),
    ]
    return Summary(title, cells, more=[each for each in more if each.rows])


def on_clocks(rows: Sequence[Row]) -> list[Row]:
    """Sum up every contrast, its mean over the times of each clock."""
    out = []
    for (quantity, part), mine in groups(rows, "quantity", "part").items():
        at = index(mine, "window")
        told = {
            clock: shown(at[clock,]["value"])
            + "*" * judge.apart(judge.adjusted(at[clock,]))
            + f" ({at[clock,]['n']})"
            for clock in CLOCKS
            if at[clock,]["value"] is not None
        }
        if told and quantity != CELL:
            place = {"effect": quantity.removeprefix("effect-"), "of": part}
            out.append(place | {clock: told.get(clock) for clock in CLOCKS})
    return out


def of_mean_size(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of cells and effects for the mean size, at no single time."""
    return [
        row
        for row in rows
        if (row["observable"], row["statistic"], row["time"]) == ("size", "mean", None)
        and row["quantity"].partition("-")[0] in ("cell", "effect", "density")
        and row["part"] is not None
    ]


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn of cells that are matched by nothing, left out, or do not do what they should."""
    unknown = {row["part"] for row in of(rows, "grokked") if row["method"] != "matched"}
    return (
        warn("unmatched", sorted(unknown))
        + warn("unpaired", sorted(row["part"] for row in of(rows, "unpaired")))
        + outcomes_told(rows)
    )


def outcomes_told(rows: Sequence[Row]) -> list[Notice]:
    """Warn of bases that do not grok, and of controls that do although they could not."""
    counts = {(row["case"], row["part"]): row for row in of(rows, "grokked")}
    never = [
        f"{row['n'] - row['value']:.0f} of {row['n']} of {base}"
        for (base, cell), row in counts.items()
        if base == cell and row["value"] < row["n"]
    ]
    grokking = {
        control
        for row in of(rows, EFFECT, window="epoch", time=None)
        if "target" not in (row["method"] or "")  # the cells of xor all learn their target
        and row["part"].startswith(f"{row['case']} - ")
        and (control := row["part"].partition(" - ")[2])
        and counts[row["case"], control]["value"]
    }
    return warn("base-never-groks", never) + warn("control-groks", sorted(grokking))


def compared(rows: Sequence[Row]) -> tuple[Row, list[tuple[Row, Row]]] | None:
    """Return the change of D at grokking in the base of a design, and of each matched control.

    A control comes with the effect of generalising, the base's change minus its own. None where no
    control of the base has a change.
    """
    mine = [row for row in of_mean_size(rows) if row["n_params"] is None]
    found = {kind: of(mine, kind, window=DIFFERENCE) for kind in (CELL, EFFECT)}
    cells = index(found[CELL], "part")
    pairs = [(r, cells[r["part"].removeprefix(f"{r['case']} - "),]) for r in found[EFFECT]]
    pairs = [(effect, control) for effect, control in pairs if control["value"] is not None]
    return (cells[pairs[0][0]["case"],], pairs) if pairs else None


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say whether D moves in the controls of a case at the grokking epochs of their partners."""
    found = compared(rows)
    if found is None:
        return []
    base, pairs = found
    moving = [control for _, control in pairs if judge.apart(judge.adjusted(control))]
    effects = [effect for effect, _ in pairs if judge.apart(judge.adjusted(effect))]
    if moving:
        word = "Yes" if effects else "Yes; no effect of generalising is shown"
    else:
        word = "No" if len(effects) == len(pairs) else "No movement is shown"
    phases = index(of(of_mean_size(rows), CELL, part=base["part"]), "window")
    told = [
        f"From the {phases['pre',]['n']} snapshots before each run's grokking epoch to the "
        f"{phases['post',]['n']} after it, D of {base['part']} changes by {changed(base)}."
    ]
    told += [
        f"D of {control['part']}, around the same epochs, changes by {changed(control)}; the "
        f"difference is {changed(effect)}."
        for effect, control in pairs
    ]
    told += [
        f"After grokking avalanches are {factor(rows, effect['part'])} as large as in "
        f"{control['part']}."
        for effect, control in pairs
        if factor(rows, effect["part"])
    ]
    return [Answer("controls", "Does D move where nothing generalises?", word, tuple(told))]


def factor(rows: Sequence[Row], part: str) -> str:
    """Write the factor between the densities of a pair after grokking, least and largest size."""
    place = {"part": part, "window": "post", "observable": "size", "statistic": "mean"}
    found = of(rows, f"density-{GENERALISING}", **place)
    if not found:
        return ""
    told = [
        f"{shown(row['value'], '.2f')} ({interval(row, '.2f')}) times at N = {row['n_params']}"
        for row in (found[0], found[-1])
    ]
    return " to ".join(told)


def changed(row: Row) -> str:
    """Write a change with its interval and p."""
    return f"{shown(row['value'])} ({interval(row)}, {p_of(row)})"


def panel(clock: str, ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw D of every cell on one clock."""
    from grokcrit.plot import style

    drawn = sources.asked(request, quantity=CELL)
    found = [row for row in drawn if row["window"] == clock]
    if drawn and not found:
        raise EmptyPanelError(
            "no time of this clock has runs of every size: none of the base grok or memorise, or "
            "the table has no training loss"
        )
    if not found:
        raise EmptyPanelError(
            "the diagnostics hold no controls; 'grokcrit train --controls' makes them, and "
            "'grokcrit diagnose --only controls' compares them"
        )
    label, scale, shift = AXES[clock]
    # A cell has one look on every clock, whether or not it has data there.
    for number, cell in enumerate(dict.fromkeys(row["part"] for row in drawn)):
        mine = sorted((r for r in found if r["part"] == cell), key=lambda row: row["time"])
        if not mine:
            continue
        x = scale * (np.array([row["time"] for row in mine], np.float64) + shift)
        y, low, high = np.array(
            [
                [np.nan if r[k] is None else r[k] for r in mine]
                for k in ("value", "ci_low", "ci_high")
            ]
        )
        looks = style.series(number)
        style.line_with_band(ax, x, y, low, high, cell, band=style.FAINT, **looks)
    ax.axhline(1, **style.UNITY)
    if clock in ("aligned", "relative", "memorised"):
        ax.axvline(1 if clock == "relative" else 0, **style.MARK)
    if clock == "loss":
        ax.invert_xaxis()  # the loss falls as time passes
    ax.set(xlabel=label, ylabel=style.exponent_label(request.statistic, request.observable))
    style.legend_above(ax, 2, title=f"bands: {sources.confidence('diagnostics')}")
    return ax


def density_panel(window: str, ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw the density of every cell over that of the Gaussian null against N."""
    found = sources.asked(request, quantity=CELL_DENSITY, time=None)
    series: Series = {}
    for (cell, phase), mine in groups(found, "part", "window").items():
        phases = series.setdefault(cell, {})
        if phase in PHASES:
            numbers = [[r["value"], r["ci_low"], r["ci_high"]] for r in mine]
            sizes = np.array([r["n_params"] for r in mine])
            phases[phase] = sizes, np.array(numbers, np.float64).T
    return draw(ax, series, window, request.observable, sources.confidence("diagnostics"))


def describe(rows: Sequence[Row]) -> str:
    """Say what the figures show: the answer with its numbers."""
    return " ".join(part for answer in answers(rows) for part in answer.because)


QUESTION = Question(
    quantities={
        "unpaired": "runs of a case that is left out: it has other runs than the cells it belongs "
        "to, or names a case that is not there",
        "memorised, grokked": "runs of a cell (`part`) whose training accuracy exceeds 0.99 at "
        "some epoch; that grok",
        "cell-exponent": "D of every cell. `window`: phases around the grokking epoch of the "
        "partner, the run of the same width and seed that can generalise, and around the run's "
        "own memorising, each in equally many snapshots (`n`) of every run; or a clock, at each "
        "`time`: `epoch`; `aligned`, epochs since the partner groks; `relative`, per cent of that "
        "epoch; `memorised`, epochs since the run has memorised; `loss`, equal training loss, 100 "
        "times its log10",
        "cell-density": "density at each size over that of the Gaussian null, in the same windows",
        "effect-generalising, effect-equivalent, effect-decay, effect-interaction": "difference of "
        "D between two cells (`part`, a - b) that differ in what can be learnt, in what is as "
        "learnable (xor and xnor), or in weight decay, alone; or of two such differences; pairs of "
        "runs of one width and seed. On a clock without a `time`: the mean over its `n` times from "
        "the origin on, on the epoch from when all runs of the base have grokked",
        "density-generalising, density-equivalent, density-decay, density-interaction": "the "
        "factor between their densities at each size",
        "separation": "first of three times in a row at which the interval of the effect of "
        "generalising excludes 0, on the side where it ends; interval: when the difference may "
        "have begun, at least a snapshot; none where it may be chance, or there from the start",
    },
    primary={"quantity": EFFECT, "observable": "size", "statistic": "mean"}
    | {"window": DIFFERENCE},
    training="cells that share their runs and whose record says in what they differ ('grokcrit "
    "train --controls'; a table that another program wrote has lost its record), or a case that "
    "groks and one of the same widths and seeds that never does",
    of_families=of_families,
    section=section,
    about="A control shares every option with a run but the one that lets it generalise. It has no "
    "grokking epoch, so it takes that of its partner, the run of the same width and seed. Where "
    "the control moves as the run does, the movement is not generalisation.",
    cautions=cautions,
    answers=answers,
    panels={
        f"controls-{clock}": Panel(
            partial(panel, clock), ("diagnostics",), height=3.0, quantity=CELL
        )
        for clock in CLOCKS
    }
    | {
        f"controls-density-{name}": Panel(
            partial(density_panel, window), ("diagnostics",), quantity=CELL_DENSITY
        )
        for name, window in (("before", "pre"), ("after", "post"))
    },
    figures={
        "controls": Layout(
            tuple((f"controls-{clock}", {}) for clock in CLOCKS if clock != "relative"),
            "ab;cd",
            (PAGE, 6.2),
            (1, 1),
        ),
        "controls-density": Layout(
            (("controls-density-before", {}), ("controls-density-after", {})),
            "ab",
            (PAGE, 3.4),
            (1,),
        ),
    },
    shown=(
        Shown(
            "controls",
            "Does D move where nothing generalises?",
            "D(t) of every cell: on the epoch, on the time since the partner groks, since the run "
            "has memorised, and at equal training loss. Cells differ in the one option that lets "
            "them generalise, or in weight decay.",
            describe,
            wide=True,
            training=True,
        ),
        Shown(
            "controls-density",
            "Avalanche density of every cell",
            "Mean size over that of the Gaussian null at each size N, before and after the "
            "grokking epoch of the partner. D less that of the null is the slope.",
            describe,
            wide=True,
            training=True,
        ),
    ),
)
