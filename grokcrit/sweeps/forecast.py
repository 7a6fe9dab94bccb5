"""How much a sweep will take: measured on a small piece of its first point, then scaled."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from grokcrit.base.errors import GrokcritError
from grokcrit.sweeps.plan import Plan, Point
from grokcrit.sweeps.point import measured
from grokcrit.sweeps.task import trained_for
from grokcrit.tables import writing
from grokcrit.tasks.options import RunOptions

# Parameters times epochs of a piece: a tenth of a second of XOR.
PIECE = 2_000_000


@dataclass(frozen=True)
class Forecast:
    """What is to be done.

    Attributes
    ----------
    points, trainings, runs
        To be computed; trainings that points share count once, and so do their runs.
    seconds
        On one core; as many cores take so much less. None where every training tried failed.
    bytes
        Of the parts; None where every training tried failed.
    """

    points: int
    trainings: int
    runs: int
    seconds: float | None
    bytes: int | None


def forecast(plan: Plan, wanted: set[str], *, cache: bool = True) -> Forecast:
    """Run a piece of the first point that is wanted, with one seed and with two, and scale it.

    Training is taken to grow with epochs and parameters, a point with its snapshots, and both
    with the seeds along the line through the two measurements. Compilation is left out, and so is
    what a graph costs that is not on disk yet. A point that fails is passed over.
    """
    groups = plan.by_training(wanted)
    if not groups:
        return Forecast(0, 0, 0, 0.0, 0)
    found = Forecast(
        points=sum(map(len, groups)),
        trainings=len(groups),
        runs=sum(g[0].training.seeds * len(g[0].training.hidden) for g in groups),
        seconds=None,
        bytes=None,
    )
    first = next((p for p in (g[0] for g in groups) if runs(p, cache)), None)
    if first is None:
        return found
    one, two = (clock(first, seeds, cache) for seeds in (1, 2))
    base = updates(piece(first.training, 1))
    seconds = 0.0
    for points in groups:
        training = points[0].training
        more, scale = training.seeds - 1, updates(training) / base
        seconds += scale * (one.training + more * max(0.0, two.training - one.training))
        seconds += scale * len(points) * (one.point + more * max(0.0, two.point - one.point))
    return dataclasses.replace(found, seconds=seconds, bytes=one.bytes * found.points)


def runs(point: Point, cache: bool) -> bool:
    """Whether a point can be computed at all; what it needs is compiled then."""
    try:
        clock(point, 1, cache)
    except GrokcritError:
        return False
    return True


@dataclass(frozen=True)
class Clocked:
    """Seconds of a training and of a point, and the bytes of its part."""

    training: float
    point: float
    bytes: int


def clock(point: Point, seeds: int, cache: bool) -> Clocked:
    """Compute a piece of a point and take the time."""
    training = piece(point.training, seeds)
    small = dataclasses.replace(point, training=training)
    started = time.perf_counter()
    trained = trained_for(training, cache)
    between = time.perf_counter()
    table = measured(small, trained, cache=cache)
    ended = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"
        writing.write(path, [table], table.schema)
        length = path.stat().st_size
    return Clocked(between - started, ended - between, length)


def piece(training: RunOptions, seeds: int) -> RunOptions:
    """Return a training with so many seeds, and no more epochs than make a piece."""
    each = sum(training.n_params(h) for h in training.hidden)
    epochs = max(training.snapshot_every, PIECE // each)
    return dataclasses.replace(training, seeds=seeds, epochs=min(training.epochs, epochs))


def updates(training: RunOptions) -> int:
    """Count the parameters that one seed updates, over all sizes and epochs."""
    return max(1, training.epochs) * sum(training.n_params(h) for h in training.hidden)
