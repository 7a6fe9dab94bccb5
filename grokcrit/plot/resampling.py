"""Panels of the bootstrap: densities of the exponents, and what each size and seed weighs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from scipy import stats

from grokcrit.base.errors import OptionError
from grokcrit.base.vocabulary import INTERVAL
from grokcrit.plot import style
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows, values
from grokcrit.scaling.ensembles import Reals

# Points at which a density is computed.
POINTS = 400
# What is left out, in the order of the axis, and what it is called there.
PARTS = {"n_params": "size $N$", "seed": "seed", "epoch": "tenth of training from epoch"}
# The axis names at most about so many of the values left out.
NAMED = 30
# How far the markers of two phases stand apart, in distances between values left out.
SHIFT = 0.22


def bootstrap(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Densities of the drawn exponents of each phase, data and null; estimates and intervals."""
    if request.statistic == "max":
        raise OptionError(
            "statistic",
            "must be mean or run-max here: max has no draws, a resampled maximum being biased",
        )
    table = sources.fits("bootstrap", request, replicate=0)
    for surrogate in ("gaussian", "none"):
        case = rows(table, surrogate=surrogate)
        draws = {w: finite(rows(case, window=w, kind="draw")) for w in style.PHASES}
        if surrogate == "none" and not any(map(len, draws.values())):
            raise EmptyPanelError("no draw of the bootstrap has a fit")
        for window in style.PHASES:
            if len(draws[window]):
                density(ax, draws[window], surrogate, window)
    for place, window in enumerate(style.PHASES):
        bar(ax, rows(table, surrogate="none", window=window), window, 1.06 + 0.07 * place)
    ax.axvline(1, **style.UNITY)
    label = style.exponent_label(request.statistic, request.observable)
    ax.set(xlabel=label, ylabel="density (peak = 1)", ylim=(0, 1.28), yticks=[0, 0.5, 1])
    title = f"bar: estimate, {sources.confidence('bootstrap')}"
    if rows(table, surrogate="gaussian", kind="draw").num_rows:
        title += "; grey: Gaussian null"
    style.legend_above(ax, 3, title=title)
    return ax


def finite(table: pa.Table) -> Reals:
    """Return the exponents that are there."""
    exponents = values(table, "exponent")
    there: Reals = exponents[np.isfinite(exponents)]
    return there


def left_out_of(table: pa.Table) -> list[tuple[str, int]]:
    """Return what was left out in each row: its part, and its value."""
    return list(zip(table["part"].to_pylist(), table["index"].to_pylist(), strict=True))


def density(ax: Axes, draws: Reals, surrogate: str, window: str) -> None:
    """Draw the kernel density of the draws over its peak; filled for the data."""
    looks = style.PHASES[window]
    colour, width = (looks["color"], 1.1) if surrogate == "none" else (style.NULL, 0.8)
    if np.ptp(draws) <= 1e-9:  # all draws agree: a density would be a delta
        ax.plot([draws[0], draws[0]], [0, 1], color=colour, linewidth=width)
        return
    kernel = stats.gaussian_kde(draws)
    room = 3 * kernel.factor * draws.std(ddof=1)  # beyond it a kernel is all but zero
    x = np.linspace(draws.min() - room, draws.max() + room, POINTS)
    height = kernel(x)
    height /= height.max()
    ax.plot(x, height, color=colour, linestyle=looks["linestyle"], linewidth=width)
    if surrogate == "none":
        ax.fill_between(x, height, color=colour, **style.BAND)


def bar(ax: Axes, table: pa.Table, window: str, height: float) -> None:
    """Draw the estimate of a phase and its interval, above the densities."""
    estimate, low, high = estimate_of(table)
    if estimate is None:
        return
    looks = style.PHASES[window]
    ax.plot([estimate], [height], label=window, **looks)
    if low is not None and high is not None:
        ax.plot([low, high], [height, height], color=looks["color"], linewidth=0.9)


def estimate_of(table: pa.Table) -> tuple[float | None, float | None, float | None]:
    """Return the estimate of a phase and its interval, None where there is none."""
    estimate = rows(table, kind="estimate")
    plain = estimate.filter(estimate["part"].is_null()).to_pylist()
    interval = rows(table, kind="interval", method=INTERVAL)
    ends = interval.filter(interval["part"].is_null()).to_pylist()
    low, high = (ends[0]["ci_low"], ends[0]["ci_high"]) if ends else (None, None)
    return (plain[0]["exponent"] if plain else None), low, high


def leave_one_out(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Exponents without each size, seed and tenth of the training, beside those of everything."""
    table = sources.fits("bootstrap", request, surrogate="none")
    left_out = rows(table, kind="leave-one-out")
    known = pc.is_in(left_out["part"], value_set=pa.array(list(PARTS), pa.string()))
    left_out = left_out.filter(pc.and_(known, left_out["index"].is_valid()))
    phases = {window: rows(left_out, window=window) for window in style.PHASES}
    if not any(len(finite(phase)) for phase in phases.values()):
        raise EmptyPanelError("no fit is left when a size or a seed is left out")
    order = list(PARTS)
    places = sorted(set(left_out_of(left_out)), key=lambda each: (order.index(each[0]), each[1]))
    for k, (window, phase) in enumerate(phases.items()):
        if not len(finite(phase)):
            continue
        looks = style.PHASES[window]
        exponent, low, high = estimate_of(rows(table, window=window))
        if exponent is not None:
            ax.axhline(exponent, color=looks["color"], linestyle=looks["linestyle"], linewidth=0.8)
        if low is not None and high is not None:
            ax.axhspan(low, high, color=looks["color"], **style.BAND)
        x = np.array([places.index(each) for each in left_out_of(phase)]) + SHIFT * (k - 1)
        ax.plot(x, values(phase, "exponent"), **{**looks, "linestyle": "none"}, label=window)
    name_places(ax, places)
    ax.set(ylabel=style.exponent_label(request.statistic, request.observable))
    title = f"line, band: nothing left out, {sources.confidence('bootstrap')}"
    style.legend_above(ax, 3, title=title)
    return ax


def name_places(ax: Axes, places: list[tuple[str, int]]) -> None:
    """Name what was left out below the axis, part by part, a line between them."""
    step = -(-len(places) // NAMED)
    within = [
        k - next(i for i, (p, _) in enumerate(places) if p == places[k][0])
        for k in range(len(places))
    ]
    shown = [k for k, place in enumerate(within) if place % step == 0]
    rotation = 0 if style.inches(ax) > 0.3 * len(places) else 90
    ax.set_xticks(shown, [str(places[k][1]) for k in shown], rotation=rotation)
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_xlim(-0.6, len(places) - 0.4)
    for k, place in enumerate(within):
        if k > 0 and place == 0:
            ax.axvline(k - 0.5, color=style.INK, linewidth=0.6)
    parts = dict.fromkeys(part for part, _ in places)
    ax.set_xlabel(f"left out: {' | '.join(PARTS[part] for part in parts)}")


PANELS = {
    "bootstrap": Panel(bootstrap, ("bootstrap",)),
    "leave-one-out": Panel(leave_one_out, ("bootstrap",), height=2.8),
}
