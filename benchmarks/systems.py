"""Avalanches of known systems: the compiled loops against plain Python loops of the same rules.

The plain loops are the oracles of the tests (tests/naive_systems.py). Both begin with the same
state and draw the same random numbers, so that they make the same avalanches, one after another.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from measure import Section, Way, measure, row

from grokcrit.kernels.systems.lattice import inside
from grokcrit.kernels.systems.series import Series, empty_series
from grokcrit.systems import system_options

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import naive_systems as naive

# Size and avalanches: about a tenth of a second of the plain loop.
WORK = {
    "oslo": (64, 2000),
    "manna": (32, 1000),
    "btw": (32, 1500),
    "ofc": (16, 1000),
    "branching": (64, 20_000),
    "reed-frost": (1024, 20_000),
}


# Avalanches of ofc that are compared with those of the rule in fractions.
UNROUNDED = 300


def plain(
    system: str, state: Any, avalanches: int, real: Callable[[float], Any] = float
) -> Callable[[], list[tuple[int, ...]]]:
    """Return the plain loop from a state of the compiled one; ``real`` makes its stresses."""
    if system == "oslo":
        pile = state.slope[1:-1].tolist(), state.threshold[1:-1].tolist()
        return lambda: naive.oslo(*map(list, pile), np.random.default_rng(0), avalanches)
    if system in ("manna", "btw"):
        rule = getattr(naive, system)
        held = {i: int(each) for i, each in np.ndenumerate(inside(state))}
        return lambda: rule(dict(held), np.random.default_rng(0), avalanches)
    if system == "ofc":
        wide = len(state.largest)
        values = state.value.reshape(wide, wide)[1:-1, 1:-1]
        stress = {i: real(float(each)) for i, each in np.ndenumerate(values)}
        return lambda: naive.ofc(dict(stress), real(state.alpha), avalanches)
    if system == "branching":
        rng = np.random.default_rng
        return lambda: naive.branching(state.generations, state.offspring, rng(0), avalanches)
    return lambda: naive.reed_frost(state.individuals, np.random.default_rng(0), avalanches)


def compiled(kernel: Any, state: Any, avalanches: int) -> Callable[[], Series]:
    """Return the compiled loop from a state, which is left as it was."""

    def call() -> Series:
        series = empty_series(avalanches)
        kernel.advance(copy.deepcopy(state), np.random.default_rng(0), series)
        return series

    return call


def rows_of(series: Series) -> list[tuple[int, ...]]:
    """Return the counts of each avalanche as the plain loops do."""
    columns = (series.size, series.area, series.duration, series.peak)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def run(rounds: int) -> Section:
    """Time each system."""
    section = Section("systems")
    for system, (size, avalanches) in WORK.items():
        options = system_options(system, size=size)
        kernel = options.kernel()
        state = kernel.start(size, np.random.default_rng(1), *options.parameters.values())
        if hasattr(state, "bits"):
            state.bits[:] = 0
        timed = measure(
            [
                Way(f"{system}: grokcrit", compiled(kernel, state, avalanches)),
                Way(f"{system}: plain Python", plain(system, state, avalanches)),
            ],
            rounds,
        )
        mine, peer = timed.values()
        found, expected = rows_of(mine.result), peer.result
        if system == "ofc":  # rounding tells near ties apart, here and there in different ways
            expected = plain(system, state, UNROUNDED, Fraction)()
        same = found[: len(expected)] == expected
        section.check(same, f"{system}: {len(expected)} avalanches compared one by one")
        topplings = sum(each[0] for each in found)
        for way in timed.values():
            work = {"work": topplings, "unit": "topplings"}
            answer = topplings / avalanches
            section.rows.append(row(section.name, size, way, mine, answer=answer, **work))
    return section
