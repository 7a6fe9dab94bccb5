"""Null models of a gradient: each takes snapshots and returns others of the same length."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Values: TypeAlias = npt.NDArray[np.floating]


def surrogate(name: str, gradient: Values, rng: np.random.Generator) -> Values:
    """Return a surrogate of one snapshot.

    Parameters
    ----------
    name
        ``none`` (the snapshot itself) or ``gaussian`` (i.i.d. standard normal: keeps N alone).
    gradient
        The snapshot, shape (n,); not changed.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Shape and type of ``gradient``.
    """
    if name == "none":
        return gradient
    return rng.standard_normal(len(gradient)).astype(gradient.dtype)
