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
# Entries looked at together when one that is not finite is searched.
CHUNK = 2**20
# Entries of a gradient that are looked at before all are.
SAMPLED = 64


@dataclass(frozen=True)
class Tensor:
    """Name of a tensor, and where it starts in the flat gradient."""

    name: str
    offset: int


@dataclass(frozen=True)
class Findings:
    """Counts of degenerate gradients."""

    gradients: int
    zero_threshold: int  # how many have a threshold of 0 without being all zeros
    equal: tuple[int, ...]  # epoch of each whose entries have one magnitude
    zeros: dict[str, tuple[int, int]]  # zeros and entries of a tensor, where the threshold is 0


def zero_threshold(theta: npt.ArrayLike, size: npt.ArrayLike) -> Mask:
    """Return which avalanches ran at a threshold of 0; a gradient of zeros alone does not count."""
    found: Mask = (np.asarray(theta) == 0) & (np.asarray(size) > 0)
    return found


def findings(
    gradients: Values,
    theta: npt.NDArray[np.floating],
    size: npt.ArrayLike,
    epochs: npt.ArrayLike,
    tensors: list[Tensor],
) -> Findings:
    """Return what is degenerate among m finite gradients (m, n) that have been cascaded."""
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
    equal = np.asarray(epochs)[one_magnitude(gradients, theta)]
    return Findings(len(gradients), int(flagged.sum()), tuple(equal.tolist()), counts)


def first_broken(values: npt.NDArray[Any]) -> int | None:
    """Return the first entry that is not finite, looking at a few at a time; None without one."""
    for first in range(0, len(values), CHUNK):
        finite = np.isfinite(values[first : first + CHUNK])
        if not finite.all():
            return first + int(np.argmin(finite))
    return None


def one_magnitude(gradients: Values, theta: npt.NDArray[np.floating]) -> Mask:
    """Return in which rows a quarter of the entries that are not 0 have the magnitude of theta.

    Within 0.1 %, and at least five entries. Of a normal distribution 0.07 % of the entries lie so
    near to its 90th percentile.
    """

    def ties(values: Values, level: Any) -> tuple[Any, Any]:
        near = np.abs(np.abs(values) - level) <= EQUAL * level
        return near.sum(-1), np.count_nonzero(values, -1)

    # A few entries settle almost every row.
    step = max(1, gradients.shape[1] // SAMPLED)
    near, there = ties(gradients[:, ::step], theta[:, None])
    found: Mask = (theta > 0) & (near >= 0.1 * there)
    for row in np.flatnonzero(found):
        near, there = ties(gradients[row], theta[row])
        found[row] = near >= max(5, 0.25 * there)
    return found


def joined(parts: Iterable[Findings]) -> dict[str, Any]:
    """Return the findings of a table as its record keeps them; empty where nothing was found."""
    several = list(parts)
    zeros: dict[str, list[int]] = {}
    for part in several:
        for name, (zero, entries) in part.zeros.items():
            before = zeros.setdefault(name, [0, 0])
            zeros[name] = [before[0] + zero, before[1] + entries]
    equal = [epoch for part in several for epoch in part.equal]
    total = {
        "gradients": sum(part.gradients for part in several),
        "zero_threshold": sum(part.zero_threshold for part in several),
        "equal": len(equal),
    }
    if not total["zero_threshold"] and not equal:
        return {}
    return {**total, "zeros": zeros, "equal_epochs": sorted(set(equal))}


def most_zeros(zeros: dict[str, Sequence[int]], limit: int = 3) -> tuple[float, list[str]]:
    """Return the share of zeros in all, and the tensors that hold most of them, in words."""
    share = sum(zero for zero, _ in zeros.values()) / sum(entries for _, entries in zeros.values())
    ranked = sorted(zeros, key=lambda name: -zeros[name][0])[:limit]
    words = [f"{name} {zeros[name][0] / zeros[name][1]:.0%}" for name in ranked if zeros[name][0]]
    more = sum(zero > 0 for zero, _ in zeros.values()) - len(words)
    return share, words + [f"{more} more tensors"] * (more > 0)
