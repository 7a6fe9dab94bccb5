"""How often nominal 95 % intervals over runs and graphs hold the truth, on made tables.

    python benchmarks/graph_coverage.py                 print the table of docs/coverage.md
    python benchmarks/graph_coverage.py --tables 400    a quick look

Eight sizes, 6 runs and 8 graphs at each. The size of run i on graph j is N^1.1 times lognormal
factors of the run, of the graph and of the pair, with the sigmas of a row: its mean over runs and
graphs is N^1.1 times a constant, so the exponent is 1.1 exactly, and the difference of one graph
to the others 0.

runs and graphs  the interval of `bootstrap` with several graph seeds
runs alone       what it would be if the graphs were averaged and taken as fixed
one graph        training graph minus the others
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa

from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble
from grokcrit.scaling.reductions import mean_known

SIZES = np.array([81, 121, 201, 301, 401, 801, 1201, 2001])
RUNS, GRAPHS, EXPONENT = 6, 8, 1.1
SIGMAS = (
    (0.3, 0.03, 0.03),
    (0.3, 0.3, 0.1),
    (0.1, 0.3, 0.1),
    (0.3, 0.1, 0.1),
    (0.3, 0.3, 0.3),
    (0.1, 0.1, 0.3),
    (0.0, 0.0, 0.3),
)
RESAMPLES, TOGETHER = 1000, 20
METHODS = ("runs and graphs", "runs alone", "one graph")


def cells(graphs: int) -> Ensemble:
    """Return an ensemble of runs crossed with graphs, without avalanches."""
    count = len(SIZES) * graphs * RUNS
    return Ensemble(
        case={},
        sizes=SIZES,
        size_of=np.repeat(np.arange(len(SIZES)), graphs * RUNS),
        seed=np.tile(np.arange(RUNS), len(SIZES) * graphs),
        grok=np.full(count, np.nan),
        run=np.empty(0, np.int64),
        epoch=np.empty(0, np.int64),
        truncated=np.empty(0, bool),
        table=pa.table({}),
        graphs=tuple(range(graphs)) if graphs > 1 else (),
    )


def made(sigmas: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Return the sizes of TOGETHER tables, (K, GRAPHS, RUNS, TOGETHER)."""
    sigma_run, sigma_graph, sigma_pair = sigmas
    k = len(SIZES)
    logs = EXPONENT * np.log(SIZES)[:, None, None, None]
    logs = logs + sigma_run * rng.normal(size=(k, 1, RUNS, TOGETHER))
    logs = logs + sigma_graph * rng.normal(size=(k, GRAPHS, 1, TOGETHER))
    return np.exp(logs + sigma_pair * rng.normal(size=(k, GRAPHS, RUNS, TOGETHER)))


def trial(sigmas: tuple[float, float, float], number: int) -> np.ndarray:
    """Return how many of TOGETHER intervals hold the truth, by METHODS."""
    rng = np.random.default_rng([round(1000 * s) for s in sigmas] + [number])
    sizes = made(sigmas, rng)
    found, both, alone = [], cells(GRAPHS), cells(1)
    for ensemble, values in ((both, sizes), (alone, mean_known(sizes, axis=1))):
        by_run = values.reshape(-1, TOGETHER)
        draws = resampling.draw_runs(ensemble, RESAMPLES, number)
        low, high = resampling.exponents(ensemble, by_run, "mean", draws).interval(0.95)
        found.append(((low <= EXPONENT) & (high >= EXPONENT)).sum())
    one = resampling.trained_graph(both, sizes.reshape(-1, TOGETHER), "mean", 0)
    low, high = one.student(0.95)
    return np.array([*found, ((low <= 0) & (high >= 0)).sum()])


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--tables", type=int, default=4000)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    names = ("of a run", "of a graph", "of a pair", *METHODS)
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    trials = -(-chosen.tables // TOGETHER)
    with ProcessPoolExecutor(chosen.workers) as pool:
        for sigmas in SIGMAS:
            hits = sum(pool.map(partial(trial, sigmas), range(trials), chunksize=5))
            shares = hits / (trials * TOGETHER)
            errors = (math.sqrt(p * (1 - p) / (trials * TOGETHER)) for p in shares)
            held = [f"{p:.1%} +- {e:.1%}" for p, e in zip(shares, errors, strict=True)]
            print(f"| {' | '.join([*(f'{s:g}' for s in sigmas), *held])} |", flush=True)


if __name__ == "__main__":
    main()
