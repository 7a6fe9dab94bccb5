"""One run of sparse parity: SGD on minibatches, the whole gradient and its cascade at snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.parallel import Progress, Stop, in_order
from grokcrit.base.rng import stream
from grokcrit.cascades.graphs import Graph, graph_of
from grokcrit.kernels import mlp
from grokcrit.kernels import parity as kernel
from grokcrit.kernels import types as kt
from grokcrit.kernels.types import Samples
from grokcrit.signals.state import HALF, differences
from grokcrit.tasks.options import Shapes, Trained, every_run
from grokcrit.tasks.parity import ParityOptions
from grokcrit.tasks.parity.samples import relevant_bits, samples_of
from grokcrit.tasks.snapshots import both, collector_of, trained


def runs(
    cells: Sequence[ParityOptions],
    schema: pa.Schema,
    threads: int | None,
    progress: Progress | None,
    cache: bool,
) -> Iterator[Trained]:
    """Train every run of every cell, each in a thread."""
    options = cells[0]
    sizes = {h: options.n_params(h) for h in options.hidden}
    graphs = {h: graph_of(options.cascade, n, cache=cache) for h, n in sizes.items()}

    def rows(task: tuple[ParityOptions, int, int], stop: Stop) -> Trained:
        run = Run(*task, graphs[task[1]])
        collector = collector_of(run)
        made = both(run, *trained(run, stop.check, collector), collector)
        return made._replace(rows=made.rows.replace_schema_metadata(schema.metadata))

    return in_order(
        rows,
        every_run(cells),
        cost=lambda task: sizes[task[1]] * task[0].samples,
        size=lambda task: 8 * sizes[task[1]] * options.snapshots,
        threads=threads,
        progress=progress,
    )


def initial_weights(options: ParityOptions, width: int, seed: int) -> npt.NDArray[np.float64]:
    """Draw the weights of a run: a function of (root seed, bits, width, seed).

    U(-1/sqrt(fan_in), 1/sqrt(fan_in)), weights and biases, as PyTorch's linear layers.
    """
    rng = stream("parity-weights", options.seed, options.bits, width, seed)
    first, second = 1 / np.sqrt(options.bits), 1 / np.sqrt(width)
    return np.concatenate(
        [
            rng.uniform(-first, first, (options.bits + 1) * width),
            rng.uniform(-second, second, width + 1),
        ]
    )


class Run:
    """The state of one run."""

    def __init__(self, options: ParityOptions, width: int, seed: int, graph: Graph) -> None:
        """Draw weights and samples."""
        self.options, self.width, self.seed, self.graph = options, width, seed, graph
        self.flat = initial_weights(options, width, seed)
        self.train, self.test = samples_of(options, seed)
        self.order = stream("parity-batches", options.seed, width, seed)
        n, inline = len(self.flat), options.probe == "inline"
        self.descent = kt.Descent(
            options.lr, options.weight_decay, options.batch or options.samples, inline
        )
        self.rule = kt.rule(n, np.float64, options.cascade)
        self.work = kt.work(n, np.float64, options.max_steps, graph.network.most)
        self.rows = np.zeros((kernel.TOGETHER, width))
        self.by_size = np.arange(width)
        shuffled = stream("signals-halves", options.seed, width, seed).permutation(options.samples)
        self.halves = [half[:HALF] for half in np.array_split(shuffled, 2)]
        self.probed: Samples | None = None

    def epoch(self) -> None:
        """Update once for every minibatch."""
        kernel.train_epoch(
            self.flat,
            self.train,
            self.order.permutation(self.options.samples),
            self.descent,
            self.graph.network,
            self.rule,
            self.work,
            self.rows,
        )

    def gradient(self) -> npt.NDArray[np.float64]:
        """Return the gradient of the mean loss of all training samples."""
        return self.gradient_of(np.arange(self.options.samples), self.flat)[1]

    def gradient_of(
        self, chosen: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
    ) -> tuple[float, npt.NDArray[np.float64]]:
        """Return the mean loss of some training samples at some weights, and its gradient."""
        found = np.empty(len(weights))
        loss, _ = kernel.mean_gradient(found, weights, self.train, chosen, self.rows)
        return loss, found

    # As signals need a run (grokcrit.signals.state.Source).

    @property
    def name(self) -> tuple[int | str, ...]:
        """What tells this run from others."""
        return self.options.seed, self.width, self.seed

    @property
    def tensors(self) -> Shapes:
        """Name and shape of each tensor."""
        return self.options.shapes(self.width)

    def weights(self) -> npt.NDArray[np.float64]:
        """Return the weights."""
        return self.flat

    @property
    def half_size(self) -> int:
        """Samples of each half of the training set that are taken."""
        return len(self.halves[1])

    def on_half(
        self, half: int, weights: npt.NDArray[np.floating] | None = None
    ) -> tuple[float, npt.NDArray[np.float64]]:
        """Return loss and gradient of up to HALF samples of a half of the training set."""
        flat = self.flat if weights is None else weights.astype(np.float64)
        return self.gradient_of(self.halves[half], flat)

    def hessian_product(self, vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the Hessian of the loss on the first half, times a vector."""
        return differences(lambda w: self.on_half(0, w)[1], self.flat, vector)

    def structure(self) -> float:
        """Return the coefficient of the parity in the network's output over random inputs.

        |sum z chi| / sum |z| of 512 inputs, the same at every epoch, z the logit and chi the
        product of the relevant bits.
        """
        if self.probed is None:
            rng = stream("signals-inputs", *self.name)
            inputs = rng.integers(0, 2, (512, self.options.bits)) * 2.0 - 1
            relevant = relevant_bits(self.options, self.seed)
            self.probed = Samples(inputs, inputs[:, relevant].prod(1))
        inputs, product = self.probed
        logits = np.array([kernel.activate(self.rows[0], self.flat, x) for x in inputs])
        total = np.abs(logits).sum()
        return float(abs(logits @ product) / total) if total else np.nan

    def measured(self) -> dict[str, float]:
        """Return loss, accuracies and the Gini coefficient of W2."""
        loss, accuracy = kernel.measured(self.flat, self.train, self.rows[0])
        _, test_accuracy = kernel.measured(self.flat, self.test, self.rows[0])
        _, _, w2 = kernel.parts(self.flat, self.options.bits)
        return {
            "loss": loss,
            "train_accuracy": accuracy,
            "test_accuracy": test_accuracy,
            "weight_gini": mlp.gini(w2, self.by_size),
        }
