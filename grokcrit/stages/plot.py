"""Stage 5: the source's three figures, figures of questions and sweeps, and each panel alone."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from grokcrit.base.errors import OptionError, TableError
from grokcrit.base.options import check_choice
from grokcrit.base.vocabulary import FORMER, OF_SIGNALS, OF_SWEEPS, QUESTIONS
from grokcrit.plot import MODULES, NAMES
from grokcrit.plot.panel import Layout, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import load
from grokcrit.tables.files import replacing
from grokcrit.tables.schemas import TABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from grokcrit.tables.reading import TableLike

LAYOUTS = {
    "fig1": Layout(
        (("trajectory", {}), ("grokking", {}), ("dimension", {}), ("gini", {})), "ab;cd"
    ),
    "fig2": Layout((("ccdf", {}), ("collapse", {}), ("scaling", {})), "ac;bc"),
    "fig3": Layout(
        (
            ("bootstrap", {"statistic": "mean"}),
            ("bootstrap", {"statistic": "run-max"}),
            ("leave-one-out", {}),
        ),
        "ab;cc",
    ),
}
FORMATS = ("png", "pdf", "svg")
DPI = 300


def figure(
    name: str,
    tables: TableLike | Sequence[TableLike],
    *,
    observable: str = "size",
    statistic: str = "mean",
    width: int | None = None,
    run: int | None = None,
    aligned: bool = False,
    where: Mapping[str, Any] | None = None,
    size_column: str | None = None,
) -> Figure:
    """Draw a figure of the source, or one of its panels alone: one of :data:`NAMES`.

    ``tables`` are those that it needs, in any order. ``statistic`` is shown where a panel does not
    fix it; ``width`` and ``run`` (its seed) are the example of ``trajectory``, by default the
    middle width and its first seed; ``aligned`` counts time from each run's grokking epoch;
    ``where`` are case columns, or options of a sweep, with the value each must have;
    ``size_column`` is the one of the system's size in a table of another program. Nothing
    global is touched: the figure is made without pyplot.

    Raise OptionError for an unknown figure or an option that fits nothing in the tables; TableError
    where a table is missing, or nothing can be drawn.
    """
    check_choice("figure", name, NAMES)
    request = Request(observable, statistic, width, run, aligned, size_column, dict(where or {}))
    return compose(name, tables, request)


def save(figure: Figure, path: str | os.PathLike[str], name: str) -> None:
    """Write a figure as its extension says, whole or not at all; equal figures give equal bytes.

    ``name`` is what identifiers inside an svg are derived from.
    """
    kind = check_extension(path)
    with replacing(path) as file:
        write(figure, file, kind, name)


def write(figure: Figure, file: IO[bytes], kind: str, name: str) -> None:
    """Write a figure as png, pdf or svg into an open file."""
    from grokcrit.plot import style

    # matplotlib writes the time of creation unless told not to; a png has none.
    metadata = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
    with style.context({"svg.hashsalt": name}):
        figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)


def plot(
    name: str,
    tables: TableLike | Sequence[TableLike],
    out: str | os.PathLike[str],
    **options: Any,
) -> None:
    """Draw a figure and write it; takes the options of :func:`figure`."""
    check_extension(out)
    save(figure(name, tables, **options), out, name)


def check_extension(path: str | os.PathLike[str], option: str = "out") -> str:
    """Return the format that a path's extension stands for; raise OptionError for another."""
    extension = Path(path).suffix.lower().removeprefix(".")
    if extension not in FORMATS:
        known = ", ".join(f".{each}" for each in FORMATS)
        raise OptionError(option, f"must end in one of {known}, got {str(path)!r}")
    return extension


def home(name: str) -> tuple[Mapping[str, Panel], Mapping[str, Layout]]:
    """Load the module that draws a panel; return all panels and figures that it draws.

    A figure of the source loads no question, and so neither numba nor scipy.
    """
    for question, drawn in QUESTIONS.items():
        if name in drawn:
            return (found := load(question)).panels, found.figures
    groups = (("plot", MODULES), ("questions", OF_SWEEPS), ("protocol", OF_SIGNALS))
    (place,) = (
        f"grokcrit.{package}.{module}"
        for package, group in groups
        for module, drawn in group.items()
        if name in drawn
    )
    module = importlib.import_module(place)
    return module.PANELS, getattr(module, "FIGURES", {})


def panel_of(name: str) -> Panel:
    """Load a panel."""
    return home(name)[0][name]


def layout_of(name: str) -> Layout:
    """Load a figure: of several panels, or a panel alone."""
    if name in LAYOUTS:
        return LAYOUTS[name]
    panels, figures = home(name)
    if name in figures:
        return figures[name]
    panel = panels[name]
    return Layout(((name, {}),), "a", (panel.width, panel.height), (1,))


def compose(name: str, tables: TableLike | Sequence[TableLike], request: Request) -> Figure:
    """Open the tables, draw the panels; see :func:`figure`."""
    from matplotlib.figure import Figure

    from grokcrit.plot import style

    layout = layout_of(name)
    sources = Sources(tables, request.where, request.size_column)
    drawn = [panel_of(panel) for panel, _ in layout.panels]
    every_case = any(each.every_case for each in drawn)
    sources.load(used(name, drawn, sources), every_case, drawn[0].quantity)
    with style.context():
        figure = Figure(figsize=layout.size, layout="constrained")
        axes = figure.subplot_mosaic(layout.mosaic, height_ratios=layout.heights)
        empty = []
        for letter, panel, (_, fixed) in zip(sorted(axes), drawn, layout.panels, strict=True):
            asked = dataclasses.replace(request, **fixed)
            try:
                panel.draw(axes[letter], sources, asked)
            except EmptyPanelError as error:
                empty.append(error)
                style.say_empty(axes[letter], str(error))
            if len(axes) > 1:
                style.letter(axes[letter], letter)
    if len(empty) == len(axes):
        raise empty[0]
    return figure


def used(name: str, drawn: Sequence[Panel], sources: Sources) -> list[str]:
    """Return the stages whose tables a figure uses; raise TableError for one that was not given."""
    needed = list(dict.fromkeys(stage for panel in drawn for stage in panel.needs))
    missing = [stage for stage in needed if stage not in sources]
    if missing:
        articles = " and ".join(f"{'an' if s[0] in 'af' else 'a'} {s} table" for s in missing)
        commands = " and ".join(f"'grokcrit {TABLES[s].command}'" for s in missing)
        makes = "makes it" if len(missing) == 1 else "make them"
        former = FORMER.get(name)
        renamed = ""
        if former and all(stage in sources for stage in panel_of(former).needs):
            renamed = f"; what was called {name} is now called {former}"
        raise TableError(f"{name} needs {articles}; {commands} {makes}{renamed}")
    for panel in drawn:
        if panel.helps and not any(stage in needed for stage in panel.helps):
            needed += [stage for stage in panel.helps if stage in sources][:1]
    return needed
