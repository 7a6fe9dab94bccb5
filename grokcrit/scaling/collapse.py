"""Data collapse: D and beta that put N^beta P(S > s) of all sizes on one curve of s / N^D.

Where s is distributed as s^-tau G(s / N^D), beta = D (tau - 1) (S. M. Bhattacharjee and F. Seno,
J. Phys. A 34, 6375, 2001). beta = 0, the source's case, is right for distributions that are all
cutoff; for tau > 1 it draws D to 0, because unscaled curves agree at small s.

The common curve g is a cubic spline, fitted with D and beta by weighted least squares,

    ln P_k(s) = -beta ln N_k + g(ln s - D ln N_k) + error.

- **Runs count alike.** P(S > s) of a size is the mean over its runs, as in the statistic ``mean``.
- **One factor for all errors.** The variance of P is phi b: b is that of independent avalanches,
  phi the variance over runs over b, one number for all points. Errors point by point, of six
  runs, are themselves uncertain by a third.
- **S** is chi^2 per degree of freedom, about 1 where curves agree within errors. Neighbouring
  points are not independent, so S alone decides nothing.
- **Goodness of fit.** Whole runs are resampled, each curve about its own mean, and what is left of
  them after the same fit is compared with the data: p is the share with a larger S.
- **Intervals** follow from each run's influence on the fit, which least squares gives exactly to
  first order, and Student's t. Where p is below 0.2 they are wider by the root of chi^2 over its
  mean in the resamples. Coverage: docs/truth.md.

The quality of J. Houdayer and A. K. Hartmann (Phys. Rev. B 70, 014418, 2004) compares each point
with a line through two neighbours on every other curve; it is a jagged function of D, and its least
value needs an own search in every resample. A common spline is smooth.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from grokcrit.base.vocabulary import MINIMUM_SIZES
from grokcrit.scaling import splines
from grokcrit.scaling.clocks import Windows
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.resampling import Estimate, resampled_means, student

# Points of each curve, evenly spaced in ln s, each with this many avalanches above and below.
POINTS, LEAST = 30, 5
# Degree of the common curve, and its stretches; fewer where there are under six points a stretch.
DEGREE, STRETCHES = 3, 10
# Exponents that are tried before the best is refined.
SEARCH = (-1.0, 4.0)
STEP = 0.05
# Below this p of the goodness of fit the misfit widens intervals.
DOUBTFUL = 0.2
# A curve ends where it has no avalanche any more. Where the others, rescaled, expect more than so
# many beyond this multiple of its largest, the cutoffs do not lie on one another.
EXPECTED, LEEWAY = 30.0, 1.1
# How far from where curves overlap best the least chi^2 may lie.
NEAR = 0.25


class Exponent(NamedTuple):
    """An exponent of the collapse; the interval is None where a size has one run."""

    value: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class Collapse:
    """The best collapse of the curves of all sizes, and how good it is."""

    exponent: Exponent | None  # D
    beta: Exponent | None  # None where it was fixed at 0
    tau: Exponent | None  # 1 + beta / D
    quality: float | None  # S at the best exponents, or where the curves overlap best
    p: float | None  # goodness of fit; at least 1 / (resamples + 1)
    at: tuple[float | None, ...]  # S at each exponent that was given, beta = 0
    n_points: int
    n_draws: int  # resamples behind p
    reason: str | None  # why there is no exponent


@dataclass(frozen=True)
class Curves:
    """P(S > s) of all sizes at the points of the fit."""

    log_n: Reals  # (K,): ln N of each size with data, minus their mean
    used: Ints  # (K,): its index in the ensemble
    size_of: Ints  # (points,): index of each point's curve
    log_s: Reals  # (points,)
    log_p: Reals  # (points,)
    weight: Reals  # (points,): 1 / variance of ln P, were avalanches independent
    # Of each size (runs, its points): P of a run over their mean, minus 1; NaN: no data.
    shares: tuple[Reals, ...]
    end: Reals  # (K,): ln of the largest avalanche
    total: Ints  # (K,): avalanches

    def of(self, k: int) -> slice:
        """Return where the points of a size lie."""
        return slice(*np.searchsorted(self.size_of, [k, k + 1]).tolist())


@dataclass(frozen=True)
class Profile:
    """The least-squares fit at one D."""

    chi2: float  # before the errors' common factor
    beta: float
    residual: Reals  # (points,), weighted
    beyond: float  # most avalanches that the curve expects beyond the largest of a size
    curves: Curves
    x: Reals  # (points,): ln(s / N^D)
    knots: Reals
    linear: Reals  # (points, parameters): the curve, then beta if it is free
    solved: Reals  # (parameters,)

    @functools.cached_property
    def design(self) -> Reals:
        """(points, parameters), weighted: the curve, then D, then beta if it is free."""
        count = len(self.knots) - DEGREE - 1
        slope = splines.derivative(self.knots, self.solved[:count], self.x, DEGREE)
        moved = -slope * self.curves.log_n[self.curves.size_of]
        columns = [self.linear[:, :count], moved, self.linear[:, count:]]
        return np.column_stack(columns) * np.sqrt(self.curves.weight)[:, None]


def collapse(
    ensemble: Ensemble,
    values: Reals,
    bins: Windows,
    draws: Sequence[Ints],
    confidence: float,
    *,
    free: bool,
    smallest: float = 0.0,
    direct: Sequence[float] = (),
) -> Collapse:
    """Find the exponents that collapse P(S > s) of all sizes, and judge the collapse.

    Parameters
    ----------
    ensemble, values, bins
        ``values`` (rows,) are an observable of the ensemble's avalanches, NaN where it is not
        defined; ``bins`` is a window of one bin.
    draws
        Runs of each resample, of every size: ``resampling.draw_runs``.
    confidence
        Of the intervals.
    free
        Whether beta is fitted, or 0.
    smallest
        Only P(S > s) at s above this is compared. Small avalanches feel the lattice and do not
        scale; with beta = 0 nothing needs to be left out.
    direct
        Other exponents D at which S is wanted, with beta = 0.
    """
    none = Collapse(None, None, None, None, None, (None,) * len(direct), 0, 0, None)
    curves = curves_of(ensemble, values, bins, smallest)
    if isinstance(curves, str):
        return replace(none, reason=curves)
    phi = design_effect(curves)
    if not phi > 0:
        why = "the runs of a size do not differ, or there is one: P(S > s) has no error"
        return replace(none, reason=why)
    freedom = len(curves.log_s) - profile(curves, 0.0, free).design.shape[1]
    others = profiles(curves, direct, False) if direct else []
    at = tuple(each.chi2 / phi / (freedom + free) for each in others)
    none = replace(none, at=at, n_points=len(curves.log_s))
    d, reason = best(curves, free)
    if d is None:
        return replace(none, reason=reason)
    found = profile(curves, d, free)
    basis, triangle = np.linalg.qr(found.design)
    chi2 = found.chi2 / phi
    drawn = resampled(curves, basis, [draws[k] for k in curves.used]) / phi
    known = drawn[np.isfinite(drawn)]
    p = (1 + int((known >= chi2).sum())) / (1 + len(known)) if len(known) else None
    none = replace(none, quality=chi2 / freedom, p=p, n_draws=len(known), reason=reason)
    if reason is not None:
        return none
    of_d, *of_beta = np.linalg.solve(triangle, basis.T)[-1 - free :] * np.sqrt(curves.weight)
    misfit = chi2 / known.mean() if p is not None and p < DOUBTFUL else 1.0
    told = partial(exponent, ensemble, curves, misfit=misfit, confidence=confidence)
    beta, tau = None, None
    if free:
        beta = told(of_beta[0], found.beta)
    if free and d > 0:
        tau = told(of_beta[0] / d - found.beta / d**2 * of_d, 1 + found.beta / d)
    return replace(none, exponent=told(of_d, d), beta=beta, tau=tau)


def curves_of(ensemble: Ensemble, values: Reals, bins: Windows, smallest: float) -> Curves | str:
    """Gather P(S > s) of all sizes with data; say in words why curves cannot be compared."""
    inside = (bins.bin_of >= 0) & ~np.isnan(values)
    observed, run = values[inside], ensemble.run[inside]
    order = np.lexsort((observed, run))
    observed, starts = observed[order], np.searchsorted(run[order], np.arange(ensemble.runs + 1))
    used = np.unique(ensemble.size_of[np.diff(starts) > 0])
    if len(used) < MINIMUM_SIZES:
        return f"a collapse needs at least {MINIMUM_SIZES} sizes with data, there are {len(used)}"
    parts, ends = [], []
    for size in used:
        mine = np.flatnonzero(ensemble.size_of == size)
        runs = [observed[starts[r] : starts[r + 1]] for r in mine]
        part = curve(runs, smallest)
        if part is None:
            return (
                f"the avalanches of N = {ensemble.sizes[size]} are too few or too much alike: "
                f"at no two s are {LEAST} of them above and {LEAST} below"
            )
        parts.append(part)
        ends.append((max(run[-1] for run in runs if len(run)), sum(map(len, runs))))
    log_n = np.log(ensemble.sizes[used].astype(np.float64))
    lengths = [len(part[0]) for part in parts]
    log_s, log_p, weight = (np.concatenate([part[i] for part in parts]) for i in range(3))
    size_of = np.repeat(np.arange(len(used)), lengths)
    shares = tuple(part[3] for part in parts)
    end, total = np.log([each for each, _ in ends]), np.array([count for _, count in ends])
    return Curves(log_n - log_n.mean(), used, size_of, log_s, log_p, weight, shares, end, total)


def curve(runs: Sequence[Reals], smallest: float) -> tuple[Reals, Reals, Reals, Reals] | None:
    """Return ln s, ln P, weight and each run's share of one size; None for under two points.

    Between whole numbers P(S > s) is constant: there a point stands halfway to the next one.
    """
    pooled = np.sort(np.concatenate(runs))
    total = len(pooled)
    if total < 2 * LEAST:
        return None
    low, high = max(pooled[LEAST - 1], smallest), pooled[total - LEAST]
    if high <= 0 or low >= high:
        return None
    low = max(low, np.min(pooled[pooled > 0]))
    s = np.geomspace(low, high, POINTS)
    if (pooled == np.rint(pooled)).all():
        s = np.floor(s) + 0.5
    s = np.unique(s)
    above = np.array([len(run) - np.searchsorted(run, s, side="right") for run in runs])
    count = above.sum(axis=0)
    kept = (count >= LEAST) & (count <= total - LEAST) & (s >= smallest)
    if kept.sum() < 2:
        return None
    lengths = np.array([len(run) or np.nan for run in runs])
    share = above[:, kept] / lengths[:, None]
    p = np.nanmean(share, axis=0)
    variance = np.nanmean(1 / lengths) / np.isfinite(lengths).sum() * (1 - p) / p
    return np.log(s[kept]), np.log(p), 1 / variance, share / p - 1


def design_effect(curves: Curves) -> float:
    """Return phi, the variance of ln P over runs over that of independent avalanches."""
    spread, points = 0.0, 0
    for k, shares in enumerate(curves.shares):
        known = shares[~np.isnan(shares[:, 0])]
        if len(known) > 1:
            weight = curves.weight[curves.of(k)]
            spread += float((known.var(axis=0, ddof=1) / len(known) * weight).sum())
            points += len(weight)
    return spread / points if points else np.nan


def knots(x: Reals) -> Reals:
    """Place the knots of the common curve, halfway between even spacing and equal shares of x.

    ``x`` (D, points): a set of knots for each row.
    """
    share = np.linspace(0, 1, max(1, min(STRETCHES, x.shape[1] // 6)) + 1)
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    inner = (np.quantile(x, share, axis=1).T + low + share * (high - low)) / 2
    margin = 1e-9 * (1 + np.abs(inner[:, [0, -1]]))
    inner[:, [0, -1]] += margin * [-1, 1]
    first, last = (np.repeat(inner[:, [end]], DEGREE, axis=1) for end in (0, -1))
    return np.concatenate([first, inner, last], axis=1)


def profiles(curves: Curves, tried: Sequence[float], free: bool) -> list[Profile]:
    """Fit the common curve, and beta if it is free, at every D tried."""
    log_n, each = curves.log_n[curves.size_of], np.array(tried)[:, None]
    x, root = curves.log_s - each * log_n, np.sqrt(curves.weight)
    places = knots(x)
    count = places.shape[1] - DEGREE - 1
    linear = splines.basis(places, x, DEGREE).dense(count)
    if free:
        linear = np.concatenate([linear, np.tile(-log_n[:, None], (len(x), 1, 1))], axis=2)
    fits = [np.linalg.lstsq(one * root[:, None], curves.log_p * root, rcond=None) for one in linear]
    solved = np.array([fit[0] for fit in fits])
    # Where a curve ends and others go on, a little farther than its largest avalanche.
    after, end = curves.end + math.log(LEEWAY) - each * curves.log_n, places[:, -1:]
    height = splines.basis(places, np.minimum(after, end), DEGREE).sum(solved)
    beta = solved[:, -1:] if free else np.zeros((len(x), 1))
    expected = curves.total * np.exp(height - beta * curves.log_n)
    beyond = np.where(after < end, expected, 0.0).max(axis=1)
    found = []
    for i in range(len(x)):
        residual = (curves.log_p - linear[i] @ solved[i]) * root
        chi2, numbers = float(residual @ residual), (float(beta[i, 0]), residual, float(beyond[i]))
        found.append(Profile(chi2, *numbers, curves, x[i], places[i], linear[i], solved[i]))
    return found


def profile(curves: Curves, d: float, free: bool) -> Profile:
    """Fit the common curve, and beta if it is free, at one D."""
    return profiles(curves, [d], free)[0]


def best(curves: Curves, free: bool) -> tuple[float | None, str | None]:
    """Return D of the best collapse, and why it is no exponent or None.

    Curves that are driven apart disagree nowhere, and the spline would follow each in turn.
    Exponents are therefore first compared by chi^2 over the number of other curves that the range
    of a point holds; the best is then refined to the least chi^2 nearby, if there is one. Where
    curves do not end together there is none: at D = 0 those of a power law agree until they end.
    """
    steps = round((SEARCH[1] - SEARCH[0]) / STEP)
    tried = [SEARCH[0] + STEP * i for i in range(steps + 1)]
    shared = [cover(curves, d) for d in tried]
    tries = profiles(curves, tried, free)
    merit = np.array([e.chi2 / c if c >= 1 else np.inf for e, c in zip(tries, shared, strict=True)])
    together = np.array([each.beyond <= EXPECTED for each in tries])
    least = int(np.argmin(np.where(together, merit, np.inf)))
    reason = None
    if least in (0, steps) or not (together & np.isfinite(merit))[least]:
        ends = f"{SEARCH[0]:g} to {SEARCH[1]:g}"
        reason = f"no D from {ends} brings the curves and their ends together"
        least = int(np.argmin(merit))
    if not np.isfinite(merit[least]):
        return None, reason
    d = tried[least]
    if reason is not None:
        return d, reason
    for _ in range(50):  # Gauss and Newton: each step solves for D and all else at once
        now = profile(curves, d, free)
        step = float(np.linalg.lstsq(now.design, now.residual, rcond=None)[0][-1 - free])
        d += float(np.clip(step, -STEP, STEP))
        if abs(step) < 1e-9:
            break
    if abs(d - tried[least]) <= NEAR and profile(curves, d, free).beyond <= EXPECTED:
        return d, None
    return tried[least], "chi^2 has no minimum at which the curves overlap"


def cover(curves: Curves, d: float) -> float:
    """Return how many other curves have a point's x in their range, on average."""
    x = curves.log_s - d * curves.log_n[curves.size_of]
    mine = [x[curves.of(k)] for k in range(len(curves.log_n))]
    low, high = (np.array([end(each) for each in mine]) for end in (np.min, np.max))
    inside = (x[:, None] >= low) & (x[:, None] <= high)
    return float(inside.sum() / len(x) - 1)


def resampled(curves: Curves, basis: Reals, draws: Sequence[Ints]) -> Reals:
    """Return chi^2, before phi, of each resample of whole runs about the mean of their own size.

    The scatter of the drawn runs, widened by n / (n - 1), goes through the same fit, of which
    ``basis`` (points, parameters) is an orthonormal basis. phi, pooled over all sizes, is that of
    the data: with one of each resample 1.5 to 3 % of collapses of six runs were rejected, with the
    data's 4 %.
    """
    scatter = np.zeros((len(draws[0]), len(curves.log_s)))
    for k, (shares, drawn) in enumerate(zip(curves.shares, draws, strict=True)):
        n = int((~np.isnan(shares[:, 0])).sum())
        if n > 1:  # else its scatter is not known
            mean = resampled_means(shares, drawn)
            scatter[:, curves.of(k)] = mean * np.sqrt(n / (n - 1))
    scatter *= np.sqrt(curves.weight)
    # Not a matrix product, whose last bits depend on the library and its threads.
    fitted = np.einsum("gp,pq->gq", scatter, basis)
    chi2: Reals = np.einsum("gp,gp->g", scatter, scatter) - np.einsum("gq,gq->g", fitted, fitted)
    return chi2


def exponent(
    ensemble: Ensemble,
    curves: Curves,
    response: Reals,
    value: float,
    misfit: float,
    confidence: float,
) -> Exponent:
    """Return an exponent with its interval.

    ``response`` (points,) is how it moves with ln P, ``misfit`` what its variance is multiplied by.
    """
    influence = np.full((ensemble.runs, 1), np.nan)
    for k, size in enumerate(curves.used):
        share = np.einsum("p,rp->r", response[curves.of(k)], curves.shares[k])
        influence[ensemble.size_of == size, 0] = share
    value_of, draws = np.array([value]), np.empty((0, 1))
    spread = Estimate(value_of, draws, influence * np.sqrt(misfit), ensemble.size_of).spread()
    low, high = student(value_of, *spread, confidence)
    return Exponent(value, *(None if np.isnan(end[0]) else float(end[0]) for end in (low, high)))
