"""Separation: since when does D(t) of two cells differ for good?"""

from __future__ import annotations

import numpy as np

from grokcrit.base.summary import Row
from grokcrit.questions.rows import finding
from grokcrit.scaling.ensembles import Ints, Reals
from grokcrit.scaling.resampling import Estimate
from grokcrit.scaling.times import onset_interval

# Times in a row at which the difference must be seen, so that one noisy time is no separation.
LASTING = 3


def since_when(times: Reals, apart: Reals) -> Reals:
    """Return the first of LASTING times in a row with one sign of ``apart`` (..., T); else NaN."""
    count = apart.shape[-1] - LASTING + 1
    if count < 1:
        return np.full(apart.shape[:-1], np.nan)
    sums = sum(apart[..., k : k + count] for k in range(LASTING))
    lasting = np.abs(np.asarray(sums)) == LASTING
    first = np.argmax(lasting, axis=-1)
    return np.where(lasting.any(axis=-1), times[first], np.nan)


def separation(times: Ints, gap: Estimate, confidence: float) -> Row:
    """Make the row of the separation: the first of three times whose intervals exclude zero.

    Only the sign that the difference ends with counts. ``n``: the draws that separate when compared
    with the same half-widths.
    """
    low, high = gap.interval(confidence)
    at, known = times.astype(np.float64), ~np.isnan(low)
    final = float(np.sign(gap.value[-1]))
    apart = np.where(known, (low > 0).astype(float) - (high < 0), 0.0)
    apart = np.where(apart == final, apart, 0.0)
    when = float(since_when(at, apart))
    half = np.where(known, (high - low) / 2, np.inf)
    each = since_when(at, np.where(gap.draws * final > half, final, 0.0))
    first, last = onset_interval(at, gap, when, LASTING, confidence)
    separated = int((~np.isnan(each)).sum())
    return finding("separation", when, ci_low=first, ci_high=last, n=separated)
