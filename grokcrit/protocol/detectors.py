"""Detectors: each turns a signal into a statistic that uses no later sample, and may alarm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from grokcrit.protocol.courses import Course
from grokcrit.scaling.ensembles import Reals

# The order decides where two are equally good.
DETECTORS = ("level", "change", "z", "cusum")
SIGNS = (1, -1)
# Epochs of the window of `z` and of the reference of `cusum`, and the least samples of each.
WINDOW, REFERENCE, LEAST = 20, 10, 5
# Allowance of `cusum`, in standard deviations.
ALLOWANCE = 0.5
# A standard deviation counts at least this share of the magnitude. Networks compute in single
# precision, whose rounding is 1e-7: a signal that only rounds moves by less than this, and one that
# is constant and then moves has a finite statistic. Relative, so that no unit matters.
FLOOR = 1e-6


def statistics(course: Course) -> Iterator[tuple[str, int, Reals]]:
    """Yield each detector, sign, and statistic (R, B), NaN where it is undefined.

    ``level`` is the signal, ``change`` the signal minus its first value since memorising, ``z`` its
    distance from the mean of the ``WINDOW`` epochs before, ``cusum`` the one-sided cumulative sum
    of its distance from the first ``REFERENCE`` epochs; the last two in standard deviations.
    """
    for detector in DETECTORS:
        for sign in SIGNS:
            yield detector, sign, statistic(course, detector, sign)


def statistic(course: Course, detector: str, sign: int) -> Reals:
    """Return the statistic of one detector and sign, (R, B)."""
    values = sign * course.values
    if detector == "level":
        return values
    if detector == "change":
        return values - first_known(values)
    if detector == "z":
        return rolling(values, samples(WINDOW, course.step))
    return cusum(values, samples(REFERENCE, course.step))


def samples(epochs: int, step: float) -> int:
    """Return how many samples some epochs hold, ``LEAST`` at least."""
    return max(int(epochs // step), LEAST)


def first_known(values: Reals) -> Reals:
    """Return the first value of each run that is not NaN, (R, 1)."""
    known = ~np.isnan(values)
    found: Reals = np.take_along_axis(values, known.argmax(axis=1)[:, None], axis=1)
    return found


def rolling(values: Reals, window: int) -> Reals:
    """Return the distance of each sample from those before it, in their standard deviations.

    The window moves sample by sample, 20 sums of whole arrays: ten times as fast as slices.
    """
    runs, length = values.shape
    padded = np.concatenate([np.full((runs, window), np.nan), values], axis=1)
    before = [padded[:, k : k + length] for k in range(window)]
    known = [~np.isnan(each) for each in before]
    count, total, square, largest = (np.zeros(values.shape) for _ in range(4))
    for each, there in zip(before, known, strict=True):
        count += there
        total += np.where(there, each, 0.0)
        np.fmax(largest, np.abs(each), out=largest)
    mean = total / np.maximum(count, 1)
    for each, there in zip(before, known, strict=True):
        square += np.where(there, (each - mean) ** 2, 0.0)
    sd = np.sqrt(square / np.maximum(count - 1, 1))
    return np.where(count >= LEAST, standard(values, mean, sd, largest), np.nan)


def cusum(values: Reals, reference: int) -> Reals:
    """Return the cumulative sum above the mean of the first samples, from the one after them on.

    S = max(0, S + (x - mean) / sd - ALLOWANCE). An undefined sample leaves it as it is.
    """
    first = values[:, :reference]
    known = ~np.isnan(first)
    count = known.sum(axis=1, keepdims=True)
    mean = np.where(known, first, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    square = np.where(known, (first - mean) ** 2, 0.0).sum(axis=1, keepdims=True)
    largest = np.where(known, np.abs(first), 0.0).max(axis=1, keepdims=True, initial=0.0)
    sd = np.sqrt(square / np.maximum(count - 1, 1))
    steps = standard(values, mean, sd, largest) - ALLOWANCE
    found, total = np.full(values.shape, np.nan), np.zeros(len(values))
    for k in range(reference, values.shape[1]):
        there = ~np.isnan(steps[:, k])
        total = np.where(there, np.maximum(0.0, total + np.where(there, steps[:, k], 0.0)), total)
        found[:, k] = np.where(there, total, np.nan)
    return np.where(count >= LEAST, found, np.nan)


def standard(values: Reals, mean: Reals, sd: Reals, largest: Reals) -> Reals:
    """Return the distance from a mean in standard deviations, not below ``FLOOR`` of the size."""
    least = FLOOR * np.fmax(largest, np.abs(values))
    scale = np.maximum(sd, least)
    return np.where(scale == 0, 0.0 * values, (values - mean) / np.where(scale == 0, 1.0, scale))


def score(statistic: Reals, course: Course) -> Reals:
    """Return the largest statistic of each run in its watch, (R,); -inf where there is none."""
    inside = np.where(course.inside & ~np.isnan(statistic), statistic, -np.inf)
    found: Reals = inside.max(axis=1, initial=-np.inf)
    return found
