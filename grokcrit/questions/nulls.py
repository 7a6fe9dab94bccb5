"""Null models: what of the data's exponent each of them keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import special

from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.questions.family import Course, Curves
from grokcrit.questions.findings import Row, finding, labelled, of_bins
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Reals
from grokcrit.scaling.resampling import Estimate

WINDOWS = (*PHASES, DIFFERENCE)
FIELLER = "Fieller, from the run bootstrap"
UNDEFINED = "not defined: the data are not told apart from the gaussian null"


def null_models(data: Curves, nulls: Mapping[str, Curves], confidence: float) -> list[Row]:
    """Hold the data against each null model, per phase and at each time.

    ``data-minus-null`` is the difference of the exponents, with the p of zero; ``fraction-kept``
    is (D_null - D_gaussian) / (D_data - D_gaussian): 1 where the null model has all that tells the
    data from i.i.d. Gaussian numbers, 0 where it has none of it.

    Parameters
    ----------
    data, nulls
        Of the same runs and draws.
    confidence
        Of the intervals.
    """
    rows = values(data.phases, confidence)
    for name, null in nulls.items():
        base = nulls.get("gaussian") if name != "gaussian" else None
        found = compared(
            data.phases, null.phases, base.phases if base else None, confidence, in_phases()
        )
        for mine, other, zero in zip(
            data.courses, null.courses, base.courses if base else (None, None), strict=True
        ):
            found += at_times(mine, other, zero, confidence)
        found += values(null.phases, confidence)
        rows += labelled(found, surrogate=name)
    return rows


def values(phases: Estimate, confidence: float) -> list[Row]:
    """Make the rows of the exponents themselves; only their difference is tested."""
    return of_bins("exponent", phases, confidence, in_phases(), [w == DIFFERENCE for w in WINDOWS])


def in_phases() -> list[Row]:
    """Name the bins of the phases."""
    return [{"window": name} for name in WINDOWS]


def at_times(data: Course, null: Course, base: Course | None, confidence: float) -> list[Row]:
    """Compare two courses at the times that all have."""
    times = np.intersect1d(data.times, null.times)
    if base is not None:
        times = np.intersect1d(times, base.times)
    places = [{"window": data.window, "time": int(time)} for time in times]
    mine, other, zero = (
        None if course is None else course.estimate[np.isin(course.times, times)]
        for course in (data, null, base)
    )
    assert mine is not None
    assert other is not None
    return compared(mine, other, zero, confidence, places)


def compared(
    data: Estimate, null: Estimate, base: Estimate | None, confidence: float, places: list[Row]
) -> list[Row]:
    """Make the rows of some bins."""
    rows = of_bins("data-minus-null", data - null, confidence, places, method="paired draws")
    if base is None:
        return rows
    value, low, high = fieller(null - base, data - base, confidence)
    return rows + [
        finding(
            "fraction-kept",
            v,
            **place,
            ci_low=a,
            ci_high=b,
            p=row["p"],
            method=UNDEFINED if np.isnan(v) else FIELLER,
        )
        for place, v, a, b, row in zip(places, value, low, high, rows, strict=True)
    ]


def fieller(top: Estimate, bottom: Estimate, confidence: float) -> tuple[Reals, Reals, Reals]:
    """Ratio of two estimates and its interval (E. C. Fieller, J. R. Stat. Soc. B 16, 175, 1954).

    The interval holds every f for which top - f bottom is not told apart from zero; it is bounded
    only where the bottom itself is told apart from zero. Variances are those of the paired draws,
    widened for few runs as every interval is.

    Returns
    -------
    tuple of ndarray, shape (bins,)
        Ratio, low, high; all NaN where the bottom is not told apart from zero.
    """
    ratio = top.value / np.where(bottom.value == 0, np.nan, bottom.value)
    rest = top.influences - ratio * bottom.influences
    few = resampling.widening(rest, top.size_of)
    t2 = (few.scale * special.stdtrit(few.freedom, 0.5 + confidence / 2)) ** 2
    valid = ~np.isnan(top.draws) & ~np.isnan(bottom.draws)
    count = np.maximum(valid.sum(axis=0), 1)

    def centred(draws: Reals) -> Reals:
        kept = np.where(valid, draws, 0.0)
        return np.where(valid, kept - kept.sum(axis=0) / count, 0.0)

    dt, db = centred(top.draws), centred(bottom.draws)
    vt, vb, c = ((a * b).sum(axis=0) / count for a, b in ((dt, dt), (db, db), (dt, db)))
    square = bottom.value**2 - t2 * vb
    middle = top.value * bottom.value - t2 * c
    root = np.sqrt(np.maximum(middle**2 - square * (top.value**2 - t2 * vt), 0))
    bounded = (square > 0) & ~few.single & (valid.sum(axis=0) > 0)
    safe = np.where(bounded, square, 1.0)
    return (
        np.where(bounded, ratio, np.nan),
        np.where(bounded, (middle - root) / safe, np.nan),
        np.where(bounded, (middle + root) / safe, np.nan),
    )
