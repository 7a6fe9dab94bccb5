"""The threshold of a cascade, and who is above it, from one reading of the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from grokcrit.kernels.accelerate import inner
from grokcrit.kernels.quantile import quantile, select
from grokcrit.kernels.types import Array, Int, Rule, Work

# Below this many values a sample would be most of them.
SAMPLED = 512
# Standard deviations of a sample's quantile that its bracket extends to each side.
MARGIN = 3.5
GOLDEN = 0.6180339887498949


@inner
def place_of(source: Array, rule: Rule) -> tuple[Int, float]:
    """Return the rank and the weight of the threshold among the values of abs(source).

    The percentile of the values that are not 0 lies as many ranks higher as there are zeros.
    """
    if not rule.nonzero:
        return np.int64(rule.rank), rule.weight
    n, count = len(source), 0
    for i in range(n):
        count += source[i] != 0
    if count == 0:
        return np.int64(n - 1), 0.0
    position = (count - 1) * rule.share
    rank = int(position)
    return np.int64(n - count + rank), position - rank


@inner
def bracket(source: Array, rank: Int, sample: Array) -> tuple[Any, Any]:
    """Guess two magnitudes between which the threshold lies, from a sample of the values.

    A guess costs time when it is wrong and changes nothing else. The sample is spread evenly by
    multiples of the golden ratio: no period of the gradient can meet it, and it is no random draw.
    ``sample`` is scratch of at least n^(2/3) / 2 values: few enough to select from at no cost,
    enough for a bracket of n^(2/3) or so.
    """
    n = len(source)
    if n < SAMPLED:
        return sample.dtype.type(-1), sample.dtype.type(np.inf)
    count = int(n ** (2 / 3) / 2)
    place = 0.5
    for k in range(count):
        sample[k] = abs(source[int(place * n)])
        place += GOLDEN
        if place >= 1:
            place -= 1
    share = rank / n
    middle, spread = share * count, MARGIN * math.sqrt(share * (1 - share) * count) + 1
    low, high = math.floor(middle - spread), math.ceil(middle + spread)
    below, above = sample.dtype.type(-1), sample.dtype.type(np.inf)
    if low >= 0:
        select(sample[:count], low)
        below = sample[low]
    if high < count:
        select(sample[:count], high)
        above = sample[high]
    return below, above


@inner
def collect(
    source: Array, gradient: Array, low: Any, frontier: Array, magnitude: Array
) -> tuple[Int, bool]:
    """Copy the source; collect, ascending, who is above ``low``; see whether all is finite."""
    count, finite = np.uint64(0), True
    for i in range(len(source)):
        # Without a branch: the next node overwrites one that is not above.
        value = source[i]
        gradient[i] = value
        frontier[count] = i
        magnitude[count] = abs(value)
        count += np.uint64(abs(value) > low)
        finite &= value - value == 0
    return np.int64(count), finite


@inner
def first_frontier(
    source: Array, gradient: Array, rule: Rule, work: Work, hint: float
) -> tuple[Any, Int, bool]:
    """Copy ``source`` to ``gradient``; return theta, and collect who may be above it.

    Theta is the quantile of abs(source), or of its entries that are not 0, that ``rule`` names,
    equal to numpy.percentile to the bit. One pass copies and collects the values above a guess from
    below; the exact threshold is selected from those of them that are not above a guess from above
    either. ``hint`` is such a guess, 0.85 of the theta of the epoch before, or below 0: none.
    Guesses that turn out wrong are given up for another pass.

    Return theta; how many nodes stand in ``work.frontier``, ascending, everyone above theta among
    them; whether all values are finite (if not, theta means nothing).
    """
    place, weight = place_of(source, rule)
    n, wanted = len(source), len(source) - place
    none, all_above = gradient.dtype.type(-1), gradient.dtype.type(np.inf)
    low, high = gradient.dtype.type(hint), all_above
    if hint < 0:
        low, high = bracket(source, place, work.sent)
    count, finite = collect(source, gradient, low, work.frontier, work.sent)
    if count < wanted and hint >= 0 and finite:
        low, high = bracket(gradient, place, work.sent)
        count, finite = collect(gradient, gradient, low, work.frontier, work.sent)
    if count < wanted and finite:
        low, high = none, all_above
        count, finite = collect(gradient, gradient, low, work.frontier, work.sent)
    if not finite:
        return low, 0, False
    # Of the values collected, theta lies between these two of rank and rank + 1.
    rank = place - (n - count)
    inside = keep_up_to(work.sent[:count], high)
    if inside < min(rank + 2, count):
        count, finite = collect(gradient, gradient, low, work.frontier, work.sent)
        inside = count
    return quantile(work.sent[:inside], rank, weight), count, True


@inner
def keep_up_to(values: Array, high: Any) -> Int:
    """Move the values that are not above ``high`` to the front; return how many they are."""
    count = np.uint64(0)
    for k in range(len(values)):
        value = values[k]
        values[count] = value
        count += np.uint64(value <= high)
    return np.int64(count)
