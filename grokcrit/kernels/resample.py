"""Means over resampled runs."""

from __future__ import annotations

import math

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.types import Array


@jit
def resampled_means(values: Array, draws: Array, out: Array) -> None:
    """Average the drawn runs in every window.

    A plain loop and not a matrix product: the order of the sum must not depend on the machine's
    linear-algebra library or its threads. ``values`` (runs, windows) is NaN where a run has no
    data; ``draws`` (resamples, runs) says which runs each resample holds; ``out`` (resamples,
    windows) is filled, NaN where no drawn run has data.
    """
    resamples, runs = draws.shape
    windows = values.shape[1]
    for d in range(resamples):
        for w in range(windows):
            total, count = 0.0, 0
            for i in range(runs):
                value = values[draws[d, i], w]
                if not math.isnan(value):
                    total += value
                    count += 1
            out[d, w] = total / count if count > 0 else math.nan
