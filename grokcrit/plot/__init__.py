"""Stage 5: the source's three figures, and each of their panels alone.

Read it from the outside in: ``compose`` knows which panels make a figure and which tables they
need; ``learning``, ``flow``, ``sizes`` and ``resampling`` hold the panels; ``sources`` opens the
tables and picks one case; ``style`` is all they share of looks. matplotlib loads when a figure is
drawn, not before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice
from grokcrit.base.vocabulary import COMPARISONS, FIGURES, PANELS
from grokcrit.tables.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from grokcrit.tables.reading import TableLike

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
        One of :data:`grokcrit.base.vocabulary.FIGURES` or :data:`grokcrit.base.vocabulary.PANELS`.
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
    check_choice("figure", name, (*FIGURES, *COMPARISONS, *PANELS))
    from grokcrit.plot import compose
    from grokcrit.plot.sources import Request

    request = Request(observable, statistic, width, run, aligned, dict(where or {}))
    return compose.compose(name, tables, request)


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
    extension = check_extension(path)
    from grokcrit.plot import style

    # matplotlib writes the time of creation unless told not to; a png has none.
    metadata = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[extension]
    with replacing(path) as file, style.context({"svg.hashsalt": name}):
        figure.savefig(file, format=extension, dpi=DPI, metadata=metadata)


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
