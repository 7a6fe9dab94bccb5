"""One cascade of a very large gradient from disk: seconds of each part, and the memory it takes.

    python benchmarks/large.py affine 1000000000
    python benchmarks/large.py ba 100000000 --degree 6 [--folder /scratch] [--cache]

The gradient, float32 standard normals, is written to a .npy file chunk by chunk, and taken from
there where it lies already. RssAnon is what the process allocated; VmHWM counts the pages of the
mapped file too, which the system may take back.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import grokcrit

CHUNK = 2**24
TOPOLOGIES = ("ba", "ring", "lattice", "small-world", "erdos-renyi", "random-regular", "affine")


def status(field: str) -> int:
    """Return a field of this process's status, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {field}: this needs Linux")


class Peak:
    """The largest RssAnon while the block runs, looked at every 10 ms from a thread."""

    def __enter__(self) -> Peak:
        self.bytes = status("RssAnon")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.bytes = max(self.bytes, status("RssAnon"))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.bytes = max(self.bytes, status("RssAnon"))


def write_gradient(path: Path, n: int) -> None:
    """Write n normals, chunk by chunk; a file that holds something else is written anew."""
    if path.exists():
        found = np.load(path, mmap_mode="r")
        if found.shape == (n,) and found.dtype == np.float32:
            return
    rng = np.random.default_rng(0)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n,)}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, n, CHUNK):
            rng.standard_normal(min(CHUNK, n - first), np.float32).tofile(file)
    unfinished.replace(path)


def timed(name: str, call: Callable[[], Any]) -> Any:
    """Call, and print the seconds and the largest RssAnon."""
    with Peak() as peak:
        start = time.perf_counter()
        result = call()
        spent = time.perf_counter() - start
    print(f"{name:10s} {spent:9.2f} s   RssAnon up to {peak.bytes / 2**30:6.2f} GiB", flush=True)
    return result


def measure(given: argparse.Namespace, folder: Path) -> None:
    """Make the gradient and the graph, run the cascade, print what they took."""
    n, path = given.n, folder / f"gradient-{given.n}.npy"
    small = grokcrit.graph(given.topology, 2001, degree=given.degree, seed=0)
    grokcrit.cascade(np.ones(2001, np.float32), small)  # compiles
    print(f"{given.topology}, degree {given.degree}, N = {n:,}, float32 from {path}")
    timed("gradient", lambda: write_gradient(path, n))
    graph = timed(
        "graph",
        lambda: grokcrit.graph(given.topology, n, degree=given.degree, seed=0, cache=given.cache),
    )
    result = timed("cascade", lambda: grokcrit.cascade(path, graph))
    print(
        f"size / N = {result.size / n:.6f}, steps {result.duration}, "
        f"truncated {result.truncated}, VmHWM {status('VmHWM') / 2**30:.2f} GiB"
    )


def main() -> None:
    """Read the command line and measure, in a folder that is kept or in one that is not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topology", choices=TOPOLOGIES)
    parser.add_argument("n", type=int)
    parser.add_argument("--degree", type=int, default=6)
    parser.add_argument("--folder", type=Path, help="where the gradient is kept; else temporary")
    parser.add_argument("--cache", action="store_true", help="take the graph from grokcrit's cache")
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        measure(given, given.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(given, Path(folder))


if __name__ == "__main__":
    main()
