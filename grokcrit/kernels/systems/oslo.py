"""Oslo rice pile: slopes in one dimension, driven at the left, open at the right.

A site whose slope exceeds its threshold passes a grain to the right, and its threshold, 1 or 2 with
probability 1/2, is drawn again (Christensen, Corral, Frette, Feder and Jossang, Phys. Rev. Lett.
77, 107, 1996). Each grain added leaves after L moves, so that the mean size is L.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.systems.series import Series, put, refill
from grokcrit.kernels.types import Array

# Threshold of the two places beside the pile: they never topple.
NEVER = 2**30


class Oslo(NamedTuple):
    """A pile of L sites, 1 to L, between two places that only receive."""

    slope: Array  # L + 2, int32
    threshold: Array  # L + 2, int32
    bits: Array  # random bits not yet used
    now: Array  # L, int32: sites that topple in this step
    later: Array  # L, int32: in the next


def start(size: int, rng: np.random.Generator) -> Oslo:
    """Return a pile drawn from the stationary state.

    Where every slope is 2 and every threshold fresh, a further grain runs through the whole pile
    and leaves it as it was. Topplings commute, so what that pile relaxes to is invariant too
    (Dhar, Physica A 340, 535, 2004).
    """
    slope = np.full(size + 2, 2, np.int32)
    threshold = np.full(size + 2, NEVER, np.int32)
    threshold[1:-1] = 1 + (rng.random(size) < 0.5)
    pile = Oslo(
        slope,
        threshold,
        np.zeros(2, np.int64),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
    )
    unstable = 1 + np.flatnonzero(threshold[1:-1] == 1)
    pile.now[: len(unstable)] = unstable
    relax(pile, rng, len(unstable))
    return pile


def held(pile: Oslo) -> int:
    """Return the number of grains in the pile."""
    return int(np.arange(1, len(pile.slope) - 1) @ pile.slope[1:-1])


@jit
def relax(pile: Oslo, rng: np.random.Generator, count: int) -> tuple[int, int, int, int]:
    """Topple until all is quiet, from the first ``count`` sites of ``pile.now``.

    Return size, area, duration and peak.
    """
    slope, threshold, bits, now, later = pile
    last = len(slope) - 2
    size, reach, duration, peak = 0, 0, 0, 0
    while count > 0:
        duration += 1
        size += count
        peak = max(peak, count)
        after = 0
        for k in range(count):
            i = now[k]
            refill(rng, bits, 1)
            fresh = 1 + (bits[0] & 1)
            bits[0] >>= 1
            bits[1] -= 1
            slope[i] -= 2
            threshold[i] = fresh
            reach = max(reach, i)
            if slope[i] > fresh:
                later[after] = i
                after += 1
        for k in range(count):
            i = now[k]
            # The last site keeps one more of its slope: the grain leaves the pile.
            right = i if i == last else i + 1
            for j in (i - 1, right):
                slope[j] += 1
                if slope[j] == threshold[j] + 1:
                    later[after] = j
                    after += 1
        now, later = later, now
        count = after
    # Topplings spread from neighbour to neighbour: all sites up to the farthest have toppled.
    return size, reach, duration, peak


@jit
def advance(pile: Oslo, rng: np.random.Generator, series: Series) -> None:
    """Add grains at the left, one after another, and write down what each sets off."""
    for k in range(len(series.size)):
        pile.slope[1] += 1
        pile.now[0] = 1
        unstable = pile.slope[1] == pile.threshold[1] + 1
        size, area, duration, peak = relax(pile, rng, 1 if unstable else 0)
        put(series, k, size, area, duration, peak)
