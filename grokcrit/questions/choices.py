"""Panels of a sweep: what each choice does to D, whose the variance is, where D(t) crosses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from grokcrit.base.vocabulary import DIFFERENCE
from grokcrit.plot import style
from grokcrit.plot.panel import PAGE, Layout, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import effects
from grokcrit.questions.effects import Points
from grokcrit.scaling.ensembles import Reals

# Windows, each a little above or below its line.
SHOWN = {"pre": ("before grokking", 0.17), "post": ("after grokking", -0.17)}
BARS = {
    "pre": (0.22, style.BLUE, "before"),
    "post": (0.0, style.RED, "after"),
    DIFFERENCE: (-0.22, style.PURPLE, "change"),
}
# Distance from the null up to which the axes of the points are linear; beyond, logarithmic.
LINEAR = 0.1
# Pairs of options shown, those with the largest share together.
PAIRS = 2
CUT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "x",
    "color": style.INK,
    "markersize": 2.5,
    "markeredgewidth": 0.5,
}
# The null of a level, before and after: a stroke at the height of its points.
NULLS: dict[str, Any] = {
    "linestyle": "none",
    "marker": "|",
    "color": style.NULL,
    "markersize": 9,
    "markeredgewidth": 1.4,
}
HATCHES = {"pre": None, "post": "////", DIFFERENCE: "...."}


def swept(sources: Sources, request: Request) -> Points:
    """Return the points of the sweep for what is asked.

    Raises
    ------
    EmptyPanelError
        The sweep did not estimate it, or no point has it.
    """
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
    """D before and after, at every value of every option: its points, and their mean."""
    points = swept(sources, request)
    lines = effects.levels(points)
    if not lines:
        raise EmptyPanelError("no option of this sweep takes more than one value")
    for line, (_, _, chosen) in enumerate(reversed(lines)):
        for window, (_, shift) in SHOWN.items():
            draw_level(ax, points, window, chosen, line + shift)
        clear, there, asked = effects.crossed(points, chosen)
        if asked:
            ax.annotate(
                f"{there} ({clear}) of {asked}",
                (1, line),
                (4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=7,
                va="center",
            )
    names = [factor.name for factor, _, _ in lines]
    for k in range(1, len(lines)):
        if names[k] != names[k - 1]:
            ax.axhline(len(lines) - k - 0.5, color=style.INK, linewidth=0.4)
    told = [style.shortened(f"{f.name}  {level}") for f, level, _ in reversed(lines)]
    ax.set_yticks(range(len(lines)), told)
    style.at_least(ax, told, 0.125)
    ax.tick_params(axis="y", which="both", left=False, right=False)
    if not all(np.isnan(points.null[window]).all() for window in SHOWN):
        ax.plot([], [], label="its Gaussian null", **NULLS)
    for window, (label, _) in SHOWN.items():
        ax.plot([], [], label=label, **{**style.PHASES[window], "linestyle": "none"})
    mark_cut(ax, points, *(points.exponent[window] for window in SHOWN))
    of = style.exponent_label(request.statistic, request.observable)
    ax.margins(x=0.04)
    ax.set(xlabel=of, ylim=(-0.6, len(lines) - 0.4))
    if points.asked.any():
        ax.annotate(
            "cross (clearly)",
            (1, 0),
            (4, -13),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=7,
            va="top",
        )
    failed = f"; {points.failed} failed" if points.failed else ""
    style.legend_above(ax, 2, title=f"large: mean, small: each point{failed}")
    return ax


def mark_cut(ax: Axes, points: Points, *drawn: Reals) -> None:
    """Name the mark of points with many avalanches cut off, where some are drawn."""
    if any((points.much_cut & ~np.isnan(values)).any() for values in drawn):
        ax.plot([], [], label=f"over {effects.MUCH_CUT:.0%} cut off", **CUT)


def draw_level(
    ax: Axes, points: Points, window: str, chosen: npt.NDArray[np.bool_], y: float
) -> None:
    """Draw a phase at one level: every point small, their mean large."""
    values = points.exponent[window][chosen]
    looks = {**style.PHASES[window], "linestyle": "none"}
    small = {"markersize": 1.8, "alpha": 0.5, "markeredgewidth": 0}
    beside = y + np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.full(1, y)
    ax.plot(values, beside, **looks | small)
    cut = points.much_cut[chosen]
    ax.plot(values[cut], beside[cut], **CUT)
    null = effects.middle(points.null[window][chosen])
    if null is not None:
        ax.plot([null], [y], **NULLS)
    mean = effects.middle(values)
    if mean is not None:
        ax.plot([mean], [y], **looks | {"markersize": 4.5, "markeredgecolor": "white"})


def variance(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Share of the variance of D between points that each option has alone."""
    points = swept(sources, request)
    if not points.factors:
        raise EmptyPanelError("no option of this sweep takes more than one value")
    confidence = sources.level("sweep")
    names = [factor.name for factor in points.factors]
    shown = effects.best_pairs(points, list(BARS), PAIRS)
    rows = {
        window: [effects.share(f, points.exponent[window]) for f in points.factors]
        + [shares.get(window, np.nan) for shares in shown.values()]
        + [effects.together(points.factors, points.exponent[window])]
        + [effects.noise(points, window, confidence)]
        for window in BARS
    }
    labels = [*map(style.shortened, [*names, *shown]), "only together, all", "noise of runs"]
    style.at_least(ax, labels, 0.17)
    place = np.arange(len(labels))[::-1]
    for window, (shift, colour, label) in BARS.items():
        ax.barh(
            place + shift,
            np.nan_to_num(rows[window]),
            0.2,
            facecolor=colour if HATCHES[window] is None else "white",
            edgecolor=colour,
            hatch=HATCHES[window],
            linewidth=0.6,
            label=label,
        )
        for y, value in zip(place + shift, rows[window], strict=True):
            if value > 1:  # beyond the end: the runs alone would give more than there is
                tell(ax, 1.0, y, f"{value:.0%}")
            elif np.isnan(value) and shift == 0:
                tell(ax, 0.0, y, "not defined")
    chance = [effects.by_chance(f, points.exponent["post"]) for f in points.factors]
    ax.plot(chance, place[: len(names)], "|", color=style.INK, markersize=12, label="by chance")
    ax.axhline(len(shown) + 1.5, color=style.INK, linewidth=0.4)
    ax.axhline(0.5, color=style.INK, linewidth=0.4)
    ax.set_yticks(place, labels)
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set(xlabel="share of the variance between points", xlim=(0, min(1.0, ax.get_xlim()[1])))
    style.legend_above(ax, 2)
    return ax


def tell(ax: Axes, x: float, y: float, words: str) -> None:
    """Write words beside the end of a bar."""
    ax.annotate(
        words,
        (x, y),
        (3, 0),
        textcoords="offset points",
        annotation_clip=False,
        fontsize=6,
        va="center",
    )


def crossings(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Each point by D before and D after grokking, both from the Gaussian null."""
    points = swept(sources, request)
    before = points.exponent["pre"] - points.null["pre"]
    after = points.exponent["post"] - points.null["post"]
    there = ~np.isnan(before) & ~np.isnan(after)
    if not there.any():
        raise EmptyPanelError(
            "no point has a fit both before and after grokking beside a Gaussian null"
        )
    ax.axhline(0, **style.UNITY)
    ax.axvline(0, **style.UNITY)
    kinds = (
        ("D(t) crosses clearly", points.clear & ~np.isnan(points.crossing), style.RED, "s", True),
        ("D(t) crosses", ~points.clear & ~np.isnan(points.crossing), style.RED, "s", False),
        ("no crossing", np.isnan(points.crossing), style.BLUE, "o", False),
    )
    for label, of_kind, colour, marker, full in kinds:
        kept = there & of_kind
        ax.plot(
            before[kept],
            after[kept],
            marker,
            color=colour,
            markerfacecolor=colour if full else "none",
            label=f"{label} ({kept.sum()})",
        )
    cut = there & points.much_cut
    ax.plot(before[cut], after[cut], **CUT)
    mark_cut(ax, points, after - before)
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
