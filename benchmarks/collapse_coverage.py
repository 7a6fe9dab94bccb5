"""How often the interval of the collapse exponent covers, on tables whose D is known.

    python benchmarks/collapse_coverage.py [--tables 1000] [--seeds 3,6,12,30] [--exponent 1.1]

A table has the default sizes N and about 40 snapshots a run: size = round(N^D R E), R lognormal,
one for each run, and E = exp(0.3 t), t Student's with 5 degrees of freedom, one for each snapshot,
so that avalanches of a run are not independent and their tail is heavy. Errors are binomial.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.collapse import Collapse, collapse
from grokcrit.scaling.ensembles import Ensemble, Reals

SIZES = (81, 121, 201, 301, 401, 801, 1201, 2001)


@dataclass(frozen=True)
class World:
    """Where the synthetic avalanches come from.

    ``run_spread`` is the standard deviation of ln R at the smallest and the largest N, linear in
    ln N between them; ``noise`` likewise the factor of t, so that unlike ends make curves that
    collapse for no D: symmetry alone keeps the best one where it was.
    """

    exponent: float = 1.1
    prefactor: float = 1.0
    run_spread: tuple[float, float] = (0.1, 0.1)
    noise: tuple[float, float] = (0.3, 0.3)
    snapshots: int = 40


def ensemble(world: World, seeds: int, rng: np.random.Generator) -> tuple[Ensemble, Reals]:
    """Draw one table: its runs, and the size of every avalanche."""
    sizes = np.array(SIZES)
    size_of = np.repeat(np.arange(len(sizes)), seeds)
    snapshots = rng.integers(world.snapshots - 5, world.snapshots + 6, size=len(size_of))
    run = np.repeat(np.arange(len(size_of)), snapshots)
    log_n = np.log(sizes)
    spread = np.interp(log_n, log_n[[0, -1]], world.run_spread)
    of_run = spread[size_of] * rng.standard_normal(len(size_of))
    scale = np.interp(log_n, log_n[[0, -1]], world.noise)
    noise = scale[size_of[run]] * rng.standard_t(5, size=len(run))
    log_size = np.log(world.prefactor) + (world.exponent * log_n[size_of] + of_run)[run] + noise
    made = Ensemble(
        case={},
        sizes=sizes,
        size_of=size_of,
        seed=np.tile(np.arange(seeds), len(sizes)),
        grok=np.full(len(size_of), np.nan),
        run=run,
        epoch=np.concatenate([np.arange(m) for m in snapshots]),
        truncated=np.zeros(len(run), bool),
        table=pa.table({}),
    )
    return made, np.rint(np.exp(log_size))


def collapses(
    world: World,
    seeds: int,
    tables: int,
    *,
    free: bool = False,
    resamples: int = 1000,
    root_seed: int = 0,
) -> list[Collapse]:
    """Collapse many tables, each with its own draws and a nominal 95 % interval."""
    rng = np.random.default_rng([root_seed, seeds])
    found = []
    for table in range(tables):
        made, values = ensemble(world, seeds, rng)
        draws = resampling.draw_runs(made, resamples, table)
        bins = windows(made, "aggregate")
        found.append(collapse(made, values, bins, draws, 0.95, free=free))
    return found


def covered(found: list[Collapse], exponent: float) -> float:
    """Return the share of intervals that hold D; one that is missing holds nothing."""
    ends = [(c.exponent.ci_low, c.exponent.ci_high) for c in found if c.exponent]
    held = sum(
        low is not None and high is not None and low <= exponent <= high for low, high in ends
    )
    return held / len(found)


def rejected(found: list[Collapse]) -> float:
    """Return the share of goodness-of-fit p below 0.05."""
    return float(np.mean([c.p is not None and c.p < 0.05 for c in found]))


def main() -> None:
    """Print a row for each number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--seeds", default="3,6,12,30")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--exponent", type=float, default=1.1)
    parser.add_argument("--prefactor", type=float, default=1.0)
    parser.add_argument("--run-spread", default="0.1,0.1", help="at the smallest and largest N")
    parser.add_argument("--noise", default="0.3,0.3", help="at the smallest and largest N")
    given = parser.parse_args()
    ends = [tuple(map(float, each.split(","))) for each in (given.run_spread, given.noise)]
    world = World(given.exponent, given.prefactor, *ends)
    print(f"{world}, {given.tables} tables a row, {given.resamples} resamples, nominal 95 %")
    print(" seeds  fitted      coverage        bias      s.d.  median S  rejected")
    for seeds in map(int, given.seeds.split(",")):
        for free in (False, True):
            start = time.perf_counter()
            found = collapses(world, seeds, given.tables, free=free, resamples=given.resamples)
            known = np.array([c.exponent.value for c in found if c.exponent])
            share = covered(found, world.exponent)
            print(
                f"{seeds:6d}  {'D and beta' if free else 'D alone':10s}  {share:.3f}"
                f" +- {np.sqrt(share * (1 - share) / len(found)):.3f}"
                f"  {known.mean() - world.exponent:+.5f}  {known.std():.5f}"
                f"  {np.median([c.quality for c in found]):8.2f}  {rejected(found):8.3f}"
                f"   ({len(found) - len(known)} without, {time.perf_counter() - start:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
