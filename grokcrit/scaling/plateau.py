"""tau of one size where both cutoffs are unknown, and one tau from several sizes.

A power law holds between the smallest avalanches, which know the lattice, and the largest, which
know the size of the system. The widest range that a test does not reject reaches into both: what
bends there is not yet visible, but moves tau by several standard errors. So the range starts at
FLOOR or above, tau is taken from its lower part, up to the upper cutoff / MARGIN, and the law may
bend there: p(s) ~ s^-tau exp(-b s), b of either sign. The bias falls below the error, which grows
(compare S. Calonico, M. D. Cattaneo, R. Titiunik, Econometrica 82, 2295, 2014, on intervals that
choose with a lower order than they estimate with). Measured in benchmarks/tail_coverage.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from grokcrit.kernels.tails import NODES, WEIGHTS, Pairs
from grokcrit.scaling.ensembles import Ints, Reals
from grokcrit.scaling.resampling import Estimate
from grokcrit.scaling.tails import CRITICAL, DISTINCT, SAMPLES, counted, widest

# Smallest lower cutoff; what the upper one is divided by; smallest ratio of the two after that.
FLOOR, MARGIN, RATIO = 10, 3, 5
# A resample holds its data's own distance from the law, and as much again from its drawing.
REDRAWN = math.sqrt(2)
# Share of the resamples that have to have a range for an interval to be given.
SURE = 0.9
# Up to this value terms of a sum are added one by one; then quadrature, to 1e-4 of the next term.
TERMS = 64


class Plateau(NamedTuple):
    """The law p(s) ~ s^-exponent exp(-rate s) on the whole numbers lower..upper."""

    exponent: float
    rate: float
    lower: int
    upper: int
    n: int  # samples in the range
    covariance: Reals  # (2,): of the exponent with the exponent, and with rate * upper

    @property
    def stderr(self) -> float:
        """Standard error of the exponent if samples were independent."""
        return math.sqrt(float(self.covariance[0]))


def plateau(pairs: Pairs, critical: float = CRITICAL) -> Plateau | None:
    """Fit tau in the lower part of the widest range that is not rejected.

    None where no range of the data from FLOOR on is left unrejected, or its lower part is shorter
    than RATIO, or holds fewer than SAMPLES or fewer than DISTINCT values.
    """
    found = widest(pairs, None, critical, FLOOR)
    return None if found is None else lower_part(pairs, int(found.lower), int(found.upper))


def lower_part(pairs: Pairs, lower: int, upper: int) -> Plateau | None:
    """Fit tau in the lower part of a given range; None where there is too little of it."""
    end = upper // MARGIN
    first, last = np.searchsorted(pairs.values, [lower, end + 1])
    n = int(pairs.above[first] - pairs.above[last])
    if end < RATIO * lower or last - first < DISTINCT or n < SAMPLES:
        return None
    counts = -np.diff(pairs.above[first : last + 1])
    observed = features(pairs.values[first:last], lower, end) @ counts / n
    found = solve(observed, *terms(lower, end), lower, end)
    if found is None:
        return None
    theta, covariance = found
    return Plateau(float(theta[0]), float(theta[1]) / end, lower, end, n, covariance[0] / n)


def features(values: Reals, lower: int, upper: int) -> Reals:
    """Return -ln(s / lower) and -s / upper of each value, (2, K): what tau and rate multiply."""
    return -np.stack([np.log(values / lower), values / upper])


def terms(lower: int, upper: int) -> tuple[Reals, Reals]:
    """Return places and weights of a sum over the whole numbers lower..upper.

    The first are the whole numbers; beyond TERMS, Gauss-Legendre points in ln s of the integral
    between half-integers.
    """
    head = np.arange(lower, min(upper, max(lower, TERMS)) + 1, dtype=np.float64)
    start, end = head[-1] + 0.5, upper + 0.5
    if head[-1] >= upper:
        return head, np.ones(len(head))
    panels = max(1, math.ceil(math.log(end / start)))
    edges = np.linspace(math.log(start), math.log(end), panels + 1)
    half = (edges[1] - edges[0]) / 2
    places = np.exp((edges[:-1, None] + half * (1 + NODES)).ravel())
    return np.append(head, places), np.append(
        np.ones(len(head)), half * np.tile(WEIGHTS, panels) * places
    )


def solve(
    observed: Reals, places: Reals, weights: Reals, lower: int, upper: int
) -> tuple[Reals, Reals] | None:
    """Return tau and rate * upper of maximum likelihood, and the inverse information of one sample.

    Newton's method on the log-likelihood, which is concave, with steps halved until it rises.
    """
    each, theta = features(places, lower, upper), np.array([1.5, 0.0])

    def law(theta: Reals) -> tuple[float, Reals]:
        log = theta @ each
        top = float(log.max())
        chance = weights * np.exp(log - top)
        mass = float(chance.sum())
        return float(theta @ observed) - top - math.log(mass), chance / mass

    reached, chance = law(theta)
    for _ in range(100):
        mean = each @ chance
        information = (each * chance) @ each.T - np.outer(mean, mean)
        step = np.linalg.solve(information, observed - mean)
        if step @ (observed - mean) < 1e-16:
            return theta, inverse(information)
        for _ in range(40):
            level, trial = law(theta + step)
            if level >= reached:
                break
            step = step / 2
        else:
            return theta, inverse(information)
        theta, reached, chance = theta + step, level, trial
    return None


def inverse(matrix: Reals) -> Reals:
    """Invert a matrix."""
    found: Reals = np.linalg.inv(matrix).astype(np.float64)
    return found


def influences(counts: Ints, each: Reals, covariance: Reals) -> Reals:
    """Return the share of each run in an exponent, to first order, (R,).

    ``counts`` (R, K): samples of each run at each value; ``each`` (P, K): what the parameters
    multiply there; ``covariance`` (P,): of the exponent with every parameter.
    """
    sums, n = counts @ each.T, counts.sum(axis=1)
    centred = sums - n[:, None] * (sums.sum(axis=0) / n.sum())
    shares: Reals = len(counts) * (centred @ covariance)
    return shares


class Size(NamedTuple):
    """Avalanches of one system size, counted, and tau from them."""

    values: Reals  # (K,), ascending
    counts: Ints  # (R, K), by run
    runs: Ints  # (R,): indices of the runs among all
    found: Plateau | None
    draws: Reals  # (resamples, 2): exponent and information of each resample; NaN, 0 for no range

    @property
    def sure(self) -> bool:
        """Return whether nearly every resample has a range, too."""
        return self.found is not None and float((self.draws[:, 1] > 0).mean()) >= SURE


def of_size(values: Reals, counts: Ints, runs: Ints, drawn: Ints) -> Size:
    """Estimate tau of one size; in each resample of its runs both cutoffs are chosen again."""
    found = plateau(observed_pairs(values, counts.sum(axis=0)))
    draws = np.tile([np.nan, 0.0], (len(drawn), 1))
    if found is not None:
        for d, picks in enumerate(drawn):
            again = plateau(observed_pairs(values, counts[picks].sum(axis=0)), CRITICAL * REDRAWN)
            if again is not None:
                draws[d] = again.exponent, 1 / again.covariance[0]
    return Size(values, counts, runs, found, draws)


def observed_pairs(values: Reals, counts: Ints) -> Pairs:
    """Bundle those values that occur."""
    seen = counts > 0
    return counted(values[seen], counts[seen])


def joint(sizes: Sequence[Size], size_of: Ints) -> Estimate | None:
    """Estimate one tau from the sizes that have one; None where none has.

    The mean with each size's information as its weight: to first order in 1 / n, the joint
    maximum-likelihood estimate of a common exponent, each size with its own range and rate. A
    resample takes the sizes that have a range in it.
    """
    taken = [(size, size.found) for size in sizes if size.found is not None]
    if not taken:
        return None
    weight = np.array([1 / found.covariance[0] for _, found in taken])
    weight /= weight.sum()
    shares = np.full((len(size_of), 1), np.nan)
    for share, (size, found) in zip(weight, taken, strict=True):
        inside = (size.values >= found.lower) & (size.values <= found.upper)
        each = features(size.values[inside], found.lower, found.upper)
        shares[size.runs, 0] = share * influences(size.counts[:, inside], each, found.covariance)
    draws = np.stack([size.draws for size, _ in taken])  # (sizes, resamples, 2)
    information = draws[..., 1].sum(axis=0)
    total = (np.nan_to_num(draws[..., 0]) * draws[..., 1]).sum(axis=0)
    drawn = np.divide(total, information, out=np.full_like(total, np.nan), where=information > 0)
    value = np.array([weight @ [found.exponent for _, found in taken]])
    return Estimate(value, drawn[:, None], shares, size_of)
