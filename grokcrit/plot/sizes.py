"""Panels over system sizes: distributions of avalanches, their collapse, the power laws in N."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
from matplotlib.axes import Axes

from grokcrit.base.summary import Row
from grokcrit.plot import style
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows
from grokcrit.scaling import ensembles
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.reductions import over_runs, over_snapshots

# How the statistics are drawn, of the data and of the null.
LAWS: dict[str, dict[str, dict[str, Any]]] = {
    "none": {
        "max": {"color": style.RED, "marker": "s", "linestyle": "--"},
        "mean": {"color": style.BLUE, "marker": "o", "linestyle": "-"},
    },
    "gaussian": {
        "max": {"color": style.NULL, "marker": "s", "linestyle": ":", "markerfacecolor": "white"},
        "mean": {"color": style.NULL, "marker": "o", "linestyle": "-.", "markerfacecolor": "white"},
    },
}

BAND = "bands: s.e. over runs"


def ensemble(sources: Sources, surrogate: str) -> Ensemble:
    """Return the avalanches of the data or of a surrogate that the table holds."""
    usable = ensembles.with_usable(sources.table("avalanche"))
    found = rows(usable, surrogate=surrogate, replicate=0)
    order = [(name, "ascending") for name in ("width", "seed", "epoch")]
    return ensembles.ensemble(found.sort_by(order).combine_chunks())


def law(sources: Sources, request: Request, statistic: str, surrogate: str) -> Row | None:
    """Return the aggregate fit of a statistic; None where there is none."""
    case = {"statistic": statistic, "surrogate": surrogate, "replicate": 0}
    found = sources.fits("fss", request, **case, window="aggregate").to_pylist()
    return found[0] if found and found[0]["exponent"] is not None else None


def told(fit: Row) -> str:
    """Write an exponent, its standard error, and its interval where it has one."""
    # In mathtext throughout: a minus is not a hyphen.
    low, high = fit["ci_low"], fit["ci_high"]
    interval = "" if low is None else rf",\ [{low:.3f}, {high:.3f}]"
    return rf"$D = {fit['exponent']:.3f} \pm {fit['stderr']:.3f}{interval}$"


def survival(observed: Reals) -> tuple[Reals, Reals]:
    """Return the distinct values s and the share of all values that are at least s."""
    distinct, count = np.unique(observed[np.isfinite(observed)], return_counts=True)
    return distinct, count[::-1].cumsum()[::-1] / count.sum()


def spread(observed: Reals, run: Ints, s: Reals) -> Reals:
    """Return the standard error over runs of the share of values that are at least s; 0 for one."""
    shares = [
        1 - np.searchsorted(np.sort(mine[np.isfinite(mine)]), s) / np.isfinite(mine).sum()
        for mine in (observed[run == r] for r in np.unique(run))
        if np.isfinite(mine).any()
    ]
    if len(shares) < 2:
        return np.zeros(len(s))
    error: Reals = np.std(shares, axis=0, ddof=1) / np.sqrt(len(shares))
    return error


def curves(ax: Axes, sources: Sources, request: Request, exponent: float) -> None:
    """Draw P(S >= s) of every size against s / N^exponent, with its standard error over runs."""
    data = ensemble(sources, "none")
    observed = data.observe(request.observable)
    sizes: list[int] = data.sizes.tolist()
    if not (observed > 0).any():
        raise EmptyPanelError(f"no avalanche has a {request.observable} above 0")
    for k, (n, colour) in enumerate(zip(sizes, style.size_colours(len(sizes)), strict=True)):
        mine = data.size_of[data.run] == k
        s, p = survival(observed[mine])
        error = spread(observed[mine], data.run[mine], s)
        low = np.maximum(p - error, p.min() / 2)
        # 0 has no logarithm. P(S >= s) holds from the previous value up to and with s itself.
        there = s > 0
        x = s[there] / n**exponent
        label = style.size_label(k, sizes)
        ax.plot(x, p[there], color=colour, drawstyle="steps-pre", label=label)
        high = (p + error)[there]
        ax.fill_between(x, low[there], high, step="pre", color=colour, **style.BAND)
    ax.set(xscale="log", yscale="log")
    style.plain_log_ticks(ax.xaxis)
    style.plain_log_ticks(ax.yaxis)


def ccdf(ax: Axes, sources: Sources, request: Request) -> Axes:
    """P(S >= s) of every size: all runs, all snapshots."""
    curves(ax, sources, request, 0.0)
    symbol, name = style.OBSERVABLES[request.observable]
    ax.set(xlabel=name, ylabel=rf"$P(\geq {symbol})$")
    style.legend_above(ax, 4, title=f"{style.SYSTEM_SIZE}; {BAND}")
    return ax


def collapse(ax: Axes, sources: Sources, request: Request) -> Axes:
    """P(S >= s) of every size against s / N^D, D of the largest avalanche as in the source."""
    found = law(sources, request, "max", "none")
    if found is None:
        raise EmptyPanelError("there is no aggregate exponent of the maximum to rescale with")
    curves(ax, sources, request, found["exponent"])
    symbol, _ = style.OBSERVABLES[request.observable]
    ax.set(xlabel=rf"${symbol} / N^D$", ylabel=rf"$P(\geq {symbol})$")
    title = f"$N$; {told(found)} (max {request.observable})"
    style.legend_above(ax, 4, title=title)
    return ax


def scaling(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Largest and mean avalanche of each size against N, with the fitted power laws."""
    known = pc.unique(sources.table("avalanche")["surrogate"]).to_pylist()
    symbol, name = style.OBSERVABLES[request.observable]
    for surrogate in ("none", "gaussian"):
        if surrogate not in known:
            continue
        data = ensemble(sources, surrogate)
        for statistic, looks in LAWS[surrogate].items():
            y, error = by_size(data, request.observable, statistic)
            if surrogate == "none" and not (y > 0).any():
                raise EmptyPanelError(f"no avalanche has a {request.observable} above 0")
            label = rf"$\langle {symbol} \rangle$" if statistic == "mean" else rf"${symbol}_\max$"
            label += ", null" if surrogate == "gaussian" else ""
            found = law(sources, request, statistic, surrogate)
            draw_law(ax, data.sizes, y, error, found, label, **looks)
    style.size_axis(ax)
    ax.set(yscale="log", ylabel=name)
    style.plain_log_ticks(ax.yaxis)
    null = "; null: Gaussian" if "gaussian" in known else ""
    style.legend_above(ax, 1, title=f"[ ], bands: {sources.confidence('fss')}; bars: s.e.{null}")
    return ax


def draw_law(
    ax: Axes, sizes: Ints, y: Reals, error: Reals, found: Row | None, name: str, **looks: Any
) -> None:
    """Draw a statistic of each size with its error, and its power law with the band of slopes."""
    there = y > 0
    colour, line = looks["color"], looks.pop("linestyle") if found else "none"
    label = f"{name}: {told(found) if found else 'no fit'}"
    ax.plot([], [], **{**looks, "linestyle": line}, label=label)
    ax.plot(sizes[there], y[there], **{**looks, "linestyle": "none"})
    if found:
        ends = np.array([sizes[0], sizes[-1]], np.float64)
        fitted = np.exp(found["intercept"]) * ends ** found["exponent"]
        ax.plot(ends, fitted, color=colour, linestyle=line, zorder=1)
        if found["ci_low"] is not None and found["ci_high"] is not None:
            grid = np.geomspace(ends[0], ends[1], 60)
            level = np.exp(found["intercept"]) * grid ** found["exponent"]
            middle = np.exp(np.log(sizes[there]).mean())
            low, high = (
                level * (grid / middle) ** (found[end] - found["exponent"])
                for end in ("ci_low", "ci_high")
            )
            edges = np.minimum(low, high), np.maximum(low, high)
            ax.fill_between(grid, *edges, color=colour, **style.BAND, zorder=0)
    if not np.isnan(error).all():
        ax.errorbar(sizes[there], y[there], error[there], fmt="none", ecolor=colour)


def by_size(data: Ensemble, observable: str, statistic: str) -> tuple[Reals, Reals]:
    """Return a statistic of each size, as fss fits it, and its standard error over runs, or NaN."""
    bins = windows(data, "aggregate")
    by_run = over_snapshots(data, data.observe(observable), bins, statistic)
    reduced: Reals = over_runs(data, by_run, statistic)[0]
    error = np.full(len(data.sizes), np.nan)
    for k in range(len(data.sizes)) if statistic == "mean" else ():
        mine = by_run[data.size_of == k, 0]
        mine = mine[np.isfinite(mine)]
        if len(mine) > 1:
            error[k] = mine.std(ddof=1) / np.sqrt(len(mine))
    return reduced, error


PANELS = {
    "ccdf": Panel(ccdf, ("avalanche",), height=2.8),
    "collapse": Panel(collapse, ("avalanche", "fss"), height=2.8),
    "scaling": Panel(scaling, ("avalanche", "fss"), height=3.0),
}
