"""Independent tasks over processes, for libraries that hold Python's lock: torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TypeVar

from grokcrit.base.errors import RunError
from grokcrit.base.parallel import Progress, Stop, StoppedError, in_order, thread_count

T = TypeVar("T")
R = TypeVar("R")


# What numpy's linear algebra takes its number of threads from, when numpy is first imported.
BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def one_blas_thread() -> None:
    """Keep numpy's linear algebra to one thread, where numpy is not imported yet.

    For work that runs on every core already. Two processes of two threads each took 65 ms for the
    singular values of a run's weights, which one thread finds in 0.8 ms.
    """
    for name in BLAS:
        os.environ.setdefault(name, "1")


def _begin(alive: Connection) -> None:
    """Leave Ctrl-C to the parent, and end with it: whatever it does, its end of the pipe closes."""
    one_blas_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with suppress(EOFError, OSError):
            alive.recv()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start_tracker() -> None:
    """Start Python's tracker of semaphores, deaf to a hangup as it is to Ctrl-C.

    It is in our process group: where a terminal closes it would die before us, and a new one print
    a traceback for each semaphore of which it knows nothing.
    """
    if not hasattr(signal, "SIGHUP"):
        resource_tracker.ensure_running()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pool:
    """Processes that begin afresh (spawn), and end at once when the pool is closed or we die."""

    def __init__(self, workers: int) -> None:
        """Make the pool; processes start as tasks come."""
        context = multiprocessing.get_context("spawn")
        _start_tracker()
        alive, self._held = context.Pipe(duplex=False)
        # In a list, to be let go: with the pool go its semaphores, which else are reported as
        # leaked where the program ends abruptly, as it does on Ctrl-C.
        self._pools = [ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(alive,))]

    def submit(self, function: Callable[[T], R], task: T) -> Future[R]:
        """Hand a task to the pool; the function is one of a module."""
        return self._pools[0].submit(function, task)

    def __enter__(self) -> Pool:
        """Use the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes, whatever they do."""
        self._held.close()
        self._pools.pop().shutdown(wait=True, cancel_futures=True)


def outcome(future: Future[R], timeout: float | None = None) -> R:
    """Return what a task of a pool returns; raise RunError where its process has ended."""
    try:
        return future.result(timeout)
    except BrokenProcessPool:
        raise RunError(
            "a process ended before its task was done: it was killed, perhaps for want of memory "
            "(fewer --threads need less), or the program that began it does not start under "
            "if __name__ == '__main__':"
        ) from None


def in_processes(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    cost: Callable[[T], float],
    workers: int | None,
    size: Callable[[T], int] = lambda _: 0,
    progress: Progress | None = None,
) -> Iterator[R]:
    """Yield ``function(task)`` in order, as ``in_order`` does, each computed in a process."""
    count = thread_count(workers)

    def wait_for(task: T, stop: Stop) -> R:
        future = pool.submit(function, task)
        while True:
            try:
                return outcome(future, timeout=0.2)
            except FutureTimeoutError:
                if stop.is_set():
                    raise StoppedError from None

    with Pool(min(count, len(tasks))) as pool:
        yield from in_order(wait_for, tasks, cost=cost, threads=count, size=size, progress=progress)
