"""Independent tasks over threads: kernels run without the GIL, results come in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeAlias, TypeVar

from grokcrit.options import check_integer

# Tasks begun before the first of them is handed on: the source's 48 runs in one go.
BATCH = 128

T = TypeVar("T")
R = TypeVar("R")
Progress: TypeAlias = Callable[[int, int], None]
Stop: TypeAlias = threading.Event


class StoppedError(Exception):
    """Raised inside a task that was asked to stop."""


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
    cost: Callable[[T], float],
    threads: int | None,
    progress: Progress | None = None,
) -> Iterator[R]:
    """Yield ``function(task, stop)`` for each task, in the order of the tasks.

    The tasks are taken in batches; in a batch the most expensive start first, so that the threads
    finish together, and no more results than a batch are ever held. When the consumer
    stops (Ctrl-C included) or a task fails, tasks not yet begun are dropped and ``stop`` is set
    for the others, which should then raise StoppedError soon.

    Parameters
    ----------
    function
        Called in a thread of the pool.
    tasks
        What to do.
    cost
        Relative cost of a task.
    threads
        How many at once; None for all cores.
    progress
        Called with (done, total) in the consumer's thread as tasks end.
    """
    stop = Stop()
    pool = ThreadPoolExecutor(thread_count(threads), thread_name_prefix="grokcrit")
    try:
        due = done = 0
        for first in range(0, len(tasks), BATCH):
            batch = range(first, min(first + BATCH, len(tasks)))
            by_cost = sorted(batch, key=lambda k: -cost(tasks[k]))
            places = {pool.submit(function, tasks[k], stop): k for k in by_cost}
            ready: dict[int, R] = {}
            for future in as_completed(places):
                ready[places.pop(future)] = future.result()
                del future  # it holds its result, which may be a large table on its way to a file
                done += 1
                if progress:
                    progress(done, len(tasks))
                while due in ready:
                    yield ready.pop(due)
                    due += 1
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
