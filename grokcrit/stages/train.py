"""Stage 1: train the networks, cascade in line, keep the gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.errors import OptionError, RunError
from grokcrit.base.options import (
    INT32_MAX,
    CascadeOptions,
    ModaddOptions,
    TrainOptions,
    init_scale,
    run_options,
)
from grokcrit.base.parallel import Progress, Stop, StoppedError, in_order
from grokcrit.base.processes import in_processes
from grokcrit.base.rng import stream
from grokcrit.base.vocabulary import ACTIVATIONS, GINI_OF
from grokcrit.cascades.graphs import Graph, check_graph, graph_of
from grokcrit.kernels import mlp
from grokcrit.kernels import types as kt
from grokcrit.tables import provenance
from grokcrit.tables.schemas import TRAIN
from grokcrit.tasks.train_rows import RunName, rows_of, tensors_of

XOR_INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_TARGETS = np.array([0.0, 1.0, 1.0, 0.0])

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
        return 4 * self.width + 1

    @property
    def snapshots(self) -> int:
        """How many gradients are kept."""
        options = self.options
        return options.epochs // options.snapshot_every + 1 if options.gradients else 0


def train(
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
    **options: Any,
) -> pa.Table:
    """Train every run and return the train table.

    Parameters
    ----------
    threads
        How many runs at once; None for all cores. Changes no bit of the result. Runs of modular
        addition are processes: a program that trains them starts under
        ``if __name__ == "__main__":``.
    progress
        Called with (runs done, runs in all).
    cache
        Whether to keep graphs on disk, and take them from there.
    **options
        Fields of :class:`grokcrit.base.options.TrainOptions`, or with ``task="modadd"`` of
        :class:`grokcrit.base.options.ModaddOptions`, which needs torch.

    Returns
    -------
    pyarrow.Table
        Schema ``train/1``, its record in the metadata.

    Raises
    ------
    OptionError
        An option out of its range.
    RunError
        A run diverged.
    """
    settled = run_options(**options)
    return pa.concat_tables(runs(settled, threads=threads, progress=progress, cache=cache))


def record(options: TrainOptions | ModaddOptions) -> provenance.Record:
    """Make the record of a training."""
    return provenance.record(
        TRAIN.name,
        asdict(options),
        root_seed=options.seed,
        cases={options.case: options.case_options},
        widths={str(h): parameters(h, options) for h in options.hidden},
    )


def schema_of(options: TrainOptions | ModaddOptions) -> pa.Schema:
    """Arrow schema of a training's table, with its record; modadd trains in single precision."""
    return TRAIN.recorded(record(options), single=isinstance(options, ModaddOptions))


def parameters(width: int, options: TrainOptions | ModaddOptions) -> list[dict[str, Any]]:
    """Name, shape and offset of each tensor in the flat gradient."""
    if isinstance(options, ModaddOptions):
        return tensors_of(models().shapes_of(options, width))
    return tensors_of([("W1", [width, 2]), ("b1", [width]), ("W2", [1, width]), ("b2", [1])])


def models() -> Any:
    """Import the models of modular addition.

    Raises
    ------
    OptionError
        There is no torch.
    """
    try:
        from grokcrit.tasks import modadd_models as found
    except ModuleNotFoundError:
        raise OptionError(
            "task", "modadd needs PyTorch; install it with: pip install 'grokcrit[torch]'"
        ) from None
    return found


def runs(
    options: TrainOptions | ModaddOptions,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
) -> Iterator[pa.Table]:
    """Train every run; yield one table each, by width and seed."""
    schema = schema_of(options)
    check_sizes(options)
    if isinstance(options, ModaddOptions):
        return modadd_runs(options, schema, threads, progress, cache)
    graphs = {h: graph_of(options.cascade, 4 * h + 1, cache=cache) for h in options.hidden}
    tasks = [Run(options, h, s) for h in options.hidden for s in range(options.seeds)]
    return in_order(
        lambda run, stop: table(run, train_run(run, graphs[run.width], stop), schema),
        tasks,
        cost=lambda run: run.width,
        size=lambda run: 8 * run.n_params * run.snapshots,
        threads=threads,
        progress=progress,
    )


def check_sizes(options: TrainOptions | ModaddOptions) -> None:
    """Raise OptionError where a run would hold too much, or its sizes cannot have the graph."""
    largest = n_params(options.hidden[-1], options)
    if options.gradients and (options.epochs // options.snapshot_every + 1) * largest > INT32_MAX:
        raise OptionError(
            "snapshot_every", "keeps more than 2^31 gradient entries of a run; choose a larger one"
        )
    check_graphs(options, options)


def check_graphs(options: TrainOptions | ModaddOptions, cascade: CascadeOptions) -> None:
    """Raise OptionError where the sizes of a training cannot have the graph of a cascade."""
    for width in options.hidden:
        check_graph(cascade.topology, n_params(width, options), cascade.degree)


def n_params(width: int, options: TrainOptions | ModaddOptions) -> int:
    """Return N of a width."""
    last = parameters(width, options)[-1]
    return int(last["offset"] + math.prod(last["shape"]))


def modadd_runs(
    options: ModaddOptions,
    schema: pa.Schema,
    workers: int | None,
    progress: Progress | None,
    cache: bool,
) -> Iterator[pa.Table]:
    """Train every run of modular addition, each in a process with one thread of torch."""
    sizes = {h: n_params(h, options) for h in options.hidden}
    kept = options.epochs // options.snapshot_every + 1 if options.gradients else 0
    found = in_processes(
        modadd_run,
        [(options, h, s, cache) for h in options.hidden for s in range(options.seeds)],
        cost=lambda task: sizes[task[1]],
        size=lambda task: 4 * sizes[task[1]] * kept,
        workers=workers,
        progress=progress,
    )
    for rows in found:
        yield rows.replace_schema_metadata(schema.metadata)


def modadd_run(task: tuple[ModaddOptions, int, int, bool]) -> pa.Table:
    """Train one run, in the process that this is called in."""
    from grokcrit.tasks.modadd_training import train_run

    return train_run(*task)


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
    return kt.Record(
        loss=np.empty(epochs),
        accuracy=np.empty(epochs),
        gini=np.empty(epochs),
        threshold=np.empty(epochs),
        deviation=np.empty(epochs),
        size=np.empty(epochs, np.int64),
        area=np.empty(epochs, np.int64),
        duration=np.empty(epochs, np.int32),
        peak=np.empty(epochs, np.int64),
        truncated=np.empty(epochs, np.bool_),
        gradients=np.empty((snapshots, n)),
    )


def train_run(run: Run, graph: Graph, stop: Stop) -> kt.Record:
    """Train one run.

    Returns
    -------
    Record
        One entry an epoch, 0 to ``epochs``.

    Raises
    ------
    RunError
        Loss or gradient stopped being finite.
    """
    options, n = run.options, run.n_params
    weights = initial_weights(run)
    epochs = options.epochs + 1
    kept = empty_record(epochs, run.snapshots, n)
    training = kt.Training(
        XOR_INPUTS,
        XOR_TARGETS,
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
        if stop.is_set():
            raise StoppedError
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
    measured = {
        "loss": kept.loss,
        "train_accuracy": kept.accuracy,
        "test_accuracy": kept.accuracy,  # XOR has no test split
        "weight_gini": kept.gini,  # NaN where all weights are 0
        "threshold": kept.threshold,
        "size": kept.size,
        "area": kept.area,
        "duration": kept.duration,
        "peak": kept.peak,
        "deviation": kept.deviation,
        "truncated": kept.truncated,
        "grok_epoch_first": first,
        "grok_epoch": sustained,
    }
    rows = rows_of(name, epochs, kept.gradients, snapshot, measured)
    return rows.replace_schema_metadata(schema.metadata)
