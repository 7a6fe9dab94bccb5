"""Collapse: does one exponent lay the distributions of all sizes on one curve, phase by phase?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.base.vocabulary import STATISTICS
from grokcrit.plot.panel import PAGE, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows
from grokcrit.questions.family import Family
from grokcrit.questions.question import Question, Shown, Task
from grokcrit.questions.rows import (
    PHASE_NAMES,
    ends,
    finding,
    groups,
    index,
    known,
    labelled,
    of,
)
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.collapse import collapse
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Observables that are ratios: their distributions have no s / N^D.
RATIOS = ("branching", "transported-per-toppling")


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

    ``collapse-exponent`` is the D of least S, ``collapse-quality`` that S; with a ``part``, S at
    the exponent of that statistic.
    """
    draws = resampling.draw_runs(ensemble, options.resamples, options.seed)
    values = ensemble.observe(observable)
    made: list[Row] = []
    for window in ensemble.phases:
        bins = scaling.windows(ensemble, window)
        tried = {name: scaling.exponent(ensemble, values, bins, name) for name in STATISTICS}
        direct = {name: exponent for name, exponent in tried.items() if not np.isnan(exponent)}
        found = collapse(ensemble, values, bins, draws, options.confidence, list(direct.values()))
        interval = {"ci_low": found.ci_low, "ci_high": found.ci_high}
        each = [
            finding("collapse-exponent", found.exponent, **interval, n=found.n_draws),
            finding("collapse-quality", found.quality, n=found.n_points),
        ]
        each = labelled(each, method=found.reason or "least S")
        each += [
            finding("collapse-quality", s, part=f"D of {name}", n=found.n_points, method="S")
            for name, s in zip(direct, found.at, strict=True)
        ]
        made += labelled(each, window=window)
    return labelled(made, **ensemble.case, observable=observable)


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up D of the data collapse, and S there and at the direct exponents."""
    out = []
    keys = (*shown, "observable", "surrogate", "window")
    for key, mine in groups(of(rows, "collapse-exponent", "collapse-quality"), *keys).items():
        place = index(mine, "quantity", "part")
        found = place["collapse-exponent", None]
        row = dict(zip(keys, key, strict=True))
        row |= {"D of least S": found["value"], "interval": ends(found)}
        row["S"] = place["collapse-quality", None]["value"]
        for name in STATISTICS:
            row[f"S at D of {name}"] = place["collapse-quality", f"D of {name}"]["value"]
        row["remark"] = None if found["value"] is not None else found["method"]
        out.append(row)
    formats = dict.fromkeys(("S", *(f"S at D of {name}" for name in STATISTICS)), ".1f")
    title = "data collapse of P(S > s) against s / N^D; S about 1: within errors"
    return Summary(title, out, formats=formats)


def told(label: str, exponent: float, row: Row, quality: float | None) -> str:
    """Return the label of a panel: the exponent, its interval if there is one, and S."""
    interval = "" if row["ci_low"] is None else rf"\ [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    reached = "" if quality is None else f"\n$S = {quality:.3g}$"
    return f"{label}\n$D = {exponent:.3f}{interval}${reached}"


def panel(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw every phase, rescaled with the D of the largest avalanche and with that of least S."""
    from grokcrit.plot import sizes

    data = sizes.ensemble(sources, "none")
    wanted = {"observable": request.observable, "surrogate": "none"}
    held = rows(sources.table("diagnostics"), **wanted).to_pylist()
    found = index(of(held, "collapse-exponent", "collapse-quality"), "quantity", "part", "window")
    lines = []
    for window in data.phases:
        best = found["collapse-exponent", None, window]
        least = found["collapse-quality", None, window]
        bins = scaling.windows(data, window)
        direct = scaling.exponent(data, data.observe(request.observable), bins, "max")
        if None in (best["value"], least["value"]) or np.isnan(direct):
            continue
        of_max = found["collapse-quality", "D of max", window]
        first = told(f"{window}: largest", direct, of_max, of_max["value"])
        second = told(f"{window}: least $S$", best["value"], best, least["value"])
        lines.append((window, {first: direct, second: best["value"]}))
    if not lines:
        tried = sorted({str(row["method"]) for row in of(held, "collapse-exponent", value=None)})
        raise EmptyPanelError(
            f"no phase has a collapse of the {request.observable}: {'; '.join(tried)}"
            if tried
            else f"the diagnostics hold no collapse of the {request.observable}; "
            "'grokcrit diagnose avalanche.parquet --only collapse' makes it"
        )
    place = ax.get_subplotspec()
    assert place is not None  # every panel has one
    inner, figure = place.subgridspec(len(lines), 2), ax.figure
    ax.remove()
    for line, (window, rescalings) in enumerate(lines):
        axes = [figure.add_subplot(inner[line, column]) for column in range(2)]
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
    rescalings: Mapping[str, float],
) -> None:
    """Draw P(S > s) of every size against s / N^D on one axes per exponent, with equal limits."""
    from grokcrit.plot import sizes, style

    observed = data.observe(observable)
    observed = np.where(scaling.windows(data, window).bin_of >= 0, observed, np.nan)
    if not (observed > 0).any():
        raise EmptyPanelError(f"no avalanche of the window {window} has a {observable} above 0")
    symbol, _ = style.OBSERVABLES[observable]
    names: list[int] = data.sizes.tolist()
    colours = style.size_colours(len(names))
    for ax, (text, exponent) in zip(axes, rescalings.items(), strict=True):
        for k, (n, colour) in enumerate(zip(names, colours, strict=True)):
            mine = data.size_of[data.run] == k
            s, p, error = exceedance(observed[mine], data.run[mine])
            x = s / n**exponent
            # P(S > s) holds from s up to the next value; 0 has no logarithm.
            drawn = np.where(p > 0, p, np.nan)
            label = style.size_label(k, names)
            ax.plot(x, drawn, color=colour, drawstyle="steps-post", label=label)
            low = np.maximum(drawn - error, np.nanmin(drawn, initial=1) / 2)
            ax.fill_between(x, low, drawn + error, step="post", color=colour, **style.BAND)
        style.note(ax, 0.04, 0.05, text, va="bottom")
        ax.set(xscale="log", yscale="log", xlabel=rf"${symbol} / N^D$")
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    for ax in axes:
        ax.set_xlim(min(x[0] for x, _ in limits), max(x[1] for x, _ in limits))
        ax.set_ylim(min(y[0] for _, y in limits), max(y[1] for _, y in limits))
        style.plain_log_ticks(ax.xaxis)
        style.plain_log_ticks(ax.yaxis)
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel(rf"$P({{>}}\,{symbol})$")
    style.legend_above(axes[0], 4, title=f"{style.PARAMETERS}; {sizes.BAND}")


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


def describe(rows: Sequence[Row]) -> str:
    """Say the exponent of the least S of each phase."""
    found = known(rows, "collapse-exponent", observable="size", surrogate="none")
    told = "; ".join(f"{PHASE_NAMES[r['window']]} {r['value']:.3f}" for r in found)
    return f"Distributions of all sizes rescaled by N^D; D of the least S: {told}."


QUESTION = Question(
    quantities={
        "collapse-exponent": "D that lays P(S > s) of all sizes on one curve of s / N^D",
        "collapse-quality": "S of Houdayer and Hartmann there, or at the exponent of `part`; about "
        "1: within errors",
    },
    of_family=of_family,
    section=section,
    panels={"collapses": Panel(panel, ("avalanche", "diagnostics"), height=7.0, width=PAGE)},
    shown=(
        Shown(
            "collapses",
            "Do the distributions of all sizes fall on one curve?",
            "Rescaled by the D of the largest avalanche (left) and by the D of the best collapse "
            "(right), window by window; S about 1 would be a collapse within errors.",
            describe,
            wide=True,
        ),
    ),
)
