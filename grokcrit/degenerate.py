"""Gradients whose percentile is no threshold: mostly exact zeros, or entries of one magnitude.

Where more than the percentile's share of a gradient is exactly 0, theta is 0. Every node that
receives anything then topples in every step, and the avalanche ends only at ``max_steps``. Where
all entries have one magnitude, as after Adam's first update, only rounding exceeds theta.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Values: TypeAlias = npt.NDArray[np.floating]
Mask: TypeAlias = npt.NDArray[np.bool_]

# Key of a table's record under which the findings stand, where there are any.
KEY = "degenerate"
# Entries within this share of theta have its magnitude: updates of Adam's first step scatter by
# 3e-5 of the learning rate in single precision (weights near 0.5, learning rate 1e-3).
EQUAL = 1e-3
# Entries of a gradient that are looked at before all are.
SAMPLED = 64


@dataclass(frozen=True)
class Tensor:
    """Name of a tensor, and where it starts in the flat gradient."""

    name: str
    offset: int


@dataclass(frozen=True)
class Findings:
    """What is degenerate among some gradients.

    Attributes
    ----------
    gradients : int
        How many there are.
    zero_threshold, equal : int
        How many have a threshold of 0 without being all zeros; how many have entries of one
        magnitude.
    zeros : dict
        Tensor to (entries that are exactly 0, entries), over the gradients with a threshold of 0.
    """

    gradients: int
    zero_threshold: int
    equal: int
    zeros: dict[str, tuple[int, int]]


def zero_threshold(theta: npt.ArrayLike, size: npt.ArrayLike) -> Mask:
    """Return which avalanches ran at a threshold of 0.

    A gradient of zeros alone has that threshold, too, but is quiet: it does not count.
    """
    found: Mask = (np.asarray(theta) == 0) & (np.asarray(size) > 0)
    return found


def findings(
    gradients: Values, theta: npt.NDArray[np.floating], size: npt.ArrayLike, tensors: list[Tensor]
) -> Findings:
    """Return what is degenerate among gradients that have been cascaded.

    Parameters
    ----------
    gradients
        Shape (m, n), finite.
    theta, size
        Shape (m,): threshold and avalanche size of each.
    tensors
        Of the flat gradient, by offset; none if they are unknown.
    """
    flagged = zero_threshold(theta, size)
    starts = [each.offset for each in tensors] or [0]
    names = [each.name for each in tensors] or ["gradient"]
    counts: dict[str, tuple[int, int]] = {}
    for row in np.flatnonzero(flagged):
        pieces = np.split(gradients[row], starts[1:])
        for name, piece in zip(names, pieces, strict=True):
            zeros, entries = counts.get(name, (0, 0))
            zeros += piece.size - int(np.count_nonzero(piece))
            counts[name] = zeros, entries + piece.size
    equal = int(one_magnitude(gradients, theta).sum())
    return Findings(len(gradients), int(flagged.sum()), equal, counts)


def one_magnitude(gradients: Values, theta: npt.NDArray[np.floating]) -> Mask:
    """Return which rows have at least half of their entries within 0.1 % of theta in magnitude."""

    def near(values: Values, level: Any) -> npt.NDArray[np.floating]:
        there: npt.NDArray[np.floating] = (np.abs(np.abs(values) - level) <= EQUAL * level).mean(-1)
        return there

    # A few entries settle almost every row: with half of all near theta, a quarter of 64 is sure.
    step = max(1, gradients.shape[1] // SAMPLED)
    found = (theta > 0) & (near(gradients[:, ::step], theta[:, None]) >= 0.25)
    for row in np.flatnonzero(found):
        found[row] = near(gradients[row], theta[row]) >= 0.5
    return found


def joined(parts: Iterable[Findings]) -> dict[str, Any]:
    """Return the findings of a table as its record keeps them; empty where nothing was found."""
    several = list(parts)
    zeros: dict[str, list[int]] = {}
    for part in several:
        for name, (zero, entries) in part.zeros.items():
            before = zeros.setdefault(name, [0, 0])
            zeros[name] = [before[0] + zero, before[1] + entries]
    total = {
        name: sum(getattr(part, name) for part in several)
        for name in ("gradients", "zero_threshold", "equal")
    }
    return {**total, "zeros": zeros} if total["zero_threshold"] or total["equal"] else {}


def most_zeros(zeros: dict[str, Sequence[int]], limit: int = 3) -> tuple[float, list[str]]:
    """Return the share of zeros in all, and the tensors that hold most of them, in words."""
    share = sum(zero for zero, _ in zeros.values()) / sum(entries for _, entries in zeros.values())
    ranked = sorted(zeros, key=lambda name: -zeros[name][0])[:limit]
    words = [f"{name} {zeros[name][0] / zeros[name][1]:.0%}" for name in ranked if zeros[name][0]]
    more = sum(zero > 0 for zero, _ in zeros.values()) - len(words)
    return share, words + [f"{more} more tensors"] * (more > 0)
