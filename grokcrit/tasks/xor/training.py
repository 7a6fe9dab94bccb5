"""XOR: one run as the compiled kernel trains it, and its rows of the train table."""

from __future__ import annotations

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
from grokcrit.tasks.options import every_run
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
) -> Iterator[pa.Table]:
    """Train every run of every cell, each in a thread; cells differ in what is learnt alone."""
    options = cells[0]
    sizes = {h: options.n_params(h) for h in options.hidden}
    graphs = {h: graph_of(options.cascade, n, cache=cache) for h, n in sizes.items()}
    return in_order(
        lambda run, stop: table(run, train_run(run, graphs[run.width], stop), schema),
        [Run(*run) for run in every_run(cells)],
        cost=lambda run: run.width,
        size=lambda run: 8 * run.n_params * options.snapshots,
        threads=threads,
        progress=progress,
    )


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


def train_run(run: Run, graph: Graph, stop: Stop) -> kt.Record:
    """Train one run: an entry per epoch, 0 to ``epochs``; raise RunError where it diverges."""
    options, n = run.options, run.n_params
    weights = initial_weights(run)
    epochs = options.epochs + 1
    kept = empty_record(epochs, options.snapshots, n)
    training = kt.Training(
        INPUTS,
        np.array(TARGETS[options.target]),
        ACTIVATIONS.index(options.activation),
        options.lr,
        options.probe == "inline",
        GINI_OF.index(options.gini_of),
        options.snapshot_every,
    )
    rule = kt.rule(n, np.float64, options.cascade)
    work = kt.work(n, np.float64, options.max_steps, graph.network.most)
    block = max(1, BLOCK // run.width)
    for first in range(0, epochs, block):
        stop.check()
        last = min(first + block, epochs)
        broken = mlp.train_block(weights, graph.network, rule, training, kept, work, first, last)
        if broken >= 0:
            raise RunError(
                f"the run of width {run.width}, seed {run.seed} diverged: loss or gradient is not "
                f"finite at epoch {broken}; lower --lr or choose another --init"
            )
    return kept


def grok_epochs(accuracy: npt.NDArray[np.float64]) -> tuple[int | None, int | None]:
    """First epoch of accuracy 1, and first epoch from which it stays 1; None for never."""
    right = accuracy == 1
    first = int(np.argmax(right)) if right.any() else None
    wrong = np.flatnonzero(~right)
    sustained = int(wrong[-1]) + 1 if len(wrong) else 0
    return first, sustained if sustained < len(right) else None


def table(run: Run, kept: kt.Record, schema: pa.Schema) -> pa.Table:
    """Turn the record of a run into rows of the train table."""
    options, epochs = run.options, np.arange(len(kept.loss))
    first, sustained = grok_epochs(kept.accuracy)
    name = RunName(options.task, options.case, "gradient", run.width, run.n_params, run.seed)
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
    rows = rows_of(name, epochs, kept.gradients, snapshot, measured)
    return rows.replace_schema_metadata(schema.metadata)
