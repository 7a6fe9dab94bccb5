"""The tasks of a sweep on Dask: a scheduler somewhere, or a cluster made here for the purpose."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from grokcrit.errors import GrokcritError, OptionError, RunError
from grokcrit.sweeps.store import Store
from grokcrit.sweeps.task import Outcome, Task, compute, note

LOCAL_CLUSTER = "local-cluster"
# Tasks known to the scheduler for each thread of a worker: a million at once would fill it.
AHEAD = 4
# Seconds to wait for a scheduler, and for its first worker.
PATIENCE = 30


def distributed() -> Any:
    """Import Dask's distributed.

    Raises
    ------
    OptionError
        It is not installed.
    """
    try:
        import distributed as found
    except ModuleNotFoundError:
        raise OptionError(
            "scheduler", "needs Dask; install it with: pip install 'grokcrit[dask]'"
        ) from None
    return found


@contextmanager
def client_of(scheduler: str, workers: int) -> Iterator[Any]:
    """Connect to a scheduler, or make a cluster of processes on this machine alone.

    Raises
    ------
    OptionError
        No scheduler answers at the address.
    """
    dask = distributed()
    with ExitStack() as stack:
        if scheduler == LOCAL_CLUSTER:
            # What a scheduler receives it unpickles: nobody else's machine may reach this one.
            cluster = stack.enter_context(
                dask.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
            yield stack.enter_context(dask.Client(cluster))
            return
        try:
            client = stack.enter_context(dask.Client(scheduler, timeout=PATIENCE))
        except (OSError, ValueError, TypeError) as error:
            raise OptionError(
                "scheduler", f"{scheduler!r} does not answer: {' '.join(str(error).split())}"
            ) from None
        yield client


def on_dask(
    tasks: Sequence[Task], scheduler: str, workers: int, folder: Path
) -> Iterator[list[Outcome]]:
    """Yield the outcomes of tasks as they end, wherever they run.

    Dask runs a task again where its worker is lost, and sometimes where it was done: a task does
    nothing where its parts are there. It returns keys, no data: the parts are in the folder.

    Raises
    ------
    OptionError
        There is no Dask, no scheduler, no worker.
    GrokcritError
        The workers do not see the folder; they run another version.
    """
    dask = distributed()
    with client_of(scheduler, workers) as client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise OptionError("scheduler", f"{scheduler!r} has no workers; start some") from None
        check_shared(client, folder)
        threads = sum(client.nthreads().values())
        waiting = list(reversed(tasks))
        running: dict[Any, Task] = {}
        ended = dask.as_completed()
        while waiting or running:
            while waiting and len(running) < AHEAD * threads:
                task = waiting.pop()
                future = client.submit(compute, task, pure=False)
                running[future] = task
                ended.add(future)
            future = next(ended)
            task = running.pop(future)
            try:
                yield future.result()
            except dask.KilledWorker:
                store = Store(Path(task.folder))
                reason = RunError(
                    "the workers that ran it were lost one after the other, perhaps for want of "
                    "memory: give each more"
                )
                yield [note(store, point, reason) for point in task.points]
            threads = max(1, sum(client.nthreads().values()))


def check_shared(client: Any, folder: Path) -> None:
    """Raise GrokcritError unless every worker finds in the folder what is put there now."""
    probe = folder.resolve() / "parts" / f".grokcrit-{uuid4().hex[:16]}.tmp"
    probe.touch()
    try:
        seen = client.run(Path.exists, probe)
    finally:
        probe.unlink(missing_ok=True)
    blind = [worker for worker, found in seen.items() if not found]
    if blind:
        raise GrokcritError(
            f"the worker {blind[0]} does not see the folder {folder}: put the sweep where all "
            "machines see it under the same path"
        )
