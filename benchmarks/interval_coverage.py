"""How often nominal 95 % intervals hold the truth, on made tables whose truth is known.

    python benchmarks/interval_coverage.py              print the table of docs/coverage.md
    python benchmarks/interval_coverage.py --tables 200 a quick look

Eight sizes, snapshots every 10 epochs of 500. A run's size at epoch t is N^D(t), times a lognormal
factor of the run (sigma 0.3), times lognormal noise of each snapshot (sigma 0.3), all of mean 1:
E[size] = N^D(t) exactly. Grokking epochs are uniform in 60..140.

exponent    D(t) = 1.1: the aggregate exponent, three kinds of interval.
difference  D = 0.95 before each run's own grokking epoch, 1.15 from it: post - pre.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from grokcrit.questions.family import phases
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble

SIZES = np.array([81, 121, 201, 301, 401, 801, 1201, 2001])
EPOCHS = np.arange(0, 501, 10)
SEEDS = (3, 6, 12, 30)
SIGMA_RUN, SIGMA_SNAPSHOT = 0.3, 0.3
RESAMPLES = 1000


def made(seeds: int, exponent: Callable[[Any, Any], Any], rng: np.random.Generator) -> Ensemble:
    """Make the avalanches of one table; ``exponent(epoch, grok)`` is D(t)."""
    runs = len(SIZES) * seeds
    size_of, run = np.repeat(np.arange(len(SIZES)), seeds), np.repeat(np.arange(runs), len(EPOCHS))
    epoch, grok = np.tile(EPOCHS, runs), rng.integers(60, 141, runs).astype(float)
    factor = rng.lognormal(-(SIGMA_RUN**2) / 2, SIGMA_RUN, runs)[run]
    noise = rng.lognormal(-(SIGMA_SNAPSHOT**2) / 2, SIGMA_SNAPSHOT, len(run))
    size = SIZES[size_of][run] ** exponent(epoch, grok[run]) * factor * noise
    return ensemble(seeds, grok, size)


def ensemble(seeds: int, grok: np.ndarray, size: np.ndarray, case: str = "") -> Ensemble:
    """Return the runs of one case, given the size at every epoch of every run in one array."""
    runs = len(SIZES) * seeds
    return Ensemble(
        case={"case": case},
        sizes=SIZES,
        size_of=np.repeat(np.arange(len(SIZES)), seeds),
        seed=np.tile(np.arange(seeds), len(SIZES)),
        grok=grok,
        run=np.repeat(np.arange(runs), len(EPOCHS)),
        epoch=np.tile(EPOCHS, runs),
        truncated=np.zeros(len(size), bool),
        table=pa.table({"size": size}),
    )


def held(low: float, high: float, truth: float) -> float:
    """1 where the truth is held, 0 where it is not, NaN where there is no interval."""
    return math.nan if math.isnan(low) or math.isnan(high) else float(low <= truth <= high)


def of_phases(seeds: int, number: int) -> dict[str, float]:
    """Try the intervals of an exponent and of a difference."""
    rng = np.random.default_rng([seeds, number])
    found = {}
    for name, exponent, place, truth in (
        ("exponent", lambda t, g: 1.1 + 0 * t, 0, 1.1),
        ("difference", lambda t, g: np.where(t < g, 0.95, 1.15), 3, 0.2),
    ):
        ensemble = made(seeds, exponent, rng)
        draws = resampling.draw_runs(ensemble, RESAMPLES, number)
        estimate = phases([ensemble], "size", "mean", draws)[place : place + 1]
        tails, wanted = np.full((2, 1), 0.025), np.ones(1, bool)
        for method, (low, high) in {
            "expanded percentile": estimate.interval(0.95),
            "percentile": resampling.percentiles(estimate.draws, tails[0], 1 - tails[1], wanted),
            "BCa": resampling.bca(estimate, 0.95),
        }.items():
            found[f"{name}, {method}"] = held(low[0], high[0], truth)
    return found


def coverage(
    trial: Callable[[int, int], dict[str, float]], seeds: int, tables: int, workers: int
) -> dict[str, tuple[float, float]]:
    """Share of tables whose interval holds the truth, and its binomial error."""
    with ProcessPoolExecutor(workers) as pool:
        found = list(pool.map(partial(trial, seeds), range(tables), chunksize=20))
    out = {}
    for name in found[0]:
        values = np.array([f[name] for f in found])
        values = values[~np.isnan(values)]
        share = float(values.mean()) if len(values) else math.nan
        out[name] = (share, math.sqrt(share * (1 - share) / max(len(values), 1)))
    return out


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--tables", type=int, default=4000)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    columns = {}
    for seeds in SEEDS:
        columns[seeds] = coverage(of_phases, seeds, chosen.tables, chosen.workers)
    print("| interval | " + " | ".join(f"{s} seeds" for s in SEEDS) + " |")
    print("|---|" + "---|" * len(SEEDS))
    for name in columns[SEEDS[0]]:
        cells = [f"{columns[s][name][0]:.1%} +- {columns[s][name][1]:.1%}" for s in SEEDS]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
