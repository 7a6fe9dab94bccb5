"""Null models of a gradient: each takes a snapshot and returns one of the same length.

What each keeps and destroys: METHOD, section 6, and docs/method.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

Values: TypeAlias = npt.NDArray[np.floating]

# Those that draw no random number: a replicate of them would be the same again.
DETERMINISTIC = ("none", "gaussianize")


def surrogate(
    name: str, gradient: Values, rng: np.random.Generator, tensors: Sequence[int] = (0,)
) -> Values:
    """Return a surrogate of one snapshot, shape (n,), which is not changed.

    Parameters
    ----------
    name
        ``none``: the snapshot itself. ``permute``: its values in random places.
        ``permute-layers``: the values of each tensor in random places of that tensor.
        ``sign-flip``: every sign drawn anew, magnitudes in place. ``gaussianize``: magnitudes
        mapped to those of a normal sample, ranks, places and signs kept. ``gaussian``: i.i.d.
        standard normal, keeps the length alone.
    gradient, rng
        The snapshot, and the source of randomness.
    tensors
        Where each tensor starts in the snapshot, ascending from 0; for ``permute-layers``.
    """
    if name == "none":
        return gradient
    if name == "permute":
        return rng.permutation(gradient)
    if name == "permute-layers":
        return np.concatenate([rng.permutation(part) for part in np.split(gradient, tensors[1:])])
    if name == "sign-flip":
        flipped: Values = np.where(rng.random(len(gradient)) < 0.5, -gradient, gradient)
        return flipped
    if name == "gaussianize":
        return gaussianized(gradient)
    return rng.standard_normal(len(gradient)).astype(gradient.dtype)


def gaussianized(gradient: Values) -> Values:
    """Map magnitudes to half-normal quantiles by rank: Phi^-1(1/2 + u/2), u = (rank - 1/2) / n.

    Equal magnitudes share their mean rank, so ties stay ties; 0 has no sign and stays 0.
    """
    _, place, count = np.unique(np.abs(gradient), return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    u = (last - (count - 1) / 2 - 0.5) / len(gradient)
    mapped: Values = (np.sign(gradient) * special.ndtri(0.5 + u / 2)[place]).astype(gradient.dtype)
    return mapped
