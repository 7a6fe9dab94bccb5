"""Bundles of arrays and settings that kernels take, so that no kernel has a dozen arguments."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Int: TypeAlias = int | np.int64


class Network(NamedTuple):
    """Diffusion graph, as the kernels see it (``kernels/neighbours.py``)."""

    kind: int  # STORED, RING, LATTICE or AFFINE
    indptr: Array  # STORED: i has neighbours indices[indptr[i]:indptr[i + 1]]; else empty
    indices: Array  # with BLOCK entries more at the end, so that rows can be copied in blocks
    settings: Array  # int64, what the neighbours of a graph never stored are computed from
    most: int  # neighbours of a node at most, where they are computed; 0 where stored
    isolated: bool  # whether some node may be without neighbours


class Rule(NamedTuple):
    """Settings of the cascade, scalars in the gradient's own precision."""

    alpha: Any  # share sent
    keep: Any  # share kept: 1 - alpha
    reset: bool
    max_steps: int
    rank: int  # the threshold lies between this order statistic of abs(g) and the next
    weight: float  # of the next, in double precision
    nonzero: bool  # whether rank and weight are to be settled again, among the entries not 0
    share: float  # percentile / 100


class Work(NamedTuple):
    """Scratch of one cascade over n nodes; zeroed bitmaps are left zeroed."""

    frontier: Array  # n, uint32 where n fits, else int64
    sent: Array  # n, type of the gradient
    marked: Array  # (n + 63) // 64, uint64: nodes touched and then above theta
    toppled: Array  # (n + 63) // 64, uint64: nodes that toppled at least once
    target: Array  # of a chunk of pushes, like the frontier: where they go
    amount: Array  # of a chunk of pushes, type of the gradient: what they bring
    activity: Array  # max_steps, int64


class Counts(NamedTuple):
    """Counts of one cascade."""

    finite: bool  # False: the gradient holds NaN or infinity, and nothing was computed from it
    threshold: Any  # theta, in the gradient's own precision
    size: Int
    area: Int
    duration: Int
    peak: Int
    truncated: bool
    transported: float


class Training(NamedTuple):
    """Settings of the training of the XOR network."""

    inputs: Array  # (patterns, 2)
    targets: Array  # (patterns,)
    activation: int
    learning_rate: float
    inline: bool
    gini_of: int
    snapshot_every: int


class Samples(NamedTuple):
    """Samples of the task parity."""

    inputs: Array  # (samples, bits), each -1 or 1
    labels: Array  # (samples,), each -1 or 1


class Descent(NamedTuple):
    """Settings of the training on parity."""

    learning_rate: float
    decay: float
    batch: int
    inline: bool


class Record(NamedTuple):
    """Record of a run: one entry per epoch, one row of ``gradients`` per snapshot."""

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


# Pushes gathered before they are made: their targets and amounts stay in the fast caches.
CHUNK = 4096
# Room behind a chunk for looking ahead, and for the end of a row that is copied in blocks.
SLACK = 64


def work(n: int, dtype: npt.DTypeLike, max_steps: int, most: int = 0) -> Work:
    """Return scratch for cascades over ``n`` nodes, each with at most ``most`` neighbours."""
    words, chunk = (n + 63) // 64, CHUNK + SLACK + most
    node = np.uint32 if n <= 2**32 else np.int64
    return Work(
        np.empty(n, node),
        np.empty(n, dtype),
        np.zeros(words, np.uint64),
        np.zeros(words, np.uint64),
        np.zeros(chunk, node),
        np.zeros(chunk, dtype),
        np.zeros(max_steps, np.int64),
    )


def rule(n: int, dtype: npt.DTypeLike, settings: Any) -> Rule:
    """Settle the options of a cascade over ``n`` nodes, in the gradient's own precision."""
    scalar: Any = np.dtype(dtype).type
    share = settings.quantile / 100
    position = (n - 1) * share
    rank = min(int(position), n - 1)
    return Rule(
        scalar(settings.alpha),
        scalar(1 - settings.alpha),
        settings.rule == "reset",
        settings.max_steps,
        rank,
        float(position - rank),
        settings.threshold_of == "nonzero",
        share,
    )
