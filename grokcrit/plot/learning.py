"""Panels of the training itself: an example run, the grokking epochs, the Gini coefficient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes

from grokcrit.base.errors import OptionError
from grokcrit.plot import style
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Runs, Sources, rows, runs
from grokcrit.scaling.ensembles import Reals

# Dots of one size are spread over this part of the distance to the next size, in ln N, and at
# most so far.
SPREAD, FARTHEST = 0.4, 0.15
TEST: dict[str, Any] = {"color": style.PURPLE, "linestyle": "-."}
FIRST: dict[str, Any] = {
    "markerfacecolor": "none",
    "markeredgecolor": style.RED,
    "markeredgewidth": 0.8,
}
MEDIAN: dict[str, Any] = {"color": style.INK, "linewidth": 0.9, "marker": "_", "markersize": 9}


def trajectory(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Accuracy and loss of one run against epoch, its grokking epoch marked."""
    run = example_run(sources.table("train"), request)
    names = ("epoch", "train_accuracy", "test_accuracy", "loss")
    epoch, train, test, loss = (run[name].to_numpy() for name in names)
    split = not np.array_equal(train, test)
    label = "train accuracy" if split else "accuracy"
    ax.plot(epoch, train, **style.DATA, drawstyle="steps-post", label=label)
    if split:
        ax.plot(epoch, test, **TEST, drawstyle="steps-post", label="test accuracy")
    ax.set(xlabel=style.EPOCH, ylabel="accuracy", ylim=(-0.03, 1.06))
    ax.tick_params(right=False, which="both")
    second = ax.twinx()
    second.plot(epoch, loss, color=style.RED, linestyle="--", label="loss")
    second.set(ylabel="loss (nats)")
    second.set_ylim(0, max(1.05 * second.get_ylim()[1], 1e-9))
    # Much happens early: logarithmic from the first update on.
    ax.set_xscale("symlog", linthresh=1, subs=range(2, 10))
    ax.set_xlim(0, max(epoch[-1], 1))
    ax.xaxis.set_major_formatter("{x:g}")
    handles = [*ax.get_lines(), *second.get_lines()]
    grok = run["grok_epoch"][0].as_py()
    if grok is not None:
        mark = ax.axvline(grok, **style.MARK)
        mark.set_label(rf"$t_\mathrm{{grok}}$ = {grok}")
        handles.append(mark)
    width, n, seed = (run[name][0].as_py() for name in ("width", "n_params", "seed"))
    never = "" if grok is not None else ", never grokked"
    title = f"$h$ = {width}, $N$ = {n}, seed {seed}{never}"
    style.legend_above(ax, 3, handles=handles, title=title)
    return ax


def example_run(table: pa.Table, request: Request) -> pa.Table:
    """Return the rows of the run that was asked for, by epoch."""
    widths = sorted(pc.unique(table["width"]).to_pylist())
    width = widths[len(widths) // 2] if request.width is None else request.width
    chosen = rows(table, width=width)
    seeds = sorted(pc.unique(chosen["seed"]).to_pylist())
    if not seeds:
        known = ", ".join(map(str, widths))
        raise OptionError("width", f"must be one of {known}, as in the train table, got {width}")
    seed = seeds[0] if request.run is None else request.run
    if seed not in seeds:
        known = ", ".join(map(str, seeds))
        place = f"as in the train table at width {width}"
        raise OptionError("run", f"must be one of {known}, {place}, got {seed}")
    return rows(chosen, seed=seed).sort_by("epoch")


def grokking(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Grokking epoch of every run against N, and the median of each size."""
    found = runs(sources.table("train"))
    never = np.isnan(found.grok)
    if never.all():
        raise EmptyPanelError(f"none of the {len(never)} runs grokked")
    x = spread(found)
    ax.plot(x, found.grok, "o", color=style.BLUE, alpha=0.75, markeredgewidth=0, label="sustained")
    # A run that never grokked is later than all others: the median may be beyond the end.
    late = np.where(never, np.inf, found.grok)
    earlier = found.first < late
    if earlier.any():
        ax.plot(x[earlier], found.first[earlier], "o", **FIRST, label="first, if earlier")
    sizes = np.unique(found.n_params)
    median = np.array([np.median(late[found.n_params == n]) for n in sizes])
    median[np.isinf(median)] = np.nan
    ax.plot(sizes, median, **MEDIAN, label="median")
    style.size_axis(ax)
    ax.set(ylabel="grokking epoch (updates)")
    ax.set_ylim(bottom=0)
    title = None
    if never.any():
        title = f"{never.sum()} of {len(never)} runs never grokked (later than all in the median)"
    style.legend_above(ax, 3, title=title)
    return ax


def spread(found: Runs) -> Reals:
    """Return where each run is drawn on the axis of N: beside the others of its size, by seed."""
    x = np.log(found.n_params.astype(np.float64))
    sizes = np.unique(x)
    room = min(FARTHEST, SPREAD * np.diff(sizes).min()) if len(sizes) > 1 else FARTHEST
    for size in sizes:
        mine = x == size
        x[mine] += room * (np.linspace(-0.5, 0.5, mine.sum()) if mine.sum() > 1 else 0)
    return np.exp(x)


def gini(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Gini coefficient of the weights against epoch: mean and standard error over runs."""
    table = sources.table("train")
    if request.aligned:
        table = table.filter(pc.is_valid(table["grok_epoch"]))
        since = pc.subtract(table["epoch"], table["grok_epoch"])
        table = table.set_column(table.column_names.index("epoch"), "epoch", since)
    table = table.filter(pc.is_valid(table["weight_gini"]))
    if not table.num_rows:
        none = "no run grokked" if request.aligned else "every Gini coefficient is null"
        raise EmptyPanelError(f"there is nothing to show: {none}")
    sizes = sorted(pc.unique(table["n_params"]).to_pylist())
    circle = ""
    for k, (n, colour) in enumerate(zip(sizes, style.size_colours(len(sizes)), strict=True)):
        time, mean, error, grok = gini_of_size(rows(table, n_params=n))
        style.line_with_band(
            ax, time, mean, mean - error, mean + error, style.size_label(k, sizes), color=colour
        )
        if not request.aligned and len(time) and np.isfinite(grok):
            height = np.interp(grok, time, mean)
            ax.plot(grok, height, "o", color=colour, markeredgecolor=style.INK, zorder=3)
            circle = r", circle: median $t_\mathrm{grok}$"
    if request.aligned:
        ax.axvline(0, **style.MARK)
    label = style.SINCE if request.aligned else style.EPOCH
    ax.set(xlabel=label, ylabel=f"Gini of {sources.gini_of()}")
    style.legend_above(ax, 4, title=f"$N$; mean over runs, band: s.e.{circle}")
    return ax


def gini_of_size(table: pa.Table) -> tuple[Reals, Reals, Reals, float]:
    """Return times at which all runs have data, mean, standard error, and median grokking epoch."""
    late = np.nan_to_num(runs(table).grok, nan=np.inf)  # so is the median, if half never grokked
    unbiased = pc.VarianceOptions(ddof=1)
    by_time = table.group_by("epoch").aggregate(
        [("weight_gini", "mean"), ("weight_gini", "stddev", unbiased), ("weight_gini", "count")]
    )
    complete = by_time.sort_by("epoch").filter(pc.field("weight_gini_count") == len(late))
    names = ("epoch", "weight_gini_mean", "weight_gini_stddev")
    time, mean, scatter = (complete[name].to_numpy() for name in names)
    return time, mean, scatter / np.sqrt(len(late)), float(np.median(late))


PANELS = {
    "trajectory": Panel(trajectory, ("train",)),
    "grokking": Panel(grokking, ("train",)),
    "gini": Panel(gini, ("train",), height=2.8),
}
