"""Independent tasks over threads: kernels run without the GIL, results come in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeAlias, TypeVar

from grokcrit.base.options import check_integer

# Tasks begun before the first of them is handed on: the source's 48 runs in one go.
WINDOW = 128
# Bytes of results that may wait for the one before them.
WINDOW_BYTES = 2**28

T = TypeVar("T")
R = TypeVar("R")
Progress: TypeAlias = Callable[[int, int], None]


class StoppedError(Exception):
    """Raised inside a task that was asked to stop."""


class Stop(threading.Event):
    """An event that asks tasks to stop."""

    def check(self) -> None:
        """Raise StoppedError if tasks were asked to stop."""
        if self.is_set():
            raise StoppedError


def thread_count(threads: int | None) -> int:
    """Return the number of threads to use: as asked, or one for each core this process may use."""
    if threads is not None:
        check_integer("threads", threads, 1)
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[T, Stop], R],
    tasks: Sequence[T],
    *,
    threads: int | None,
    cost: Callable[[T], float] = lambda _: 1.0,
    size: Callable[[T], int] = lambda _: 0,
    progress: Progress | None = None,
) -> Iterator[R]:
    """Yield ``function(task, stop)`` for each task, in the order of the tasks.

    A window moves over the tasks: those in it are begun, the most expensive first, and no more
    results than it has tasks are ever held; it takes WINDOW_BYTES, as ``size`` says of a result.
    When the consumer stops (Ctrl-C included) or a task fails, ``stop`` is set for those that run.
    ``progress`` is called with (done, total) in the consumer's thread.
    """
    stop, workers = Stop(), thread_count(threads)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="grokcrit")
    places: dict[Future[R], int] = {}
    ready: dict[int, R] = {}
    begun = due = done = held = 0
    try:
        while due < len(tasks):
            fresh = []
            while begun < len(tasks):
                room = begun - due < WINDOW and held + size(tasks[begun]) <= WINDOW_BYTES
                if not room and begun - due > workers:
                    break
                held += size(tasks[begun])
                fresh.append(begun)
                begun += 1
            for k in sorted(fresh, key=lambda k: -cost(tasks[k])):
                places[pool.submit(function, tasks[k], stop)] = k
            for future in wait(places, return_when=FIRST_COMPLETED).done:
                ready[places.pop(future)] = future.result()
                done += 1
                if progress:
                    progress(done, len(tasks))
            del future  # it holds its result, which may be a large table on its way to a file
            while due in ready:
                yield ready.pop(due)
                held -= size(tasks[due])
                due += 1
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
