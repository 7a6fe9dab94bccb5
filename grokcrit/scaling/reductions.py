"""Statistics of avalanches: each run's over its snapshots, each size's over its runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from grokcrit.scaling.clocks import Windows
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals


def over_snapshots(ensemble: Ensemble, values: Reals, bins: Windows, statistic: str) -> Reals:
    """Return the statistic of each run's avalanches in each bin, (R, bins); NaN for none.

    ``cutoff`` is a ratio of means, <s^2> over <s>: (2, R, bins) holds both.
    """
    if statistic == "cutoff":
        parts = [over_snapshots(ensemble, values**q, bins, "mean") for q in (2, 1)]
        return np.stack(parts)
    shape = (ensemble.runs, len(bins.times))
    inside = (bins.bin_of >= 0) & ~np.isnan(values)
    place = ensemble.run[inside] * shape[1] + bins.bin_of[inside]
    count = np.bincount(place, minlength=shape[0] * shape[1])
    if statistic == "mean":
        total = np.bincount(place, values[inside], minlength=len(count))
        reduced = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    else:
        reduced = np.full(len(count), -np.inf)
        np.maximum.at(reduced, place, values[inside])
        reduced[count == 0] = np.nan
    by_run: Reals = reduced.reshape(shape)
    return by_run


def tally(ensemble: Ensemble, bins: Windows, chosen: npt.NDArray[np.bool_]) -> Ints:
    """Count the chosen avalanches of each run and bin, shape (R, bins)."""
    shape = (ensemble.runs, len(bins.times))
    inside = (bins.bin_of >= 0) & chosen
    place = ensemble.run[inside] * shape[1] + bins.bin_of[inside]
    return np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)


def over_runs(ensemble: Ensemble, values: Reals, statistic: str) -> Reals:
    """Reduce (R, bins) to the mean over the runs of each size, or their maximum: (bins, K).

    A ratio of means, (2, R, bins), becomes the one over the other.
    """
    if values.ndim == 3:
        return ratio_of_means(*(over_runs(ensemble, each, "mean") for each in values))
    largest, size_of = statistic == "max", ensemble.size_of
    there = ~np.isnan(values)
    filled = np.where(there, values, -np.inf if largest else 0.0)
    reduced = np.full((values.shape[1], len(ensemble.sizes)), np.nan)
    for k in range(len(ensemble.sizes)):
        mine, count = filled[size_of == k], there[size_of == k].sum(axis=0)
        joint = mine.max(axis=0) if largest else mine.sum(axis=0) / np.maximum(count, 1)
        reduced[:, k] = np.where(count > 0, joint, np.nan)
    return reduced


def mean_known(values: Reals, axis: int) -> Reals:
    """Average along an axis, NaN left out; NaN where there is nothing else."""
    there = ~np.isnan(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def quotient(top: Reals, bottom: Reals) -> Reals:
    """Divide; NaN where the divisor is not above 0."""
    safe = np.nan_to_num(bottom, nan=-1.0) > 0
    return np.where(safe, top / np.where(safe, bottom, 1.0), np.nan)


def ratio_of_means(top: Reals, bottom: Reals) -> Reals:
    """Divide the mean of s^2 by that of s; 0 where all s are 0, NaN where there are none."""
    return np.where(bottom == 0, 0.0, quotient(top, bottom))
