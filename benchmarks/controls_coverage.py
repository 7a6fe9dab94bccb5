"""How often intervals of the effects of controls hold the truth, and which effects are found.

    python benchmarks/controls_coverage.py              print the tables of docs/controls.md
    python benchmarks/controls_coverage.py --tables 200 a quick look

Coverage: eight sizes, snapshots every 10 epochs of 500, made cells of known effect. A run's size
is N^D(t), times a lognormal factor of the run in all cells and one of its own in each (sigma 0.2
both), times noise of each snapshot (sigma 0.3), all of mean 1. D is 1 in every cell, and higher by
0.2 in one of them from its grokking epoch on: the effect of generalising on D after is 0.2, on its
change 0.2, the interaction 0.2, the factor of the densities N^0.2.

Power: the runs of the XOR cells, 12 seeds of each, drawn with replacement into tables of 6, 12 and
30. An effect on D moves an estimate by itself and leaves its error as it is, so that the smallest
effect found in 80 % of tables is a quantile over tables drawn without one.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from interval_coverage import EPOCHS, SIZES, ensemble
from scipy import special

import grokcrit
from grokcrit.questions.contrasts import Measured, in_phases
from grokcrit.questions.design import Contrast, Design, designs
from grokcrit.questions.family import Family, families
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import cases_of

SIGMA_RUN, SIGMA_CELL, SIGMA_SNAPSHOT = 0.2, 0.2, 0.3
EFFECT, RESAMPLES, POWER = 0.2, 1000, 0.8
CELLS = ("a", "b", "c", "d")
PHASES = {"after": 2, "change": 3}


def factor(sigma: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw lognormal factors of mean 1."""
    return rng.lognormal(-(sigma**2) / 2, sigma, count)


def made(seeds: int, rng: np.random.Generator) -> Design:
    """Make four cells of the same runs; D moves in the first alone."""
    runs = len(SIZES) * seeds
    size_of, run = np.repeat(np.arange(len(SIZES)), seeds), np.repeat(np.arange(runs), len(EPOCHS))
    epoch, grok = np.tile(EPOCHS, runs), rng.integers(60, 141, runs).astype(float)
    of_run = factor(SIGMA_RUN, runs, rng)
    cells = {}
    for name in CELLS:
        d = 1 + EFFECT * ((name == "a") & (epoch >= grok[run]))
        scatter = (of_run * factor(SIGMA_CELL, runs, rng))[run]
        size = SIZES[size_of][run] ** d * scatter * factor(SIGMA_SNAPSHOT, len(run), rng)
        cells[name] = Family(ensemble(seeds, grok, size, name), {})
    return Design("a", cells, [Contrast("generalising", ("a", "b"), "")])


def coverage(seeds: int, number: int) -> dict[str, float]:
    """Try the intervals of one table: 1 where the truth is held, 0 where it is not."""
    rng = np.random.default_rng([7, seeds, number])
    design = made(seeds, rng)
    draws = resampling.draw_runs(design.cells["a"].data, RESAMPLES, number)
    found = in_phases(design, "grokking", "size", "mean", draws)
    held = {}
    for name, cells in {"effect": CELLS[:2], "interaction": CELLS, "none": CELLS[2:]}.items():
        low, high = found.exponents(*cells)[1].interval(0.95)
        for phase, place in PHASES.items():
            truth = 0.0 if name == "none" else EFFECT
            held[f"{name}, D, {phase}"] = float(low[place] <= truth <= high[place])
    ratio = found.densities("a", "b")[2 * len(SIZES) : 3 * len(SIZES)]
    low, high = ratio.student(0.95)
    truths = EFFECT * np.log(SIZES)
    held["density after, each size"] = float(np.mean((low <= truths) & (truths <= high)))
    return held


def over_tables(trial: Any, seeds: int, tables: int, workers: int) -> dict[str, np.ndarray]:
    """Return the results of many tables by name."""
    with ProcessPoolExecutor(workers) as pool:
        found = list(pool.map(partial(trial, seeds), range(tables), chunksize=20))
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def xor_cells() -> Measured:
    """Measure the phases of the XOR cells, 12 seeds of each."""
    trained = grokcrit.train(controls=True, seeds=12)
    cascaded = grokcrit.avalanche(trained)
    options = {name: {"target": name} for name in set(cascaded["case"].to_pylist())}
    (design,) = designs(families(cases_of(cascaded, options)))
    draws = resampling.draw_runs(design.cells["xor"].data, 1, 0)
    return in_phases(design, "grokking", "size", "mean", draws)


def redrawn(found: Measured, seeds: int, cells: Sequence[str], lines: bool, rng: Any) -> Measured:
    """Draw runs, the same of each cell; ``lines``: with every size's mean put on a line."""
    any_cell = found.cells[cells[0]]
    picks = np.concatenate(
        [rng.choice(np.flatnonzero(any_cell.size_of == k), seeds) for k in range(len(SIZES))]
    )
    size_of = np.repeat(np.arange(len(SIZES)), seeds)
    values, ensembles = {}, {}
    for name in cells:
        by_run = found.values[name]
        if lines:
            mean = np.array([by_run[any_cell.size_of == k].mean(axis=0) for k in range(len(SIZES))])
            by_run = by_run / mean[any_cell.size_of] * SIZES[any_cell.size_of][:, None]
        values[name] = by_run[picks]
        ensembles[name] = replace(
            any_cell, size_of=size_of, seed=np.tile(np.arange(seeds), len(SIZES))
        )
    draws = resampling.draw_runs(ensembles[cells[0]], 2, 0)
    return replace(found, cells=ensembles, values=values, draws=draws, known={})


def smallest(
    found: Measured, seeds: int, cells: Sequence[str], lines: bool, tables: int
) -> dict[str, float]:
    """Return the effect on D that 80 % of tables find, p below 0.05, after and on the change."""
    rng = np.random.default_rng([11, seeds, lines])
    needed: dict[str, list[float]] = {phase: [] for phase in PHASES}
    whole = found.exponents(*cells)[1].value
    for _ in range(tables):
        estimate = redrawn(found, seeds, cells, lines, rng).exponents(*cells)[1]
        variance, freedom = estimate.spread()
        t = special.stdtrit(freedom, 0.975)
        off = estimate.value - (0.0 if lines else whole)
        for phase, place in PHASES.items():
            needed[phase].append(float(t[place] * math.sqrt(variance[place]) - off[place]))
    return {phase: float(np.quantile(each, POWER)) for phase, each in needed.items()}


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--tables", type=int, default=2000)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    columns = {
        seeds: over_tables(coverage, seeds, chosen.tables, chosen.workers) for seeds in (3, 6, 12)
    }
    print("| interval of | " + " | ".join(f"{s} seeds" for s in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name in columns[6]:
        shares = [float(each[name].mean()) for each in columns.values()]
        cells = [f"{s:.1%} +- {math.sqrt(s * (1 - s) / chosen.tables):.1%}" for s in shares]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| contrast | sizes | 6 seeds: after, change | 12 seeds | 30 seeds |")
    print("|---|---|---|---|---|")
    found = xor_cells()
    for other in ("and", "or", "first", "constant"):
        for lines in (True, False):
            row = [
                smallest(found, seeds, ("xor", other), lines, chosen.tables // 4)
                for seeds in (6, 12, 30)
            ]
            told = [f"{each['after']:.3f}, {each['change']:.3f}" for each in row]
            print(
                f"| xor - {other} | {'on a line' if lines else 'as they are'} | "
                + " | ".join(told)
                + " |"
            )


if __name__ == "__main__":
    main()
