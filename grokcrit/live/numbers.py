"""The numbers of one step that sinks get: of one network, without a family of sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from grokcrit.cascades.counting import Counted

# All numbers that a row may have, in this order.
NAMES = (
    *("loss", "train_accuracy", "test_accuracy", "every", "gradient_norm", "q99_over_q90", "gini"),
    *("threshold", "density", "density_over_null", "excess", "branching", "duration", "seconds"),
)
# Entries whose sums are taken at once, in double precision.
CHUNK = 2**16


def of_gradient(vector: npt.NDArray[np.floating]) -> dict[str, float]:
    """Return norm, q99 over q90 of the magnitudes, and their Gini coefficient.

    G = sum_i (2 i - n - 1) x_i / (n sum_i x_i), x ascending, i = 1 .. n: 0 where all magnitudes are
    equal, (n - 1) / n where one entry holds all. What is not defined is left out.
    """
    ordered = np.abs(vector)
    ordered.sort()
    n = len(ordered)
    squares = total = moment = 0.0
    for first in range(0, n, CHUNK):
        part = ordered[first : first + CHUNK].astype(np.float64)
        squares += float(part @ part)
        total += float(part.sum())
        moment += float((2.0 * np.arange(first + 1, first + len(part) + 1) - n - 1) @ part)
    found = {"gradient_norm": math.sqrt(squares)}
    q90, q99 = (quantile(ordered, share) for share in (0.90, 0.99))
    if q90 > 0:
        found["q99_over_q90"] = q99 / q90
    if total > 0:
        found["gini"] = moment / (n * total)
    return found


def quantile(ordered: npt.NDArray[np.floating], share: float) -> float:
    """Return a quantile of ascending values, interpolated as by numpy."""
    position = (len(ordered) - 1) * share
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low]) + (position - low) * (float(ordered[high]) - float(ordered[low]))


def of_avalanches(found: Sequence[Counted], n: int) -> dict[str, float]:
    """Return the numbers of the data's avalanche, and its density over that of its null model.

    They are those of the first graph, alpha, percentile and rule; of the null model ``gaussian``
    where it is there, or else of the first, the mean over replicates.
    """
    data = next((each for each in found if each.setup.surrogate == "none"), None)
    if data is None:
        return {}
    size, _, duration, _ = data.counts[0].tolist()
    first, second = (*data.activity[:2].tolist(), 0, 0)[:2]
    numbers: dict[str, Any] = {
        "threshold": float(data.theta[0]),
        "density": size / n,
        "excess": size - first,
        "duration": duration,
    }
    if first:
        numbers["branching"] = second / first
    others = [each for each in found if each.setup.cascade == data.setup.cascade]
    names = {each.setup.surrogate for each in others} - {"none"}
    if names:
        null = "gaussian" if "gaussian" in names else min(names)
        sizes = [int(each.counts[0, 0]) for each in others if each.setup.surrogate == null]
        if any(sizes):
            numbers["density_over_null"] = size / (sum(sizes) / len(sizes))
    return {name: float(value) for name, value in numbers.items()}
