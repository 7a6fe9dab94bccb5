"""Olami-Feder-Christensen model on a square lattice with open edges and uniform drive.

The stress of all sites rises until the largest is 1. A site at 1 or above drops to 0 and passes
``alpha`` of its stress to each neighbour (Phys. Rev. Lett. 68, 1244, 1992).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from grokcrit.kernels.accelerate import inner, jit
from grokcrit.kernels.systems.series import Series, put
from grokcrit.kernels.types import Array, Int


class Ofc(NamedTuple):
    """A lattice of L x L sites in one of (L + 2) x (L + 2).

    Instead of raising all sites, the drive lowers ``top``: the stress of a site is 1 less what its
    value is below ``top``. The places around the lattice are at minus infinity.
    """

    value: Array  # (L + 2)^2, float64
    largest: Array  # L + 2, float64: of each row
    top: Array  # float64: where sites topple
    alpha: float
    stamp: Array  # (L + 2)^2, int32: number of the avalanche in which a site last toppled
    serial: Array  # int64: number of the last avalanche
    step: Array  # 4, int32: from a site to its neighbours
    now: Array  # L^2, int32: sites that topple in this step
    later: Array  # L^2, int32: in the next
    sent: Array  # L^2, float64: what each of them passes to a neighbour


def start(size: int, rng: np.random.Generator, alpha: float) -> Ofc:
    """Return a lattice of independent stresses, uniform from 0 to 1: not a stationary state."""
    wide = size + 2
    value = np.full((wide, wide), -np.inf)
    value[1:-1, 1:-1] = rng.random((size, size))
    return Ofc(
        value.ravel(),
        value.max(axis=1),
        np.ones(1),
        alpha,
        np.zeros(wide**2, np.int32),
        np.zeros(1, np.int64),
        np.array([-wide, -1, 1, wide], np.int32),
        np.empty(size**2, np.int32),
        np.empty(size**2, np.int32),
        np.empty(size**2),
    )


def held(state: Ofc) -> float:
    """Return the stress of all sites together."""
    inside = state.value[state.value > -np.inf]
    return float((inside - (state.top[0] - 1)).sum())


@inner
def relax(state: Ofc, count: int) -> tuple[int, int, int, int]:
    """Topple until all is quiet, from the first ``count`` sites of ``state.now``.

    Return size, area, duration and peak.
    """
    value, stamp, step, sent = state.value, state.stamp, state.step, state.sent
    now, later = state.now, state.later
    wide = step[3]
    top = state.top[0]
    zero = top - 1.0
    state.serial[0] += 1
    mine = state.serial[0]
    low, high = now[0], now[0]
    size, area, duration, peak = 0, 0, 0, 0
    while count > 0:
        duration += 1
        size += count
        peak = max(peak, count)
        after = 0
        for k in range(count):
            i = now[k]
            sent[k] = state.alpha * (value[i] - zero)
            value[i] = zero
            low, high = min(low, i), max(high, i)
            if stamp[i] != mine:
                stamp[i] = mine
                area += 1
        for k in range(count):
            i = now[k]
            for d in range(4):
                j = i + step[d]
                before = value[j]
                value[j] = before + sent[k]
                if before < top <= value[j]:
                    later[after] = j
                    after += 1
        now, later = later, now
        count = after
    for row in range(max(low // wide - 1, 1), min(high // wide + 2, wide - 1)):
        state.largest[row] = row_maximum(value, row * wide + 1, (row + 1) * wide - 1)
    return size, area, duration, peak


@inner
def row_maximum(value: Array, first: Int, last: Int) -> Any:
    """Return the largest of ``value[first:last]``; in four strands, which do not wait."""
    a, b, c, d = value[first], value[first], value[first], value[first]
    k = first
    while k + 4 <= last:
        a, b = max(a, value[k]), max(b, value[k + 1])
        c, d = max(c, value[k + 2]), max(d, value[k + 3])
        k += 4
    while k < last:
        a = max(a, value[k])
        k += 1
    return max(max(a, b), max(c, d))


@inner
def drive(state: Ofc) -> int:
    """Raise all stresses until the largest is 1; return how many sites topple at once."""
    value, largest, top, now = state.value, state.largest, state.top, state.now
    if top[0] < 0:  # brought back to near 1, so that no digits are lost
        value += 1.0
        largest += 1.0
    wide = len(largest)
    top[0] = row_maximum(largest, 1, wide - 1)
    count = 0
    for row in range(1, wide - 1):
        if largest[row] == top[0]:
            for i in range(row * wide + 1, (row + 1) * wide - 1):
                if value[i] == top[0]:
                    now[count] = i
                    count += 1
    return count


@jit
def advance(state: Ofc, rng: np.random.Generator, series: Series) -> None:
    """Make one avalanche after another, and write them down; nothing here is random."""
    for k in range(len(series.size)):
        size, area, duration, peak = relax(state, drive(state))
        put(series, k, size, area, duration, peak)
