"""Which panels make a figure, and which tables each of them needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokcrit.base.errors import TableError
from grokcrit.plot import (
    choices,
    contrast,
    flow,
    grid,
    learning,
    questions,
    resampling,
    sizes,
    style,
)
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.tables.reading import TableLike
from grokcrit.tables.schemas import TABLES


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes
    ----------
    draw
        Draws it on the axes it is given, and returns them.
    needs
        Stages whose tables it cannot do without.
    helps
        Stages of which the first given one adds to it.
    height
        Height alone, inches.
    width
        Width alone, inches.
    """

    draw: Callable[[Axes, Sources, Request], Axes]
    needs: tuple[str, ...]
    helps: tuple[str, ...] = ()
    height: float = 2.6
    width: float = style.COLUMN


@dataclass(frozen=True)
class Layout:
    """A figure: its panels in the order of their letters, each with the options it fixes."""

    panels: tuple[tuple[str, dict[str, Any]], ...]
    mosaic: str
    size: tuple[float, float]
    heights: tuple[float, ...] = (1, 1)


PANELS = {
    "trajectory": Panel(learning.trajectory, ("train",)),
    "grokking": Panel(learning.grokking, ("train",)),
    "gini": Panel(learning.gini, ("train",), height=2.8),
    "dimension": Panel(flow.dimension, ("fss",), ("train", "avalanche")),
    "controls": Panel(flow.controls, ("fss",), ("train", "avalanche"), height=2.9),
    "separation-epoch": Panel(contrast.by_epoch, ("diagnostics",)),
    "separation-aligned": Panel(contrast.by_aligned, ("diagnostics",)),
    "separation-relative": Panel(contrast.by_relative, ("diagnostics",)),
    "nulls": Panel(questions.nulls, ("diagnostics",)),
    "placebos": Panel(questions.placebos, ("diagnostics",), height=2.9),
    "robustness": Panel(grid.robustness, ("diagnostics",), height=5.6),
    "effects": Panel(choices.main_effects, ("sweep",), height=4.0),
    "variance": Panel(choices.variance, ("sweep",)),
    "crossings": Panel(choices.crossings, ("sweep",), height=3.0),
    "ccdf": Panel(sizes.ccdf, ("avalanche",), height=2.8),
    "collapse": Panel(sizes.collapse, ("avalanche", "fss"), height=2.8),
    "collapses": Panel(
        sizes.collapsing, ("avalanche", "diagnostics"), height=7.0, width=style.PAGE
    ),
    "scaling": Panel(sizes.scaling, ("avalanche", "fss"), height=3.0),
    "bootstrap": Panel(resampling.bootstrap, ("bootstrap",)),
    "leave-one-out": Panel(resampling.leave_one_out, ("bootstrap",), height=2.8),
}
LAYOUTS = {
    "fig1": Layout(
        (("trajectory", {}), ("grokking", {}), ("dimension", {}), ("gini", {})),
        "ab;cd",
        (style.PAGE, 5.2),
    ),
    "fig2": Layout((("ccdf", {}), ("collapse", {}), ("scaling", {})), "ac;bc", (style.PAGE, 5.2)),
    "fig3": Layout(
        (
            ("bootstrap", {"statistic": "mean"}),
            ("bootstrap", {"statistic": "run-max"}),
            ("leave-one-out", {}),
        ),
        "ab;cc",
        (style.PAGE, 5.2),
    ),
    "separation": Layout(
        (("separation-epoch", {}), ("separation-aligned", {}), ("separation-relative", {})),
        "abc",
        (style.PAGE, 2.7),
        (1,),
    ),
    "sweep": Layout(
        (("effects", {}), ("crossings", {}), ("variance", {})), "ab;ac", (style.PAGE, 5.6)
    ),
}


def layout_of(name: str) -> Layout:
    """Return the layout of a figure, or that of a panel alone."""
    if name in LAYOUTS:
        return LAYOUTS[name]
    return Layout(((name, {}),), "a", (PANELS[name].width, PANELS[name].height), (1,))


def compose(name: str, tables: TableLike | Sequence[TableLike], request: Request) -> Figure:
    """Open the tables, draw the panels; see :func:`grokcrit.plot.figure`."""
    layout = layout_of(name)
    sources = open_sources(name, layout, tables, request)
    with style.context():
        figure = Figure(figsize=layout.size, layout="constrained")
        axes = figure.subplot_mosaic(layout.mosaic, height_ratios=layout.heights)
        empty = []
        for letter, (panel, fixed) in zip(sorted(axes), layout.panels, strict=True):
            asked = dataclasses.replace(request, **fixed)
            try:
                PANELS[panel].draw(axes[letter], sources, asked)
            except EmptyPanelError as error:
                empty.append(error)
                style.say_empty(axes[letter], str(error))
            if len(axes) > 1:
                style.letter(axes[letter], letter)
    if len(empty) == len(axes):
        raise empty[0]
    return figure


def open_sources(
    name: str, layout: Layout, tables: TableLike | Sequence[TableLike], request: Request
) -> Sources:
    """Open the tables of a figure and read those that it uses.

    Raises
    ------
    TableError
        It lacks one.
    """
    sources = Sources(tables, request.where)
    panels = [PANELS[panel] for panel, _ in layout.panels]
    needed = list(dict.fromkeys(stage for panel in panels for stage in panel.needs))
    missing = [stage for stage in needed if stage not in sources]
    if missing:
        articles = " and ".join(f"{'an' if s[0] in 'af' else 'a'} {s} table" for s in missing)
        commands = " and ".join(f"'grokcrit {TABLES[s].command}'" for s in missing)
        makes = "makes it" if len(missing) == 1 else "make them"
        raise TableError(f"{name} needs {articles}; {commands} {makes}")
    for panel in panels:
        if panel.helps and not any(stage in needed for stage in panel.helps):
            needed += [stage for stage in panel.helps if stage in sources][:1]
    sources.load(needed)
    return sources
