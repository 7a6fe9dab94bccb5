"""Data collapse: the exponent D that lays P(S > s) of all sizes on one curve of s / N^D.

The decisions that the quality S leaves open:

- **Runs count alike.** P(S > s) of a size is the mean over its runs of each run's share of
  avalanches above s, as the statistic ``mean`` averages runs. A run that spends fewer snapshots in
  a window is as good a draw of a run as any other; pooled snapshots would let long runs outvote it.
- **Flanks are compared with, never scored.** Where P stays level, at 1 (or the share that is not
  quiet) below all avalanches of a size and at 0 above them, it says nothing on shape. Each curve
  keeps one such point at either end and goes on level beyond it. Without them a D that drives the
  curves apart, so that none is left to disagree, would score well; with them the number of scored
  points does not depend on D.
- **dy is pooled.** Six runs give a dy that is wrong by a third, and three runs one that can be near
  0, whose points then decide everything. So dy^2 = phi b, with b the variance of P if avalanches
  were independent, P taken by Jeffreys's rule (k + 1/2) / (m + 1) so that flanks have an error too,
  and one phi, the variance of P over runs over b, summed over all points of all sizes. With a phi
  for each size, and dy held fixed, the 95 % interval of six runs covered 81 % of 200 synthetic
  tables; with one phi 93 %.
- **A resample has its own dy** and its own flanks, as if it were the data. Where the curves do not
  collapse, D depends on the weights to first order: with dy held fixed, the intervals of six runs
  covered 84 % of 200 tables with S about 2 and were a quarter narrower; with its own, 90 %.
- **Integers lie between grid points.** P(S > s) of integers is constant from one to the next, so a
  point stands in the middle of the gap between two values that holds it.
- **S(D) is rough**, as points change the pairs that bracket them, at the same D in every resample:
  its least value proper would stick to these. The exponent is the vertex of the parabola through
  S over the width in which it stays below twice its least value, in resamples as in the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from grokcrit.base.vocabulary import MINIMUM_SIZES
from grokcrit.kernels.collapse import Curves, Points, nearest, qualities
from grokcrit.kernels.resample import resampled_means
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals, Windows

BoolArray: TypeAlias = npt.NDArray[np.bool_]

# Grid points of s a decade.
PER_DECADE = 50
# Exponents that are tried, and the step of the search for the valley of S.
SEARCH = (-1.0, 3.0)
STEP = 0.01
# Steps from the middle of the valley to its banks, of the parabola.
REACH = 8


@dataclass(frozen=True)
class Collapse:
    """The best collapse of the curves of all sizes, and its exponent.

    S is around 1 or less where they agree within their errors; points of one curve are not
    independent, so S is indicative (median 0.56 where twelve runs per size do collapse).
    """

    exponent: float | None  # D of least S
    ci_low: float | None  # None where some size has one run, or without an exponent
    ci_high: float | None
    quality: float | None  # S at the exponent
    at: tuple[float | None, ...]  # S at each exponent that was given
    n_points: int  # scored
    n_draws: int  # resamples that gave an exponent
    reason: str | None  # why there is no exponent


@dataclass(frozen=True)
class Runs:
    """The runs of one window that curves are made of."""

    points: Points
    used: Ints  # (K',): index in the ensemble of each size with data
    shares: list[Reals]  # of each such size (runs, points): P(S > s); NaN for runs without data
    counts: list[Ints]  # of each such size (runs,): avalanches of each run

    def curves(self, draws: Sequence[Ints]) -> Curves:
        """Average drawn runs; the draws are of the sizes with data, and all hold some."""
        resamples, first = len(draws[0]), self.points.first
        height = np.empty((resamples, first[-1]))
        weight = np.empty_like(height)
        start, stop = (np.empty((resamples, len(draws)), np.int64) for _ in range(2))
        for k, (shares, count, drawn) in enumerate(
            zip(self.shares, self.counts, draws, strict=True)
        ):
            p = np.empty((resamples, shares.shape[1]))
            resampled_means(shares, drawn, p)
            height[:, first[k] : first[k + 1]] = p
            weight[:, first[k] : first[k + 1]] = 1 / independent(p, count[drawn])
            start[:, k] = first[k] + (p < p[:, :1]).argmax(axis=1) - 1
            stop[:, k] = first[k] + (p <= 0).argmax(axis=1)
        return Curves(height, weight, start, stop)

    def held(self, draws: Sequence[Ints]) -> BoolArray:
        """Return whether each resample holds avalanches above 0 of every size with data."""
        there = [
            (counts * (shares[:, 0] > 0))[drawn].any(axis=1)
            for shares, counts, drawn in zip(self.shares, self.counts, draws, strict=True)
        ]
        held: BoolArray = np.logical_and.reduce(there)
        return held


def independent(p: Reals, counts: Ints) -> Reals:
    """Return the variance of P(S > s) if avalanches were independent, of resamples of a size.

    q (1 - q) mean(1 / m) / runs, q = (k + 1/2) / (m + 1) of all avalanches. ``p`` (resamples,
    points); ``counts`` (resamples, runs) holds m of each drawn run, which counts if it has data.
    """
    there = counts > 0
    inverse = np.where(there, 1 / np.maximum(counts, 1), 0.0).sum(axis=1) / there.sum(axis=1) ** 2
    total = counts.sum(axis=1)[:, None]
    q = (p * total + 0.5) / (total + 1)
    variance: Reals = inverse[:, None] * q * (1 - q)
    return variance


def collapse(
    ensemble: Ensemble,
    values: Reals,
    bins: Windows,
    draws: Sequence[Ints],
    confidence: float,
    direct: Sequence[float] = (),
) -> Collapse:
    """Find the exponent that collapses P(S > s) of all sizes on one curve of s / N^D.

    ``values`` are an observable of the ensemble's avalanches, NaN where it is not defined; ``bins``
    is a window of one bin. ``draws`` are the runs of each resample (:func:`draw_runs` of
    ``resampling``, whose :func:`interval` it is too); a resample in which a size lost all its data
    is left out. ``direct`` are other exponents at which S is wanted.
    """
    s = grid(values)
    counts, total = exceedances(ensemble, values, bins, s)
    none = Collapse(None, None, None, None, (None,) * len(direct), 0, 0, None)
    runs = runs_of(ensemble, s, counts, total)
    if isinstance(runs, str):
        return replace(none, reason=runs)
    whole = runs.curves([np.arange(len(each))[None] for each in runs.counts])
    phi = design_effect(runs, whole)
    if not phi > 0:
        why = "the runs of a size do not differ, or there is one: P(S > s) has no error"
        return replace(none, reason=why)
    at = tuple(quality(runs.points, whole, d) / phi for d in direct)
    none = replace(none, at=at, n_points=int((whole.stop - whole.start - 1).sum()))
    around = valley(runs.points, whole)
    if around is None:
        why = f"S has no minimum well inside the search range, {SEARCH[0]:g} to {SEARCH[1]:g}"
        return replace(none, reason=why)
    exponent = float(vertices(runs.points, whole, *around)[0])
    drawn = [draws[k] for k in runs.used]
    valid = runs.held(drawn)
    found = np.full(len(valid), np.nan)
    if valid.any():
        resampled = runs.curves([each[valid] for each in drawn])
        found[valid] = vertices(runs.points, resampled, *around)
    few = resampling.widening(influences(ensemble, runs, around), ensemble.size_of)
    low, high = resampling.interval(found[:, None], few, confidence)
    return replace(
        none,
        exponent=exponent,
        ci_low=None if np.isnan(low[0]) else float(low[0]),
        ci_high=None if np.isnan(high[0]) else float(high[0]),
        quality=quality(runs.points, whole, exponent) / phi,
        n_draws=int((~np.isnan(found)).sum()),
    )


def grid(values: Reals) -> Reals:
    """Return the s at which P(S > s) is taken: a log grid, each point in the middle of its gap."""
    known = np.unique(values[np.isfinite(values) & (values > 0)])
    if not len(known):
        return np.empty(0)
    ratio = 10 ** (1 / PER_DECADE)
    steps = int(np.ceil(np.log(known[-1] / known[0]) / np.log(ratio))) + 1
    s = known[0] * ratio ** np.arange(steps)
    edges = np.concatenate([[known[0] / ratio], known, [known[-1] * ratio]])
    place = np.searchsorted(known, s, side="right")
    return np.unique(np.append((edges[place] + edges[place + 1]) / 2, edges[:2].mean()))


def exceedances(ensemble: Ensemble, values: Reals, bins: Windows, s: Reals) -> tuple[Ints, Ints]:
    """Count the avalanches of each run above each s, shape (R, points), and all, shape (R,)."""
    inside = (bins.bin_of >= 0) & ~np.isnan(values)
    level = np.searchsorted(s, values[inside])  # how many s lie below
    width = len(s) + 1
    place = ensemble.run[inside] * width + level
    by_level = np.bincount(place, minlength=ensemble.runs * width).reshape(-1, width)
    total = by_level.sum(axis=1)
    return total[:, None] - by_level.cumsum(axis=1)[:, :-1], total


def runs_of(ensemble: Ensemble, s: Reals, counts: Ints, total: Ints) -> Runs | str:
    """Gather the runs of all sizes with data; say in words why their curves cannot be compared."""
    used = np.unique(ensemble.size_of[total > 0])
    if len(used) < MINIMUM_SIZES:
        return f"a collapse needs at least {MINIMUM_SIZES} sizes with data, there are {len(used)}"
    log_s, shares, totals = [], [], []
    for size in used:
        mine = ensemble.size_of == size
        above = counts[mine].sum(axis=0)
        falls = np.flatnonzero(above < above[:1])
        if not len(falls):
            return f"all avalanches of N = {ensemble.sizes[size]} are 0"
        # One point of the level part at either end.
        kept = slice(falls[0] - 1, np.flatnonzero(above)[-1] + 2)
        log_s.append(np.log(s[kept]))
        known = np.where(total[mine] > 0, total[mine], np.nan)[:, None]
        shares.append(counts[mine, kept] / known)
        totals.append(total[mine])
    first = np.cumsum([0, *map(len, log_s)])
    log_n = np.log(ensemble.sizes[used].astype(np.float64))
    return Runs(Points(np.concatenate(log_s), first, log_n), used, shares, totals)


def design_effect(runs: Runs, whole: Curves) -> float:
    """Return phi, the variance of P over runs over that of independent avalanches; NaN for none."""
    spread, expected = 0.0, 0.0
    for k, (shares, counts) in enumerate(zip(runs.shares, runs.counts, strict=True)):
        mine, n = shares[counts > 0], int((counts > 0).sum())
        if n > 1:
            begin = runs.points.first[k]
            inner = slice(whole.start[0, k] + 1 - begin, whole.stop[0, k] - begin)
            spread += float((mine.var(axis=0, ddof=1) / n)[inner].sum())
            expected += float((1 / whole.weight[0, begin + inner.start : begin + inner.stop]).sum())
    return spread / expected if expected > 0 else np.nan


def quality(points: Points, whole: Curves, exponent: float) -> float:
    """Return S of one set of curves at an exponent, for dy^2 without its common factor."""
    out = np.empty((1, 1))
    qualities(points, whole, np.array([exponent]), np.zeros(1, np.int64), out)
    return float(out[0, 0])


def valley(points: Points, whole: Curves) -> tuple[float, float] | None:
    """Return middle and half width of where S is below twice its least; None at the search ends."""
    steps = round((SEARCH[1] - SEARCH[0]) / STEP)
    tried = SEARCH[0] + STEP * np.arange(steps + 1)
    s = np.empty((1, steps + 1))
    qualities(points, whole, tried, np.zeros(1, np.int64), s)
    least = int(s[0].argmin())
    banks = np.flatnonzero(s[0] >= 2 * s[0, least])
    left, right = banks[banks < least], banks[banks > least]
    if not len(left) or not len(right):
        return None
    low, high = min(left[-1], least - 2), max(right[0], least + 2)
    return float(tried[low] + tried[high]) / 2, float(tried[high] - tried[low]) / 2


def vertices(points: Points, curves: Curves, middle: float, half: float) -> Reals:
    """Find the exponent of least S for each set of curves, shape (resamples,).

    ``middle`` and ``half`` are the valley of S of the data: the search is over everything, but
    begins there, and its half width is that of the parabolas. The exponent is the vertex of the
    parabola through S at ``2 REACH + 1`` points around the least; NaN where they reach beyond the
    search range.
    """
    step = half / REACH
    first = int(np.ceil((SEARCH[0] - middle) / step))
    last = int(np.floor((SEARCH[1] - middle) / step))
    fine = middle + step * np.arange(first, last + 1)
    coarse = np.arange(-first % (REACH // 2), len(fine), REACH // 2)
    coarse = coarse[np.argsort(np.abs(fine[coarse] - middle), kind="stable")]
    best = np.empty(len(curves.height), np.int64)
    nearest(points, curves, fine[coarse], best)
    spare = REACH // 2
    wide = REACH + spare
    out, centre = np.full(len(best), np.nan), coarse[best]
    inside = (centre >= wide) & (centre < len(fine) - wide)
    if not inside.any():
        return out
    chosen, start = Curves(*(each[inside] for each in curves)), centre[inside] - wide
    s = np.empty((len(start), 2 * wide + 1))
    qualities(points, chosen, fine, start, s)
    # Once around the best of the coarse exponents, then around the vertex found there.
    shift = np.clip(np.rint(lowest(s[:, spare:-spare])), -spare, spare).astype(np.int64)
    window = wide + shift[:, None] + np.arange(-REACH, REACH + 1)
    vertex = lowest(np.take_along_axis(s, window, axis=1))
    out[inside] = fine[0] + step * (start + wide + shift + vertex)
    return out


def lowest(s: Reals) -> Reals:
    """Return the vertices of the parabolas through rows of S, in steps; or where S is least."""
    offset = np.arange(s.shape[1]) - s.shape[1] // 2
    # On evenly spaced points slope and bend are orthogonal.
    square = offset**2 - (offset**2).mean()
    slope, bend = s @ offset / (offset @ offset), s @ square / (square @ square)
    shift = -slope / np.where(bend > 0, 2 * bend, np.nan)
    sound = np.abs(shift) <= offset[-1]
    vertex: Reals = np.where(sound, shift, offset[s.argmin(axis=1)])
    return vertex


def influences(ensemble: Ensemble, runs: Runs, around: tuple[float, float]) -> Reals:
    """Work out the influence of each run on the exponent by leaving it out, shape (R, 1).

    (n - 1) (mean of D over the runs of the size left out in turn - D without the run), n runs of
    the size with data; NaN for a run without data, 0 for the only run of a size.
    """
    out = np.full((ensemble.runs, 1), np.nan)
    for k, size in enumerate(runs.used):
        there = np.flatnonzero(runs.counts[k] > 0)
        mine = np.flatnonzero(ensemble.size_of == size)[there]
        if len(there) == 1:
            out[mine] = 0.0
            continue
        draws = [np.tile(np.arange(len(each)), (len(there), 1)) for each in runs.counts]
        draws[k] = np.array([there[there != r] for r in there])
        held = runs.held(draws)
        found = np.full(len(there), np.nan)
        found[held] = vertices(runs.points, runs.curves([each[held] for each in draws]), *around)
        out[mine, 0] = (len(there) - 1) * (found.mean() - found)
    return out
