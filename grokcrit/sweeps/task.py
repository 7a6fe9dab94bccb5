"""Tasks: one training and some of the points that share it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from grokcrit.base.errors import GrokcritError, RunError
from grokcrit.base.parallel import StoppedError
from grokcrit.stages.train import train
from grokcrit.sweeps.plan import Plan, Point
from grokcrit.sweeps.point import failed, measured
from grokcrit.sweeps.store import Store
from grokcrit.tables import provenance

# Tasks that each worker has at least. Where there are fewer trainings, a training is repeated so
# that its points can be divided: else workers would wait for one of them.
TASKS = 2


@dataclass(frozen=True)
class Task:
    """One training and points that share it."""

    folder: str  # where the parts go
    points: tuple[Point, ...]
    code: str  # the version that the points are named by
    cache: bool
    token: str = ""  # a file among the parts: the machines of a cluster might not share the folder


@dataclass(frozen=True)
class Outcome:
    """The outcome of a point: its part is written, or an error says why it failed."""

    key: str
    error: str | None = None


def tasks_of(plan: Plan, wanted: set[str], folder: Path, workers: int, cache: bool) -> list[Task]:
    """Divide the points that are to be computed, those of a training together where that fits."""
    groups = plan.by_training(wanted)
    pieces = 1 if workers == 1 else math.ceil(TASKS * workers / max(len(groups), 1))
    code, place = provenance.code_version(), str(folder.resolve())
    return [
        Task(place, tuple(points[first : first + length]), code, cache)
        for points in groups
        for length in [math.ceil(len(points) / pieces)]
        for first in range(0, len(points), length)
    ]


def compute(task: Task) -> list[Outcome]:
    """Compute the points of a task and write their parts; a point that fails stops no other.

    Raise GrokcritError where this is another version of grokcrit than the one that asks, where the
    folder is not there, and where a part cannot be written.
    """
    if task.code != provenance.code_version():
        raise GrokcritError(
            f"a worker runs grokcrit {provenance.code_version()}, the sweep {task.code}: install "
            "the same version on both"
        )
    store = Store(Path(task.folder))
    if not (store.folder / "parts" / task.token).exists():
        raise GrokcritError(
            f"a worker does not see the folder {task.folder}: put the sweep where all machines see "
            "it under the same path"
        )
    # Parts are there where a task is run again; a damaged one is written again.
    missing = [point for point in task.points if store.look(point.key) != "done"]
    found = [Outcome(point.key) for point in task.points if point not in missing]
    if not missing:
        return found
    training = missing[0].training
    options = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    try:  # in one thread: the tasks are what runs side by side
        trained = train(threads=1, cache=task.cache, **options)
    except Exception as error:
        return found + [note(store, point, error) for point in missing]
    return found + [one(store, point, trained, task.cache) for point in missing]


def one(store: Store, point: Point, trained: pa.Table, cache: bool) -> Outcome:
    """Compute and write one point."""
    try:
        table = measured(point, trained, cache=cache)
    except Exception as error:
        return note(store, point, error)
    store.keep(point.key, table)
    return Outcome(point.key)


def lost(task: Task, reason: str) -> list[Outcome]:
    """Record that a whole task failed with the process or the workers that ran it."""
    store = Store(Path(task.folder))
    return [note(store, point, RunError(reason)) for point in task.points]


def note(store: Store, point: Point, error: Exception) -> Outcome:
    """Record that a point failed, and why."""
    if isinstance(error, StoppedError):
        raise error
    if isinstance(error, GrokcritError):
        reason = str(error)
    elif isinstance(error, MemoryError):
        reason = "out of memory"
    else:
        reason = f"internal error, {type(error).__name__}: {error}"
    store.keep_failure(point.key, failed(point, reason))
    return Outcome(point.key, reason)
