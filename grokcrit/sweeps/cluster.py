"""The tasks of a sweep on Dask: a scheduler somewhere, or a cluster made here for the purpose."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from grokcrit.base.errors import GrokcritError, OptionError, UnwritableError, reason
from grokcrit.sweeps.task import Outcome, Task, compute, lost
from grokcrit.tables.files import temporary_name

LOCAL_CLUSTER = "local-cluster"
# Tasks known to the scheduler for each thread of a worker: a million at once would fill it.
AHEAD = 4
# Tasks after which the workers are counted again: it takes as long as to hand out a task.
LOOK = 64
LOST = (
    "the workers that ran it were lost one after the other, perhaps for want of memory: give each "
    "more"
)
# Seconds to wait for a scheduler, and for its first worker.
CONNECTING, WAITING = 10, 600


def distributed() -> Any:
    """Import Dask's distributed; raise OptionError where it is not installed."""
    try:
        import distributed as found
    except ModuleNotFoundError:
        raise OptionError(
            "scheduler", "needs Dask; install it with: pip install 'grokcrit[dask]'"
        ) from None
    return found


@contextmanager
def client_of(scheduler: str, workers: int) -> Iterator[Any]:
    """Connect to a scheduler, or to a cluster made here; raise OptionError if none answers."""
    dask = distributed()
    with ExitStack() as stack:
        # Dask's tracebacks of lost connections stay off the terminal: what matters is raised.
        log = logging.getLogger("distributed.client")
        stack.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL + 1)
        if scheduler == LOCAL_CLUSTER:
            yield stack.enter_context(dask.Client(stack.enter_context(local_cluster(workers))))
            return
        address = address_of(scheduler)
        try:
            asyncio.run(greet(address))
            client = stack.enter_context(dask.Client(address, timeout=CONNECTING))
        except (OSError, ValueError) as error:  # a TimeoutError among them
            why = " ".join(str(error).split()) or f"nothing came within {CONNECTING} s"
            raise OptionError("scheduler", f"{scheduler!r} does not answer: {why}") from None
        except Exception:  # of reading whatever else speaks there
            raise OptionError(
                "scheduler", f"{scheduler!r} answers, but is no scheduler of Dask"
            ) from None
        yield client


def local_cluster(workers: int) -> Any:
    """Make a cluster that no other machine can reach: its scheduler unpickles what it receives."""
    with deaf_to_interrupts():
        return distributed().LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )


def address_of(scheduler: str) -> str:
    """Return the address in a scheduler's file, or the address that was given."""
    if not Path(scheduler).is_file():
        return scheduler
    try:
        address = json.loads(Path(scheduler).read_bytes())["address"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        address = None
    if not isinstance(address, str):
        raise OptionError("scheduler", f"{scheduler!r} is not a file that a Dask scheduler writes")
    return address


async def greet(address: str) -> None:
    """Wait for a scheduler's first answer: Dask's own timeout does not bound what it reads."""
    async with asyncio.timeout(CONNECTING):
        async with distributed().rpc(address, timeout=CONNECTING) as scheduler:
            await scheduler.identity()


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Leave Ctrl-C to this process: those that start meanwhile ignore it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def on_dask(
    tasks: Sequence[Task], scheduler: str, workers: int, folder: Path
) -> Iterator[list[Outcome]]:
    """Yield the outcomes of tasks as they end, wherever they run.

    Dask may run a task again, also one that was done: a task does nothing where its parts are
    there. Raise OptionError where there is no Dask, no scheduler or no worker, and GrokcritError
    where the workers do not see the folder or run another version, and where the scheduler was
    lost.
    """
    dask = distributed()
    with client_of(scheduler, workers) as client, token_in(folder) as token:
        waiting = [dataclasses.replace(task, token=token) for task in reversed(tasks)]
        running: dict[Any, Task] = {}
        ended, threads = dask.as_completed(), 0
        while waiting or running:
            if not threads or len(waiting) % LOOK == 0:
                threads = sum(client.nthreads().values())
            while waiting and len(running) < AHEAD * max(1, threads):
                task = waiting.pop()
                future = client.submit(compute, task, pure=False)
                running[future] = task
                ended.add(future)
            if not threads:
                await_workers(client, scheduler)
            future = next(ended)
            task = running.pop(future)
            try:
                yield future.result()
            except dask.KilledWorker:
                yield lost(task, LOST)
            except dask.CancelledError:
                raise GrokcritError(
                    f"the scheduler {scheduler!r} was lost; what is done is kept, and the same "
                    "command goes on from there"
                ) from None


def await_workers(client: Any, scheduler: str) -> None:
    """Wait for a worker: tasks are there already, so that a cluster that adapts makes some."""
    try:
        client.wait_for_workers(1, timeout=WAITING)
    except TimeoutError:
        raise OptionError(
            "scheduler", f"{scheduler!r} has had no worker for {WAITING // 60} minutes; start some"
        ) from None


@contextmanager
def token_in(folder: Path) -> Iterator[str]:
    """Put a file into the folder while tasks run: a worker that does not find it is elsewhere."""
    path = folder / "parts" / temporary_name()
    try:
        path.touch()
    except OSError as error:
        raise UnwritableError(f"cannot write into {folder}: {reason(error)}") from None
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)
