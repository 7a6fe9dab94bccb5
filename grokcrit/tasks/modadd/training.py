"""One run: AdamW on minibatches, the full-batch gradient and its cascade at every snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from grokcrit.base.errors import RunError
from grokcrit.base.parallel import Progress
from grokcrit.base.processes import in_processes
from grokcrit.base.rng import stream
from grokcrit.cascades.graphs import Graph, graph_of
from grokcrit.cascades.single import cascade
from grokcrit.tasks.modadd import ModaddOptions
from grokcrit.tasks.modadd.models import Model, initial_parameters
from grokcrit.tasks.modadd.pairs import Pairs, labels_of, pairs_of
from grokcrit.tasks.train_rows import RunName, rows_of

# Updates over which the learning rate rises from 0, and what counts as grokked (2604.16431).
WARM_UP = 10
GROKKED = 0.99


def runs(
    cells: Sequence[ModaddOptions],
    schema: pa.Schema,
    workers: int | None,
    progress: Progress | None,
    cache: bool,
) -> Iterator[pa.Table]:
    """Train every run of every cell, each in a process with one thread of torch."""
    options = cells[0]
    sizes = {h: options.n_params(h) for h in options.hidden}
    found = in_processes(
        train_run,
        [(each, h, s, cache) for each in cells for h in each.hidden for s in range(each.seeds)],
        cost=lambda task: sizes[task[1]],
        size=lambda task: 4 * sizes[task[1]] * options.snapshots,
        workers=workers,
        progress=progress,
    )
    for rows in found:
        yield rows.replace_schema_metadata(schema.metadata)


class Run:
    """The state of one run."""

    def __init__(self, options: ModaddOptions, width: int, seed: int, cache: bool) -> None:
        """Draw weights and split; make the graph."""
        self.options, self.width, self.seed = options, width, seed
        self.model = Model(options, width)
        self.flat = torch.from_numpy(initial_parameters(options, width, seed)).requires_grad_()
        self.pairs: Pairs = pairs_of(options, seed)
        self.a, self.b = torch.from_numpy(self.pairs.a), torch.from_numpy(self.pairs.b)
        self.labels = torch.from_numpy(labels_of(options, self.pairs, seed))
        self.train = torch.from_numpy(self.pairs.train)
        self.graph: Graph = graph_of(options.cascade, len(self.flat), cache=cache)
        self.optimizer = torch.optim.AdamW(
            [self.flat], lr=options.lr, betas=(0.9, 0.98), weight_decay=options.weight_decay
        )
        self.updates = 0
        self.order = stream("modadd-batches", options.seed, width, seed)

    def loss(self, chosen: Tensor) -> Tensor:
        """Mean cross-entropy of some pairs."""
        logits = self.model.logits(self.flat, self.a[chosen], self.b[chosen])
        return functional.cross_entropy(logits, self.labels[chosen])

    def gradient(self) -> npt.NDArray[np.float32]:
        """Return the gradient of the loss over all training pairs."""
        (found,) = torch.autograd.grad(self.loss(self.train), self.flat)
        values: npt.NDArray[np.float32] = found.numpy()
        return values

    def probed(self, gradient: npt.NDArray[np.float32]) -> Any:
        """Cascade a gradient with the options of the run."""
        names = ("alpha", "quantile", "rule", "max_steps", "threshold_of")
        chosen = {name: getattr(self.options, name) for name in names}
        return cascade(gradient, self.graph, **chosen)

    def epoch(self) -> None:
        """Update once a minibatch; ``inline`` redistributes each gradient before AdamW sees it."""
        train = self.train[torch.from_numpy(self.order.permutation(len(self.train)))]
        for chosen in torch.split(train, self.options.batch or len(train)):
            (found,) = torch.autograd.grad(self.loss(chosen), self.flat)
            if self.options.probe == "inline":
                found = torch.from_numpy(self.probed(found.numpy()).gradient)
            self.flat.grad = found
            self.updates += 1
            rate = self.options.lr * min(1.0, self.updates / WARM_UP)
            self.optimizer.param_groups[0]["lr"] = rate
            self.optimizer.step()

    def measured(self) -> dict[str, float]:
        """Loss and accuracies of the state as it is."""
        with torch.no_grad():
            logits = self.model.logits(self.flat, self.a, self.b)
            loss = functional.cross_entropy(logits[self.train], self.labels[self.train])
            right = (logits.argmax(1) == self.labels).numpy()
        parts = self.pairs
        test = np.concatenate([parts.mirrored, parts.unmirrored])
        return {
            "loss": float(loss),
            "train_accuracy": share(right[parts.train]),
            "test_accuracy": share(right[test]),
            "mirrored_accuracy": share(right[parts.mirrored]),
            "unmirrored_accuracy": share(right[parts.unmirrored]),
            "weight_gini": gini(self.flat.detach().numpy()[-self.model.sizes[-1] :]),
        }


def share(right: npt.NDArray[np.bool_]) -> float:
    """Share of the pairs that are right; NaN, null in the table, where there are none."""
    return float(right.mean()) if len(right) else np.nan


def gini(values: npt.NDArray[np.float32]) -> float:
    """Gini coefficient of the magnitudes, 0 for equal ones; NaN where all are 0."""
    ordered = np.sort(np.abs(values.astype(np.float64)))
    n, total = len(ordered), ordered.sum()
    if total == 0:
        return np.nan
    return float(2 * (np.arange(1, n + 1) @ ordered) / (n * total) - (n + 1) / n)


def avalanche_of(run: Run, gradient: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Cascade a snapshot; return the columns of the train table."""
    found = run.probed(gradient)
    length = float(np.linalg.norm(gradient.astype(np.float64)))
    moved = float(np.linalg.norm(found.gradient.astype(np.float64) - gradient))
    names = ("threshold", "size", "area", "duration", "peak", "truncated")
    columns = {name: getattr(found, name) for name in names}
    return {**columns, "deviation": moved / length if length else np.nan}


def train_run(task: tuple[ModaddOptions, int, int, bool]) -> pa.Table:
    """Train one run, in the process that this is called in: (options, width, seed, cache)."""
    options, width, seed, cache = task
    torch.set_num_threads(1)
    run = Run(options, width, seed, cache)
    rows: list[dict[str, Any]] = []
    gradients: dict[int, npt.NDArray[np.float32]] = {}
    for t in range(options.epochs + 1):
        if t > 0:
            run.epoch()
        row: dict[str, Any] = run.measured()
        snapshot = t % options.snapshot_every == 0
        gradient = run.gradient() if snapshot else None
        broken = gradient is not None and not np.isfinite(gradient).all()
        if broken or not np.isfinite(row["loss"]):
            raise RunError(
                f"the run of width {width}, seed {seed} diverged: loss or gradient is not "
                f"finite at epoch {t}; lower --lr"
            )
        if gradient is not None:
            row |= avalanche_of(run, gradient)
            gradients[t] = gradient
        rows.append(row)
    return table_of(run, rows, gradients)


def table_of(
    run: Run, rows: list[dict[str, Any]], gradients: dict[int, npt.NDArray[np.float32]]
) -> pa.Table:
    """Turn what was measured into rows of the train table."""
    options = run.options
    grokked = [t for t, row in enumerate(rows) if row["test_accuracy"] > GROKKED]
    grok = grokked[0] if grokked else None
    kept = sorted(gradients) if options.gradients else []
    if grok is not None and options.snapshot_window is not None:
        kept = [t for t in kept if abs(t - grok) <= options.snapshot_window]
    snapshot = np.zeros(len(rows), bool)
    snapshot[kept] = True
    n = len(run.flat)
    names = {name: None for row in rows for name in row}
    measured: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    whole = np.concatenate([gradients[t] for t in kept]) if kept else np.empty(0, np.float32)
    name = RunName("modadd", options.case, "gradient", run.width, n, run.seed)
    grokking = {"grok_epoch": grok, "grok_epoch_first": grok}
    return rows_of(name, np.arange(len(rows)), whole, snapshot, measured | grokking)
