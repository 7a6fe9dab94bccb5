"""Fits of the tail of one distribution of whole numbers: power law, cutoffs, alternatives.

After A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51, 661 (2009), CSN below, on sorted
(value, count) pairs: avalanches of one size are counted, not listed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_integer
from grokcrit.kernels import tails as kernel
from grokcrit.kernels.tails import Pairs
from grokcrit.scaling.alternatives import Alternatives, Ratio, Truncated

Reals: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Upper: TypeAlias = int | Literal["free"] | None

# Below 50 samples exponents cannot be relied upon (CSN, section 3.1). One parameter brings any two
# or three values near a power law, so a cutoff is looked for where at least ten are left.
# A given one needs three, as the alternatives have two parameters.
SAMPLES, DISTINCT, GIVEN = 50, 10, 3
# Range below which an exponent is not to be relied upon (METHOD, section 7).
DECADES = 2.0
# Where both cutoffs are free: candidates per decade, and the largest distance * sqrt(n). Of data
# drawn from power laws of exponents 1.2 to 2.5 over one to four decades from 10 on, 20 % are
# further from their fit (0.67 to 0.82); from 1 on, where whole numbers are few, fewer are.
GRID, CRITICAL = 20, 0.72
# Candidates per decade where the lower cutoff alone is free: every whole number up to 43. With all
# values, 1e6 avalanches of the largest sizes took 0.1 s for each of hundreds of fits, now 6 ms.
FINE = 100


@dataclass(frozen=True)
class TailFit:
    """A power law p(s) ~ s^-exponent fitted to the whole numbers lower..upper.

    The standard error takes samples to be independent: for avalanches of few runs it is too small.
    """

    exponent: float
    stderr: float
    lower: int
    upper: int | None  # None: no upper cutoff
    n: int  # samples in the range
    decades: float  # log10(largest value in the range / lower)
    distance: float  # Kolmogorov-Smirnov
    p: float | None  # goodness of fit: how often data drawn from the fit are as far from theirs
    drawn: int  # data sets behind p
    law: Alternatives = field(repr=False, compare=False)

    @property
    def ratios(self) -> dict[str, Ratio]:
        """Likelihood ratios of the power law against other distributions; fitted when asked for."""
        return self.law.ratios

    @property
    def truncated(self) -> Truncated:
        """The power law with an exponential cutoff; fitted when asked for."""
        return self.law.truncated

    @property
    def short(self) -> bool:
        """Return whether the range is too short for a reliable exponent: under 2 decades."""
        return self.decades < DECADES


class Found(NamedTuple):
    """A range of a set of pairs, and the power law on it."""

    pairs: Pairs
    first: int
    last: int
    lower: float
    upper: float
    exponent: float
    distance: float

    @property
    def n(self) -> int:
        """Samples in the range."""
        return int(self.pairs.above[self.first] - self.pairs.above[self.last + 1])

    @property
    def values(self) -> Reals:
        """Distinct values in the range."""
        return self.pairs.values[self.first : self.last + 1]

    @property
    def counts(self) -> Reals:
        """Samples of each."""
        return -np.diff(self.pairs.above[self.first : self.last + 2])


def fit(
    values: npt.NDArray[np.number],
    counts: npt.NDArray[np.integer],
    *,
    lower: int | None = None,
    upper: Upper = None,
    least: int = 1,
    gof: int = 0,
    rng: np.random.Generator | None = None,
) -> TailFit | None:
    """Fit a power law to counted whole numbers by maximum likelihood.

    p(s) = s^-tau / sum over k = lower..upper of k^-tau. None where no range has 50 samples and 10
    distinct values, or 3 where lower is given; or the exponent is not between -20 and 1000; or,
    with ``upper="free"``, every range is rejected.

    Parameters
    ----------
    values, counts
        Distinct values, at least 1, ascending, and how many samples have each, at least 1.
    lower
        Lower cutoff. None: the value with the smallest Kolmogorov-Smirnov distance (CSN, section
        3.3) among those from which at least 50 samples and 10 distinct values remain, 100 of them
        per decade.
    upper
        Upper cutoff of the law; larger samples are left out. None: it has none. ``"free"``: both
        cutoffs are chosen, as the widest range in upper / lower whose distance the test does not
        reject (A. Deluca, A. Corral, Acta Geophysica 61, 1351, 2013, who take p >= 0.2, here a
        tabulated point): the smallest distance would choose ranges of a few values.
    least
        Smallest lower cutoff that ``upper="free"`` may choose.
    gof, rng
        Data sets drawn for the goodness of fit p, 0 for none, and what draws them: below the lower
        cutoff from the data, above it from the fit, lower cutoff sought again in each (CSN, section
        4.1). With ``upper="free"`` the range is kept: it was chosen for not being rejected.
    """
    if lower is not None:
        check_integer("lower", lower, 1)
    if upper is not None and upper != "free":
        check_integer("upper", upper, lower or 1, 2**53)
    if gof and rng is None:
        raise OptionError("rng", "is needed to draw data for the goodness of fit")
    pairs = counted(values, counts)
    found = search(pairs, lower, upper, least)
    if found is None or not kernel.LEAST + 1e-6 < found.exponent < kernel.MOST - 1e-6:
        return None
    law = Alternatives(found.values, found.counts, found.lower, found.upper, found.exponent)
    p, drawn = None, 0
    if gof and rng is not None:
        p, drawn = goodness(found, lower, upper, gof, rng)
    return TailFit(
        exponent=found.exponent,
        stderr=1 / math.sqrt(found.n * law.variance),
        lower=int(found.lower),
        upper=None if found.upper == math.inf else int(found.upper),
        n=found.n,
        decades=math.log10(found.values[-1] / found.lower),
        distance=found.distance,
        p=p,
        drawn=drawn,
        law=law,
    )


def counted(values: npt.NDArray[np.generic], counts: npt.NDArray[np.generic]) -> Pairs:
    """Bundle distinct values and their counts with the sums over all that are no smaller."""
    x, weight = values.astype(np.float64), counts.astype(np.float64)
    logs = np.log(x)
    above, logs_above = np.zeros(len(x) + 1), np.zeros(len(x) + 1)
    above[:-1] = np.cumsum(weight[::-1])[::-1]
    logs_above[:-1] = np.cumsum((weight * logs)[::-1])[::-1]
    return Pairs(x, logs, above, logs_above)


def search(pairs: Pairs, lower: int | None, upper: Upper, least: int = 1) -> Found | None:
    """Find the range as ``fit`` describes it; None where there is none."""
    if upper == "free":
        return widest(pairs, lower, least=least)
    end = math.inf if upper is None else float(upper)
    last = int(np.searchsorted(pairs.values, end, "right")) - 1
    if lower is not None:
        first = int(np.searchsorted(pairs.values, lower))
        if last - first + 1 < GIVEN or pairs.above[first] - pairs.above[last + 1] < SAMPLES:
            return None
        start = float(lower)
        a, gap = kernel.fit_range(pairs, first, last, start, end, 2.0, math.inf)
        return Found(pairs, first, last, start, end, a, gap)
    first, a, gap = kernel.scan(pairs, last, end, DISTINCT, SAMPLES, FINE / math.log(10))
    if first < 0:
        return None
    return Found(pairs, first, last, pairs.values[first], end, a, gap)


def widest(
    pairs: Pairs, lower: int | None, critical: float = CRITICAL, least: int = 1
) -> Found | None:
    """Find the widest range that is not rejected, both cutoffs free (or the upper alone).

    A free lower cutoff is at least ``least``; ``critical`` is the largest distance * sqrt(n).
    """
    if len(pairs.values) == 0:
        return None
    steps = np.unique(np.floor(pairs.logs * (GRID / math.log(10))), return_index=True)[1]
    ends = np.unique(np.append(steps, len(pairs.values) - 1))
    starts = ends[pairs.values[ends] >= least]
    if lower is not None:
        starts = np.searchsorted(pairs.values, [lower])
    distinct = DISTINCT if lower is None else GIVEN
    first, last = (grid.ravel() for grid in np.meshgrid(starts, ends, indexing="ij"))
    kept = (last - first + 1 >= distinct) & (pairs.above[first] - pairs.above[last + 1] >= SAMPLES)
    first, last = first[kept], last[kept]
    lowers = pairs.values[first] if lower is None else np.full(len(first), float(lower))
    order = np.argsort(np.log(lowers) - pairs.logs[last], kind="stable")
    ranges = np.stack([first, last], axis=1)[order]
    r, a, gap = kernel.first_within(pairs, ranges, lowers[order], critical)
    if r < 0:
        return None
    low, high = (int(i) for i in ranges[r])
    return Found(pairs, low, high, lowers[order][r], pairs.values[high], a, gap)


def goodness(
    found: Found, lower: int | None, upper: Upper, draws: int, rng: np.random.Generator
) -> tuple[float, int]:
    """Return how often drawn data sets are as far from their fit as the data, and of how many.

    (1 + k) / (1 + n) for k of n: data sets without a fit do not count.
    """
    if upper == "free":
        lower, upper = int(found.lower), int(found.upper)
    pairs, inside = found.pairs, found.n
    body = -np.diff(pairs.above[: found.first + 1]) if lower is None else np.empty(0)
    total = inside + int(body.sum())
    reached, valid = 1, 1
    for _ in range(draws):
        n = int(rng.binomial(total, inside / total))
        values, counts = draw(found.exponent, found.lower, found.upper, n, rng)
        if len(body):
            below = rng.multinomial(total - n, body / body.sum())
            values = np.append(pairs.values[: found.first][below > 0], values)
            counts = np.append(below[below > 0], counts)
        other = search(counted(values, counts), lower, upper)
        if other is not None:
            valid += 1
            reached += other.distance >= found.distance
    return reached / valid, valid - 1


def draw(
    exponent: float, lower: float, upper: float, n: int, rng: np.random.Generator
) -> tuple[Reals, Ints]:
    """Draw n samples of a power law as distinct values and counts; likely ones as a multinomial."""
    out = np.empty(6)
    kernel.sums(exponent, 0.0, lower, upper, out)
    often = lower * (max(n, 1) / out[0]) ** (1 / max(exponent, 0.1))
    needed = max(kernel.TERMS, kernel.FACTOR * exponent, lower)
    end = math.ceil(min(max(min(often, lower + 1e5), needed), upper + 1))
    cells = np.arange(lower, end)
    chance = np.exp(-exponent * np.log(cells / lower)) / out[0]
    rest = max(0.0, 1 - chance.sum()) if end <= upper else 0.0
    chance = np.append(chance, rest)
    counts = rng.multinomial(n, chance / chance.sum())
    uniforms = 1 - rng.random(int(counts[-1]))
    kernel.invert(uniforms, exponent, lower, upper, float(end))
    far, times = np.unique(uniforms, return_counts=True)
    seen = counts[:-1] > 0
    return np.append(cells[seen], far), np.append(counts[:-1][seen], times)


class Side(NamedTuple):
    """One side of a relation, with its standard error."""

    value: float
    stderr: float


def crackling(
    size_fit: TailFit | None,
    duration_fit: TailFit | None,
    size: npt.NDArray[np.integer],
    duration: npt.NDArray[np.integer],
) -> tuple[Side | None, Side | None]:
    """Return both sides of the crackling-noise relation (tau_T - 1) / (tau_S - 1) = gamma.

    J. P. Sethna, K. A. Dahmen, C. R. Myers, Nature 410, 242 (2001); <S>(T) ~ T^gamma is the mean
    size of avalanches of duration T. gamma is the least-squares slope of ln <S> on ln T over the
    range of the duration's fit, each T with the number of its avalanches as weight. The error of
    the left side takes both exponents to be independent. A side is None where it has no fit.
    """
    left = right = None
    if duration_fit is None:
        return None, None
    if size_fit is not None and min(size_fit.exponent, duration_fit.exponent) > 1:
        top, bottom = duration_fit.exponent - 1, size_fit.exponent - 1
        relative = math.hypot(duration_fit.stderr / top, size_fit.stderr / bottom)
        left = Side(top / bottom, top / bottom * relative)
    end = math.inf if duration_fit.upper is None else duration_fit.upper
    inside = (duration >= duration_fit.lower) & (duration <= end)
    times, place, number = np.unique(duration[inside], return_inverse=True, return_counts=True)
    if len(times) > 2:
        y = np.log(np.bincount(place, size[inside]) / number)
        x = np.log(times)
        dx, dy = x - np.average(x, weights=number), y - np.average(y, weights=number)
        sxx = float(number @ dx**2)
        slope = float(number @ (dx * dy)) / sxx
        residual = float(number @ (dy - slope * dx) ** 2) / (len(times) - 2)
        right = Side(slope, math.sqrt(residual / sxx))
    return left, right
