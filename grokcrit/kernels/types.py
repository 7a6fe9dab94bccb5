"""Bundles of arrays and settings that kernels take, so that no kernel has a dozen arguments."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


class Network(NamedTuple):
    """Diffusion graph, compressed sparse rows: i has neighbours indices[indptr[i]:indptr[i+1]]."""

    indptr: Array
    indices: Array


class Rule(NamedTuple):
    """Settings of the cascade, scalars in the gradient's own precision."""

    alpha: Any  # share sent
    keep: Any  # share kept: 1 - alpha
    reset: bool
    max_steps: int
    rank: int  # the threshold lies between this order statistic of abs(g) and the next
    weight: float  # of the next, in double precision


class Work(NamedTuple):
    """Scratch of one cascade over n nodes; zeroed bitmaps are left zeroed."""

    magnitude: Array  # n, type of the gradient
    frontier: Array  # n, int64
    sent: Array  # n, type of the gradient
    marked: Array  # (n + 63) // 64, uint64: nodes touched and then above theta
    toppled: Array  # (n + 63) // 64, uint64: nodes that toppled at least once
    activity: Array  # max_steps, int64
    transported: Array  # 1, float64: sum of alpha abs(g) over what toppled so far


class Counts(NamedTuple):
    """What one cascade counted."""

    size: int
    area: int
    duration: int
    peak: int
    truncated: bool
    transported: float


class Training(NamedTuple):
    """What a run of the XOR network is trained with."""

    inputs: Array  # (patterns, 2)
    targets: Array  # (patterns,)
    activation: int
    learning_rate: float
    inline: bool
    gini_of: int
    snapshot_every: int


class Record(NamedTuple):
    """What a run leaves behind: one entry an epoch, one row of ``gradients`` a snapshot."""

    loss: Array
    accuracy: Array
    gini: Array
    threshold: Array
    deviation: Array
    size: Array
    area: Array
    duration: Array
    peak: Array
    truncated: Array
    gradients: Array


def work(n: int, dtype: npt.DTypeLike, max_steps: int) -> Work:
    """Allocate the scratch of cascades over ``n`` nodes."""
    words = (n + 63) // 64
    return Work(
        np.empty(n, dtype),
        np.empty(n, np.int64),
        np.empty(n, dtype),
        np.zeros(words, np.uint64),
        np.zeros(words, np.uint64),
        np.zeros(max_steps, np.int64),
        np.zeros(1),
    )


class Settings(Protocol):
    """What ``rule`` reads: the cascade's options."""

    @property
    def alpha(self) -> float:
        """Diffusion strength."""

    @property
    def quantile(self) -> float:
        """Percentile of the threshold."""

    @property
    def rule(self) -> str:
        """``diffuse`` or ``reset``."""

    @property
    def max_steps(self) -> int:
        """Steps allowed."""


def rule(n: int, dtype: npt.DTypeLike, settings: Settings) -> Rule:
    """Settle the numbers of a cascade over ``n`` nodes in the gradient's own precision."""
    scalar: Any = np.dtype(dtype).type
    position = (n - 1) * (settings.quantile / 100)
    rank = min(int(position), n - 1)
    return Rule(
        scalar(settings.alpha),
        scalar(1 - settings.alpha),
        settings.rule == "reset",
        settings.max_steps,
        rank,
        float(position - rank),
    )
