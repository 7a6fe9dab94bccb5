"""Stage 5: the source's three figures, figures of questions and sweeps, and each panel alone.

The panels are in ``plot/`` and in the questions; this composes them. matplotlib loads when a figure
is drawn, not before.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokcrit.base.errors import OptionError, TableError
from grokcrit.base.options import check_choice
from grokcrit.plot import MODULES, SOURCE
from grokcrit.plot.panel import PAGE, Layout, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import QUESTIONS, questions
from grokcrit.tables.files import replacing
from grokcrit.tables.schemas import TABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from grokcrit.tables.reading import TableLike

LAYOUTS = {
    "fig1": Layout(
        (("trajectory", {}), ("grokking", {}), ("dimension", {}), ("gini", {})),
        "ab;cd",
        (PAGE, 5.2),
    ),
    "fig2": Layout((("ccdf", {}), ("collapse", {}), ("scaling", {})), "ac;bc", (PAGE, 5.2)),
    "fig3": Layout(
        (
            ("bootstrap", {"statistic": "mean"}),
            ("bootstrap", {"statistic": "run-max"}),
            ("leave-one-out", {}),
        ),
        "ab;cc",
        (PAGE, 5.2),
    ),
}
# Every figure and panel by name.
NAMES = (*SOURCE, *(name for group in (MODULES, QUESTIONS) for k in group for name in group[k]))
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
) -> Figure:
    """Draw a figure of the source, or one of its panels alone.

    Parameters
    ----------
    name
        One of :data:`NAMES`.
    tables
        The tables it needs, in any order: pyarrow Tables, files, or folders of parts.
    observable
        What of an avalanche is shown.
    statistic
        Whose exponent is shown where a panel does not fix it.
    width, run
        Width and seed of the example run of ``trajectory``; the middle width and its first seed
        where none is given.
    aligned
        ``dimension``, ``controls``, ``gini``: against the time since each run's grokking epoch.
    where
        Case columns and the value each must have, where the tables hold several cases; of a sweep,
        any option.

    Returns
    -------
    matplotlib.figure.Figure
        Made without pyplot: nothing global is touched and nothing needs closing.

    Raises
    ------
    OptionError
        An unknown figure, or an option that fits nothing in the tables.
    TableError
        A table that the figure needs is not there; nothing in it can be drawn.
    """
    check_choice("figure", name, NAMES)
    request = Request(observable, statistic, width, run, aligned, dict(where or {}))
    return compose(name, tables, request)


def save(figure: Figure, path: str | os.PathLike[str], name: str) -> None:
    """Write a figure, whole or not at all; equal figures give equal bytes.

    Parameters
    ----------
    figure
        What to write.
    path
        Where; png, pdf or svg by its extension.
    name
        Name of the figure; identifiers inside an svg are derived from it.

    Raises
    ------
    OptionError
        Another extension.
    TableError
        The place cannot be written.
    """
    content = encoded(figure, check_extension(path), name)
    with replacing(path) as file:
        file.write(content)


def encoded(figure: Figure, kind: str, name: str) -> bytes:
    """Return a figure as the bytes of a png, pdf or svg."""
    from grokcrit.plot import style

    # matplotlib writes the time of creation unless told not to; a png has none.
    metadata = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
    content = io.BytesIO()
    with style.context({"svg.hashsalt": name}):
        figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
    return content.getvalue()


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


@functools.cache
def panels() -> dict[str, Panel]:
    """Load every panel."""
    return {name: panel for each in drawing() for name, panel in each.PANELS.items()} | {
        name: panel for each in questions().values() for name, panel in each.panels.items()
    }


@functools.cache
def layouts() -> dict[str, Layout]:
    """Load every figure of several panels."""
    found = [LAYOUTS, *(getattr(each, "FIGURES", {}) for each in drawing())]
    found += [each.figures for each in questions().values()]
    return {name: layout for each in found for name, layout in each.items()}


def drawing() -> list[Any]:
    """Load the modules of panels that belong to no question."""
    return [importlib.import_module(f"grokcrit.plot.{name}") for name in MODULES]


def layout_of(name: str) -> Layout:
    """Return the layout of a figure, or that of a panel alone."""
    if name in layouts():
        return layouts()[name]
    panel = panels()[name]
    return Layout(((name, {}),), "a", (panel.width, panel.height), (1,))


def compose(name: str, tables: TableLike | Sequence[TableLike], request: Request) -> Figure:
    """Open the tables, draw the panels; see :func:`figure`."""
    from matplotlib.figure import Figure

    from grokcrit.plot import style

    layout = layout_of(name)
    sources = open_sources(name, layout, tables, request)
    with style.context():
        figure = Figure(figsize=layout.size, layout="constrained")
        axes = figure.subplot_mosaic(layout.mosaic, height_ratios=layout.heights)
        empty = []
        for letter, (panel, fixed) in zip(sorted(axes), layout.panels, strict=True):
            asked = dataclasses.replace(request, **fixed)
            try:
                panels()[panel].draw(axes[letter], sources, asked)
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
    drawn = [panels()[panel] for panel, _ in layout.panels]
    needed = list(dict.fromkeys(stage for panel in drawn for stage in panel.needs))
    missing = [stage for stage in needed if stage not in sources]
    if missing:
        articles = " and ".join(f"{'an' if s[0] in 'af' else 'a'} {s} table" for s in missing)
        commands = " and ".join(f"'grokcrit {TABLES[s].command}'" for s in missing)
        makes = "makes it" if len(missing) == 1 else "make them"
        raise TableError(f"{name} needs {articles}; {commands} {makes}")
    for panel in drawn:
        if panel.helps and not any(stage in needed for stage in panel.helps):
            needed += [stage for stage in panel.helps if stage in sources][:1]
    sources.load(needed)
    return sources
