"""Sweeps: compute what is missing of a plan, then join it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grokcrit.base.parallel import Progress, thread_count
from grokcrit.sweeps.local import locally
from grokcrit.sweeps.plan import Plan, read_plan
from grokcrit.sweeps.store import PartState, Store
from grokcrit.sweeps.task import Outcome, Task, tasks_of


@dataclass(frozen=True)
class Swept:
    """Result of a sweep."""

    table: Path  # the joint table
    points: int
    computed: int  # points that were not there
    aside: dict[str, str]  # damaged parts, and where each was moved
    failed: dict[str, str]  # key and error of each point that failed


def sweep(
    plan: Plan | str | os.PathLike[str],
    out: str | os.PathLike[str] = "sweep",
    *,
    scheduler: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
    seed: int = 0,
) -> Swept:
    """Compute every point of a plan that is not there, and write the joint table.

    Points that are there and whole are kept; damaged ones are moved aside and computed again;
    failed ones are tried again. Two sweeps on one folder at once do no harm.

    Parameters
    ----------
    plan
        A plan, or a sweep file.
    out
        Folder; made if it is missing. See :mod:`grokcrit.sweeps.store`.
    scheduler
        Address of a Dask scheduler, or ``local-cluster``; None for processes of this machine.
    threads
        Processes on this machine; None for all cores. A program that uses more than one starts
        under ``if __name__ == "__main__":``. Changes no bit of the result.
    progress
        Called with (points done, in all), those that were there among them.
    cache
        Whether to keep graphs on disk.
    seed
        Root seed of what a sweep file gives none for.

    Returns
    -------
    Swept
        What was done; the table is a file.

    Raises
    ------
    PlanError
        The file is wrong.
    TableError
        Something cannot be read or written.
    OptionError
        No Dask, or no scheduler there.
    """
    made = plan if isinstance(plan, Plan) else read_plan(plan, seed)
    store, workers, failed = Store(Path(out)), thread_count(threads), dict[str, str]()
    store.prepare()
    state = state_of(made, store, progress)
    aside = {key: str(store.set_aside(key)) for key, each in state.items() if each == "damaged"}
    missing = {key for key, each in state.items() if each != "done"}
    tasks = tasks_of(made, missing, store.folder, workers, cache)
    done = len(state) - len(missing)
    for outcomes in run(tasks, scheduler, workers, store.folder):
        done += len(outcomes)
        failed |= {o.key: o.error for o in outcomes if o.error is not None}
        if progress:
            progress(done, len(made.points))
    store.join(made, failed)
    return Swept(store.joint, len(made.points), len(missing), aside, failed)


def state_of(plan: Plan, store: Store, progress: Progress | None = None) -> dict[str, PartState]:
    """Look at the part of every point, by its key; progress counts those that are whole."""
    found: dict[str, PartState] = {}
    done = 0
    for point in plan.points:
        found[point.key] = store.look(point.key)
        done += found[point.key] == "done"
        if progress and found[point.key] == "done":
            progress(done, len(plan.points))
    return found


def run(
    tasks: list[Task], scheduler: str | None, workers: int, folder: Path
) -> Iterator[list[Outcome]]:
    """Run the tasks where they are to be run; yield outcomes as they come."""
    if not tasks:
        return iter(())
    if scheduler is None:
        return locally(tasks, min(workers, len(tasks)))
    from grokcrit.sweeps.cluster import on_dask

    return on_dask(tasks, scheduler, workers, folder)
