"""A program that runs one command many times, each in a fork of its own that comes to grief.

``python -m tests.faults.forks COMMAND FOLDER PLAN [key=value...]``: what is compiled is compiled
once, so that a process that is killed costs no more than the command itself.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.system import COMMANDS, OLD, System, nothing, prepare, run


def end(number: int) -> Callable[[System], None]:
    """Make a fault: a signal to this process, which says first which calls it has made."""

    def fault(system: System) -> None:
        print(" ".join(system.made), flush=True)
        os.kill(os.getpid(), number)

    return fault


def every_call(number: int, without: tuple[str, ...]) -> Iterator[Callable[[], System]]:
    """Plan: the signal arrives at the n-th call, for n = 1, 2, ..."""
    for n in itertools.count(1):
        yield lambda n=n: System(n, end(number), without=without)


def limits(sizes: list[int], without: tuple[str, ...]) -> Iterator[Callable[[], System]]:
    """Plan: no file may be longer than that, for each size."""

    def limited(size: int) -> System:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return System(0, nothing, without=without)

    for size in sizes:
        yield lambda size=size: limited(size)


def main(name: str, folder: Path, plan: str, **options: str) -> list[dict[str, object]]:
    """Run a plan: ``signal`` (signal=) or ``limit`` (sizes=a,b,c); without= what is not there."""
    command = COMMANDS[name]
    warm = folder / "warm"
    warm.mkdir(parents=True)
    prepare(command, warm)
    run(command, warm)
    shutil.rmtree(warm / "cache")
    without = tuple(filter(None, options.get("without", "").split(",")))
    systems = (
        every_call(int(options["signal"]), without)
        if plan == "signal"
        else limits([int(size) for size in options["sizes"].split(",")], without)
    )
    results: list[dict[str, object]] = []
    for k, system in enumerate(systems):
        place = folder / str(k)
        shutil.copytree(warm, place)
        (place / command.output).unlink()
        if k % 2:
            (place / command.output).write_bytes(OLD)
        reading, writing = os.pipe()  # no file: its length may be limited
        child = os.fork()
        if child == 0:
            sys.stdout = sys.stderr = os.fdopen(writing, "w")
            code = run(command, place, system())
            sys.stdout.flush()
            os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as told:
            said = told.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        results.append({"folder": str(place), "status": status, "said": said})
        if plan == "signal" and status == 0:
            break
    return results


if __name__ == "__main__":
    named = dict(each.split("=", 1) for each in sys.argv[4:])
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], **named)))
