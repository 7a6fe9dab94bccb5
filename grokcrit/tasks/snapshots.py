"""Runs whose epochs are many updates: the whole gradient and its cascade at snapshots alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.errors import RunError
from grokcrit.cascades.graphs import Graph
from grokcrit.cascades.single import CascadeResult, cascade, of_one
from grokcrit.signals.collector import Collector
from grokcrit.signals.registry import chosen
from grokcrit.signals.state import Source
from grokcrit.tables.schemas import GROKKED, MEMORISED
from grokcrit.tasks.options import RunOptions, Trained
from grokcrit.tasks.train_rows import RunName, rows_of

Gradient = npt.NDArray[np.floating]
Measured = list[dict[str, Any]]


class Run(Source, Protocol):
    """A run in training: its options, its name, and what can be done with its state."""

    width: int
    seed: int
    graph: Graph

    @property
    def options(self) -> RunOptions:
        """The options of its task."""

    def epoch(self) -> None:
        """Update once for every minibatch."""

    def gradient(self) -> Gradient:
        """Return the gradient of the loss over all training samples."""

    def measured(self) -> dict[str, float]:
        """Return loss and accuracies of the state as it is."""


def probed(options: RunOptions, graph: Graph, gradient: Gradient) -> CascadeResult:
    """Cascade a gradient with the options of a run."""
    return cascade(gradient, graph, **of_one(options))


def avalanche_of(run: Run, gradient: Gradient) -> dict[str, Any]:
    """Cascade a snapshot; return the columns of the train table."""
    found = probed(run.options, run.graph, gradient)
    length = float(np.linalg.norm(gradient.astype(np.float64)))
    moved = float(np.linalg.norm(found.gradient.astype(np.float64) - gradient))
    names = ("threshold", "size", "area", "duration", "peak", "truncated")
    columns = {name: getattr(found, name) for name in names}
    return {**columns, "deviation": moved / length if length else np.nan}


def trained(
    run: Run,
    check: Callable[[], None] = lambda: None,
    collector: Collector | None = None,
) -> tuple[Measured, dict[int, Gradient]]:
    """Train a run; return what was measured at each epoch, and the gradients of the snapshots.

    ``check`` is called before every epoch, and raises to end the training; ``collector`` measures
    signals. A run that is watched as long as its partner ends there, unless ``after_grok`` lets it
    go on, without signals, to see it grok. Raise RunError where a loss or a gradient is not finite.
    """
    rows: Measured = []
    gradients: dict[int, Gradient] = {}
    after, ends = run.options.after_grok, run.options.epochs
    exposure, watched = run.options.exposure(run.width, run.seed), ends
    for t in range(run.options.epochs + 1):
        if t > ends:
            break
        check()
        if t > 0:
            run.epoch() if collector is None else collector.timed(run.epoch)
        row: dict[str, Any] = run.measured()
        snapshot = t % run.options.snapshot_every == 0
        gradient = run.gradient() if snapshot else None
        check_finite(run, t, row["loss"], gradient)
        if gradient is not None:
            row |= avalanche_of(run, gradient)
            if run.options.gradients:
                gradients[t] = gradient
        if exposure is not None and row["train_accuracy"] > MEMORISED:
            watched = min(watched, t + exposure)
        if collector is not None:
            collector.take(t, row, signals=t <= watched)
        rows.append(row)
        if after is not None and grokked(row):
            ends = min(ends, t + after)
        if after is None and t >= watched:
            break
    return rows, gradients


def check_finite(run: Run, t: int, loss: float, gradient: Gradient | None) -> None:
    """Raise RunError where the loss or the gradient of an epoch is not finite."""
    if np.isfinite(loss) and (gradient is None or np.isfinite(gradient).all()):
        return
    raise RunError(
        f"the run of width {run.width}, seed {run.seed} diverged: loss or gradient is not "
        f"finite at epoch {t}; lower --lr"
    )


def grokked(row: dict[str, Any]) -> bool:
    """Return whether a run has grokked at the epoch of a row."""
    return bool(row["test_accuracy"] > GROKKED)


def grok_epoch(rows: Measured) -> int | None:
    """Return the first epoch of a test accuracy above GROKKED; None for never."""
    return next((t for t, row in enumerate(rows) if grokked(row)), None)


def name_of(run: Run) -> RunName:
    """Return the name of a run."""
    options = run.options
    n = options.n_params(run.width)
    return RunName(options.task, options.case, "gradient", run.width, n, run.seed)


def table_of(run: Run, rows: Measured, gradients: dict[int, Gradient]) -> pa.Table:
    """Turn what was measured, and the gradients kept, into rows of the train table."""
    options, grok = run.options, grok_epoch(rows)
    snapshot = np.zeros(len(rows), bool)
    snapshot[list(gradients)] = True
    names = {name: None for row in rows for name in row}
    measured: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    precision = np.float32 if options.single else np.float64
    whole = np.concatenate([np.empty(0, precision), *gradients.values()])
    grokking = {"grok_epoch": grok, "grok_epoch_first": grok}
    return rows_of(name_of(run), np.arange(len(rows)), whole, snapshot, measured | grokking)


def collector_of(run: Run) -> Collector | None:
    """Return what measures the signals that a run's options name; None for no signals."""
    options = run.options
    if not options.signals:
        return None
    return Collector(run, chosen(options.signals), options.signal_every)


def both(
    run: Run, rows: Measured, gradients: dict[int, Gradient], collector: Collector | None
) -> Trained:
    """Return the tables of a run: its rows, and its signals where they were measured."""
    signals = None if collector is None else collector.table(name_of(run))
    return Trained(table_of(run, rows, gradients), signals)
