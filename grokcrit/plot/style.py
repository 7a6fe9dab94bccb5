"""Looks: sizes, colours, labels, and the few shapes that several panels draw."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from grokcrit.scaling.ensembles import Reals

# Named lines, inches: a letter of a name; data and legend beside them; legend and axis.
LETTER, BESIDE, ABOVE_AND_BELOW = 0.056, 2.35, 1.2
# Letters of the longest name that is written out.
LONGEST = 60

# P. Tol's "bright" palette. No panel sets red against green.
BLUE, CYAN, YELLOW = "#4477AA", "#66CCEE", "#CCBB44"
RED, PURPLE = "#EE6677", "#AA3377"
INK = "black"
NULL = "#777777"

# Every line differs from the others of its panel in dashes too, for prints without colour.
PHASES: dict[str, dict[str, Any]] = {
    "pre": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "post": {"color": RED, "linestyle": "--", "marker": "s"},
    "aggregate": {"color": PURPLE, "linestyle": "-.", "marker": "D"},
}
DATA: dict[str, Any] = {"color": BLUE, "linestyle": "-"}
SURROGATES: tuple[dict[str, Any], ...] = (
    {"color": RED, "linestyle": "--"},
    {"color": PURPLE, "linestyle": "-."},
    {"color": YELLOW, "linestyle": (0, (1, 1))},
    {"color": CYAN, "linestyle": (0, (5, 1, 1, 1, 1, 1))},
)
GAUSSIAN: dict[str, Any] = {"color": NULL, "linestyle": (0, (4, 1.5))}
BAND: dict[str, Any] = {"alpha": 0.25, "linewidth": 0}
FAINT: dict[str, Any] = {"alpha": 0.1, "linewidth": 0}
MARK: dict[str, Any] = {"color": INK, "linestyle": ":", "linewidth": 0.9}
UNITY: dict[str, Any] = {"color": INK, "linewidth": 0.6, "zorder": 0.5}

MARKERS = "osD^vx"
# Observable: its symbol and its name with the unit.
OBSERVABLES = {
    "size": ("s", "avalanche size $s$ (topplings)"),
    "excess": ("e", "avalanche excess $e$ (topplings)"),
    "area": ("a", "avalanche area $a$ (nodes)"),
    "duration": ("T", "avalanche duration $T$ (steps)"),
    "peak": ("p", "avalanche peak $p$ (topplings)"),
    "branching": (r"\sigma", r"branching ratio $\sigma$"),
    "transported": ("A", r"transported amount $A$ (gradient units)"),
    "transported-per-toppling": ("v", r"transported per toppling $v$ (gradient units)"),
}
EPOCH = "epoch (updates)"
SINCE = r"$t - t_\mathrm{grok}$ (updates)"
SYSTEM_SIZE = "system size $N$"
# A legend of sizes that is longer than this names every second, third, ... of them.
LEGEND_SIZES = 8


def context(more: dict[str, Any] | None = None) -> AbstractContextManager[None]:
    """Draw in our style, whatever a matplotlibrc says; every setting is put back at the end."""
    return matplotlib.style.context(["default", "grokcrit.plot.house", more or {}])


def exponent_label(statistic: str, observable: str) -> str:
    """Name an exponent: its statistic and its observable, always both."""
    return f"$D$ ({statistic} {observable})"


def size_colours(count: int) -> list[tuple[float, float, float, float]]:
    """Return a colour for each of some sizes, from dark to light, never too light to see."""
    return [colormaps["viridis"](x) for x in np.linspace(0, 0.9, count)]


def size_label(index: int, sizes: Sequence[int]) -> str:
    """Label a size in a legend; where there are many, every second, third, ... has none."""
    step = -(-len(sizes) // LEGEND_SIZES)
    return f"{sizes[index]}" if index % step == 0 else "_"


def line_with_band(
    ax: Axes,
    x: Reals,
    y: Reals,
    low: Reals,
    high: Reals,
    label: str,
    *,
    band: Mapping[str, Any] = MappingProxyType(BAND),
    **kwargs: Any,
) -> None:
    """Draw a line and its interval; where a number is missing there is a gap."""
    there = np.isfinite(y)
    # A point between two gaps would be no line at all.
    alone = there & ~np.append(there[1:], False) & ~np.insert(there[:-1], 0, False)
    ax.plot(x, y, label=label, **kwargs)
    if alone.any():
        ax.plot(x[alone], y[alone], ".", color=kwargs["color"])
    if np.isfinite(low).any():  # NaN interrupts the band as it does the line
        ax.fill_between(x, low, high, color=kwargs["color"], **band)


def series(number: int) -> dict[str, Any]:
    """Return the look of one of several lines that are compared; the first is that of data."""
    looks = (DATA, *SURROGATES, {"color": NULL, "linestyle": "-"})
    return dict(looks[number % len(looks)])


def beside(number: int, count: int) -> float:
    """Return the factor that sets one of several series beside the others on the axis of N."""
    return float(1.012 ** (2 * number - count + 1))


def points_with_errors(
    ax: Axes, x: npt.NDArray[np.floating], points: Reals, label: str, number: int
) -> None:
    """Draw points (3, K), each with the ends of its interval, joined by a thin line.

    Each ``number`` has its own look.
    """
    y, low, high = points
    errors = np.nan_to_num([y - low, high - y])
    looks = series(number) | {"marker": MARKERS[number % len(MARKERS)], "linewidth": 0.8}
    ax.errorbar(x, y, errors, label=label, markersize=3.5, elinewidth=0.8, **looks)


def legend_above(ax: Axes, columns: int, **kwargs: Any) -> Legend:
    """Put the legend above the axes, where it cannot cover data."""
    return ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, alignment="left", **kwargs
    )


def at_least(ax: Axes, names: Sequence[str], line: float) -> None:
    """Enlarge the figure where an axes of named lines, each so many inches high, has no room."""
    figure, place = ax.figure, ax.get_subplotspec()
    assert isinstance(figure, Figure)
    assert place is not None
    grid = place.get_gridspec()
    wide, high = figure.get_size_inches()
    needed = max(map(len, names)) * LETTER + BESIDE, len(names) * line + ABOVE_AND_BELOW
    figure.set_size_inches(
        max(wide, needed[0] * grid.ncols / len(place.colspan)),
        max(high, needed[1] * grid.nrows / len(place.rowspan)),
    )


def shortened(name: str) -> str:
    """Leave out the middle of a name too long to stand beside anything."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 + 1 :]}"


def plain_log_ticks(axis: Axis) -> None:
    """Label 1, 2, 5, ... of every decade in plain numbers, where there are few decades."""
    low, high = axis.get_view_interval()
    if high < low * 10**2:
        axis.set_major_locator(
            LogLocator(subs=(1, 1.5, 2, 3, 4, 6) if high < 10 * low else (1, 2, 5))
        )
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def size_axis(ax: Axes) -> None:
    """Make x the axis of N."""
    ax.set_xscale("log")
    ax.margins(x=0.06)
    ax.set_xlabel(SYSTEM_SIZE)
    plain_log_ticks(ax.xaxis)


def note(ax: Axes, x: float, y: float, text: str, **kwargs: Any) -> None:
    """Write into a panel at axes coordinates."""
    ax.text(x, y, text, transform=ax.transAxes, **{"fontsize": 7, **kwargs})


def letter(ax: Axes, name: str) -> None:
    """Letter a panel, left of its axes, where neither data nor legend are."""
    ax.annotate(f"({name})", (0, 1), (-30, 5), xycoords="axes fraction", textcoords="offset points")


def say_empty(ax: Axes, reason: str) -> None:
    """Say in words why a panel is empty."""
    ax.set(xticks=[], yticks=[])
    note(ax, 0.5, 0.5, textwrap.fill(reason, 40), ha="center", va="center")
