"""What is computed at once: one training and some of the points that share it."""

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
from grokcrit.sweeps.store import DamagedError, Store
from grokcrit.tables import provenance
from grokcrit.tasks.options import RunOptions

# Tasks that each worker has at least. Where there are fewer trainings, a training is repeated so
# that its points can be divided: else workers would wait for one of them.
TASKS = 2


@dataclass(frozen=True)
class Task:
    """One training and points that share it.

    ``folder`` is where the parts go; ``code`` the version that the points are named by; ``token``
    a file that is among the parts, on a cluster whose machines might not share the folder.
    """

    folder: str
    points: tuple[Point, ...]
    code: str
    cache: bool
    token: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a point: ``error`` says why it failed, None that its part is written."""

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
    """Compute the points of a task and write their parts; the same whoever does it, how often ever.

    Returns
    -------
    list of Outcome
        One a point. A point that fails stops no other.

    Raises
    ------
    GrokcritError
        This is another version of grokcrit than the one that asks; the folder is not there; a part
        cannot be written.
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
    missing = [point for point in task.points if not there(store, point.key)]
    found = [Outcome(point.key) for point in task.points if point not in missing]
    if not missing:
        return found
    try:
        trained = trained_for(missing[0].training, task.cache)
    except Exception as error:
        return found + [note(store, point, error) for point in missing]
    return found + [one(store, point, trained, task.cache) for point in missing]


def there(store: Store, key: str) -> bool:
    """Whether a part is there, as where a task is run again; a damaged one is written anew."""
    try:
        return store.done(key)
    except DamagedError:
        return False


def trained_for(training: RunOptions, cache: bool) -> pa.Table:
    """Train, in one thread: the tasks are what runs side by side."""
    options = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    return train(threads=1, cache=cache, **options)


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
