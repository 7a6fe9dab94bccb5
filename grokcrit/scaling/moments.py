"""Moments: how <s^q> of avalanches grows with N, and D and tau from it.

Where s is distributed as s^-tau G(s / N^D), M_q(N) = <s^q> ~ N^sigma(q) with sigma(q) =
D (q + 1 - tau) for q > tau - 1 (M. De Menech, A. L. Stella, C. Tebaldi, Phys. Rev. E 58, R2677,
1998; C. Tebaldi, M. De Menech, A. L. Stella, Phys. Rev. Lett. 83, 3952, 1999). D is the slope of
sigma(q) over q >= 2, tau = 2 - sigma(1) / D, and the bend is the quadratic coefficient of sigma(q):
away from 0, no single D describes all moments.

High moments rest on few avalanches: ln M_4 of a sample is too small on average, and resampled runs
repeat that bias. Intervals are therefore those of the jackknife over runs, which leaves out each
run in turn, around the estimate that it corrects for bias. Coverage: docs/truth.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from grokcrit.base.vocabulary import MINIMUM_SIZES
from grokcrit.scaling.clocks import Windows
from grokcrit.scaling.ensembles import Ensemble, Reals
from grokcrit.scaling.lines import Lines
from grokcrit.scaling.reductions import over_snapshots
from grokcrit.scaling.resampling import Estimate, student

ORDERS = np.arange(1, 4.25, 0.5)
HIGH = ORDERS >= 2
# The rows of a set of moments: sigma(q) of every order, then these.
NAMES = (*(f"q = {q:g}" for q in ORDERS), "D", "tau", "bend")


@dataclass(frozen=True)
class Jackknifed(Estimate):
    """An estimate with the interval of the jackknife over runs; it has no draws."""

    centre: Reals = field(kw_only=True)  # (bins,): the estimate, corrected for bias

    def __sub__(self, other: Estimate) -> Jackknifed:
        """Subtract bin by bin."""
        assert isinstance(other, Jackknifed)
        return Jackknifed(**vars(super().__sub__(other)), centre=self.centre - other.centre)

    def interval(self, confidence: float) -> tuple[Reals, Reals]:
        """Student's t interval around the corrected estimate; NaN where a size has one run."""
        return student(self.centre, *self.spread(), confidence)


@dataclass(frozen=True)
class Moments:
    """ln M_q of every size, and the same corrected for bias with each run's share."""

    plain: Reals  # (Q, K)
    corrected: Lines  # of Q bins

    @property
    def errors(self) -> Reals:
        """Standard error over runs of ln M_q of the highest order, (K,)."""
        variance: Reals = self.corrected.variances()[0][-1]
        return np.sqrt(variance)


def moments(ensemble: Ensemble, means: Reals) -> Moments:
    """Make moments from the mean of s^q of each run, ``means`` (R, Q); NaN for runs without data.

    The share of a run is its jackknife pseudo-influence, (n - 1) (mean of ln M without each run of
    the size - ln M without this one).
    """
    plain = np.full((means.shape[1], len(ensemble.sizes)), np.nan)
    heights, shares = plain.copy(), np.full(means.shape, np.nan)
    for k in range(len(ensemble.sizes)):
        mine = np.flatnonzero((ensemble.size_of == k) & ~np.isnan(means[:, 0]))
        values, n = means[mine], len(mine)
        if n == 0 or not (values.sum(axis=0) > 0).all():
            continue
        plain[:, k] = np.log(values.mean(axis=0))
        without = (values.sum(axis=0) - values) / max(n - 1, 1)
        if n == 1 or not (without > 0).all():  # one run holds every avalanche
            heights[:, k], shares[mine] = plain[:, k], values / values.mean(axis=0) - 1
            continue
        logs = np.log(without)
        shares[mine] = (n - 1) * (logs.mean(axis=0) - logs)
        heights[:, k] = plain[:, k] - (n - 1) * (logs.mean(axis=0) - plain[:, k])
    log_n = np.log(ensemble.sizes.astype(np.float64))
    return Moments(plain, Lines(log_n, heights, shares, ensemble.size_of))


def by_run(ensemble: Ensemble, values: Reals, bins: Windows) -> Reals:
    """Return the mean of s^q of each run and order, (R, Q), in a window of one bin."""
    each = [over_snapshots(ensemble, values**q, bins, "mean") for q in ORDERS]
    return np.concatenate(each, axis=1)


def exponents(found: Moments) -> Jackknifed:
    """Estimate sigma(q), D, tau and the bend, in the order of ``NAMES``."""
    lines = found.corrected
    sigma = slopes(replace(lines, heights=found.plain))
    slope, bend = coefficients(HIGH, 1), coefficients(np.ones(len(ORDERS), bool), 2)
    d = float(sigma @ slope)
    first = np.eye(len(ORDERS))[0]
    # tau is not linear in sigma; its interval follows from its derivative.
    of_tau = sigma[0] / d**2 * slope - first / d if d > 0 else slope * np.nan
    matrix = np.vstack([np.eye(len(ORDERS)), slope, of_tau, bend])
    joint = Lines(lines.log_n, matrix @ lines.heights, lines.shares @ matrix.T, lines.size_of)
    linear = matrix @ sigma
    value = linear.copy()
    value[NAMES.index("tau")] = 2 - sigma[0] / d if d > 0 else np.nan
    centre = value + slopes(joint) - linear
    draws = np.empty((0, len(value)))
    return Jackknifed(value, draws, joint.influences(), lines.size_of, joint, centre=centre)


def slopes(lines: Lines) -> Reals:
    """Return the slope of each line, (bins,); NaN for fewer than three sizes."""
    enough = (~np.isnan(lines.heights)).sum(axis=1) >= MINIMUM_SIZES
    return np.where(enough, np.nansum(lines.weights() * lines.heights, axis=1), np.nan)


def coefficients(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], power: int) -> Reals:
    """Return what the slope, or the quadratic coefficient, of sigma over q is made of, (Q,)."""
    q = ORDERS[chosen]
    powers = np.vander(q - q.mean(), power + 1)
    found = np.zeros(len(ORDERS))
    found[chosen] = np.linalg.pinv(powers)[0]
    return found
