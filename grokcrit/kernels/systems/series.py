"""The avalanches of a system in a row, and the random bits that its sites use up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grokcrit.kernels.accelerate import inner
from grokcrit.kernels.types import Array, Int

# Random bits in one number of [0, 1): it is a multiple of 2^-53.
BITS = 53


class Series(NamedTuple):
    """Counts of consecutive avalanches, an entry each."""

    size: Array  # int64: topplings, or individuals
    area: Array  # int64: distinct sites that toppled
    duration: Array  # int32: parallel steps, or generations
    peak: Array  # int64: most topplings in one step
    truncated: Array  # bool: stopped before its end

    def part(self, first: int, last: int) -> Series:
        """Return views of the avalanches from ``first`` to below ``last``."""
        return Series(*(column[first:last] for column in self))


def empty_series(avalanches: int) -> Series:
    """Return room for that many avalanches."""
    return Series(
        np.zeros(avalanches, np.int64),
        np.zeros(avalanches, np.int64),
        np.zeros(avalanches, np.int32),
        np.zeros(avalanches, np.int64),
        np.zeros(avalanches, np.bool_),
    )


@inner
def put(series: Series, k: Int, size: Int, area: Int, duration: Int, peak: Int) -> None:
    """Write the counts of avalanche ``k`` down."""
    series.size[k] = size
    series.area[k] = area
    series.duration[k] = duration
    series.peak[k] = peak


@inner
def refill(rng: np.random.Generator, bits: Array, wanted: Int) -> None:
    """Draw a new word of random bits where fewer than ``wanted`` are left of the last one.

    ``bits`` holds the word, of which the lowest are next, and how many of them are unused.
    """
    if bits[1] < wanted:
        bits[0] = int(rng.random() * 2.0**BITS)
        bits[1] = BITS
