"""Reed-Frost epidemics at criticality: chains of binomials.

Of N individuals one is infected first. Each infected individual infects each susceptible one with
probability 1/N, then recovers; the final size is cut off at N^(2/3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.systems.series import Series, put


class Population(NamedTuple):
    """What epidemics run through."""

    individuals: int


def start(size: int, rng: np.random.Generator) -> Population:
    """Return a population of ``size`` individuals."""
    return Population(size)


def held(state: Population) -> int:
    """Return 0: each epidemic starts in a fresh population."""
    return 0


@jit
def advance(state: Population, rng: np.random.Generator, series: Series) -> None:
    """Draw one epidemic after another, and write them down."""
    # Of escaping one infected individual; of 1 there is nobody to escape.
    spared = math.log1p(-1.0 / state.individuals) if state.individuals > 1 else 0.0
    for k in range(len(series.size)):
        size, duration, peak, infected = 0, 0, 0, 1
        while infected > 0:
            size += infected
            duration += 1
            peak = max(peak, infected)
            infected = rng.binomial(state.individuals - size, -math.expm1(infected * spared))
        put(series, k, size, size, duration, peak)
