"""What the tests of faults share: a system whose n-th call fails, and commands to try it on."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from grokcrit import files, graphs
from grokcrit.cli.app import invoke
from grokcrit.graph_cache import Recent


@dataclass(frozen=True)
class Command:
    """A command line that makes one output in its working folder, from the outputs of others."""

    arguments: tuple[str, ...]
    output: str
    needs: tuple[str, ...] = ()


# Small, and yet every kind of call is made: runs, snapshots, a null model, a graph that is kept.
COMMANDS = {
    "train": Command(
        ("train", "--hidden", "4,6,8", "--seeds", "1", "--epochs", "20", "--threads", "1"),
        "train.parquet",
    ),
    "avalanche": Command(
        (
            *("avalanche", "train.parquet", "--surrogate", "none,gaussian"),
            *("--topology", "erdos-renyi", "--threads", "1"),
        ),
        "avalanche.parquet",
        needs=("train",),
    ),
}
OLD = b"an older result"


class System:
    """The ``os`` module as ``grokcrit.files`` sees it, one of whose calls goes wrong.

    Parameters
    ----------
    n
        Which call, counted over all kinds of CALLS from 1; 0 for none.
    fault
        Called in its place; raises, or ends the process.
    for_good
        All later calls go wrong too, as on a disk that stays full.
    without
        Names that this system does not have.
    """

    CALLS = ("open", "write", "fsync", "link", "close", "replace")

    def __init__(
        self,
        n: int,
        fault: Callable[[], None],
        *,
        for_good: bool = False,
        without: tuple[str, ...] = (),
    ) -> None:
        self.n, self.fault, self.for_good, self.without = n, fault, for_good, without
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
            self.fault()

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
                return super().write(data)

            def close(self):
                if not self.closed:
                    super().close()
                    system.call("close")

        return io.BufferedRandom(Raw(handle, mode))


def failing(number: int) -> Callable[[], None]:
    """Make a fault: that error of the system."""

    def fault():
        raise OSError(number, os.strerror(number))

    return fault


def nothing() -> None:
    """No fault."""


@contextmanager
def on(system: System, folder: Path):
    """Let grokcrit write through a system, in a folder, with a cache of its own and empty."""
    before = files.os, graphs._recent, os.environ["GROKCRIT_CACHE_DIR"], Path.cwd()
    files.os, graphs._recent = system, Recent(0)
    os.environ["GROKCRIT_CACHE_DIR"] = str(folder / "cache")
    os.chdir(folder)
    try:
        yield
    finally:
        files.os, graphs._recent, os.environ["GROKCRIT_CACHE_DIR"], where = before
        os.chdir(where)


def run(command: Command, folder: Path, system: System | None = None) -> int:
    """Run a command in this process; return its exit code."""
    with on(system or System(0, nothing), folder):
        return invoke([*command.arguments, "--quiet"])


def prepare(command: Command, folder: Path) -> None:
    """Make what a command reads."""
    for name in command.needs:
        prepare(COMMANDS[name], folder)
        assert run(COMMANDS[name], folder) == 0


def columns(path: Path):
    """Read what a table says; its record, which holds times and paths, aside."""
    return pq.read_table(path, page_checksum_verification=True).replace_schema_metadata(None)


def listing(folder: Path) -> list[str]:
    """Name what is in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.name != "cache")


def strays(folder: Path) -> list[str]:
    """Name what is in a folder and below it under a temporary name."""
    return sorted(path.name for path in folder.rglob(".grokcrit-*"))
