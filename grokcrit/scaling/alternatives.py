"""Other distributions of whole numbers beside a power law, and which of them the data favour.

After A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51, 661 (2009), CSN below.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from grokcrit.kernels import tails as kernel

Reals: TypeAlias = npt.NDArray[np.float64]


class Ratio(NamedTuple):
    """Power law against an alternative on the same range: above zero favours the power law.

    The two-sided p of zero is normal for the normalised ratio; for the truncated power law, which
    holds the power law as a special case, chi-square with one degree of freedom for twice the ratio
    (CSN, appendix C), and too large by up to 2 at rate 0.
    """

    log: float  # log-likelihood of the power law less that of the alternative
    normalised: float  # over sqrt(n) and the standard deviation of its terms: Vuong's statistic
    p: float


class Truncated(NamedTuple):
    """Truncated power law ~ s^-exponent exp(-rate s), rate >= 0; errors are NaN at a range end."""

    exponent: float
    stderr: float
    rate: float
    rate_stderr: float

    @property
    def cutoff(self) -> float:
        """Size of the exponential cutoff, 1 / rate; infinite at rate 0."""
        return 1 / self.rate if self.rate > 0 else math.inf


class Alternatives:
    """Likelihoods of a power law and of other distributions on its range.

    All are taken on the whole numbers lower..upper, with u = ln(s / lower), v = s - lower; upper
    may be infinite. ``values`` are the distinct values in the range, at least two, ``counts`` the
    samples of each, ``exponent`` the maximum-likelihood exponent. ``variance`` is that of ln s
    under the power law: the information of one sample on the exponent.
    """

    def __init__(
        self, values: Reals, counts: Reals, lower: float, upper: float, exponent: float
    ) -> None:
        self.values, self.n = values, float(counts.sum())
        self.lower, self.upper, self.exponent = lower, upper, exponent
        self.share = counts / self.n
        self.u, self.v = np.log(values / lower), values - lower
        out = self.sums(exponent, 0.0)
        self.variance = float(out[2] / out[0] - (out[1] / out[0]) ** 2)
        # ln(s - 1/2) of the values and of the lower end, ln(s + 1/2) less it, ln of the upper end.
        self.below = np.log(np.append(values, lower) - 0.5)
        self.apart = np.log1p(1 / (values - 0.5))
        self.end = float(np.log(np.array([upper + 0.5]))[0])
        self.power_law = -exponent * self.u - math.log(out[0])
        self.at_zero = out

    @functools.cached_property
    def ratios(self) -> dict[str, Ratio]:
        """Likelihood ratios of the power law against each other distribution."""
        return {
            "lognormal": self.ratio(self.lognormal()),
            "exponential": self.ratio(self.exponential()),
            "truncated power law": self.ratio(self.truncated_power_law[1], nested=True),
        }

    @property
    def truncated(self) -> Truncated:
        """The truncated power law."""
        return self.truncated_power_law[0]

    def sums(self, a: float, b: float) -> Reals:
        """Sums of the weights exp(-a u - b v), see the kernel."""
        out = np.empty(6)
        kernel.sums(a, b, self.lower, self.upper, out)
        return out

    def ratio(self, other: Reals, nested: bool = False) -> Ratio:
        """Likelihood ratio of the power law against log-likelihoods of each value."""
        difference = self.power_law - other
        mean = float(self.share @ difference)
        spread = math.sqrt(self.n * float(self.share @ (difference - mean) ** 2))
        log = self.n * mean
        # The same distribution for every value: no difference at all.
        normalised = log / spread if spread > 0 else 0.0
        p = scipy.special.erfc(math.sqrt(abs(log)) if nested else abs(normalised) / math.sqrt(2))
        # Beyond what a double holds the tail is as small as it can be, not 0.
        return Ratio(log, normalised, max(float(p), np.finfo(float).tiny))

    @functools.cached_property
    def truncated_power_law(self) -> tuple[Truncated, Reals]:
        """The fit of exp(-a u - b v), b >= 0, and its log-likelihoods.

        The log-likelihood is concave: with the best exponent for every rate, its slope in the rate
        falls, so that the root is found from its signs. (Newton's method in both sticks at b = 0.)
        If more rate would not help at the power law, whose sums are known, that is the best.
        """
        from scipy.optimize import brentq  # 0.2 s, which fits alone need

        mean_u, mean_v = float(self.share @ self.u), float(self.share @ self.v)
        if self.at_zero[3] / self.at_zero[0] <= mean_v:
            return Truncated(self.exponent, math.nan, 0.0, math.nan), self.power_law
        out = np.empty(6)

        def best(b: float) -> float:
            return kernel.exponent(mean_u, b, self.lower, self.upper, self.exponent, out)

        def slope(log_rate: float) -> float:
            best(math.exp(log_rate))
            return float(out[3] / out[0]) - mean_v

        low = high = -math.log(self.v[-1])
        while slope(high) > 0 and high < 10:
            high += 1
        while slope(low) <= 0:
            low -= 1
            if low < -100:
                return Truncated(self.exponent, math.nan, 0.0, math.nan), self.power_law
        b = math.exp(brentq(slope, low, high, xtol=1e-12)) if slope(high) <= 0 else math.exp(high)
        a = best(b)
        out = self.sums(a, b)
        z, u, uu, v, uv, vv = out
        uu, uv, vv = uu / z - (u / z) ** 2, uv / z - u * v / z**2, vv / z - (v / z) ** 2
        inside = kernel.LEAST + 1e-6 < a < kernel.MOST - 1e-6
        information = self.n * (uu * vv - uv**2) if inside else math.nan
        errors = math.sqrt(vv / information), math.sqrt(uu / information)
        found = Truncated(a, errors[0], b, errors[1])
        return found, -a * self.u - b * self.v - math.log(z)

    def exponential(self) -> Reals:
        """Log-likelihoods of exp(-b v), b >= 0: a geometric law with or without an end."""
        mean = float(self.share @ self.v)
        rate = math.log1p(1 / mean)
        if self.upper == math.inf:
            return -rate * self.v + math.log(-math.expm1(-rate))
        terms = self.upper - self.lower + 1
        if 2 * mean >= terms - 1:
            return np.full(len(self.v), -math.log(terms))
        low, high = 0.0, rate
        for _ in range(100):
            rate = (low + high) / 2
            over = terms * math.exp(-rate * terms) / -math.expm1(-rate * terms)
            low, high = (rate, high) if 1 / math.expm1(rate) - over > mean else (low, rate)
        norm = math.expm1(-rate * terms) / math.expm1(-rate)
        return -rate * self.v - math.log(norm)

    def lognormal(self) -> Reals:
        """Log-likelihoods of a lognormal rounded to whole numbers, ~ s^-a exp(-c ln(s)^2).

        a = 1 - mu / sigma^2, c = 1 / (2 sigma^2); it is fitted in (a, ln c), c >= 1e-6.
        """
        from scipy.optimize import minimize

        logs = np.log(self.values)

        def likelihoods(x: Reals) -> Reals:
            c = math.exp(x[1])
            return self.rounded_lognormal((1 - x[0]) / (2 * c), 1 / math.sqrt(2 * c))

        def loss(x: Any) -> float:
            return -float(self.share @ likelihoods(x))

        mean = float(self.share @ logs)
        variance = float(self.share @ (logs - mean) ** 2)
        starts: list[Any] = [(self.exponent, -6), (1 - mean / variance, -math.log(2 * variance))]
        bounds: list[Any] = [(None, None), (math.log(1e-6), 50)]
        trials = [
            minimize(loss, start, method="Nelder-Mead", bounds=bounds, tol=1e-10)
            for start in starts
        ]
        return likelihoods(min(trials, key=lambda trial: float(trial.fun)).x)

    def rounded_lognormal(self, mu: float, sigma: float) -> Reals:
        """Logarithm of (Phi(ln(s + 1/2)) - Phi(ln(s - 1/2))) over the same for lower..upper.

        Called hundreds of times a fit, on tens of values: what can be is computed once, and the
        range is the last of the cells.
        """
        low, width = (self.below - mu) / sigma, self.apart / sigma
        z, high = low[:-1], np.empty_like(low)
        high[:-1], high[-1] = z + width, (self.end - mu) / sigma
        whole = log_normal(low, high)
        cells = whole[:-1]
        middle = z + width / 2
        # The difference of two close normal integrals is the density times the width, to
        # (middle width)^4 / 1920; taken from their logarithms it would lose most digits.
        narrow = (np.abs(middle) + 1) * width < 1e-2
        if narrow.any():
            square = middle**2
            curve = -0.5 * square - 0.5 * math.log(2 * math.pi)
            close = curve + np.log(width) + np.log1p((square - 1) * width**2 / 24 * narrow)
            cells = np.where(narrow, close, cells)
        found: Reals = cells - whole[-1]
        return found


def log_normal(low: Reals, high: Reals) -> Reals:
    """ln(Phi(high) - Phi(low)), from the tail where the normal integral is small."""
    flip = low > 0
    if flip.any():
        low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    more, less = scipy.special.log_ndtr(high), scipy.special.log_ndtr(low)
    difference: Reals = more + np.log(-np.expm1(np.minimum(less - more, -1e-300)))
    return difference
