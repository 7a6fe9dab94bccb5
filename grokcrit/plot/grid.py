"""The panel of the robustness grid: D before and after at every point, beside the null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grokcrit.base.summary import Row
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.tables.schemas import CASE_COLUMNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Axes of a grid are named by their column, and the order of the parameters by this and its value.
ORDER = "parameter order "
# Windows shown, each a little above or below its line.
SHOWN = {"pre": 0.18, "post": -0.18}


def robustness(ax: Axes, sources: Sources, request: Request) -> Axes:
    """D before and after at every point of the grid, all graphs; the mean of the null a tick."""
    from grokcrit.plot import style

    grid = [r for r in sources.asked(request, quantity="exponent") if r["part"] is not None]
    found = [r for r in grid if r["value"] is not None]
    if not found:
        what = f"the {request.statistic} {request.observable}"
        raise EmptyPanelError(
            f"no point of the grid has a fit of {what}"
            if grid
            else f"the table holds no grid of {what}; 'grokcrit robustness' makes one"
        )
    points: dict[tuple[str, Any], list[Row]] = {}
    for row in found:
        points.setdefault((row["part"], place(row)), []).append(row)
    for line, mine in enumerate(reversed(points.values())):
        for window, shift in SHOWN.items():
            draw(ax, [r for r in mine if r["window"] == window], window, line + shift)
    names = [named(axis) for axis, _ in points]
    for k in range(1, len(points)):
        if names[k] != names[k - 1]:
            ax.axhline(len(points) - k - 0.5, color=style.INK, linewidth=0.4)
    labels = [
        f"{name}  {value:g}" if isinstance(value, float) else f"{name}  {value}"
        for name, (_, value) in zip(names[::-1], reversed(points), strict=True)
    ]
    ax.set_yticks(range(len(points)), labels)
    ax.tick_params(axis="y", which="both", left=False, right=False)
    label = style.exponent_label(request.statistic, request.observable)
    ax.set(xlabel=label, ylim=(-0.6, len(points) - 0.4))
    ax.axvline(1, **style.UNITY)
    for window in SHOWN:
        ax.plot([], [], label=window, **{**style.PHASES[window], "linestyle": "none"})
    ax.plot([], [], "|", color=style.NULL, label="Gaussian null")
    bars = sources.confidence("diagnostics")
    style.legend_above(ax, 3, title=f"bars: {bars}; several marks: graphs")
    return ax


def is_axis(part: str | None) -> bool:
    """Return whether the part of a row names an axis of a grid."""
    return part is not None and (part.startswith(ORDER) or part in CASE_COLUMNS)


def place(row: Row) -> Any:
    """Return the value of the axis at a point."""
    return row["part"].removeprefix(ORDER) if row["part"].startswith(ORDER) else row[row["part"]]


def named(axis: str) -> str:
    """Name an axis in few letters."""
    short = {"topology": "", "alpha": r"$\alpha$", "quantile": "percentile", "rule": "rule"}
    return "order" if axis.startswith(ORDER) else short.get(axis, axis)


def draw(ax: Axes, mine: list[Row], window: str, y: float) -> None:
    """Draw a phase at one point: every graph with its interval, and the null."""
    from grokcrit.plot import style

    data = [r for r in mine if r["surrogate"] == "none"]
    null = [r["value"] for r in mine if r["surrogate"] == "gaussian"]
    looks = {**style.PHASES[window], "linestyle": "none"}
    spread = np.linspace(-0.12, 0.12, len(data)) if len(data) > 1 else np.zeros(len(data))
    for row, shift in zip(data, spread, strict=True):
        if row["ci_low"] is not None:
            ends = [row["ci_low"], row["ci_high"]]
            ax.plot(ends, [y + shift] * 2, color=looks["color"], linewidth=0.6, alpha=0.6)
    size = 3.5 if len(data) == 1 else 2.0
    ax.plot([r["value"] for r in data], y + spread, **{**looks, "markersize": size})
    ax.plot(null, np.full(len(null), y), "|", color=style.NULL, markersize=5)


PANELS = {"robustness": Panel(robustness, ("diagnostics",), height=5.6)}
