"""Panels and figures: what draws a panel, which tables it needs, and which panels make a figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from grokcrit.plot.sources import Request, Sources

# Widths of one and of two columns, inches.
COLUMN = 3.375
PAGE = 7.0


@dataclass(frozen=True)
class Panel:
    """One panel: how it is drawn, the stages whose tables it needs, and its size alone, inches."""

    draw: Callable[[Axes, Sources, Request], Axes]
    needs: tuple[str, ...]
    helps: tuple[str, ...] = ()  # stages, of which the first given one adds to it
    height: float = 2.6
    width: float = COLUMN
    quantity: str = ""  # of the diagnostics, whose rows alone it draws: they are of one case
    every_case: bool = False  # whether it compares the cases of its tables, instead of one


@dataclass(frozen=True)
class Layout:
    """A figure: its panels in the order of their letters, each with the options it fixes."""

    panels: tuple[tuple[str, dict[str, Any]], ...]
    mosaic: str
    size: tuple[float, float] = (PAGE, 5.2)
    heights: tuple[float, ...] = (1, 1)
