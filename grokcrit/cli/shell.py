"""The streams of a command: results on one, progress and warnings on the other."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from grokcrit.base.errors import UnwritableError
from grokcrit.base.parallel import Progress
from grokcrit.base.summary import Notice, Summary, cell

# Rows are never folded in a pipe: a row is a line, for grep and awk.
PIPE_WIDTH = 1000
# What stands between two cells of a table.
BESIDE_CELLS = 3


def aside(line: str) -> None:
    """Print a line to standard error; if nobody reads it any more, this is no failure."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        # So that what waits in the buffer does not fail at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def on_terminal(stream: IO[str]) -> bool:
    """Return whether a person watches a stream; unlike Rich, whatever FORCE_COLOR says."""
    return stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


class Shell:
    """The two streams of a command: results to standard output, all else to standard error."""

    def __init__(self, quiet: bool, as_json: bool, silence: Sequence[str] | None = None) -> None:
        """Remember what to print and how."""
        self.quiet, self.as_json = quiet, as_json
        self.silence = {word.strip() for each in silence or () for word in each.split(",")}

    @contextmanager
    def progress(self, what: str, unit: str) -> Iterator[Progress | None]:
        """Show a bar with rate and time left, once the work has taken a second, on a terminal."""
        if self.quiet or not on_terminal(sys.stderr):
            yield None
            return
        from rich import progress
        from rich.console import Console

        bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn(f"{unit}, {{task.fields[rate]}}/s, left"),
            progress.TimeRemainingColumn(),
            console=Console(file=sys.stderr, force_terminal=True),
            transient=True,
        )
        task = bar.add_task(what, total=None, rate="-")
        timer = threading.Timer(1.0, bar.start)
        timer.daemon = True
        timer.start()

        def update(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.3g}" if speed else "-")

        try:
            yield update
        finally:
            timer.cancel()
            bar.stop()

    def show(self, summary: Summary, out: str | Path | None, text: str | None = None) -> None:
        """Print a summary of what was written: a table, or JSON; warnings to standard error.

        ``text`` is printed in place of the table.
        """
        warnings = self.heard(summary.warnings)
        try:
            if self.as_json:
                told = summary.as_dict(str(out) if out else None, warnings)
                print(json.dumps(told, allow_nan=False))
            elif text is not None and not self.quiet:
                print(text)
            elif not self.quiet:
                for each in (summary, *summary.more):
                    self._table(each)
            sys.stdout.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            # A reader that has gone, as `| head` does, wants no more; the work is done.
            if not isinstance(error, BrokenPipeError):
                raise UnwritableError(
                    f"cannot write to standard output: {error.strerror}"
                ) from None
        if out:
            self.wrote(out)
        if not self.quiet:
            for warning in warnings:
                aside(f"warning [{warning.id}]: {warning.text}")

    def wrote(self, out: str | Path) -> None:
        """Say that a file was written."""
        if not (self.quiet or self.as_json):
            aside(f"wrote {out}")

    def heard(self, warnings: Sequence[Notice]) -> list[Notice]:
        """Return the warnings that were not silenced."""
        return [each for each in warnings if each.id not in self.silence]

    def _table(self, summary: Summary) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        if not summary.rows:
            print(summary.title)
            return
        seen = on_terminal(sys.stdout)
        console = Console(
            file=sys.stdout,
            force_terminal=seen,
            no_color=None if seen else True,
            color_system="auto" if seen else None,
            width=None if seen else PIPE_WIDTH,
            highlight=False,
            markup=False,
        )
        table = Table(title=summary.title, title_justify="left", box=box.SIMPLE_HEAD)
        rows = [
            [cell(v, summary.formats.get(k, ".3f")) for k, v in r.items()] for r in summary.rows
        ]
        names = [name for name, _ in summary.columns]
        widths = column_widths([names, *rows], console.width)
        for (name, numeric), width in zip(summary.columns, widths, strict=True):
            table.add_column(name, justify="right" if numeric else "left", width=width)
        for row in rows:
            table.add_row(*row)
        console.width = max(console.width, table_width(widths))
        # Printed here: where the reader has gone, Rich itself would end the process with code 1.
        with console.capture() as drawn:
            console.print(table)
        print(drawn.get(), end="")


def table_width(widths: Sequence[int]) -> int:
    """Return how wide a table is whose columns have these widths."""
    return sum(widths) + BESIDE_CELLS * len(widths) + 2


def column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Fit the columns of a table into a terminal: cells fold at blanks, the widest first."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, cells)) for cells in columns]
    least = [max(len(word) for cell in cells for word in cell.split()) for cells in columns]
    while table_width(widths) > width and widths != least:
        spare = [wide - needed for wide, needed in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths
