"""Panels of the exponent in time: D(t) of the data against its null models."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes

from grokcrit.base.errors import TableError
from grokcrit.plot import style
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows, runs
from grokcrit.scaling.clocks import BIN
from grokcrit.scaling.ensembles import Reals


def dimension(ax: Axes, sources: Sources, request: Request) -> Axes:
    """D(t) of the data and of the Gaussian null, the line D = 1, the epochs of grokking."""
    return courses(ax, sources, request, ["gaussian"])


def nulls(ax: Axes, sources: Sources, request: Request) -> Axes:
    """D(t) of the data against that of every surrogate in the table."""
    there = set(pc.unique(sources.table("fss")["surrogate"]).to_pylist()) - {"none"}
    if not there:
        raise TableError(
            "the fss table holds no surrogate to compare the data with; add one with "
            "'grokcrit avalanche --surrogate none,gaussian' and fit again"
        )
    return courses(ax, sources, request, sorted(there, key=lambda name: (name != "gaussian", name)))


def courses(ax: Axes, sources: Sources, request: Request, surrogates: list[str]) -> Axes:
    """Draw D(t) of the data over that of some surrogates."""
    table = sources.fits("fss", request, window="aligned" if request.aligned else "epoch")
    data = course(rows(table, surrogate="none"), request.aligned)
    if not np.isfinite(data[1]).any():
        when = "bin of time" if request.aligned else "epoch"
        raise EmptyPanelError(f"no {when} has a fit: it takes data of three sizes")
    style.line_with_band(ax, *data, "data", zorder=2.5, **style.DATA)
    others = iter(style.SURROGATES * len(surrogates))
    for name in surrogates:
        null = course(rows(table, surrogate=name, replicate=0), request.aligned)
        looks = style.GAUSSIAN if name == "gaussian" else next(others)
        if np.isfinite(null[1]).any():
            label = "Gaussian null" if name == "gaussian" else name
            style.line_with_band(ax, *null, label, **looks)
    ax.axhline(1, **style.UNITY)
    mark_grokking(ax, sources, request.aligned)
    label = style.exponent_label(request.statistic, request.observable)
    ax.set(xlabel=style.SINCE if request.aligned else style.EPOCH, ylabel=label)
    banded = np.isfinite(data[2]).any()
    style.legend_above(ax, 2, title=f"bands: {sources.confidence('fss')}" if banded else None)
    return ax


def course(table: pa.Table, aligned: bool) -> tuple[Reals, Reals, Reals, Reals]:
    """Return times (of bins: their middles), exponents, and the ends of their intervals, or NaN."""
    table = table.sort_by("time")
    time = table["time"].to_numpy().astype(np.float64)
    columns = np.array([table[name].to_numpy() for name in ("exponent", "ci_low", "ci_high")])
    fitted = np.flatnonzero(np.isfinite(columns[0]))
    if not aligned or not len(fitted):
        return time, *columns
    # The ends, where a size is lacking, are left off. A bin in between without a row is a gap.
    first, last = time[fitted[0]], time[fitted[-1]]
    bins = np.arange(first, last + BIN, BIN)
    inside = (time >= first) & (time <= last)
    full = np.full((len(columns), len(bins)), np.nan)
    full[:, np.searchsorted(bins, time[inside])] = columns[:, inside]
    return bins + BIN / 2, *full


def mark_grokking(ax: Axes, sources: Sources, aligned: bool) -> None:
    """Shade the epochs in which runs grokked, or mark the moment that bins are aligned on."""
    if aligned:
        ax.axvline(0, **style.MARK, label="grokking")
        return
    stage = sources.loaded(("train", "avalanche"))
    if stage is None:
        return
    grok = runs(sources.table(stage)).grok
    grok = grok[np.isfinite(grok)]
    if len(grok):
        label = f"grokking, {grok.min():.0f} to {grok.max():.0f}"
        ax.axvspan(grok.min(), grok.max(), color=style.YELLOW, alpha=0.2, linewidth=0, label=label)
        median = float(np.median(grok))
        ax.axvline(median, **style.MARK, label=f"median {median:g}")


PANELS = {
    "dimension": Panel(dimension, ("fss",), ("train", "avalanche")),
    "nulls": Panel(nulls, ("fss",), ("train", "avalanche"), height=2.9),
}
