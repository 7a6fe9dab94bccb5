"""The run bootstrap: draws of whole runs, their intervals, and p from each run's influence."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from grokcrit.base.rng import stream
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.fits import slopes
from grokcrit.scaling.lines import Lines, averaged, lines_of
from grokcrit.scaling.reductions import over_runs, ratio_of_means

# Numbers that are averaged at once.
BLOCK = 2**15
# Bytes of resampled means that are held at once.
CHUNK = 2**24


@dataclass(frozen=True)
class Estimate:
    """Numbers estimated from runs, one per bin; those of the same draws can be subtracted."""

    value: Reals  # (bins,)
    draws: Reals  # (resamples, bins); no rows for max, whose resampled maximum is biased
    influences: Reals  # (R, bins): share of each run, to first order, and then of each graph
    size_of: Ints  # (R,): index of the sample that each is of: a size's runs, or its graphs
    lines: Lines | None = None  # whose slopes they are, where they are slopes

    def __sub__(self, other: Estimate) -> Estimate:
        """Subtract bin by bin, draw by draw."""
        return Estimate(
            self.value - other.value,
            self.draws - other.draws,
            self.influences - other.influences,
            self.size_of,
            self.lines - other.lines if self.lines and other.lines else None,
        )

    def __getitem__(self, bins: slice | npt.NDArray[np.bool_]) -> Estimate:
        """Pick bins."""
        return Estimate(
            self.value[bins],
            self.draws[:, bins],
            self.influences[:, bins],
            self.size_of,
            self.lines and self.lines[bins],
        )

    def with_difference(self) -> Estimate:
        """Append post - pre to the bins aggregate, pre, post."""
        return Estimate(
            with_difference(self.value),
            with_difference(self.draws),
            with_difference(self.influences),
            self.size_of,
            self.lines and self.lines.with_difference(),
        )

    def averaged(self, bins: npt.NDArray[np.bool_]) -> Estimate:
        """Average some bins, at least one, into one."""
        found = self[bins]
        return Estimate(
            found.value.mean(keepdims=True),
            found.draws.mean(axis=1, keepdims=True),
            averaged(found.influences),
            self.size_of,
            found.lines and found.lines.averaged(),
        )

    @functools.cached_property
    def few(self) -> Widening:
        """How much wider than the draws each bin's distribution is; see :func:`widening`."""
        return widening(self.influences, self.size_of)

    def interval(self, confidence: float) -> tuple[Reals, Reals]:
        """Interval of each bin, NaN without draws: expanded percentile, and where a line misfits.

        See :func:`interval`. Where the line does not fit, each end is moved out by the misfit's
        standard error times Student's t of the line's degrees of freedom, added in quadrature.
        """
        low, high = interval(self.draws, self.few, confidence)
        if self.lines is None:
            return low, high
        fit = self.lines.lack_of_fit
        t = scipy.special.stdtrit(np.maximum(fit.freedom, 1), 0.5 + confidence / 2)
        more = np.where(fit.misfit > 0, t * np.sqrt(fit.misfit), 0.0)

        def outward(end: Reals) -> Reals:
            distance = np.abs(self.value - end)
            return np.hypot(distance, more) - distance

        return low - outward(low), high + outward(high)

    def student(self, confidence: float) -> tuple[Reals, Reals]:
        """Return Student's interval of each bin; NaN where a size has a single run."""
        return student(self.value, *self.spread(), confidence)

    def p(self) -> Reals:
        """Two-sided p of zero of each bin, by Student's t; NaN where a size has a single run.

        1 for a difference that is exactly 0, whose variance is none.
        """
        variance, freedom = self.spread()
        t = np.abs(self.value) / np.sqrt(np.where(variance > 0, variance, np.nan))
        nothing = (self.value == 0) & (variance == 0)
        return np.where(nothing, 1.0, 2 * scipy.special.stdtr(freedom, -t))

    def spread(self) -> tuple[Reals, Reals]:
        """Return the variance of each bin and its degrees of freedom; NaN for a single run.

        It is that over runs, from their influences, and that of the misfit where a line does not
        fit, with the degrees of freedom of both (Welch and Satterthwaite).
        """
        few = self.few
        of_runs = np.where(few.single, np.nan, few.variance)
        if self.lines is None:
            return of_runs, few.freedom
        fit = self.lines.lack_of_fit
        variance = of_runs + fit.misfit
        parts = few.variance**2 / few.freedom + fit.misfit**2 / np.maximum(fit.freedom, 1)
        return variance, np.where(parts > 0, variance**2 / np.where(parts > 0, parts, 1.0), 1.0)


def with_difference(phases: Reals) -> Reals:
    """Append post - pre to an array whose last axis is aggregate, pre, post."""
    return np.concatenate([phases, phases[..., 2:] - phases[..., 1:2]], axis=-1)


def exponents(ensemble: Ensemble, by_run: Reals, statistic: str, draws: Sequence[Ints]) -> Estimate:
    """Estimate the exponents of a statistic, given per run and bin (R, bins), with their draws."""
    by_size = over_runs(ensemble, by_run, statistic)
    resamples = len(draws[0]) if statistic != "max" else 0
    drawn = np.empty((resamples, by_run.shape[-1]))
    for bins in chunks(by_run.shape[-1], draws) if resamples else []:
        drawn[:, bins] = slopes(ensemble.sizes, resample(ensemble, by_run[..., bins], draws))
    lines = lines_of(ensemble, by_run, statistic)
    value = slopes(ensemble.sizes, by_size)
    return Estimate(value, drawn, lines.influences(), lines.size_of, lines)


def chunks(bins: int, draws: Sequence[Ints]) -> list[slice]:
    """Return the bins whose resampled means, of all sizes, are to be held at once."""
    count = math.ceil(bins * len(draws) * len(draws[0]) * 8 / CHUNK)
    ends = np.linspace(0, bins, count + 1).astype(int).tolist()
    return [slice(*each) for each in itertools.pairwise(ends)]


def trained_graph(ensemble: Ensemble, by_run: Reals, statistic: str, seed: int) -> Estimate:
    """Estimate the exponents on the graph of a seed, that of the training, minus on the others.

    Without draws, as one graph cannot be resampled. Runs are paired. The variance over graphs is
    that of one graph against the mean of the m others, s^2 (1 + 1 / m), s^2 that of the others.
    """
    graph = ensemble.graphs.index(seed)
    runs = np.bincount(ensemble.size_of)[ensemble.size_of] // len(ensemble.graphs)
    place = np.arange(ensemble.runs) - np.searchsorted(ensemble.size_of, ensemble.size_of)
    trained = (place // runs == graph)[:, None]
    parts = [np.where(kept, by_run, np.nan) for kept in (trained, ~trained)]
    one, others = (lines_of(ensemble, part, statistic) for part in parts)
    value, rest = (slopes(ensemble.sizes, over_runs(ensemble, part, statistic)) for part in parts)
    # A sample of m graphs has s^2 / m; this many times the share has m + 1 times that.
    graphs = np.sqrt(len(ensemble.graphs)) * others.shares
    of_runs = one.size_of < len(ensemble.sizes)
    shares = np.where(of_runs[:, None], one.shares - others.shares, graphs)
    lines = Lines(one.log_n, one.heights - others.heights, shares, one.size_of)
    none = np.empty((0, len(value)))
    return Estimate(value - rest, none, lines.influences(), lines.size_of, lines)


def draw_runs(ensemble: Ensemble, resamples: int, root_seed: int) -> list[Ints]:
    """Draw runs with replacement inside each size; a function of (root seed, N, how many runs).

    For each size, positions among its runs, sorted by seed, shape (resamples, runs): the same for
    every case with those runs, so that what is compared is compared on the same draws.

    Where runs are crossed with G graphs, the graphs of a size are drawn with replacement, too, and
    each drawn run counts on each drawn graph, shape (resamples, G runs): the pigeonhole bootstrap
    (A. B. Owen, Annals of Applied Statistics 1, 386, 2007).
    """
    found, graphs = [], max(len(ensemble.graphs), 1)
    for n, cells in zip(ensemble.sizes, np.bincount(ensemble.size_of), strict=True):
        runs = cells // graphs
        drawn = stream("bootstrap", root_seed, int(n)).integers(runs, size=(resamples, runs))
        if ensemble.graphs:
            named = stream("bootstrap graphs", root_seed, int(n))
            first = runs * named.integers(graphs, size=(resamples, graphs, 1))
            drawn = (first + drawn[:, None]).reshape(resamples, cells)
        found.append(drawn)
    return found


def draw_swaps(ensemble: Ensemble, count: int, root_seed: int) -> npt.NDArray[np.bool_]:
    """Draw which runs swap labels, shape (R, count); the same for every case of the runs.

    A run swaps on all graphs at once.
    """
    graphs = max(len(ensemble.graphs), 1)
    return np.concatenate(
        [
            np.tile(
                stream("permutation", root_seed, int(n)).random((cells // graphs, count)) < 0.5,
                (graphs, 1),
            )
            for n, cells in zip(ensemble.sizes, np.bincount(ensemble.size_of), strict=True)
        ]
    )


def resample(ensemble: Ensemble, values: Reals, draws: Sequence[Ints]) -> Reals:
    """Average drawn runs: from (R, bins) to (resamples, bins, K); or the ratio of two averages."""
    if values.ndim == 3:
        return ratio_of_means(*(resample(ensemble, each, draws) for each in values))
    # In memory size after size, as they are written and read.
    out = np.empty((len(ensemble.sizes), len(draws[0]), values.shape[1]))
    for k, drawn in enumerate(draws):
        out[k] = resampled_means(values[ensemble.size_of == k], drawn)
    return np.moveaxis(out, 0, -1)


def resampled_means(values: Reals, draws: Ints) -> Reals:
    """Return the means of the drawn runs in every window, (resamples, windows).

    Runs are added one after another, so that the order of the sum depends on no library and no
    thread. Blocks of ``BLOCK`` numbers stay in the cache: 2 to 4 times as fast as a compiled loop.

    Parameters
    ----------
    values
        (runs, windows), NaN where a run has no data; the mean is NaN where no drawn run has any.
    draws
        (resamples, runs): which runs each resample holds.
    """
    windows, runs = values.shape[1], draws.T
    there = ~np.isnan(values)
    filled, counted = np.where(there, values, 0.0), there.astype(np.float64)
    total = np.empty((draws.shape[0], windows))
    rows = max(1, BLOCK // max(windows, 1))
    for first in range(0, len(total), rows):
        block, drawn = total[first : first + rows], runs[:, first : first + rows]
        add_drawn(filled, drawn, block)
        if there.all():
            block /= len(drawn)
        else:
            count = np.empty_like(block)
            add_drawn(counted, drawn, count)
            np.divide(block, count, out=block, where=count > 0)
            block[count == 0] = np.nan
    return total


def add_drawn(values: Reals, drawn: Ints, out: Reals) -> None:
    """Fill ``out`` (resamples, windows) with sums of the rows drawn, (runs, resamples)."""
    taken = np.empty_like(out)
    out[:] = 0.0
    for each in drawn:
        out += np.take(values, each, axis=0, out=taken, mode="clip")  # checked, it copies ``out``


@dataclass(frozen=True)
class Widening:
    """The number of runs behind each bin, where they are few; arrays of shape (bins,).

    Resampling n runs gives (n - 1) / n of the variance, and a normal quantile ignores that the
    variance is itself estimated.
    """

    scale: Reals  # c, the root of the unbiased variance over that of the resampling
    freedom: Reals  # Welch-Satterthwaite degrees of freedom of the variance
    single: npt.NDArray[np.bool_]  # whether some size has one run, so that nothing can be said
    variance: Reals  # of the estimate, unbiased


def widening(influences: Reals, size_of: Ints) -> Widening:
    """Work out how much wider than the draws the distribution is, from influences (R, bins)."""
    bins = influences.shape[1]
    variance, resampled, spread = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    single = np.zeros(bins, bool)
    for k in np.unique(size_of):
        mine = influences[size_of == k]
        n = (~np.isnan(mine)).sum(axis=0)
        mean = np.where(np.isnan(mine), 0.0, mine).sum(axis=0) / np.maximum(n, 1)
        square = np.where(np.isnan(mine), 0.0, (mine - mean) ** 2).sum(axis=0)
        part = square / np.maximum(n * (n - 1), 1)
        variance += part
        resampled += part * (n - 1) / np.maximum(n, 1)
        spread += part**2 / np.maximum(n - 1, 1)
        single |= n == 1
    moving = resampled > 0
    return Widening(
        np.sqrt(np.where(moving, variance, 1.0) / np.where(moving, resampled, 1.0)),
        np.where(moving, variance**2 / np.where(moving, spread, 1.0), 1.0),
        single,
        variance,
    )


def student(
    value: Reals, variance: Reals, freedom: Reals, confidence: float
) -> tuple[Reals, Reals]:
    """Student's interval of estimates (bins,); NaN where there is no variance, as of one run."""
    half = scipy.special.stdtrit(freedom, 0.5 + confidence / 2) * np.sqrt(variance)
    return value - half, value + half


def interval(draws: Reals, few: Widening, confidence: float) -> tuple[Reals, Reals]:
    """Interval of an exponent from its bootstrap draws (resamples, bins), widened for few runs.

    The expanded percentile interval of T. Hesterberg (The American Statistician 69, 371, 2015), for
    several samples: the percentiles taken are Phi(-+ c t), t Student's quantile. Draws that are NaN
    (fewer than three sizes kept data) are left out. Low and high are NaN where a size in the fit
    has fewer than two runs.
    """
    tail = scipy.special.ndtr(-few.scale * scipy.special.stdtrit(few.freedom, 0.5 + confidence / 2))
    return percentiles(draws, tail, 1 - tail, ~few.single)


def percentiles(
    draws: Reals, low: Reals, high: Reals, wanted: npt.NDArray[np.bool_]
) -> tuple[Reals, Reals]:
    """Return two quantiles of the draws of each wanted bin; NaN for the others."""
    ends = np.full((2, draws.shape[1]), np.nan)
    valid = ~np.isnan(draws)
    whole = wanted & valid.all(axis=0) & (len(draws) > 0)
    ordered = np.sort(draws.T[whole])
    for end, level in zip(ends, (low, high), strict=True):
        end[whole] = quantiles(ordered, level[whole])
    for b in np.flatnonzero(wanted & ~whole & valid.any(axis=0)):
        ends[:, b] = np.quantile(draws[valid[:, b], b], [low[b], high[b]])
    return ends[0], ends[1]


def quantiles(ordered: Reals, levels: Reals) -> Reals:
    """Return a quantile of its own of each row of ascending values, as ``np.quantile`` does.

    That takes one set of levels for all rows, and row by row four times as long.
    """
    last = ordered.shape[1] - 1
    place = levels * last
    before = np.minimum(np.floor(place), last).astype(np.intp)
    share = place - before
    rows = np.arange(len(ordered))
    low, high = ordered[rows, before], ordered[rows, np.minimum(before + 1, last)]
    step = high - low
    found: Reals = np.where(share < 0.5, low + step * share, high - step * (1 - share))
    return found


def bca(estimate: Estimate, confidence: float) -> tuple[Reals, Reals]:
    """BCa interval (B. Efron, JASA 82, 171, 1987), for several samples: low and high of each bin.

    The percentiles taken are Phi(z0 + (z0 + z) / (1 - a (z0 + z))): z0 from the share of draws
    below the estimate, a = sum u^3 / (6 (sum u^2)^(3/2)) over the runs, u the influence of a run
    over the number of runs of its size. NaN without draws, or where a size has a single run.
    """
    draws, single = estimate.draws, estimate.few.single
    valid = (~np.isnan(draws)).sum(axis=0)
    below = (draws < estimate.value).sum(axis=0) + (draws == estimate.value).sum(axis=0) / 2
    share = below / np.maximum(valid, 1)
    # All draws on one side would put z0 at infinity; half a draw on the other is as far as B sees.
    edge = 0.5 / np.maximum(valid, 1)
    z0 = scipy.special.ndtri(np.clip(share, edge, 1 - edge))
    count = np.array(
        [(~np.isnan(estimate.influences[estimate.size_of == k])).sum(0) for k in estimate.size_of]
    )
    u = np.nan_to_num(estimate.influences / np.maximum(count, 1))
    square = (u**2).sum(axis=0)
    a = (u**3).sum(axis=0) / (6 * np.where(square > 0, square, 1.0) ** 1.5)
    levels = [z0 + scipy.special.ndtri(0.5 + side * confidence / 2) for side in (-1, 1)]
    low, high = (scipy.special.ndtr(z0 + z / (1 - a * z)) for z in levels)
    return percentiles(draws, low, high, ~single)
