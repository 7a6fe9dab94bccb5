"""How often nominal 95 % intervals of tau hold the known value, on made tables.

    python benchmarks/tail_coverage.py              print the table of docs/method.md
    python benchmarks/tail_coverage.py --tables 40  a quick look

Avalanches of Reed-Frost epidemics and of critical trees are independent, so a table is drawn from
a large pool of each size. `before` is the pure power law on the widest range that is not rejected,
from 1 on, as tau was taken once; `now` is `grokcrit.scaling.plateau`. A share is of the intervals
that are given; "-" where less than a tenth of the tables have one.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from grokcrit.scaling import plateau, tails
from grokcrit.scaling.ensembles import Ints, Reals
from grokcrit.scaling.resampling import Estimate
from grokcrit.systems import SYSTEMS, system_options
from grokcrit.systems.runs import runs

TRUTH = {"reed-frost": 3 / 2, "branching": 3 / 2, "oslo": 14 / 9, "manna": 1.273}
DESIGNS = ((6, 1000), (10, 5000), (20, 10_000))
# The distance that the pure power law was allowed.
ALLOWED = 0.926
Pool = dict[int, tuple[Reals, Reals]]


def pool_of(system: str, avalanches: int, sizes: tuple[int, ...]) -> Pool:
    """Make many avalanches of every size: values, and the share of each."""
    options = system_options(system, size=sizes, seeds=4, avalanches=avalanches // 4, seed=1)
    made: dict[int, list[Ints]] = {}
    for run in runs(options):
        made.setdefault(run.run.size, []).append(run.series.size)
    pool = {}
    for size, parts in made.items():
        joint = np.concatenate(parts)
        values, counts = np.unique(joint[joint > 0], return_counts=True)
        pool[size] = values.astype(np.float64), counts / counts.sum()
    return pool


def pure(values: Reals, counts: Ints, drawn: Ints) -> tuple[float, Reals]:
    """Return tau of the widest range as a pure power law has it, and its draws."""

    def of(count: Ints) -> float:
        found = tails.widest(plateau.observed_pairs(values, count), None, ALLOWED)
        return np.nan if found is None else found.exponent

    return of(counts.sum(axis=0)), np.array([of(counts[picks].sum(axis=0)) for picks in drawn])


def table(
    pool: Pool, design: tuple[int, int], resamples: int, before: bool, number: int
) -> dict[tuple[str, int | str], tuple[float, float, float]]:
    """Make one table; return value, low and high of every way and size."""
    seeds, avalanches = design
    rng = np.random.default_rng([number, *design])
    found, sizes = {}, []
    size_of = np.repeat(np.arange(len(pool)), seeds)

    def said(estimate: Estimate | None) -> tuple[float, float, float]:
        if estimate is None:
            return np.nan, np.nan, np.nan
        low, high = estimate.interval(0.95)
        return float(estimate.value[0]), float(low[0]), float(high[0])

    for k, (size, (values, share)) in enumerate(pool.items()):
        counts = rng.multinomial(avalanches, share, size=seeds)
        seen = counts.any(axis=0)
        values, counts = values[seen], counts[:, seen]
        drawn = rng.integers(seeds, size=(resamples, seeds))
        runs_of = np.flatnonzero(size_of == k)
        sizes.append(plateau.of_size(values, counts, runs_of, drawn))
        found["now", size] = said(plateau.joint(sizes[-1:], size_of) if sizes[-1].sure else None)
        if before:
            value, draws = pure(values, counts, drawn)
            shares = np.full((len(size_of), 1), np.nan)
            shares[runs_of] = rng.normal(size=(seeds, 1))  # the widening knows their number alone
            found["before", size] = said(
                Estimate(np.array([value]), draws[:, None], shares, size_of)
            )
    found["now", "all"] = said(plateau.joint([size for size in sizes if size.sure], size_of))
    return found


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--systems", default="reed-frost,branching")
    options.add_argument("--tables", type=int, default=400)
    options.add_argument("--resamples", type=int, default=200)
    options.add_argument("--pool", type=int, default=10_000_000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--no-before", action="store_true")
    given = options.parse_args()
    print("system, runs x avalanches, size: way, mean tau, interval given, holds, median width")
    for system in given.systems.split(","):
        usual = SYSTEMS[system]().size
        pool = pool_of(system, given.pool, usual)
        for design in DESIGNS:
            once = partial(table, pool, design, given.resamples, not given.no_before)
            with ProcessPoolExecutor(given.workers) as workers:
                made = list(workers.map(once, range(given.tables), chunksize=5))
            for key in made[0]:
                value, low, high = np.array([each[key] for each in made]).T
                there = ~np.isnan(low)
                held = (low <= TRUTH[system]) & (TRUTH[system] <= high)
                numbers, mean = "-", np.nanmean(value) if there.any() else np.nan
                if there.mean() >= 0.1:
                    width = np.median((high - low)[there])
                    numbers = f"{held[there].mean():.1%} {width:.3f}"
                print(
                    f"{system:10s} {design[0]} x {design[1]:<6d} {key[1]!s:>6s} {key[0]:6s} "
                    f"{mean:.3f} {there.mean():.0%} {numbers}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
