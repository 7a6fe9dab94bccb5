"""XOR: one run as the compiled kernel trains it, and its rows of the train table."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.errors import RunError
from grokcrit.base.parallel import Progress, Stop, in_order
from grokcrit.base.rng import stream
from grokcrit.cascades.graphs import Graph, graph_of
from grokcrit.kernels import mlp
from grokcrit.kernels import types as kt
from grokcrit.signals.collector import Collector
from grokcrit.signals.registry import chosen
from grokcrit.signals.state import UndefinedError, differences
from grokcrit.tasks.options import Shapes, Trained, every_run
from grokcrit.tasks.train_rows import RunName, rows_of
from grokcrit.tasks.xor import ACTIVATIONS, GINI_OF, TARGETS, TrainOptions, init_scale

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

# Hidden units times epochs in one call of the kernel: about a tenth of a second.
BLOCK = 1_000_000


@dataclass(frozen=True)
class Run:
    """One training run."""

    options: TrainOptions
    width: int
    seed: int

    @property
    def n_params(self) -> int:
        """N = 4 h + 1."""
        return self.options.n_params(self.width)


def runs(
    cells: Sequence[TrainOptions],
    schema: pa.Schema,
    threads: int | None,
    progress: Progress | None,
    cache: bool,
) -> Iterator[Trained]:
    """Train every run of every cell, each in a thread; cells differ in what is learnt alone."""
    options = cells[0]
    sizes = {h: options.n_params(h) for h in options.hidden}
    graphs = {h: graph_of(options.cascade, n, cache=cache) for h, n in sizes.items()}
    return in_order(
        lambda run, stop: trained(run, graphs[run.width], stop, schema),
        [Run(*run) for run in every_run(cells)],
        cost=lambda run: run.width,
        size=lambda run: 8 * run.n_params * options.snapshots,
        threads=threads,
        progress=progress,
    )


def trained(run: Run, graph: Graph, stop: Stop, schema: pa.Schema) -> Trained:
    """Train one run; return its rows, and its signals where they are asked for."""
    options = run.options
    if not options.signals:
        return Trained(table(run, train_run(run, graph, stop), schema))
    watched = Watched(run, graph)
    collector = Collector(watched, chosen(options.signals), options.signal_every)
    kept = train_run(run, graph, stop, watched, collector)
    return Trained(table(run, kept, schema), collector.table(name_of(run)))


class Watched:
    """A run at one epoch, as signals need it (grokcrit.signals.state.Source)."""

    def __init__(self, run: Run, graph: Graph) -> None:
        self.options, self.graph = run.options, graph
        self.name = (run.options.seed, run.width, run.seed)
        self.tensors: Shapes = run.options.shapes(run.width)
        self.training = training_of(run.options)
        self.flat = np.empty(run.n_params)

    def weights(self) -> npt.NDArray[np.float64]:
        """Return the weights."""
        return self.flat

    def gradient(self) -> npt.NDArray[np.float64]:
        """Return the gradient of the mean loss of the four patterns."""
        return self.gradient_at(self.flat)

    def gradient_at(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the gradient at some weights."""
        found = np.empty(len(weights))
        mlp.mean_gradient(found, weights, self.training)
        return found

    @property
    def half_size(self) -> int:
        """Raise UndefinedError: halves of four patterns are other tasks."""
        raise UndefinedError

    def on_half(
        self, half: int, weights: npt.NDArray[np.float64] | None = None
    ) -> tuple[float, npt.NDArray[np.float64]]:
        """Raise UndefinedError: halves of four patterns are other tasks."""
        raise UndefinedError

    def hessian_product(self, vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the Hessian of the loss of the four patterns, times a vector."""
        return differences(self.gradient_at, self.flat, vector)

    def structure(self) -> float:
        """Raise UndefinedError: nothing is known to look at."""
        raise UndefinedError


def initial_weights(run: Run) -> npt.NDArray[np.float64]:
    """Draw the weights of a run: a function of (root seed, width, seed) and the initialisation.

    ``uniform``: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), weights and biases. ``xavier``:
    U(-a, a), a = sqrt(6 / (fan_in + fan_out)), biases 0. ``he``: N(0, 2 / fan_in), biases 0.
    ``normal:sigma``: N(0, sigma^2), weights and biases.
    """
    name, sigma = init_scale(run.options.init)
    h = run.width
    rng = stream("weights", run.options.seed, h, run.seed)
    layers = []
    for fan_in, fan_out in ((2, h), (h, 1)):
        n, bound = fan_in * fan_out, 1 / np.sqrt(fan_in)
        if name == "uniform":
            weights, biases = rng.uniform(-bound, bound, n), rng.uniform(-bound, bound, fan_out)
        elif name == "xavier":
            bound = np.sqrt(6 / (fan_in + fan_out))
            weights, biases = rng.uniform(-bound, bound, n), np.zeros(fan_out)
        elif name == "he":
            weights = rng.normal(0, np.sqrt(2 / fan_in), n)
            biases = np.zeros(fan_out)
        else:
            weights, biases = rng.normal(0, sigma, n), rng.normal(0, sigma, fan_out)
        layers += [weights, biases]
    return np.concatenate(layers)


def empty_record(epochs: int, snapshots: int, n: int) -> kt.Record:
    """Allocate the record of a run."""
    kinds: dict[str, type] = dict.fromkeys(("size", "area", "peak"), np.int64)
    kinds |= {"duration": np.int32, "truncated": np.bool_}
    fields = kt.Record._fields
    columns: dict[str, Any] = {k: np.empty(epochs, kinds.get(k, float)) for k in fields}
    return kt.Record(**columns | {"gradients": np.empty((snapshots, n))})


def training_of(options: TrainOptions) -> kt.Training:
    """Return what the kernel needs to know of a training."""
    return kt.Training(
        INPUTS,
        np.array(TARGETS[options.target]),
        ACTIVATIONS.index(options.activation),
        options.lr,
        options.probe == "inline",
        GINI_OF.index(options.gini_of),
        options.snapshot_every,
    )


def train_run(
    run: Run,
    graph: Graph,
    stop: Stop,
    watched: Watched | None = None,
    collector: Collector | None = None,
) -> kt.Record:
    """Train one run: an entry per epoch, 0 to ``epochs``; raise RunError where it diverges.

    ``collector`` measures signals of ``watched``, which is told the weights of every epoch.
    """
    options, n = run.options, run.n_params
    weights = initial_weights(run)
    epochs = options.epochs + 1
    kept = empty_record(epochs, options.snapshots, n)
    training = training_of(options)
    rule = kt.rule(n, np.float64, options.cascade)
    work = kt.work(n, np.float64, options.max_steps, graph.network.most)

    def train(first: int, last: int) -> None:
        broken = mlp.train_block(weights, graph.network, rule, training, kept, work, first, last)
        if broken >= 0:
            raise RunError(
                f"the run of width {run.width}, seed {run.seed} diverged: loss or gradient is not "
                f"finite at epoch {broken}; lower --lr or choose another --init"
            )

    block = 1 if collector else max(1, BLOCK // run.width)
    for first in range(0, epochs, block):
        stop.check()
        last = min(first + block, epochs)
        if watched is None or collector is None:
            train(first, last)
            continue
        watched.flat[:] = weights  # of this epoch: the kernel updates them
        collector.timed(functools.partial(train, first, last))
        accuracy = kept.accuracy[first]
        measured = {"loss": kept.loss[first], "train_accuracy": accuracy, "test_accuracy": accuracy}
        collector.take(first, measured)
    return kept


def grok_epochs(accuracy: npt.NDArray[np.float64]) -> tuple[int | None, int | None]:
    """First epoch of accuracy 1, and first epoch from which it stays 1; None for never."""
    right = accuracy == 1
    first = int(np.argmax(right)) if right.any() else None
    wrong = np.flatnonzero(~right)
    sustained = int(wrong[-1]) + 1 if len(wrong) else 0
    return first, sustained if sustained < len(right) else None


def name_of(run: Run) -> RunName:
    """Return the name of a run."""
    options = run.options
    return RunName(options.task, options.case, "gradient", run.width, run.n_params, run.seed)


def table(run: Run, kept: kt.Record, schema: pa.Schema) -> pa.Table:
    """Turn the record of a run into rows of the train table."""
    options, epochs = run.options, np.arange(len(kept.loss))
    first, sustained = grok_epochs(kept.accuracy)
    snapshot = (epochs % options.snapshot_every == 0) & options.gradients
    names = ("threshold", "size", "area", "duration", "peak", "deviation", "truncated")
    measured = {name: getattr(kept, name) for name in names} | {
        "loss": kept.loss,
        "train_accuracy": kept.accuracy,
        "test_accuracy": kept.accuracy,  # XOR has no test split
        "weight_gini": kept.gini,  # NaN where all weights are 0
        "grok_epoch_first": first,
        "grok_epoch": sustained,
    }
    rows = rows_of(name_of(run), epochs, kept.gradients, snapshot, measured)
    return rows.replace_schema_metadata(schema.metadata)
