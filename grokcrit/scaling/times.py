"""Intervals of times: of a change point, a lasting rise, a separation.

A time is known to a snapshot at best, and it is not a smooth function of the data: percentiles of
its bootstrap draws collapse to a point, or hold everything. Here a test is inverted instead: an
interval runs from the snapshot before the earliest to the snapshot after the latest time that the
scatter of runs does not reject. NaN where no time can be rejected, or where there are no draws.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from grokcrit.scaling import resampling
from grokcrit.scaling.crossings import SIDE, lasting_rise, steps
from grokcrit.scaling.ensembles import Reals
from grokcrit.scaling.resampling import Estimate

Ends: TypeAlias = tuple[float, float]
NOWHERE: Ends = (np.nan, np.nan)
# Draws that a test is made with: the 95 % point of so many is known to 0.7 % in probability.
DRAWS = 1000


def scatter(estimate: Estimate, nearest: int, confidence: float) -> Reals | None:
    """Return draws of a curve about their mean (draws, T), widened for few runs; None without.

    They are stretched by c t / z, as the expanded percentile of the bin ``nearest`` is, so that
    normal quantiles of them are Student's.
    """
    few = resampling.widening(estimate.influences[:, [nearest]], estimate.size_of)
    whole = estimate.draws[~np.isnan(estimate.draws).any(axis=1)][:DRAWS]
    if len(whole) < 2 or few.single[0]:
        return None
    half = 0.5 + confidence / 2
    stretch = few.scale[0] * scipy.special.stdtrit(few.freedom[0], half) / scipy.special.ndtri(half)
    centred: Reals = stretch * (whole - whole.mean(axis=0))
    return centred


def leaders(score: Reals, noise: Reals, confidence: float) -> npt.NDArray[np.intp]:
    """Return which of some scores (S,) may be the largest, given draws of their noise (draws, S).

    Score s stays unless the largest of (score_u - score_s) / sd over u exceeds its quantile where s
    ties with the best: there the other scores keep their distance from the best.
    """
    from grokcrit.kernels.leads import lead  # numba, which intervals of times alone need

    noise, places = np.ascontiguousarray(noise), np.ascontiguousarray(noise.T)
    highest, drawn = noise.max(axis=0), np.empty(len(noise))
    kept = []
    for s in range(len(score)):
        found = lead(score, noise, places, highest, s, drawn)
        if found <= np.quantile(drawn, confidence):
            kept.append(s)
    return np.array(kept)


def change_interval(times: Reals, estimate: Estimate, confidence: float) -> Ends:
    """Return the interval of the change point of a curve; NaN where no change exceeds the scatter.

    A split's score is its step over what white noise would give it, the root of the variance that
    `change_point` maximises; the best must exceed what the scatter of runs makes of no change.
    """
    if len(times) < 2 * SIDE or np.isnan(estimate.value).any():
        return NOWHERE
    jump, weight, first = steps(estimate.value)
    scores = np.sqrt(weight) * jump
    best = int(np.argmax(np.abs(scores)))
    drawn = scatter(estimate, int(first[best]), confidence)
    if drawn is None:
        return NOWHERE
    noise = np.sqrt(weight) * steps(drawn)[0]
    if np.mean(np.abs(noise).max(axis=1) >= np.abs(scores[best])) > 1 - confidence:
        return NOWHERE
    sign = np.sign(scores[best])
    kept = first[leaders(sign * scores, sign * noise, confidence)]
    return float(times[kept[0] - 1]), float(times[kept[-1]])


def rise_interval(times: Reals, estimate: Estimate, confidence: float) -> Ends:
    """Return the interval of the lasting rise of a gap above zero, the rise itself included.

    The score of a rise after m snapshots is minus the sum of the gap over them, which is largest
    where a curve that rises through zero does so. Snapshots count from the last one at which the
    gap is below zero beyond its scatter, all times taken together. NaN where the curve may lie
    above zero from the start, or never rise.
    """
    there = ~np.isnan(estimate.value)
    times, gap = times[there], estimate[there]
    when = float(lasting_rise(times, gap.value)) if len(times) else np.nan
    if np.isnan(when):
        return NOWHERE
    after = int(np.searchsorted(times, when))
    drawn = scatter(gap, after, confidence)
    if drawn is None:
        return NOWHERE
    sd = drawn.std(axis=0)
    lowest = np.quantile((drawn / np.where(sd > 0, sd, np.inf)).max(axis=1), confidence)
    below = np.flatnonzero(gap.value < -lowest * sd)
    start = int(below[-1]) if len(below) else 0
    least = min(len(below), 1)  # a gap that is below at the start rises after that

    def score(curves: Reals) -> Reals:
        sums = -np.cumsum(curves[..., start:], axis=-1)
        return sums if least else np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)

    kept = start + least + leaders(score(gap.value), score(drawn), confidence)
    if kept[0] == 0 or kept[-1] == len(times):
        return NOWHERE
    return (
        float(min(times[kept[0] - 1], times[after - 1])),
        float(max(times[kept[-1]], times[after])),
    )


def onset_interval(
    times: Reals, estimate: Estimate, when: float, lasting: int, confidence: float
) -> Ends:
    """Return the interval of the time since when a difference is not zero, ``when`` included.

    It ends where ``lasting`` times in a row are beyond zero on the side of the last time, by more
    than chance gives anywhere. It begins where a straight rise from zero to the mean of those is
    not yet rejected in favour of a later one: a difference that begins slower than it goes on began
    earlier. NaN where it never differs so, or may have done so from the start.
    """
    count = len(times) - lasting + 1
    if np.isnan(when):
        return NOWHERE
    at = int(np.searchsorted(times, when))
    drawn = scatter(estimate, at, confidence)
    if drawn is None:
        return NOWHERE
    sign = np.sign(estimate.value[-1])
    gap, drawn = sign * estimate.value, sign * drawn
    sd = np.where(drawn.std(axis=0) > 0, drawn.std(axis=0), np.finfo(float).tiny)

    def least(curves: Reals) -> Reals:
        found: Reals = np.min([curves[..., k : k + count] for k in range(lasting)], axis=0)
        return found

    half = 0.5 + confidence / 2
    beyond = np.flatnonzero(least(gap / sd) > np.quantile(least(drawn / sd).max(axis=1), half))
    if not len(beyond):
        return NOWHERE
    end = int(beyond[0])
    later = slice(end, end + lasting)
    middle = end + (lasting - 1) / 2
    for start in range(end + 1):
        part = (np.arange(start, end + 1) - start) / (middle - start)
        above = gap[start : end + 1].mean() - part.mean() * gap[later].mean()
        noise = drawn[:, start : end + 1].mean(axis=1) - part.mean() * drawn[:, later].mean(axis=1)
        if above > -scipy.special.ndtri(half) * noise.std():
            break
    before = min(start, at) - 1
    if start == 0 or before < 0:
        return NOWHERE
    return float(times[before]), float(max(times[end], when))


def minus(first: float, of_first: Ends, second: float, of_second: Ends) -> Ends:
    """Return the interval of a difference from those of its terms, as of independent ones.

    The distances of its ends are those of the terms, added in quadrature (G. Zou and A. Donner,
    Statistics in Medicine 27, 1693, 2008).
    """
    value = first - second
    return (
        float(value - np.hypot(first - of_first[0], of_second[1] - second)),
        float(value + np.hypot(of_first[1] - first, second - of_second[0])),
    )
