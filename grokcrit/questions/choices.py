"""Choices: what each option of a sweep does to D, in a table, three panels and words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE
from grokcrit.plot.panel import PAGE, Layout, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import effects, judge
from grokcrit.questions.effects import MUCH_CUT, SweepPoints
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer
from grokcrit.questions.rows import PHASE_COLUMNS, shown
from grokcrit.scaling.ensembles import Reals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pairs of options in the table and in the figure, those with the largest share together.
PAIRS, PAIRS_DRAWN = 3, 2
# What an option changes, in words.
CHANGED = {"pre": "D before grokking", "post": "D after grokking", DIFFERENCE: "the change"}
# Phases drawn, each a little above or below its line.
DRAWN = {"pre": ("before grokking", 0.17), "post": ("after grokking", -0.17)}
# Distance from the null up to which the axes of the points are linear; beyond, logarithmic.
LINEAR = 0.1
CUT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "x",
    "color": "black",
    "markersize": 2.5,
    "markeredgewidth": 0.5,
}
# The null of a level, before and after: a stroke at the height of its points.
STROKE: dict[str, Any] = {
    "linestyle": "none",
    "marker": "|",
    "markersize": 9,
    "markeredgewidth": 1.4,
}


def summary(table: pa.Table, confidence: float | None) -> Summary:
    """Sum up a sweep table: main effects on D of the mean size, or of what else is there."""
    observable = effects.first_observable(table)
    points = effects.points_of(table, observable, "mean")
    everywhere = np.ones(len(points.keys), bool)
    rows = [
        {"option": option, "value": value} | level_row(points, chosen)
        for option, value, chosen in (
            *((factor.name, value, chosen) for factor, value, chosen in points.levels),
            ("all points", "", everywhere),
        )
    ]
    variance = Summary(
        "share of the variance between points: of each option alone, and only together",
        effects.shares(points, confidence, PAIRS),
        formats=dict.fromkeys((*PHASE_COLUMNS.values(), "by chance"), ".0%"),
    )
    title = f"D of the mean {observable} by choice: mean over the points with a fit"
    more = [variance] if points.factors else []
    return Summary(title, rows, cautions(points, table), more=more)


def level_row(points: SweepPoints, chosen: npt.NDArray[np.bool_]) -> Row:
    """Sum up the points of one level."""
    clear, there, asked = effects.crossed(points, chosen)
    return {
        "points": int(chosen.sum()),
        "with a fit": int((chosen & points.fitted).sum()),
        **{name: effects.middle(points.exponent[w][chosen]) for w, name in PHASE_COLUMNS.items()},
        "null after": effects.middle(points.null["post"][chosen]),
        "crossing": f"{there} of {asked}" if asked else None,
        "clear": f"{clear} of {asked}" if asked else None,
    }


def cautions(points: SweepPoints, table: pa.Table) -> list[Notice]:
    """Warn of points that failed, that lack a fit, and whose numbers mislead."""
    count, errors = len(points.keys), table["error"].drop_null()
    said = zip(table["point"].to_pylist(), table["warnings"].to_pylist(), strict=True)
    zero = {point for point, ids in said if "zero-threshold" in (ids or ())}
    _, crossing, asked = effects.crossed(points, ~points.grokked)
    return [
        *warn("failed-points", points.failed, count + points.failed, *errors[:1].to_pylist()),
        *warn("thin-window/sweep", int((~points.fitted).sum()), count),
        *warn("zero-threshold/sweep", len(zero), count),
        *cut_off(points),
        *warn("crossing-without-grokking", crossing, asked),
    ]


def cut_off(points: SweepPoints) -> list[Notice]:
    """Warn of points at which many avalanches were cut off."""
    much = int(points.much_cut.sum())
    largest = points.cut.max(initial=0)
    return warn("truncated/sweep", much, len(points.keys), MUCH_CUT, largest)


def answers(table: pa.Table) -> list[Answer]:
    """Say where D(t) crosses its null, and which option changes D most."""
    points = effects.points_of(table, effects.first_observable(table), "mean")
    if not points.keys:
        return []
    return [where_it_crosses(points), *([what_changes_it(points)] if points.factors else [])]


def where_it_crosses(points: SweepPoints) -> Answer:
    """Say at how many points D(t) crosses its null, and at which values of each option."""
    clear, there, asked = effects.crossed(points, points.asked)
    question = "Over a sweep: where does D(t) rise through the Gaussian null?"
    if not asked:
        why = "The sweep holds no Gaussian null of the same runs."
        return Answer("sweep-crossing", question, "not asked", (why,))
    because = [
        f"At {there} of {asked} points D(t) ends above the null after having been below it; at "
        f"{clear} of them it was below, and ends above, by more than its interval."
    ]
    never = effects.crossed(points, ~points.grokked)
    if never.asked:
        because.append(
            f"At {never.asked} points no run groks; D(t) crosses at {never.there} of them, clearly "
            f"at {never.clear}: a crossing there has nothing to do with grokking."
        )
    because += [f"{notice.text[0].upper()}{notice.text[1:]}." for notice in cut_off(points)]
    for factor in points.factors if there else ():
        by_level = []
        for k, level in enumerate(factor.levels):
            mine = effects.crossed(points, factor.level_of == k)
            by_level.append(f"{level}: {mine.there} ({mine.clear} clearly) of {mine.asked}")
        because.append(f"By {factor.name}: {'; '.join(by_level)}.")
    word = f"at {there} of {asked} points, clearly at {clear}"
    return Answer("sweep-crossing", question, word, tuple(because))


def what_changes_it(points: SweepPoints) -> Answer:
    """Say which option changes D most, and what no option does alone."""
    because, words = [], []
    for window, name in CHANGED.items():
        response = points.exponent[window]
        tested = [
            (effects.share(f.level_of, response), effects.p_of_share(points, f, window), f.name)
            for f in points.factors
        ]
        found = sorted((e for e in tested if not math.isnan(e[1])), key=lambda each: -each[0])
        if not found:
            continue
        told = ", ".join(f"{n} {shown(share, '.0%')} (p = {p:.2g})" for share, p, n in found)
        both = effects.together(points.factors, response)
        if not math.isnan(both):
            couples = [f"{n} {shown(s, '.0%')}" for s, n in effects.pairs(points.factors, response)]
            told += f"; only together {shown(both, '.0%')}"
            told += f", most of it {', '.join(couples[:2])}" if len(couples) > 1 else ""
        count = int((~np.isnan(response)).sum())
        because.append(f"Of the variance of {name} between {count} points: {told}.")
        words.append(f"{name}: {found[0][2] if judge.apart(found[0][1]) else 'none clearly'}")
    because.append(
        "p is of one option alone, all others counting as noise; of an option of training, each "
        "training counts once."
    )
    question = "Over a sweep: which choice moves D most?"
    return Answer("sweep-movers", question, "; ".join(words) or "none", tuple(because))


def swept(sources: Sources, request: Request) -> SweepPoints:
    """Return the points of what is asked; raise EmptyPanelError where no point has it."""
    table: pa.Table = sources.table("sweep")
    points = effects.points_of(table, request.observable, request.statistic)
    if not points.keys:
        known = ", ".join(sorted(pc.unique(table["observable"]).drop_null().to_pylist()))
        raise EmptyPanelError(
            f"no point of the sweep has the {request.statistic} {request.observable}; it holds "
            f"{known or 'nothing but points that failed'}"
        )
    return points


def main_effects(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw D before and after at every value of every option: its points, and their mean."""
    from grokcrit.plot import style

    points = swept(sources, request)
    lines = points.levels[::-1]
    if not lines:
        raise EmptyPanelError("no option of this sweep takes more than one value")
    for line, (factor, _, chosen) in enumerate(lines):
        for window, (_, shift) in DRAWN.items():
            draw_level(ax, points, window, chosen, line + shift)
        clear, there, asked = effects.crossed(points, chosen)
        if asked:
            tell(ax, f"{there} ({clear}) of {asked}", (1, line), xycoords=("axes fraction", "data"))
        if line and factor is not lines[line - 1][0]:
            ax.axhline(line - 0.5, color=style.INK, linewidth=0.4)
    named_lines(ax, [f"{factor.name}  {level}" for factor, level, _ in lines], 0.125)
    if not all(np.isnan(points.null[window]).all() for window in DRAWN):
        ax.plot([], [], label="its Gaussian null", color=style.NULL, **STROKE)
    for window, (label, _) in DRAWN.items():
        ax.plot([], [], label=label, **{**style.PHASES[window], "linestyle": "none"})
    name_cut(ax, points, *(points.exponent[window] for window in DRAWN))
    ax.margins(x=0.04)
    of = style.exponent_label(request.statistic, request.observable)
    ax.set(xlabel=of, ylim=(-0.6, len(lines) - 0.4))
    if points.asked.any():
        tell(ax, "cross (clearly)", (1, 0), below=13, xycoords="axes fraction", va="top")
    failed = f"; {points.failed} failed" if points.failed else ""
    style.legend_above(ax, 2, title=f"large: mean, small: each point{failed}")
    return ax


def draw_level(
    ax: Axes, points: SweepPoints, window: str, chosen: npt.NDArray[np.bool_], y: float
) -> None:
    """Draw a phase at one level: every point small, their mean large."""
    from grokcrit.plot import style

    values = points.exponent[window][chosen]
    looks = {**style.PHASES[window], "linestyle": "none"}
    beside = y + np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.full(1, y)
    ax.plot(values, beside, **looks | {"markersize": 1.8, "alpha": 0.5, "markeredgewidth": 0})
    cut = points.much_cut[chosen]
    ax.plot(values[cut], beside[cut], **CUT)
    null, mean = effects.middle(points.null[window][chosen]), effects.middle(values)
    if null is not None:
        ax.plot([null], [y], color=style.NULL, **STROKE)
    if mean is not None:
        ax.plot([mean], [y], **looks | {"markersize": 4.5, "markeredgecolor": "white"})


def named_lines(ax: Axes, names: list[str], height: float) -> None:
    """Name the lines of a panel from below, each so many inches high."""
    from grokcrit.plot import style

    written = list(map(style.shortened, names))
    ax.set_yticks(range(len(written)), written)
    style.at_least(ax, written, height)
    ax.tick_params(axis="y", which="both", left=False, right=False)


def tell(ax: Axes, words: str, at: tuple[float, float], below: int = 0, **how: Any) -> None:
    """Write words a little to the right of a place."""
    looks: dict[str, Any] = {"fontsize": 7, "va": "center"} | how
    ax.annotate(words, at, (4, -below), textcoords="offset points", annotation_clip=False, **looks)


def name_cut(ax: Axes, points: SweepPoints, *drawn: Reals) -> None:
    """Name the mark of points with many avalanches cut off, where some are drawn."""
    if any((points.much_cut & ~np.isnan(values)).any() for values in drawn):
        ax.plot([], [], label=f"over {MUCH_CUT:.0%} cut off", **CUT)


def variance(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw the share of the variance of D between points that each option has alone."""
    from grokcrit.plot import style

    points = swept(sources, request)
    if not points.factors:
        raise EmptyPanelError("no option of this sweep takes more than one value")
    rows = effects.shares(points, sources.level("sweep"), PAIRS_DRAWN)[::-1]
    named_lines(ax, [row["option"] for row in rows], 0.17)
    place = np.arange(len(rows))
    for name, shift, colour, hatch in (
        ("before", 0.22, style.BLUE, None),
        ("after", 0.0, style.RED, "////"),
        ("change", -0.22, style.PURPLE, "...."),
    ):
        values = [row[name] for row in rows]
        ax.barh(
            place + shift,
            [value or 0.0 for value in values],
            0.2,
            facecolor=colour if hatch is None else "white",
            edgecolor=colour,
            hatch=hatch,
            linewidth=0.6,
            label=name,
        )
        for y, value in zip(place + shift, values, strict=True):
            if value is None and shift == 0:
                tell(ax, "not defined", (0.0, y), fontsize=6)
            elif value is not None and value > 1:  # the runs alone would give more than there is
                tell(ax, f"{value:.0%}", (1.0, y), fontsize=6)
    first = len(rows) - len(points.factors)
    chance = np.array([row["by chance"] for row in rows[first:]], float)
    ax.plot(chance, place[first:], "|", color=style.INK, markersize=12, label="by chance")
    for y in (first - 0.5, 0.5):
        ax.axhline(y, color=style.INK, linewidth=0.4)
    ax.set(xlabel="share of the variance between points", xlim=(0, min(1.0, ax.get_xlim()[1])))
    style.legend_above(ax, 2)
    return ax


def crossings(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw each point by D before and D after grokking, both from the Gaussian null."""
    from matplotlib.ticker import StrMethodFormatter

    from grokcrit.plot import style

    points = swept(sources, request)
    before, after = (points.exponent[window] - points.null[window] for window in DRAWN)
    there = ~np.isnan(before) & ~np.isnan(after)
    if not there.any():
        raise EmptyPanelError(
            "no point has a fit both before and after grokking beside a Gaussian null"
        )
    ax.axhline(0, **style.UNITY)
    ax.axvline(0, **style.UNITY)
    crosses = ~np.isnan(points.crossing)
    for label, of_kind, colour, marker, fill in (
        ("D(t) crosses clearly", crosses & points.clear, style.RED, "s", style.RED),
        ("D(t) crosses", crosses & ~points.clear, style.RED, "s", "none"),
        ("no crossing", ~crosses, style.BLUE, "o", "none"),
    ):
        kept = there & of_kind
        label = f"{label} ({kept.sum()})"
        ax.plot(before[kept], after[kept], marker, color=colour, markerfacecolor=fill, label=label)
    cut = there & points.much_cut
    ax.plot(before[cut], after[cut], **CUT)
    name_cut(ax, points, after - before)
    # Most points lie near the null, a few far from it.
    for scale, axis, values in (
        (ax.set_xscale, ax.xaxis, before),
        (ax.set_yscale, ax.yaxis, after),
    ):
        if np.abs(values[there]).max() > 2 * LINEAR:
            scale("symlog", linthresh=LINEAR, subs=range(2, 10))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.margins(0.1)
    of = style.exponent_label(request.statistic, request.observable)
    ax.set(xlabel=f"{of} before, minus null", ylabel="after, minus null")
    left = len(there) - there.sum()
    title = f"{left} points lack a fit and are not shown" if left else None
    style.legend_above(ax, 1, title=title)
    return ax


PANELS = {
    "effects": Panel(main_effects, ("sweep",), height=4.0),
    "variance": Panel(variance, ("sweep",)),
    "crossings": Panel(crossings, ("sweep",), height=3.0),
}
FIGURES = {
    "sweep": Layout((("effects", {}), ("crossings", {}), ("variance", {})), "ab;ac", (PAGE, 5.6)),
}
