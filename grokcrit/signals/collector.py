"""Signals of one run, epoch by epoch, and their rows of schema ``signals/1``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from grokcrit.signals.registry import Signal
from grokcrit.signals.state import WINDOW, Memory, Source, State
from grokcrit.tables.schemas import SIGNALS

# Epoch, signal, value, seconds.
Row: TypeAlias = tuple[int, str, float, float | None]

# Costly signals are measured once in so many times.
COSTLY = 10
# What `warn` reads the times of a run from; not signals.
ACCURACIES = ("train_accuracy", "test_accuracy")


class Meter:
    """Measures the signals of one run, and remembers what they need of earlier epochs."""

    def __init__(self, signals: Sequence[Signal], every: int = 1) -> None:
        """Measure ``signals`` at epochs that are multiples of ``every``."""
        self.signals, self.every = signals, every
        self._memory = Memory()

    def rows(self, source: Source | None, epoch: int, measured: Mapping[str, Any]) -> list[Row]:
        """Note loss and accuracies of an epoch; measure the signals of a source if they are due."""
        loss = measured.get("loss")
        self._memory.losses = [*self._memory.losses, np.nan if loss is None else loss][-WINDOW:]
        found: list[Row] = [
            (epoch, name, measured[name], None)
            for name in ACCURACIES
            if measured.get(name) is not None
        ]
        if source is None or epoch % self.every:
            return found
        state = State(source, epoch, self._memory)
        for each in self.signals:
            if each.costly and epoch % (COSTLY * self.every):
                continue
            found.append((epoch, each.name, *state.measure(each.name, each.of)))
        self._memory.previous = state.computed("gradient")
        return found


class Collector(Meter):
    """Measures the signals of one run, and keeps them and the time of its updates."""

    def __init__(self, source: Source, signals: Sequence[Signal], every: int = 1) -> None:
        """Measure ``signals`` of a source at epochs that are multiples of ``every``."""
        super().__init__(signals, every)
        self.source = source
        self._rows: list[Row] = []
        self._updates: list[float] = []

    def timed(self, update: Any) -> None:
        """Call what updates the run for an epoch, and note its time."""
        begin = time.perf_counter()
        update()
        self._updates.append(time.perf_counter() - begin)

    def take(self, epoch: int, measured: Mapping[str, Any], signals: bool = True) -> None:
        """Keep loss and accuracies of an epoch; measure the signals if they are due."""
        self._rows += self.rows(self.source if signals else None, epoch, measured)

    def table(self, run: Any, metadata: Mapping[bytes, bytes] | None = None) -> pa.Table:
        """Return the rows measured so far; ``run`` is the RunName."""
        rows, self._rows = self._rows, []
        return rows_of(asdict(run), rows, self.training_seconds, metadata)

    @property
    def training_seconds(self) -> float | None:
        """Median time of the updates of an epoch."""
        return median(self._updates)


def median(times: Sequence[float]) -> float | None:
    """Return the median of some times; None where there are none."""
    return statistics.median(times) if times else None


def rows_of(
    run: Mapping[str, Any],
    rows: Iterable[Row],
    training_seconds: float | None,
    metadata: Mapping[bytes, bytes] | None,
) -> pa.Table:
    """Return rows of signals as a table, sorted by epoch and signal."""
    ordered = sorted(rows, key=lambda row: row[:2])
    columns = dict(
        zip(("epoch", "signal", "value", "seconds"), zip(*ordered, strict=True), strict=True)
    )
    values: dict[str, Any] = {**run, "training_seconds": training_seconds, **columns}
    arrays = [
        pa.array(values[c.name], c.type, from_pandas=True)
        if c.name in columns
        else pa.repeat(pa.scalar(values[c.name], c.type), len(ordered))
        for c in SIGNALS.columns
    ]
    return pa.table(arrays, SIGNALS.arrow).replace_schema_metadata(metadata)
