"""Galton-Watson trees with Poisson offspring, cut after a number of generations.

At mean offspring 1 a generation has one individual in the mean, so that L generations have L. The
offspring are Poisson because those of a whole generation are then one draw.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.systems.series import Series, put

# A tree that exceeds so many individuals is cut off; a real number still tells them apart.
LARGEST = 2**50


class Trees(NamedTuple):
    """What trees are made of."""

    generations: int
    offspring: float  # mean number


def start(size: int, rng: np.random.Generator, offspring: float) -> Trees:
    """Return trees of up to ``size`` generations, the root being the first."""
    return Trees(size, offspring)


def held(state: Trees) -> int:
    """Return 0: a tree leaves nothing behind for the next."""
    return 0


@jit
def advance(state: Trees, rng: np.random.Generator, series: Series) -> None:
    """Draw one tree after another, and write them down."""
    for k in range(len(series.size)):
        size, duration, peak, alive = 0, 0, 0, 1
        while alive > 0:
            size += alive
            duration += 1
            peak = max(peak, alive)
            if duration == state.generations or size > LARGEST:
                break
            alive = rng.poisson(state.offspring * alive)
        series.truncated[k] = size > LARGEST
        put(series, k, size, size, duration, peak)
