"""Exact quantiles by selection."""

from __future__ import annotations

from typing import Any

import numpy as np

from grokcrit.kernels.accelerate import inner
from grokcrit.kernels.types import Array, Int


@inner
def sort(values: Array) -> None:
    """Sort in place, by Shell's method: numpy's would take three seconds to compile."""
    gap = 1
    while gap < len(values) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, len(values)):
            value, place = values[i], np.uint64(i)
            while place >= np.uint64(gap) and values[place - np.uint64(gap)] > value:
                values[place] = values[place - np.uint64(gap)]
                place -= np.uint64(gap)
            values[place] = value
        gap //= 3


@inner
def select(values: Array, rank: Int) -> None:
    """Partly sort ``values`` in place so that ``values[rank]`` is where sorting would put it.

    Everything before it is then at most as large, everything after it at least as large.
    Quickselect, median of three; a range that refuses to shrink is sorted outright. Values are
    parted without a branch, as the processor would guess every second one wrong. No NaN.
    """
    left: Int = np.int64(0)
    right: Int = np.int64(len(values))
    patience = 64
    while right - left > 1:
        patience -= 1
        if patience == 0:
            sort(values[left:right])
            return
        a, b, c = values[left], values[(left + right) // 2], values[right - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        middle = part(values, left, right, pivot, False)
        if rank < middle:
            right = middle
        elif middle > left:
            left = middle
        else:  # nothing is below the pivot: part what equals it from what is above
            middle = part(values, left, right, pivot, True)
            if rank < middle:
                return
            left = middle


@inner
def part(values: Array, left: Int, right: Int, pivot: Any, equal: bool) -> Int:
    """Move what is below the pivot, or ``equal`` to it, to the front; return where it ends."""
    end = np.uint64(left)
    for i in range(left, right):
        value = values[np.uint64(i)]
        values[np.uint64(i)] = values[end]
        values[end] = value
        end += np.uint64(value <= pivot if equal else value < pivot)
    return np.int64(end)


@inner
def quantile(values: Array, rank: Int, weight: float) -> Any:
    """Return the quantile between the order statistics ``rank`` and ``rank + 1``; reorder values.

    Equal to ``numpy.percentile(values, q)`` to the bit when ``rank`` and ``weight`` (of the upper
    one, in double precision) are the whole and the fractional part of ``(len(values) - 1) * (q /
    100)``: the same interpolation, from the nearer end (numpy's method "linear"). No NaN.
    """
    select(values, rank)
    low = values[rank]
    if rank + 1 == len(values):
        return low
    high = values[rank + 1]
    for i in range(rank + 2, len(values)):
        if values[i] < high:
            high = values[i]
    difference = high - low
    if weight >= 0.5:
        return high - difference * values.dtype.type(1 - weight)
    return low + difference * values.dtype.type(weight)
