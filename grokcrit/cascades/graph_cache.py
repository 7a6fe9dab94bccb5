"""Graphs that were made once: in the memory of a process, and on disk between commands."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from grokcrit.base.errors import TableError
from grokcrit.tables.files import remove_stale, replacing

Rows: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[Any]]
T = TypeVar("T")

# A file is an .npz of indptr, indices and its name: one under another's name is no better than a
# damaged one. (No .npz by name: others' files in the folder stay out of it.)
ENDING = ".graph"
# Names of our own files: no other is ever removed, wherever the user puts the folder.
WHOLE = re.compile(r"[a-z-]+(-\d+){3}(-igraph[\w.]+)?\.graph")
# Bytes that the folder may hold: two graphs of 1e8 nodes, or 160,000 of 2,001.
DISK_LIMIT = 8 * 2**30
# Bytes of graphs that a process keeps besides the one used last.
MEMORY_LIMIT = 2**30


class Recent(Generic[T]):
    """The values made last, up to a number of bytes; each thing is made once, whoever asks."""

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self.limit = limit
        self._held: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """Return the thing of that key; ``make`` it, with its bytes, where it is not held."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._held:
                    self._held.move_to_end(key)
                    return self._held[key][0]
            made, size = make()
            with self._lock:
                self._held[key] = made, size
                self._making.pop(key, None)
                while len(self._held) > 1 and sum(s for _, s in self._held.values()) > self.limit:
                    self._held.popitem(last=False)
            return made


def folder() -> Path:
    """Return where graphs are kept: GROKCRIT_CACHE_DIR, or a folder of the user's cache."""
    chosen = os.environ.get("GROKCRIT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "grokcrit"


def load(name: str) -> Rows | None:
    """Return the rows kept under a name; None where there are none, or they are damaged."""
    try:
        path = folder() / (name + ENDING)
        rows = read(path, name) if path.is_file() else None
        if rows is not None:
            os.utime(path)  # used last: the last to be removed
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None
    return rows


def read(path: Path, name: str) -> Rows | None:
    """Read rows; None where they are not what was written under that name."""
    try:
        with path.open("rb") as file, np.load(file) as kept:  # zip checks the CRC-32 of each array
            return (kept["indptr"], kept["indices"]) if kept["name"] == name else None
    except Exception:  # what a damaged file raises varies
        return None


def save(name: str, rows: Rows) -> None:
    """Keep rows under a name, whole or not at all; where that cannot be done, go on without."""
    with suppress(TableError, OSError, RuntimeError):
        kept = folder()
        if sum(part.nbytes for part in rows) > DISK_LIMIT // 2:
            return
        kept.mkdir(parents=True, exist_ok=True)
        # Not synced: what a crash damages is made again.
        with replacing(kept / (name + ENDING), durable=False) as file:
            np.savez(file, indptr=rows[0], indices=rows[1], name=np.array(name))
        tidy(kept)


def tidy(kept: Path) -> None:
    """Remove what was used longest ago until the folder is within its limit, and stale files."""
    remove_stale(kept)
    files = []
    for path in kept.iterdir():
        with suppress(OSError):  # another process may remove it first
            if WHOLE.fullmatch(path.name):
                found = path.stat()
                files.append((found.st_mtime_ns, found.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= DISK_LIMIT:
            break
        path.unlink(missing_ok=True)
        total -= size
