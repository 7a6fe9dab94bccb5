"""Moments: do all moments of the avalanches scale with one D, and with which tau?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows
from grokcrit.questions import judge
from grokcrit.questions.family import Family, mean_of_replicates
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer, Question, Shown, Task
from grokcrit.questions.rows import (
    PHASE_NAMES,
    ends,
    finding,
    groups,
    index,
    interval,
    known,
    labelled,
    of,
    of_bins,
    p_of,
    shown,
)
from grokcrit.scaling import moments as stage
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.ensembles import Ensemble
from grokcrit.scaling.moments import HIGH, NAMES, ORDERS, Jackknifed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIGMA, NUMBERS = NAMES[: len(ORDERS)], NAMES[len(ORDERS) :]


def of_family(family: Family, options: DiagnoseOptions) -> list[Task]:
    """Estimate the moments of every observable, of the data and of the Gaussian null."""
    return [partial(rows_of, family, observable, options) for observable in options.observable]


def rows_of(family: Family, observable: str, options: DiagnoseOptions, _: Stop) -> list[Row]:
    """Make the rows of the data, of the Gaussian null, and of their difference."""
    data, errors = estimates([family.data], observable)
    made = rows_of_case(data, "moment", options.confidence) + errors
    members = family.nulls.get("gaussian")
    if members:
        null, _unused = estimates(members, observable)
        label = {"surrogate": "gaussian"} | ({"replicate": None} if len(members) > 1 else {})
        made += labelled(rows_of_case(null, "moment", options.confidence), **label)
        gaps = {window: data[window] - null[window] for window in data}
        made += labelled(rows_of_case(gaps, "moment-minus-null", options.confidence), **label)
    return labelled(made, **family.data.case, observable=observable)


def estimates(
    members: Sequence[Ensemble], observable: str
) -> tuple[dict[str, Jackknifed], list[Row]]:
    """Estimate the exponents of every phase and of the change; say how well moments are known."""
    found, rows = {}, []
    for window in members[0].phases:
        bins = [windows(member, window) for member in members]
        by_run = mean_of_replicates(
            [stage.by_run(m, m.observe(observable), b) for m, b in zip(members, bins, strict=True)]
        )
        moments = stage.moments(members[0], by_run)
        found[window] = stage.exponents(moments)
        errors = moments.errors
        if not np.isnan(errors).all():
            worst = int(np.nanargmax(errors))
            size = int(members[0].sizes[worst])
            where = {"window": window, "part": SIGMA[-1], "n_params": size}
            rows.append(finding("moment-error", float(errors[worst]), **where))
    if "post" in found:
        found[DIFFERENCE] = found["post"] - found["pre"]
    return found, rows


def rows_of_case(found: dict[str, Jackknifed], name: str, confidence: float) -> list[Row]:
    """Make the rows of each window; the p of zero of every bend and of every difference."""
    made = []
    for window, estimate in found.items():
        places = [{"window": window, "part": part} for part in NAMES]
        difference = window == DIFFERENCE or name != "moment"
        tested = [difference or part == "bend" for part in NAMES]
        rows = of_bins(name, estimate, confidence, places, tested, method="jackknife over runs")
        if (
            name == "moment"
            and window != DIFFERENCE
            and not (index(rows, "part")["D",]["ci_low"] or 0) > 0
        ):
            # tau = 2 - sigma(1) / D means something where D is above 0.
            rows[NAMES.index("tau")] |= {"value": None, "ci_low": None, "ci_high": None}
        made += rows
    return made


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up D, tau and the bend of each phase, beside the null's."""
    out = []
    keys = (*shown, "observable", "window")
    compared = bool(of(rows, "moment", surrogate="gaussian"))
    for key, mine in groups(of(rows, "moment", "moment-minus-null"), *keys).items():
        place = index(mine, "quantity", "part", "surrogate")
        row = dict(zip(keys, key, strict=True))
        for part in NUMBERS:
            data = place["moment", part, "none"]
            row |= {part: data["value"], f"{part} interval": ends(data)}
            if compared:
                row[f"{part} of null"] = place["moment", part, "gaussian"]["value"]
        row["p of bend"] = judge.adjusted(place["moment", "bend", "none"])
        out.append(row)
    formats = {"p of bend": ".2g"}
    return Summary("moments: <s^q> ~ N^sigma(q), sigma(q) = D (q + 1 - tau)", out, formats=formats)


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn of moments that rest on too few avalanches."""
    size = known(rows, "moment-error", observable="size")
    poor = [f"{row['window']} N = {row['n_params']}" for row in size if not judge.sampled(row)]
    return warn("undersampled", poor)


def kind_of(rows: Sequence[Row]) -> str:
    """Return what the moments of one window of one case say, in words."""
    place = index(rows, "part")
    d, tau, bend = (place[part,] for part in NUMBERS)
    if d["value"] is None:
        return "no exponent"
    if tau["ci_low"] is None or bend["ci_low"] is None:
        return "cannot be told"
    if judge.multiscaling(bend, d["value"]):
        return "several exponents"
    return "one scale, no power law" if tau["ci_low"] <= 1 else "scaling with one exponent"


def stated(rows: Sequence[Row], window: str) -> str:
    """Say the exponents of one window in a sentence."""
    mine = of(rows, "moment", window=window)
    d, tau, bend = (index(mine, "part")[part,] for part in NUMBERS)
    if d["value"] is None:
        return f"{PHASE_NAMES[window]}: no exponent can be given"
    return (
        f"{PHASE_NAMES[window]}: D {shown(d['value'])} ({interval(d)}), tau {shown(tau['value'])} "
        f"({interval(tau)}), bend {shown(bend['value'])} ({interval(bend)}, {p_of(bend)}): "
        f"{kind_of(mine)}"
    )


def of_size(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the size of the data."""
    return of(rows, "moment", observable="size", surrogate="none")


def describe(rows: Sequence[Row]) -> str:
    """Say what the moments of each phase give."""
    mine = of_size(rows)
    return "; ".join(stated(mine, window) for window in phases_of(mine)) + "."


def phases_of(rows: Sequence[Row]) -> list[str]:
    """Return the phases that have a D."""
    found = known(rows, "moment", part="D")
    return [window for window in PHASES if any(row["window"] == window for row in found)]


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say whether one exponent describes all moments, from the last phase that has one."""
    mine = of_size(rows)
    windows = phases_of(mine)
    if not windows:
        return []
    kinds = list(dict.fromkeys(kind_of(of(mine, "moment", window=w)) for w in windows))
    question = "How do the moments of the avalanche size scale?"
    words = {
        "several exponents": "With several exponents",
        "one scale, no power law": "With one D, on one scale: no power law",
        "scaling with one exponent": "With one D, as a power law with a cutoff",
        "cannot be told": "It cannot be told",
    }
    word = words[kinds[0]] if len(kinds) == 1 else "It differs between phases"
    null = of(rows, "moment", observable="size", surrogate="gaussian", part="bend")
    sentences = [f"{stated(mine, window)}." for window in windows]
    sentences += [
        f"Bend of the Gaussian null {PHASE_NAMES[row['window']]}: {shown(row['value'])} "
        f"({interval(row)})."
        for row in null
        if row["window"] == windows[-1] and row["value"] is not None
    ]
    return [Answer("moments", question, word, tuple(sentences))]


def panel(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw sigma(q) of every phase, with the line whose slope is D."""
    from grokcrit.plot import style

    wanted = {"observable": request.observable, "quantity": "moment"}
    held = rows(sources.table("diagnostics"), **wanted).to_pylist()
    drawn = 0
    for surrogate, window, looks in (
        *(("none", window, style.PHASES[window]) for window in ("pre", "post")),
        ("none", "aggregate", style.PHASES["aggregate"]),
        ("gaussian", "post", style.GAUSSIAN),
        ("gaussian", "aggregate", style.GAUSSIAN),
    ):
        place = index(of(held, "moment", surrogate=surrogate, window=window), "part")
        if place["D",]["value"] is None or (window == "aggregate" and drawn):
            continue
        drawn += surrogate == "none"
        found = [place[part,] for part in SIGMA]
        sigma = np.array([np.nan if r["value"] is None else r["value"] for r in found])
        low, high = (
            np.array([np.nan if r[end] is None else r[end] for r in found])
            for end in ("ci_low", "ci_high")
        )
        points = {**looks, "linestyle": "none"}
        if surrogate == "gaussian":
            ax.plot(ORDERS, sigma, label="Gaussian null", **looks)
            continue
        error = np.stack([sigma - low, high - sigma])
        ax.errorbar(ORDERS, sigma, np.maximum(error, 0), label=PHASE_NAMES[window], **points)
        middle = ORDERS[HIGH].mean()
        line = sigma[HIGH].mean() + place["D",]["value"] * (ORDERS - middle)
        ax.plot(ORDERS, line, color=looks["color"], linestyle=looks["linestyle"])
    if not drawn:
        raise EmptyPanelError(
            f"the diagnostics hold no moments of the {request.observable}; "
            "'grokcrit diagnose avalanche.parquet --only moments' makes them"
        )
    symbol, _ = style.OBSERVABLES[request.observable]
    ax.set(xlabel="order $q$", ylabel=rf"$\sigma(q)$ of $\langle {symbol}^q \rangle$")
    title = f"lines: slope $D$ over $q \\geq 2$; bars: {sources.confidence('diagnostics')}"
    style.legend_above(ax, 2, title=title)
    return ax


QUESTION = Question(
    quantities={
        "moment": "`q = ...`: sigma(q) of <s^q> ~ N^sigma(q); `D`: its slope over q >= 2; `tau`: "
        "2 - sigma(1) / D; `bend`: its quadratic coefficient, with the p of zero",
        "moment-minus-null": "the same, data minus Gaussian null",
        "moment-error": "largest standard error over runs of ln <s^4>, and the size `n_params` "
        "that has it",
    },
    primary={"quantity": "moment", "part": "bend", "observable": "size"}
    | {"surrogate": "none", "window": ("post", "aggregate")},
    of_family=of_family,
    section=section,
    about="Where avalanche sizes follow s^-tau G(s / N^D), every moment grows with the same D: "
    "sigma(q) = D (q + 1 - tau) is a line. tau = 1 and sigma through the origin: one scale, no "
    "power law. A bend that differs from 0: no single D.",
    cautions=cautions,
    answers=answers,
    panels={"moments": Panel(panel, ("diagnostics",))},
    shown=(
        Shown(
            "moments",
            "Do all moments scale with one D?",
            "Exponent of every moment of the avalanche size against its order: a line means one "
            "D, its slope.",
            describe,
        ),
    ),
)
