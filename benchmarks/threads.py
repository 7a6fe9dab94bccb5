"""The avalanche stage on one and on two threads: snapshots a second, from tables in memory.

In the same rounds one and two threads do plain arithmetic that touches no memory: where a second
core is free, two take half the time of one, and no stage can do better than that.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
from measure import Section, Way, measure, paired, row

import grokcrit
from grokcrit.kernels.accelerate import jit

WIDE = {"hidden": (25000, 25001, 25002, 25003), "seeds": 8, "epochs": 20, "snapshot_every": 2}
STEPS = 20_000_000
ONE, TWO = "bound: arithmetic, 1 thread", "bound: arithmetic, 2 threads"


@jit
def arithmetic(steps: int) -> float:
    """Multiply and add, each step from the last."""
    value = 1.0
    for _ in range(steps):
        value = value * 0.999 + 1.0
    return value


def spread_over(threads: int) -> float:
    """Do the same arithmetic twice, on so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(arithmetic, [STEPS, STEPS]))


def add_table(section: Section, train: pa.Table, rounds: int) -> None:
    """Time one train table."""
    n = pc.max(train["n_params"]).as_py()
    timed = measure(
        [
            Way("1 thread", lambda: grokcrit.avalanche(train, surrogate="none", threads=1)),
            Way("2 threads", lambda: grokcrit.avalanche(train, surrogate="none", threads=2)),
            Way(ONE, lambda: spread_over(1)),
            Way(TWO, lambda: spread_over(2)),
        ],
        rounds,
    )
    one, two, bound = timed["1 thread"], timed["2 threads"], timed[ONE]
    same = one.result.equals(two.result)
    section.check(same, f"N up to {n}: tables of 1 and 2 threads {'equal' if same else 'differ'}")
    section.notes.append(
        f"N up to {n}: 2 threads are {1 / paired(two, one):.2f} times as fast as 1, "
        f"of plain arithmetic {1 / paired(timed[TWO], bound):.2f} times"
    )
    for way in (one, two):
        size = pc.sum(way.result["size"]).as_py()
        work = {"work": way.result.num_rows, "unit": "snapshots"}
        section.rows.append(row(section.name, n, way, one, answer=size, **work))
    section.rows += [row(section.name, n, timed[name], bound) for name in (ONE, TWO)]


def run(rounds: int) -> Section:
    """Time the default XOR table and one of networks that do not fit the near caches."""
    section = Section("threads")
    add_table(section, grokcrit.train(), rounds)
    add_table(section, grokcrit.train(**WIDE), rounds)
    return section
