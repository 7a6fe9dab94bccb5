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
from grokcrit.tasks.options import every_run
from grokcrit.tasks.parity import ParityOptions
from grokcrit.tasks.parity.samples import samples_of
from grokcrit.tasks.snapshots import table_of, trained


def runs(
    cells: Sequence[ParityOptions],
    schema: pa.Schema,
    threads: int | None,
    progress: Progress | None,
    cache: bool,
) -> Iterator[pa.Table]:
    """Train every run of every cell, each in a thread."""
    options = cells[0]
    sizes = {h: options.n_params(h) for h in options.hidden}
    graphs = {h: graph_of(options.cascade, n, cache=cache) for h, n in sizes.items()}

    def rows(task: tuple[ParityOptions, int, int], stop: Stop) -> pa.Table:
        run = Run(*task, graphs[task[1]])
        return table_of(run, *trained(run, stop.check)).replace_schema_metadata(schema.metadata)

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
        self.weights = initial_weights(options, width, seed)
        self.train, self.test = samples_of(options, seed)
        self.order = stream("parity-batches", options.seed, width, seed)
        n, inline = len(self.weights), options.probe == "inline"
        self.descent = kt.Descent(
            options.lr, options.weight_decay, options.batch or options.samples, inline
        )
        self.rule = kt.rule(n, np.float64, options.cascade)
        self.work = kt.work(n, np.float64, options.max_steps, graph.network.most)
        self.rows = np.zeros((kernel.TOGETHER, width))
        self.by_size = np.arange(width)

    def epoch(self) -> None:
        """Update once for every minibatch."""
        kernel.train_epoch(
            self.weights,
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
        found = np.empty(len(self.weights))
        chosen = np.arange(self.options.samples)
        kernel.mean_gradient(found, self.weights, self.train, chosen, self.rows)
        return found

    def measured(self) -> dict[str, float]:
        """Return loss, accuracies and the Gini coefficient of W2."""
        loss, accuracy = kernel.measured(self.weights, self.train, self.rows[0])
        _, test_accuracy = kernel.measured(self.weights, self.test, self.rows[0])
        _, _, w2 = kernel.parts(self.weights, self.options.bits)
        return {
            "loss": loss,
            "train_accuracy": accuracy,
            "test_accuracy": test_accuracy,
            "weight_gini": mlp.gini(w2, self.by_size),
        }
