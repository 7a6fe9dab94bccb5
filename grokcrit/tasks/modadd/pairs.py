"""The task a + b mod p: all ordered pairs, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from grokcrit.base.rng import stream
from grokcrit.tasks.modadd import ModaddOptions

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """All p^2 ordered pairs, a-major, and which of them train."""

    a: Indices  # (p^2,)
    b: Indices  # (p^2,)
    total: Indices  # (p^2,), a + b mod p
    train: Indices  # places of the training pairs, ascending
    mirrored: Indices  # of test pairs (a, b) with (b, a) among the training pairs
    unmirrored: Indices  # of the other test pairs


def pairs_of(options: ModaddOptions, seed: int) -> Pairs:
    """Split the pairs for one seed; all widths of a seed share the split.

    ``pairs`` draws ordered pairs: the mirror (b, a) of most test pairs trains. ``sym`` draws
    unordered pairs, both orders on one side.
    """
    p = options.prime
    place = np.arange(p * p)
    a, b = place // p, place % p
    rng = stream("modadd-split", options.seed, options.split, p, seed)
    unit = place if options.split == "pairs" else np.minimum(a, b) * p + np.maximum(a, b)
    units = np.unique(unit)
    chosen = rng.permutation(units)[: options.training_units(len(units))]
    trains = np.isin(unit, chosen)
    mirror = trains[b * p + a]
    return Pairs(
        a,
        b,
        (a + b) % p,
        np.flatnonzero(trains),
        np.flatnonzero(~trains & mirror),
        np.flatnonzero(~trains & ~mirror),
    )


def labels_of(options: ModaddOptions, pairs: Pairs, seed: int) -> Indices:
    """Return the label of every pair, (p^2,): its sum, or the sum of another pair of its side.

    Shuffled labels are permuted over the training pairs and over the test pairs, so each side keeps
    its labels and nothing can be learnt from one side for the other. With ``split`` sym (a, b) and
    (b, a) keep one label, as the sum gives them: unordered pairs are permuted, those with a = b
    among themselves, so that the labels' counts stay as well.
    """
    if options.labels == "true":
        return pairs.total
    rng = stream("modadd-labels", options.seed, options.split, options.prime, seed)
    labels = pairs.total.copy()
    test = np.ones(len(labels), bool)
    test[pairs.train] = False
    for side in (~test, test):
        if options.split == "pairs":
            labels[side] = rng.permutation(labels[side])
            continue
        for units in (
            np.flatnonzero(side & (pairs.a < pairs.b)),
            np.flatnonzero(side & (pairs.a == pairs.b)),
        ):
            labels[units] = rng.permutation(labels[units])
    if options.split == "sym":
        p = options.prime
        low, high = np.minimum(pairs.a, pairs.b), np.maximum(pairs.a, pairs.b)
        labels = labels[low * p + high]
    return labels
