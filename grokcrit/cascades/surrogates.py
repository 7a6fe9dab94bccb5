"""Null models of a gradient (METHOD, section 6): each returns one of the same length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

Values: TypeAlias = npt.NDArray[np.floating]

# Those that draw no random number: a replicate of them would be the same again.
DETERMINISTIC = ("none", "gaussianize")


def surrogate(
    name: str, gradient: Values, rng: np.random.Generator, tensors: Sequence[int] = (0,)
) -> Values:
    """Return a surrogate of one snapshot, shape (n,), which is not changed.

    ``none``: the snapshot itself. ``permute``: its values in random places. ``permute-layers``: in
    random places of their tensor, each of which starts at one of ``tensors``. ``sign-flip``: every
    sign drawn again. ``gaussianize``: magnitudes mapped to those of a normal sample, ranks, places
    and signs kept. ``gaussian``: i.i.d. standard normal.
    """
    if name == "none":
        return gradient
    if name == "permute":
        return rng.permutation(gradient)
    if name == "permute-layers":
        return np.concatenate([rng.permutation(part) for part in np.split(gradient, tensors[1:])])
    if name == "sign-flip":
        return np.where(rng.random(len(gradient)) < 0.5, -gradient, gradient)
    if name == "gaussianize":
        return gaussianized(gradient)
    return rng.standard_normal(len(gradient)).astype(gradient.dtype)


def gaussianized(gradient: Values) -> Values:
    """Map magnitudes to half-normal quantiles: Phi^-1(1/2 + u/2), u = (mean rank - 1/2) / n."""
    _, place, count = np.unique(np.abs(gradient), return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    u = (last - (count - 1) / 2 - 0.5) / len(gradient)
    return (np.sign(gradient) * scipy.special.ndtri(0.5 + u / 2)[place]).astype(gradient.dtype)
