"""Tasks over threads: results in order, errors at once, no task left running."""

import threading
import time

import pytest

from grokcrit.base import parallel
from grokcrit.base.errors import OptionError
from grokcrit.base.parallel import StoppedError, in_order, thread_count


@pytest.mark.parametrize("threads", [1, 2, 7, None])
def test_results_come_in_the_order_of_the_tasks(threads):
    def slow_first(task, stop):
        time.sleep(0.03 if task == 0 else 0.001)
        return task * task

    tasks = list(range(20))
    made = list(in_order(slow_first, tasks, cost=lambda t: -t, threads=threads))
    assert made == [t * t for t in tasks]


def test_no_tasks_give_no_results():
    assert list(in_order(lambda t, stop: t, [], cost=lambda t: 1, threads=2)) == []


def test_the_most_expensive_tasks_start_first():
    started = []
    list(in_order(lambda t, stop: started.append(t), [3, 9, 1, 7], cost=lambda t: t, threads=1))
    assert started == [9, 7, 3, 1]


def test_progress_is_told_of_every_task_in_the_callers_thread():
    told, threads = [], set()

    def progress(done, total):
        told.append((done, total))
        threads.add(threading.get_ident())

    list(
        in_order(lambda t, stop: t, list(range(5)), cost=lambda t: t, threads=3, progress=progress)
    )
    assert told == [(k, 5) for k in range(1, 6)]
    assert threads == {threading.get_ident()}


def obedient(started, fails=()):
    """A task that works until told to stop, unless it is one of those that fail."""

    def work(task, stop):
        started.append(task)
        if task in fails:
            raise ValueError(f"task {task}")
        if not stop.wait(20):
            raise AssertionError("nobody said stop")
        raise StoppedError

    return work


def test_an_error_is_raised_at_once_and_stops_the_others():
    started, before = [], threading.active_count()
    begin = time.monotonic()
    with pytest.raises(ValueError, match="task 0"):
        list(in_order(obedient(started, {0}), list(range(50)), cost=lambda t: -t, threads=3))
    assert time.monotonic() - begin < 2
    assert len(started) < 10, "tasks not yet begun are dropped"
    deadline = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_consumer_that_stops_early_stops_the_tasks():
    started, stopped = [], threading.Event()

    def work(task, stop):
        started.append(task)
        if task == 0:
            return 0
        stop.wait(20)
        stopped.set()
        raise StoppedError

    results = in_order(work, list(range(50)), cost=lambda t: -t, threads=2)
    assert next(results) == 0
    begin = time.monotonic()
    results.close()
    assert stopped.wait(2)
    assert time.monotonic() - begin < 2
    assert len(started) < 10


def test_a_result_that_was_handed_out_is_not_kept():
    """Tables stream to disk one by one: what is written must not stay in memory."""
    import gc
    import weakref

    class Big:
        pass

    seen = []
    for number, big in enumerate(
        in_order(lambda t, stop: Big(), list(range(6)), cost=lambda t: -t, threads=1)
    ):
        seen.append(weakref.ref(big))
        del big
        gc.collect()
        if number == 4:
            assert sum(ref() is not None for ref in seen) <= 1


def test_threads_must_be_a_positive_number():
    assert thread_count(3) == 3
    assert thread_count(None) >= 1
    for bad in (0, -2, 1.5):
        with pytest.raises(OptionError, match="threads"):
            thread_count(bad)


def test_results_that_wait_for_their_turn_are_bounded_by_their_bytes(monkeypatch):
    """The first task is slow: no more of the others are begun than fit into the window."""
    monkeypatch.setattr(parallel, "WINDOW_BYTES", 100)
    release, started = threading.Event(), []

    def work(task, stop):
        started.append(task)
        if task == 0:
            release.wait(20)
        return task

    def told(done, total):
        if done == 5:
            time.sleep(0.1)  # time for one too many to begin
            begun.append(len(started))
            release.set()

    begun = []
    made = parallel.in_order(
        work, list(range(30)), cost=lambda t: 1, size=lambda t: 15, threads=2, progress=told
    )
    assert list(made) == list(range(30))
    assert begun == [6], "six of 15 bytes are within 100, a seventh is not"


def test_tasks_larger_than_the_window_still_keep_every_thread_at_work(monkeypatch):
    monkeypatch.setattr(parallel, "WINDOW_BYTES", 1)
    together = threading.Barrier(3, timeout=20)
    tasks = list(range(9))
    made = parallel.in_order(
        lambda t, stop: (together.wait(), t)[1],
        tasks,
        cost=lambda t: 1,
        size=lambda t: 99,
        threads=3,
    )
    assert list(made) == tasks
