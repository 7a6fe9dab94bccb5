"""The tasks of a sweep on this machine: in processes, or one after the other in this one."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from grokcrit.base.processes import Pool
from grokcrit.sweeps.task import Outcome, Task, compute, lost

# Tasks under way for each worker: when one ends, the next is there.
AHEAD = 2
KILLED = (
    "its process was killed, perhaps for want of memory (fewer --threads leave more for each), or "
    "the program that began it does not start under if __name__ == '__main__':"
)


def locally(tasks: Sequence[Task], workers: int) -> Iterator[list[Outcome]]:
    """Yield the outcomes of tasks as they end.

    A process that is killed takes its pool with it. What was under way is then tried again one
    task at a time: the one during which a process is killed again has failed, the others go on.
    """
    if workers == 1:
        yield from map(compute, tasks)
        return
    waiting = list(reversed(tasks))
    while waiting:
        for suspect in (yield from pooled(waiting, workers, workers * AHEAD)):
            for task in (yield from pooled([suspect], 1, 1)):
                yield lost(task, KILLED)


def pooled(
    waiting: list[Task], workers: int, room: int
) -> Generator[list[Outcome], None, list[Task]]:
    """Compute waiting tasks in a pool, ``room`` under way; return those under way if it breaks."""
    running: dict[Future[list[Outcome]], Task] = {}
    with Pool(min(workers, len(waiting))) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < room:
                    running[pool.submit(compute, waiting[-1])] = waiting[-1]
                    waiting.pop()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    found = future.result()
                    del running[future]
                    yield found
        except BrokenProcessPool:
            return list(running.values())
    return []
