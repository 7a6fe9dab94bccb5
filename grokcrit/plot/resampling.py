"""Panels of the bootstrap: densities of the exponents, and what each size and seed weighs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes

from grokcrit.base.errors import OptionError
from grokcrit.base.vocabulary import INTERVAL
from grokcrit.plot import style
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows
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
    drawn = {
        (surrogate, window): draws_of(rows(table, surrogate=surrogate, window=window))
        for surrogate in ("gaussian", "none")
        for window in style.PHASES
    }
    if not any(len(drawn["none", window]) for window in style.PHASES):
        raise EmptyPanelError("no draw of the bootstrap has a fit")
    for (surrogate, window), draws in drawn.items():
        if len(draws):
            density(ax, draws, surrogate, window)
    for place, (window, looks) in enumerate(style.PHASES.items()):
        height = 1.06 + 0.07 * place
        estimate, low, high = estimate_of(rows(table, surrogate="none", window=window))
        if estimate is not None:
            ax.plot([estimate], [height], label=window, **looks)
            if low is not None:
                ax.plot([low, high], [height, height], color=looks["color"], linewidth=0.9)
    ax.axvline(1, **style.UNITY)
    label = style.exponent_label(request.statistic, request.observable)
    ax.set(xlabel=label, ylabel="density (peak = 1)", ylim=(0, 1.28), yticks=[0, 0.5, 1])
    # Draws scatter as runs do; the interval contains the misfit of the line, too.
    title = f"bar: estimate, {sources.confidence('bootstrap')} with misfit"
    if rows(table, surrogate="gaussian", kind="draws").num_rows:
        title += "; grey: Gaussian null"
    style.legend_above(ax, 3, title=title)
    return ax


def draws_of(table: pa.Table) -> Reals:
    """Return the draws in some rows that have a fit."""
    lists = rows(table, kind="draws")["draws"]
    found: Reals = pc.list_flatten(lists).drop_null().to_numpy()
    return found


def density(ax: Axes, draws: Reals, surrogate: str, window: str) -> None:
    """Draw the kernel density of the draws over its peak; filled for the data."""
    looks = style.PHASES[window]
    colour, width = (looks["color"], 1.1) if surrogate == "none" else (style.NULL, 0.8)
    if np.ptp(draws) <= 1e-9:  # all draws agree: a density would be a delta
        ax.plot([draws[0], draws[0]], [0, 1], color=colour, linewidth=width)
        return
    x, height = kernel_density(draws)
    ax.plot(x, height, color=colour, linestyle=looks["linestyle"], linewidth=width)
    if surrogate == "none":
        ax.fill_between(x, height, color=colour, **style.BAND)


def kernel_density(draws: Reals) -> tuple[Reals, Reals]:
    """Return the Gaussian kernel density of draws over its peak, of Scott's width, and where it is.

    Draws are put together in bins of a tenth of that width, each at the mean of its draws. That
    moves no point by more than 2e-4 of the peak; 10,000 draws take 1 ms instead of 20.
    """
    width = draws.std(ddof=1) * len(draws) ** -0.2
    room = 3 * width  # beyond it a kernel is all but zero
    x = np.linspace(draws.min() - room, draws.max() + room, POINTS)
    bins = int(np.ceil(10 * np.ptp(draws) / width))
    counts, edges = np.histogram(draws, bins)
    sums, _ = np.histogram(draws, edges, weights=draws)
    means, counts = sums[counts > 0] / counts[counts > 0], counts[counts > 0]
    height = np.exp(-(((x[:, None] - means) / width) ** 2) / 2) @ counts
    return x, height / height.max()


def estimate_of(table: pa.Table) -> tuple[Any, Any, Any]:
    """Return the estimate of a phase and its interval, None where there is none."""
    plain = rows(table, kind="estimate", part=None).to_pylist()
    ends = rows(table, kind="interval", method=INTERVAL, part=None).to_pylist()
    low, high = (ends[0]["ci_low"], ends[0]["ci_high"]) if ends else (None, None)
    return (plain[0]["exponent"] if plain else None), low, high


def leave_one_out(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Exponents without each size, seed and tenth of the training, and those of everything."""
    table = sources.fits("bootstrap", request, surrogate="none")
    order = list(PARTS)
    left_out = [
        row
        for row in rows(table, kind="leave-one-out").to_pylist()
        if row["part"] in order and row["index"] is not None and row["window"] in style.PHASES
    ]
    fitted = {row["window"] for row in left_out if row["exponent"] is not None}
    if not fitted:
        raise EmptyPanelError("no fit is left when a size or a seed is left out")
    places = sorted({(order.index(row["part"]), row["index"]) for row in left_out})
    for k, (window, looks) in enumerate(style.PHASES.items()):
        if window not in fitted:
            continue
        exponent, low, high = estimate_of(rows(table, window=window))
        if exponent is not None:
            ax.axhline(exponent, color=looks["color"], linestyle=looks["linestyle"], linewidth=0.8)
        if low is not None:
            ax.axhspan(low, high, color=looks["color"], **style.BAND)
        mine = [row for row in left_out if row["window"] == window]
        x = [places.index((order.index(r["part"]), r["index"])) + SHIFT * (k - 1) for r in mine]
        y = np.array([row["exponent"] for row in mine], np.float64)
        ax.plot(x, y, **{**looks, "linestyle": "none"}, label=window)
    name_places(ax, [(order[part], value) for part, value in places])
    ax.set(ylabel=style.exponent_label(request.statistic, request.observable))
    title = f"line, band: nothing left out, {sources.confidence('bootstrap')}"
    style.legend_above(ax, 3, title=title)
    return ax


def name_places(ax: Axes, places: list[tuple[str, int]]) -> None:
    """Name what was left out below the axis, part by part, a line between them."""
    step = -(-len(places) // NAMED)
    parts = [part for part, _ in places]
    within = [k - parts.index(part) for k, part in enumerate(parts)]
    shown = [k for k, place in enumerate(within) if place % step == 0]
    # About how wide the axes are, inches, before the layout makes room for labels.
    wide = ax.get_window_extent().width / ax.figure.dpi
    rotation = 0 if wide > 0.3 * len(places) else 90
    ax.set_xticks(shown, [str(places[k][1]) for k in shown], rotation=rotation)
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_xlim(-0.6, len(places) - 0.4)
    for k, place in enumerate(within):
        if k > 0 and place == 0:
            ax.axvline(k - 0.5, color=style.INK, linewidth=0.6)
    ax.set_xlabel(f"left out: {' | '.join(PARTS[part] for part in dict.fromkeys(parts))}")


PANELS = {
    "bootstrap": Panel(bootstrap, ("bootstrap",)),
    "leave-one-out": Panel(leave_one_out, ("bootstrap",), height=2.8),
}
