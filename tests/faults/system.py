"""What the tests of faults share: a system whose n-th call fails, and commands to try it on."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import typer.main

from grokcrit.cascades import graphs
from grokcrit.cascades.graph_cache import Recent
from grokcrit.cli import app as cli
from grokcrit.tables import files
from tests.shell import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Command:
    """A command line that makes one output in its working folder, from the outputs of others."""

    arguments: tuple[str, ...]
    output: str
    needs: tuple[str, ...] = ()
    # What makes it longer, so that it is killed while it writes and not only while it starts.
    longer: tuple[str, ...] = ()

    def lengthened(self) -> Command:
        """Return the longer one."""
        return replace(self, arguments=self.arguments + self.longer, longer=())


# Small, and yet every kind of call is made: runs, snapshots, a null model, a graph that is kept.
COMMANDS = {
    "train": Command(
        ("train", "--hidden", "4,6,8", "--seeds", "1", "--epochs", "20", "--threads", "1"),
        "train.parquet",
        longer=("--hidden", "60", "--epochs", "2000", "--snapshot-every", "1"),
    ),
    "avalanche": Command(
        (
            *("avalanche", "train.parquet", "--surrogate", "none,gaussian"),
            *("--topology", "erdos-renyi", "--threads", "1"),
        ),
        "avalanche.parquet",
        needs=("train",),
    ),
    "simulate": Command(
        (
            *("simulate", "manna", "--size", "4,8,12", "--seeds", "1", "--avalanches", "200"),
            *("--threads", "1"),
        ),
        "avalanche.parquet",
        longer=("--avalanches", "200000"),
    ),
}
OLD = b"an older result"
# Typer makes the command line anew at every call, which takes as long as the command itself.
MADE = typer.main.get_command(cli.app)


class System:
    """The ``os`` module as ``grokcrit.tables.files`` sees it, one of whose calls goes wrong.

    Parameters
    ----------
    n
        Which call, counted over all kinds of CALLS from 1; 0 for none.
    fault
        Called in its place with this system; raises, or ends the process.
    for_good
        All later calls go wrong too, as on a disk that stays full.
    without
        Names that this system does not have.
    room
        Bytes that can be written before the disk is full; None for no limit.
    """

    CALLS = ("open", "write", "fsync", "link", "close", "replace")

    def __init__(
        self,
        n: int,
        fault: Callable[[System], None],
        *,
        for_good: bool = False,
        without: tuple[str, ...] = (),
        room: int | None = None,
    ) -> None:
        self.n, self.fault, self.for_good, self.without = n, fault, for_good, without
        self.room = room
        self.made: list[str] = []
        self.moved: list[str] = []

    @property
    def failed(self) -> list[str]:
        """Names of the calls that went wrong."""
        last = None if self.for_good else self.n
        return self.made[self.n - 1 : last] if self.n else []

    def call(self, name: str) -> None:
        """Count a call; be at fault where it is its turn."""
        self.made.append(name)
        if self.n and (len(self.made) >= self.n if self.for_good else len(self.made) == self.n):
            self.fault(self)

    def __getattr__(self, name: str) -> object:
        if name in self.without:
            raise AttributeError(name)
        real = getattr(os, name)
        if name not in self.CALLS:
            return real

        def counted(*arguments, **options):
            if name == "close":
                real(*arguments, **options)  # closed even where it says that it failed
            self.call(name)
            answer = None if name == "close" else real(*arguments, **options)
            if name == "replace":
                self.moved.append(arguments[1])
            return answer

        return counted

    def fdopen(self, handle: int, mode: str) -> io.BufferedRandom:
        """Open a descriptor, as os.fdopen does, with a raw file that goes wrong."""
        system = self

        class Raw(io.FileIO):
            def write(self, data):
                before = len(system.made) + 1
                if before == system.n:
                    super().write(memoryview(data)[: len(data) // 2])  # a disk that fills up
                system.call("write")
                if system.room is not None:
                    data = memoryview(data)
                    if len(data) > system.room:
                        super().write(data[: system.room])
                        system.room = 0
                        failing(errno.ENOSPC)(system)
                    system.room -= len(data)
                return super().write(data)

            def close(self):
                if not self.closed:
                    super().close()
                    system.call("close")

        return io.BufferedRandom(Raw(handle, mode))


def failing(number: int) -> Callable[[System], None]:
    """Make a fault: that error of the system."""

    def fault(_):
        raise OSError(number, os.strerror(number))

    return fault


def nothing(_: System) -> None:
    """No fault."""


@contextmanager
def on(system: System, folder: Path):
    """Let grokcrit write through a system, in a folder, with a cache of its own and empty."""
    before = files.os, graphs._recent, cli.app, os.environ["GROKCRIT_CACHE_DIR"], Path.cwd()
    files.os, graphs._recent, cli.app = system, Recent(0), MADE
    os.environ["GROKCRIT_CACHE_DIR"] = str(folder / "cache")
    os.chdir(folder)
    try:
        yield
    finally:
        files.os, graphs._recent, cli.app, os.environ["GROKCRIT_CACHE_DIR"], where = before
        os.chdir(where)


def run(command: Command, folder: Path, system: System | None = None) -> int:
    """Run a command in this process; return its exit code."""
    with on(system or System(0, nothing), folder):
        return cli.invoke([*command.arguments, "--quiet"])


def prepare(command: Command, folder: Path, *, longer: bool = False) -> None:
    """Make what a command reads."""
    for need in map(COMMANDS.__getitem__, command.needs):
        prepare(need, folder, longer=longer)
        assert run(need.lengthened() if longer else need, folder) == 0


def columns(path: Path) -> pa.Table:
    """Read what a table says; its record, which holds times and paths, aside."""
    return pq.read_table(path, page_checksum_verification=True).replace_schema_metadata(None)


def in_forks(name: str, folder: Path, plan: str, **options: object) -> list[dict]:
    """Run a command once for each fault of a plan of ``tests.faults.forks``, a process each.

    Returns
    -------
    list of dict
        For each: its ``folder``, ``status`` (minus the signal that ended it) and what it ``said``.
    """
    arguments = [name, folder, plan, *(f"{key}={value}" for key, value in options.items())]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.forks", *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout)


def listing(folder: Path) -> list[str]:
    """Name what is in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.name != "cache")


def strays(folder: Path) -> list[Path]:
    """Find what is in a folder and below it under a temporary name."""
    return sorted(folder.rglob(".grokcrit-*"))


def check(folder: Path, command: Command, before: bytes | None, wanted: pa.Table) -> bool:
    """The output is as it was or whole, nothing else is there, a rerun completes; is it whole?"""
    out = folder / command.output
    there = out.read_bytes() if out.exists() else None
    new = there != before
    if new:
        assert columns(out).equals(wanted)
    assert {*listing(folder)} - {out.name} == {COMMANDS[need].output for need in command.needs}
    assert run(command, folder) == 0
    assert columns(out).equals(wanted)
    return new
