"""Independent tasks over processes, for libraries that hold Python's lock: torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from grokcrit.parallel import Progress, Stop, StoppedError, in_order, thread_count

T = TypeVar("T")
R = TypeVar("R")

_ended: Any = None
_parent = 0


def _begin(ended: Any, parent: int) -> None:
    """Leave Ctrl-C to the parent, which says when to stop."""
    global _ended, _parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _ended, _parent = ended, parent


def stopped() -> bool:
    """Whether this worker should give up: asked to, or its parent is gone."""
    return bool(_ended.is_set()) or os.getppid() != _parent


def in_processes(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    cost: Callable[[T], float],
    workers: int | None,
    size: Callable[[T], int] = lambda _: 0,
    progress: Progress | None = None,
) -> Iterator[R]:
    """Yield ``function(task)`` for each task in order, each computed in a process of its own pool.

    As :func:`grokcrit.parallel.in_order`, with processes; the function is one of a module, and asks
    ``stopped`` now and then.
    """
    context = multiprocessing.get_context("spawn")
    count, ended = thread_count(workers), context.Event()
    pool = ProcessPoolExecutor(
        min(count, len(tasks)), context, initializer=_begin, initargs=(ended, os.getpid())
    )

    def wait_for(task: T, stop: Stop) -> R:
        future = pool.submit(function, task)
        while True:
            try:
                return future.result(timeout=0.2)
            except FutureTimeoutError:
                if stop.is_set():
                    raise StoppedError from None

    try:
        yield from in_order(wait_for, tasks, cost=cost, threads=count, size=size, progress=progress)
    finally:
        ended.set()
        pool.shutdown(wait=False, cancel_futures=True)
