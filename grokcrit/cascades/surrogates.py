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


# Entries drawn at once: whole vectors of doubles would take two to three times the memory.
CHUNK = 2**15


def surrogate(
    name: str,
    gradient: Values,
    rng: np.random.Generator,
    tensors: Sequence[int] = (0,),
    out: Values | None = None,
) -> Values:
    """Return a surrogate of one snapshot, shape (n,), which is not changed.

    ``none``: the snapshot itself. ``permute``: its values in random places. ``permute-layers``: in
    random places of their tensor, each of which starts at one of ``tensors``. ``sign-flip``: every
    sign drawn again. ``gaussianize``: magnitudes mapped to those of a normal sample, ranks, places
    and signs kept. ``gaussian``: i.i.d. standard normal. It is written to ``out`` where that is
    given; for ``gaussian``, which does not read the snapshot, it may be the snapshot's memory.
    """
    if name == "none":
        return gradient
    if out is None:
        out = np.empty_like(gradient)
    if name == "gaussianize":
        out[:] = gaussianized(gradient)
    elif name in ("permute", "permute-layers"):
        out[:] = gradient
        for part in np.split(out, tensors[1:] if name == "permute-layers" else []):
            rng.shuffle(part)
    else:
        for first in range(0, len(out), CHUNK):
            part = out[first : first + CHUNK]
            if name == "gaussian":
                part[:] = rng.standard_normal(len(part))
            else:
                values = gradient[first : first + CHUNK]
                part[:] = np.where(rng.random(len(part)) < 0.5, -values, values)
    return out


def gaussianized(gradient: Values) -> Values:
    """Map magnitudes to half-normal quantiles: Phi^-1(1/2 + u/2), u = (mean rank - 1/2) / n."""
    _, place, count = np.unique(np.abs(gradient), return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    u = (last - (count - 1) / 2 - 0.5) / len(gradient)
    return (np.sign(gradient) * scipy.special.ndtri(0.5 + u / 2)[place]).astype(gradient.dtype)
