"""The view of running trainings as lines of text, as wide as the terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from grokcrit.base.summary import Notice, Row
from grokcrit.stages.watch import Running, Series, View

Line: TypeAlias = tuple[str, str]  # a text, and the style that Rich gives it

# The levels of a sparkline, and those where the terminal has no such characters.
BARS, PLAIN = "▁▂▃▄▅▆▇█", "_.:-=+*#"
# Cells of a sparkline, and of what tells cases apart.
LEAST, MOST = 5, 40
CASE = 16
GAP = "  "
# Lines of warnings under a view.
WARNED = 3
# Seconds, minutes, hours: up to how many of each a time is written in them.
AGES = ((1, 100, "s"), (60, 100, "min"), (3600, 48, "h"), (86400, 10**9, "d"))


@dataclass(frozen=True)
class Column:
    """A column of the table: text, or text, a sparkline, and text."""

    header: str
    before: list[str]
    series: list[Series] | None = None
    after: list[str] | None = None
    bounds: tuple[float, float] | None = None  # of the sparkline; None: its own range
    left: bool = False  # whether it is aligned to the left

    def width(self, cells: int) -> int:
        """Return its cells where a sparkline has that many."""
        texts = [max(map(len, each), default=0) for each in (self.before, self.after) if each]
        inside = sum(texts) + (cells + len(texts) if self.series else 0)
        return max(len(self.header), inside)

    def drawn(self, cells: int) -> list[str]:
        """Return the header and the cells of the rows."""
        texts = self.before
        if self.series:
            width = max(map(len, texts))
            lines = [sparkline(each, cells, self.bounds) for each in self.series]
            texts = [f"{a:>{width}} {b}" for a, b in zip(texts, lines, strict=True)]
        if self.after:
            width = max(map(len, texts))
            texts = [f"{a:<{width}} {b}" for a, b in zip(texts, self.after, strict=True)]
        side = "<" if self.left or self.series else ">"
        return [f"{each:{side}{self.width(cells)}}" for each in (self.header, *texts)]


def lines(
    view: View,
    now: float,
    width: int,
    height: int | None = None,
    warnings: Sequence[Notice] = (),
) -> list[Line]:
    """Return the lines of a view, none wider than ``width``, nor more than ``height``.

    Where the runs are too many, those whose parts have changed last are shown.
    """
    head = [(text, "bold") for text in textwrap.wrap(view.headline, width)]
    below = [("", ""), *dimensions(view, width)] if view.dimensions else []
    if height and len(below) > height // 2:
        below = [*below[: height // 2], ("and more cases; --once prints all", "dim")]
    notes = [(f"waiting: {each}", "dim") for each in view.waiting if view.runs]
    notes += [(f"warning [{each.id}]: {each.text}", "yellow") for each in warnings[:WARNED]]
    if len(warnings) > WARNED:
        notes.append((f"and {len(warnings) - WARNED} more warnings; --once prints all", "yellow"))
    if height:
        notes.append(("Ctrl-C ends", "dim"))
    below += [("", ""), *notes] if notes else []
    room = len(view.runs) if height is None else max(1, height - len(head) - len(below) - 3)
    shown = view.runs
    if room < len(shown):
        latest = sorted(shown, key=lambda run: run.updated)[-room:]
        shown = [run for run in shown if run in latest]
        below.insert(0, (f"and {len(view.runs) - room} more runs, which changed earlier", "dim"))
    table = [("", ""), *rows(shown, view, now, width)] if shown else []
    return [(cropped(text, width), style) for text, style in head + table + below]


def rows(shown: Sequence[Running], view: View, now: float, width: int) -> list[Line]:
    """Return the table of runs: the header and a line each."""
    labels = labelled([run.case for run in view.runs])
    mixed = len({run.accuracy for run in shown}) > 1
    accuracies = [run.accuracies[run.accuracy] for run in shown]
    train = [" train" * (mixed and run.accuracy.startswith("train")) for run in shown]
    density = [run.density for run in shown]
    known = {
        "case": Column("case", [labels[tuple(run.case.values())] for run in shown], left=True),
        "width": Column("width", [str(run.width) for run in shown]),
        "N": Column("N", [whole(run.n_params) for run in shown]),
        "seed": Column("seed", [str(run.seed) for run in shown]),
        "step": Column("step", [f"{run.step:,}" for run in shown]),
        "written": Column("written", [f"{age(now - run.updated)} ago" for run in shown]),
        "loss": Column("loss", ["-" if r.loss is None else f"{r.loss:.3g}" for r in shown]),
        "accuracy": Column(
            "accuracy" if mixed else shown[0].accuracy.replace("_", " "),
            [last(s, ".3f") + t for s, t in zip(accuracies, train, strict=True)],
            accuracies, bounds=(0.0, 1.0),
        ),
        "density": Column(
            "density over null (range)", [last(each) for each in density], density,
            [f"({extent(each)})" if len(each.values) else "" for each in density],
        ),
    }  # fmt: skip
    if len(labels) == 1:
        del known["case"]
    if not any(len(each.values) for each in density):
        del known["density"]
    for name in ("N", "loss", "written", "case", "accuracy", "density"):
        if needed(known, LEAST) <= width:
            break
        known.pop(name, None)
    longest = max(len(each.steps) for each in accuracies + density)
    cells = next(
        (k for k in range(min(MOST, longest), LEAST, -1) if needed(known, k) <= width), LEAST
    )
    texts = zip(*(each.drawn(cells) for each in known.values()), strict=True)
    header, *others = (GAP.join(each).rstrip() for each in texts)
    return [(header, "bold"), *((text, "") for text in others)]


def needed(columns: dict[str, Column], cells: int) -> int:
    """Return how wide a table is whose sparklines have that many cells."""
    return sum(each.width(cells) for each in columns.values()) + len(GAP) * (len(columns) - 1)


def dimensions(view: View, width: int) -> list[Line]:
    """Return a line for D(t) of each case."""
    labels = labelled([each.case for each in view.dimensions])
    drawn = []
    for each in view.dimensions:
        label = labels[tuple(each.case.values())]
        steps = each.data.steps
        before = f"D(t) of {label} " if label else "D(t) "
        parts = [f" {last(each.data)}", f", range {extent(each.data)}"]
        parts += [f", null {each.of_null:.2f}"] if each.of_null is not None else []
        parts += [f", steps {steps[0]:,} to {steps[-1]:,}"]
        while parts and len(before) + LEAST + len("".join(parts)) > width:
            parts.pop()
        after = "".join(parts)
        room = max(LEAST, min(2 * MOST, len(steps), width - len(before) - len(after)))
        drawn.append((before + sparkline(each.data, room) + after, ""))
    return drawn


def labelled(cases: Sequence[Row]) -> dict[tuple[object, ...], str]:
    """Return for each case the values in which it differs from others."""
    names = [name for name in cases[0] if len({case[name] for case in cases}) > 1]
    found = {}
    for case in cases:
        told = ", ".join(str(case[name]) for name in names if case[name] is not None)
        printable = "".join(each if each.isprintable() else "?" for each in told)
        found[tuple(case.values())] = cropped(printable, CASE)
    return found


def sparkline(series: Series, cells: int, bounds: tuple[float, float] | None = None) -> str:
    """Draw numbers over steps in that many cells, or one each if they are fewer.

    A cell shows the mean of the numbers in its stretch of steps, and is blank where there are none.
    """
    steps, values = series.steps, series.values
    if not len(values):
        return ""
    cells = min(cells, len(values))
    span = max(int(steps[-1] - steps[0]), 1)
    place = np.rint((steps - steps[0]) / span * (cells - 1)).astype(np.int64)
    count = np.bincount(place, minlength=cells)
    means = np.bincount(place, values, minlength=cells) / np.maximum(count, 1)
    low, high = bounds or (float(values.min()), float(values.max()))
    bars = BARS if (sys.stdout.encoding or "").lower().startswith("utf") else PLAIN
    # A flat line stands in the middle.
    height = (means - low) / (high - low) if high > low else np.full(cells, 0.5)
    level = np.clip((height * len(bars)).astype(np.int64), 0, len(bars) - 1)
    return "".join(bars[k] if n else " " for k, n in zip(level, count, strict=True))


def last(series: Series, form: str = ".2f") -> str:
    """Write the newest number of a series."""
    return "-" if series.last is None else format(series.last, form)


def extent(series: Series) -> str:
    """Write the range of a series."""
    return f"{series.values.min():.2f} to {series.values.max():.2f}"


def whole(number: int) -> str:
    """Write a number of parameters: 12,345 or 1.24e9."""
    return f"{number:,}" if number < 10**7 else f"{number:.2e}".replace("e+0", "e").replace("+", "")


def age(seconds: float) -> str:
    """Write how long ago something was."""
    unit, name = next((unit, name) for unit, most, name in AGES if seconds < unit * most)
    return f"{max(0, int(seconds // unit))} {name}"


def cropped(text: str, width: int) -> str:
    """Return a text cut off at a width, which dots show."""
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."[:width]
