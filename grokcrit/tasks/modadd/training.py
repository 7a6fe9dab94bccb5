"""One run: AdamW on minibatches, the full-batch gradient and its cascade at every snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from grokcrit.base.parallel import Progress
from grokcrit.base.processes import in_processes
from grokcrit.base.rng import stream
from grokcrit.cascades.graphs import Graph, graph_of
from grokcrit.signals.gradient import gini as gini_of
from grokcrit.signals.state import HALF, UndefinedError
from grokcrit.tasks import snapshots
from grokcrit.tasks.modadd import ModaddOptions
from grokcrit.tasks.modadd.models import Model, initial_parameters
from grokcrit.tasks.modadd.pairs import Pairs, labels_of, pairs_of
from grokcrit.tasks.options import Shapes, Trained, every_run

# Updates over which the learning rate rises from 0 (2604.16431).
WARM_UP = 10


def runs(
    cells: Sequence[ModaddOptions],
    schema: pa.Schema,
    workers: int | None,
    progress: Progress | None,
    cache: bool,
) -> Iterator[Trained]:
    """Train every run of every cell, each in a process with one thread of torch."""
    options = cells[0]
    sizes = {h: options.n_params(h) for h in options.hidden}
    found = in_processes(
        train_run,
        [(*run, cache) for run in every_run(cells)],
        cost=lambda task: sizes[task[1]],
        size=lambda task: 4 * sizes[task[1]] * options.snapshots,
        workers=workers,
        progress=progress,
    )
    for each in found:
        yield each._replace(rows=each.rows.replace_schema_metadata(schema.metadata))


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
        shuffled = stream("signals-halves", options.seed, width, seed).permutation(len(self.train))
        self.halves = [half[:HALF] for half in self.train[torch.from_numpy(shuffled)].chunk(2)]
        self.order = stream("modadd-batches", options.seed, width, seed)

    def loss(self, chosen: Tensor, flat: Tensor | None = None) -> Tensor:
        """Mean cross-entropy of some pairs, of the weights as they are or of others."""
        weights = self.flat if flat is None else flat
        logits = self.model.logits(weights, self.a[chosen], self.b[chosen])
        return functional.cross_entropy(logits, self.labels[chosen])

    def gradient(self) -> npt.NDArray[np.float32]:
        """Return the gradient of the loss over all training pairs."""
        (found,) = torch.autograd.grad(self.loss(self.train), self.flat)
        values: npt.NDArray[np.float32] = found.numpy()
        return values

    # As signals need a run (grokcrit.signals.state.Source).

    @property
    def name(self) -> tuple[int | str, ...]:
        """What tells this run from others."""
        return self.options.seed, self.width, self.seed

    @property
    def tensors(self) -> Shapes:
        """Name and shape of each tensor."""
        return self.model.shapes

    def weights(self) -> npt.NDArray[np.float32]:
        """Return the weights."""
        values: npt.NDArray[np.float32] = self.flat.detach().numpy()
        return values

    @property
    def half_size(self) -> int:
        """Pairs of each half of the training pairs that are taken."""
        return len(self.halves[1])

    def on_half(
        self, half: int, weights: npt.NDArray[np.floating] | None = None
    ) -> tuple[float, npt.NDArray[np.float32]]:
        """Return loss and gradient of up to HALF pairs of a half of the training pairs."""
        flat = self.flat
        if weights is not None:
            flat = torch.from_numpy(weights.astype(np.float32)).requires_grad_()
        loss = self.loss(self.halves[half], flat)
        (found,) = torch.autograd.grad(loss, flat)
        return float(loss.detach()), found.numpy()

    def hessian_product(self, vector: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the Hessian of the loss on the first half, times a vector."""
        loss = self.loss(self.halves[0])
        (gradient,) = torch.autograd.grad(loss, self.flat, create_graph=True)
        along = torch.from_numpy(vector.astype(np.float32))
        (found,) = torch.autograd.grad(gradient @ along, self.flat)
        values: npt.NDArray[np.float32] = found.numpy()
        return values

    def structure(self) -> float:
        """Return the Gini coefficient of the power of the embedding's Fourier modes.

        The embedding is that of the Transformer's tokens, or A of the MLP; the power of a frequency
        is summed over its columns, the constant left out.
        """
        p, tensor = self.options.prime, self.flat.detach()[: self.model.sizes[0]]
        embedding = tensor.numpy().reshape(-1, self.width)[:p].astype(np.float64)
        power = (np.abs(np.fft.rfft(embedding, axis=0)[1:]) ** 2).sum(1)
        return gini(power)

    def epoch(self) -> None:
        """Update once a minibatch; ``inline`` redistributes each gradient before AdamW sees it."""
        train = self.train[torch.from_numpy(self.order.permutation(len(self.train)))]
        for chosen in torch.split(train, self.options.batch or len(train)):
            (found,) = torch.autograd.grad(self.loss(chosen), self.flat)
            if self.options.probe == "inline":
                moved = snapshots.probed(self.options, self.graph, found.numpy())
                found = torch.from_numpy(moved.gradient)
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


def gini(values: npt.NDArray[np.floating]) -> float:
    """Gini coefficient of the magnitudes, 0 for equal ones; NaN where all are 0."""
    try:
        return gini_of(np.sort(np.abs(values.astype(np.float64))))
    except UndefinedError:
        return np.nan


def train_run(task: tuple[ModaddOptions, int, int, bool]) -> Trained:
    """Train one run, in the process that this is called in: (options, width, seed, cache)."""
    torch.set_num_threads(1)
    run = Run(*task)
    collector = snapshots.collector_of(run)
    rows, gradients = snapshots.trained(run, collector=collector)
    kept = near_grokking(run.options, rows, gradients)
    return snapshots.both(run, rows, kept, collector)


def near_grokking(
    options: ModaddOptions, rows: snapshots.Measured, gradients: dict[int, snapshots.Gradient]
) -> dict[int, snapshots.Gradient]:
    """Return the gradients that ``snapshot_window`` keeps: all of a run that never groks."""
    grok, window = snapshots.grok_epoch(rows), options.snapshot_window
    if grok is None or window is None:
        return gradients
    return {t: gradient for t, gradient in gradients.items() if abs(t - grok) <= window}
