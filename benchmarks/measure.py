"""Paired, interleaved rounds, and what every section of the benchmark hands back.

Each round times every way once, so that the ratio of two ways is taken within a round and a slow
spell of the machine hits both. A short call is repeated until it fills 20 ms and its mean counts.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FILL = 0.02
PACKAGES = ("grokcrit", "numpy", "numba", "scipy", "torch", "networkx", "powerlaw", "pyarrow")


@dataclass
class Way:
    """One way to do the work: its name, its call, whether it is called once before the rounds."""

    name: str
    call: Callable[[], Any]
    warm: bool = True
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)
    result: Any = None

    def time(self) -> float:
        """Return the seconds of a call, and keep what the last returned."""
        start = time.perf_counter()
        for _ in range(self.repeats):
            self.result = self.call()
        return (time.perf_counter() - start) / self.repeats


@dataclass
class Section:
    """The rows of the table, what else to say about them, and where answers disagree."""

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def check(self, agree: bool, text: str) -> None:
        """Say how answers compare; it is wrong where they do not agree."""
        (self.notes if agree else self.wrong).append(text)


def measure(ways: list[Way], rounds: int) -> dict[str, Way]:
    """Warm up, then time every way once a round, in turning order."""
    for way in ways:
        if way.warm:
            way.time()  # compiles, allocates, fills caches
            way.repeats = max(1, math.ceil(FILL / max(way.time(), 1e-9)))
    for k in range(rounds):
        turn = k % len(ways)
        for way in ways[turn:] + ways[:turn]:
            gc.collect()
            way.seconds.append(way.time())
    return {way.name: way for way in ways}


def paired(way: Way, other: Way) -> float:
    """Return the median over the rounds of this way's time over the other's."""
    return statistics.median(a / b for a, b in zip(way.seconds, other.seconds, strict=True))


def row(
    section: str,
    n: int,
    way: Way,
    ours: Way,
    *,
    answer: float | None = None,
    bound: Way | None = None,
    work: float | None = None,
    unit: str | None = None,
) -> dict[str, Any]:
    """Make a row; ``work`` is how many of ``unit`` a call does, where it can be counted."""
    return {
        "section": section,
        "n": n,
        "way": way.name,
        "seconds_median": statistics.median(way.seconds),
        "seconds_min": min(way.seconds),
        "seconds_max": max(way.seconds),
        "ratio": paired(way, ours),
        "fraction_of_bound": None if bound is None else paired(bound, way),
        "answer": answer,
        "work": work,
        "unit": unit,
        "rounds": len(way.seconds),
        "machine": machine(),
        "versions": versions(),
    }


@cache
def machine() -> str:
    """Name the processor, its cores and its last cache, as Linux tells them."""
    found = {}
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    caches = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    last = (caches[-1] / "size").read_text().strip() if caches else "unknown"
    model = found.get("model name", platform.processor() or platform.machine())
    return f"{model}, {platform.machine()}, {found.get('siblings', '?')} cores, last cache {last}"


@cache
def versions() -> str:
    """Return the versions of Python and of what is compared, JSON."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return json.dumps(found)


@cache
def torch_or_none() -> Any:
    """Import torch, on one thread and in double precision, where it is installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    return torch
