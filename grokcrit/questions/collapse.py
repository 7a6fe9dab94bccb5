"""Collapse: do D, or D and beta, put the distributions of all sizes on one curve?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.base.vocabulary import PHASES, STATISTICS
from grokcrit.plot.panel import PAGE, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows
from grokcrit.questions import judge
from grokcrit.questions.family import Family
from grokcrit.questions.question import Answer, Question, Shown, Task
from grokcrit.questions.rows import (
    PHASE_NAMES,
    ends,
    finding,
    groups,
    index,
    interval,
    labelled,
    of,
    p_cell,
    p_of,
    shown,
)
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.collapse import Collapse, collapse
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.fits import exponent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Observables that are ratios: their distributions have no s / N^D.
RATIOS = ("branching", "transported-per-toppling")


NAMES = tuple(f"collapse-{name}" for name in ("exponent", "beta", "tau", "quality"))
# What is fitted, and whether beta is free; the source collapses with D alone.
KINDS = {"D and beta": True, "D alone": False}


def of_family(family: Family, options: DiagnoseOptions) -> list[Task]:
    """Collapse the data, and the first replicate of the Gaussian null."""
    return [
        partial(rows_of, member, observable, options)
        for member in [family.data, *family.nulls.get("gaussian", [])[:1]]
        for observable in options.observable
        if observable not in RATIOS
    ]


def rows_of(ensemble: Ensemble, observable: str, options: DiagnoseOptions, _: Stop) -> list[Row]:
    """Collapse the distributions of all sizes, phase by phase, beside the direct exponents.

    ``collapse-quality`` is S with the p of the goodness of fit; where that p rejects the collapse,
    exponents have no interval. With the ``part`` "D of mean", S at the exponent of that statistic.
    """
    draws = resampling.draw_runs(ensemble, options.resamples, options.seed)
    values = ensemble.observe(observable)
    whole = bool((values[~np.isnan(values)] % 1 == 0).all())
    made: list[Row] = []
    for window in ensemble.phases:
        bins = windows(ensemble, window)
        tried = {name: exponent(ensemble, values, bins, name) for name in STATISTICS}
        direct = {name: value for name, value in tried.items() if not np.isnan(value)}
        for kind, free in KINDS.items():
            found = collapse(
                ensemble,
                values,
                bins,
                draws,
                options.confidence,
                free=free,
                smallest=options.collapse_from if free and whole else 0,
                direct=[] if free else list(direct.values()),
            )
            made += labelled(judged(found, kind), window=window)
        made += [
            finding("collapse-quality", s, part=f"D of {name}", window=window, n=found.n_points)
            for name, s in zip(direct, found.at, strict=True)
        ]
    return labelled(made, **ensemble.case, observable=observable)


def judged(found: Collapse, kind: str) -> list[Row]:
    """Make the rows of one collapse, with intervals only where it is not rejected."""
    quality = finding("collapse-quality", found.quality, part=kind, p=found.p, n=found.n_draws)
    stands = judge.collapses(quality) and found.reason is None
    words = found.reason or ("least squares" if stands else "the curves do not collapse")
    quality["method"] = words
    rows = [quality]
    above = found.exponent is not None and (found.exponent.ci_low or 0.0) > 0
    for name, value in (("exponent", found.exponent), ("beta", found.beta), ("tau", found.tau)):
        # tau = 1 + beta / D means something where D is above 0.
        if (value is None and name != "exponent") or (name == "tau" and not above):
            continue
        more: Row = {"part": kind, "n": found.n_points, "method": words}
        if value and stands:
            more |= {"ci_low": value.ci_low, "ci_high": value.ci_high}
        rows.append(finding(f"collapse-{name}", value and value.value, **more))
    return rows


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up the exponents of each collapse, S and its goodness of fit."""
    out = []
    keys = (*shown, "observable", "surrogate", "window")
    for key, mine in groups(of(rows, *NAMES), *keys).items():
        place = index(mine, "quantity", "part")
        for kind in KINDS:
            quality = place["collapse-quality", kind]
            row = dict(zip(keys, key, strict=True)) | {"fitted": kind}
            for symbol, name in (("D", "exponent"), ("beta", "beta"), ("tau", "tau")):
                found = place[f"collapse-{name}", kind]
                row |= {symbol: found["value"], f"{symbol} interval": ends(found)}
            row |= {"S": quality["value"], "p": p_cell(quality)}
            row["remark"] = quality["method"]
            out.append(row)
    title = "data collapse: N^beta P(S > s) against s / N^D"
    return Summary(title, out, formats={"S": ".1f"})


def told(label: str, exponents: Sequence[Row], quality: Row) -> str:
    """Return the label of a panel: the exponents with their intervals, S and p."""
    lines = [label]
    for symbol, row in zip(("D", r"\beta"), exponents, strict=False):
        ends = "" if row["ci_low"] is None else rf"\ [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        lines.append(f"${symbol} = {row['value']:.3f}{ends}$")
    if quality["value"] is not None:
        lines.append(f"$S = {quality['value']:.3g}$, {p_of(quality)}")
    return "\n".join(lines)


def panel(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw every phase, rescaled with the D of the largest avalanche and with that of least S."""
    from matplotlib.figure import Figure

    from grokcrit.plot import sizes

    data = sizes.ensemble(sources, "none")
    wanted = {"observable": request.observable, "surrogate": "none"}
    held = rows(sources.table("diagnostics"), **wanted).to_pylist()
    names = ("collapse-exponent", "collapse-beta", "collapse-quality")
    found = index(of(held, *names), "quantity", "part", "window")
    lines = []
    for window in data.phases:
        free, alone = (found["collapse-exponent", kind, window] for kind in KINDS)
        beta = found["collapse-beta", "D and beta", window]
        if free["value"] is None and alone["value"] is None:
            continue
        panels = []
        for kind, exponents in (("D alone", [alone]), ("D and beta", [free, beta])):
            if exponents[0]["value"] is not None:
                quality = found["collapse-quality", kind, window]
                text = told(f"{PHASE_NAMES[window]}: {kind}", exponents, quality)
                panels.append((text, [row["value"] for row in exponents]))
        lines.append((window, panels))
    if not lines:
        tried = sorted({str(row["method"]) for row in of(held, "collapse-exponent", value=None)})
        raise EmptyPanelError(
            f"there is no collapse of the {request.observable}: {'; '.join(tried)}"
            if tried
            else f"the diagnostics hold no collapse of the {request.observable}; "
            "'grokcrit diagnose avalanche.parquet --only collapse' makes it"
        )
    place = ax.get_subplotspec()
    assert place is not None  # every panel has one
    inner, figure = place.subgridspec(len(lines), 2), ax.figure
    if isinstance(figure, Figure) and len(figure.axes) == 1:
        figure.set_size_inches(PAGE, 1.3 + 1.9 * len(lines))
    ax.remove()
    for line, (window, rescalings) in enumerate(lines):
        axes = [figure.add_subplot(inner[line, column]) for column in range(len(rescalings))]
        draw(axes, data, request.observable, window, rescalings)
        legend = axes[0].get_legend()
        if line and legend is not None:
            legend.remove()
    return axes[0]


def draw(
    axes: Sequence[Axes],
    data: Ensemble,
    observable: str,
    window: str,
    rescalings: Sequence[tuple[str, Sequence[float]]],
) -> None:
    """Draw N^beta P(S > s) of every size against s / N^D, an axes per label and (D, beta) or D."""
    from grokcrit.plot import sizes, style

    observed = data.observe(observable)
    observed = np.where(windows(data, window).bin_of >= 0, observed, np.nan)
    if not (observed > 0).any():
        raise EmptyPanelError(f"no avalanche of the window {window} has a {observable} above 0")
    symbol, _ = style.OBSERVABLES[observable]
    names: list[int] = data.sizes.tolist()
    colours = style.size_colours(len(names))
    for ax, (text, exponents) in zip(axes, rescalings, strict=True):
        d, beta = (*exponents, 0.0)[:2]
        for k, (n, colour) in enumerate(zip(names, colours, strict=True)):
            mine = data.size_of[data.run] == k
            s, p, error = exceedance(observed[mine], data.run[mine])
            x, height = s / n**d, float(n) ** beta
            # P(S > s) holds from s up to the next value; 0 has no logarithm.
            drawn = np.where(p > 0, height * p, np.nan)
            error = height * error
            label = style.size_label(k, names)
            ax.plot(x, drawn, color=colour, drawstyle="steps-post", label=label)
            low = np.maximum(drawn - error, np.nanmin(drawn, initial=1) / 2)
            ax.fill_between(x, low, drawn + error, step="post", color=colour, **style.BAND)
        style.note(ax, 0.04, 0.05, text, va="bottom")
        power = r"N^{\beta} " if len(exponents) > 1 else ""
        ax.set(xscale="log", yscale="log", xlabel=rf"${symbol} / N^D$")
        ax.set_ylabel(rf"${power}P({{>}}\,{symbol})$")
        style.plain_log_ticks(ax.xaxis)
        style.plain_log_ticks(ax.yaxis)
    style.legend_above(axes[0], 4, title=f"{style.SYSTEM_SIZE}; {sizes.BAND}")


def exceedance(observed: Reals, run: Ints) -> tuple[Reals, Reals, Reals]:
    """Return the positive values s, the mean over runs of P(S > s), and its standard error.

    One value to the left of them is added, as a curve begins level; one run has no error.
    """
    runs = [observed[(run == r) & np.isfinite(observed)] for r in np.unique(run)]
    runs = [np.sort(mine) for mine in runs if len(mine)]
    if not runs or max(mine[-1] for mine in runs) <= 0:
        return np.empty(0), np.empty(0), np.empty(0)
    s = np.unique(np.concatenate(runs))
    s = s[s > 0]
    s = np.insert(s, 0, s[0] / 1.1)
    shares = np.array([1 - np.searchsorted(mine, s, side="right") / len(mine) for mine in runs])
    none = np.full(len(s), np.nan)
    error = shares.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else none
    return s, shares.mean(axis=0), error


def stated(rows: Sequence[Row], window: str) -> str:
    """Say in one sentence whether the curves of a window collapse, and with which exponents."""
    place = index([r for r in rows if r["window"] == window], "quantity", "part")
    name = PHASE_NAMES[window]
    for kind in KINDS:
        quality, d = (place[f"collapse-{what}", kind] for what in ("quality", "exponent"))
        if quality["value"] is not None and d["value"] is not None:
            break
    else:
        quality = place["collapse-quality", "D and beta"]
        if quality["value"] is None:
            return f"{name}: no exponent to give, as {quality['method']}"
        numbers = f"S {shown(quality['value'], '.2f')}, {p_of(quality)}"
        return f"{name}: no exponent to give, as {quality['method']} ({numbers})"
    numbers = f"{kind}, S {shown(quality['value'], '.2f')}, {p_of(quality)}"
    if not judge.collapses(quality):
        return f"{name}: the curves do not collapse ({numbers}), so there is no exponent to give"
    exponents = (
        f"{symbol} {shown(row['value'])} ({interval(row)})"
        for symbol, quantity in (("D", "exponent"), ("tau", "tau"))
        if (row := place[f"collapse-{quantity}", kind])["value"] is not None
    )
    return f"{name}: a collapse is not rejected ({numbers}); {', '.join(exponents)}"


def described(rows: Sequence[Row]) -> list[str]:
    """Say of each phase of the size of the data what its collapse gives."""
    mine = of(rows, *NAMES, observable="size", surrogate="none")
    return [stated(mine, window) for window in PHASES if any(r["window"] == window for r in mine)]


def describe(rows: Sequence[Row]) -> str:
    """Say what the collapse of each phase gives."""
    return f"Distributions of all sizes, rescaled. {'; '.join(described(rows))}."


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say no where a collapse with D and beta is rejected in some phase."""
    mine = of(rows, "collapse-quality", observable="size", surrogate="none", part="D and beta")
    known = [row for row in mine if row["p"] is not None]
    if not known:
        return []
    given = of(rows, "collapse-exponent", observable="size", surrogate="none", part="D and beta")
    there = [r["window"] for r in given if r["value"] is not None]
    stands = all(judge.collapses(row) and row["window"] in there for row in known)
    word = "Not rejected" if stands else "No"
    question = "Do the distributions of all sizes fall on one curve?"
    return [Answer("collapse", question, word, tuple(f"{each}." for each in described(rows)))]


QUANTITIES = {
    "collapse-exponent, collapse-beta": "D and beta that put N^beta P(S > s) of all sizes on one "
    "curve of s / N^D; `D alone`: beta = 0, the source's case",
    "collapse-tau": "1 + beta / D",
    "collapse-quality": "S, chi^2 per degree of freedom about the common curve, with the p of the "
    "goodness of fit; or at the exponent of `part`, beta = 0",
}
QUESTION = Question(
    quantities=QUANTITIES,
    checks=("collapse-quality",),
    of_family=of_family,
    section=section,
    answers=answers,
    panels={"collapses": Panel(panel, ("avalanche", "diagnostics"), height=7.0, width=PAGE)},
    shown=(
        Shown(
            "collapses",
            "Do the distributions of all sizes fall on one curve?",
            "Rescaled by D alone (left) and by D and beta (right). S is about 1 where curves agree "
            "within errors; p is the goodness of fit. Intervals are of these sizes, without "
            "corrections to scaling; where small avalanches spoil the collapse, begin it at larger "
            "ones (--collapse-from).",
            describe,
            wide=True,
        ),
    ),
)
