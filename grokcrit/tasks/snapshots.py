"""Runs whose epochs are many updates: the whole gradient and its cascade at snapshots alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.errors import RunError
from grokcrit.cascades.graphs import Graph
from grokcrit.cascades.single import CascadeResult, cascade
from grokcrit.tasks.options import RunOptions
from grokcrit.tasks.train_rows import RunName, rows_of

# Test accuracy above which a run has grokked (2604.16431).
GROKKED = 0.99

Gradient = npt.NDArray[np.floating]
Measured = list[dict[str, Any]]


class Run(Protocol):
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
    names = ("alpha", "quantile", "rule", "max_steps", "threshold_of")
    chosen: dict[str, Any] = {name: getattr(options, name) for name in names}
    return cascade(gradient, graph, **chosen)


def avalanche_of(run: Run, gradient: Gradient) -> dict[str, Any]:
    """Cascade a snapshot; return the columns of the train table."""
    found = probed(run.options, run.graph, gradient)
    length = float(np.linalg.norm(gradient.astype(np.float64)))
    moved = float(np.linalg.norm(found.gradient.astype(np.float64) - gradient))
    names = ("threshold", "size", "area", "duration", "peak", "truncated")
    columns = {name: getattr(found, name) for name in names}
    return {**columns, "deviation": moved / length if length else np.nan}


def trained(
    run: Run, check: Callable[[], None] = lambda: None
) -> tuple[Measured, dict[int, Gradient]]:
    """Train a run; return what was measured at each epoch, and the gradients of the snapshots.

    ``check`` is called before every epoch, and raises to end the training. Raise RunError where a
    loss or a gradient is not finite.
    """
    rows: Measured = []
    gradients: dict[int, Gradient] = {}
    for t in range(run.options.epochs + 1):
        check()
        if t > 0:
            run.epoch()
        row: dict[str, Any] = run.measured()
        snapshot = t % run.options.snapshot_every == 0
        gradient = run.gradient() if snapshot else None
        broken = gradient is not None and not np.isfinite(gradient).all()
        if broken or not np.isfinite(row["loss"]):
            raise RunError(
                f"the run of width {run.width}, seed {run.seed} diverged: loss or gradient is not "
                f"finite at epoch {t}; lower --lr"
            )
        if gradient is not None:
            row |= avalanche_of(run, gradient)
            if run.options.gradients:
                gradients[t] = gradient
        rows.append(row)
    return rows, gradients


def grok_epoch(rows: Measured) -> int | None:
    """Return the first epoch of a test accuracy above GROKKED; None for never."""
    return next((t for t, row in enumerate(rows) if row["test_accuracy"] > GROKKED), None)


def table_of(run: Run, rows: Measured, gradients: dict[int, Gradient]) -> pa.Table:
    """Turn what was measured, and the gradients kept, into rows of the train table."""
    options, grok = run.options, grok_epoch(rows)
    snapshot = np.zeros(len(rows), bool)
    snapshot[list(gradients)] = True
    names = {name: None for row in rows for name in row}
    measured: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    precision = np.float32 if options.single else np.float64
    whole = np.concatenate([np.empty(0, precision), *gradients.values()])
    n = options.n_params(run.width)
    name = RunName(options.task, options.case, "gradient", run.width, n, run.seed)
    grokking = {"grok_epoch": grok, "grok_epoch_first": grok}
    return rows_of(name, np.arange(len(rows)), whole, snapshot, measured | grokking)
