"""Lines of ln(statistic) on ln(N): each run's influence on them, and whether they fit."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy

from grokcrit.base.vocabulary import MINIMUM_SIZES
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.reductions import mean_known, over_runs, quotient

# The level of every test. Nothing else tells two numbers apart.
ALPHA = 0.05


@dataclass(frozen=True)
class LackOfFit:
    """Test of each line against the scatter of runs; NaN where there is nothing to test."""

    chi2: Reals  # (bins,)
    freedom: Ints  # (bins,): sizes in the fit less 2
    p: Reals  # (bins,)
    misfit: Reals  # (bins,): variance that the misfit adds to the slope; 0 where none is seen


@dataclass(frozen=True)
class Lines:
    """ln(statistic) of every size in every bin, and each run's share of it.

    Lines of the same runs can be subtracted: the slope of the difference is that of slopes. Where
    runs are crossed with graphs, the rows of the runs are followed by those of the graphs.
    """

    log_n: Reals  # (K,)
    heights: Reals  # (bins, K): ln(statistic); NaN where a size is not in the fit
    shares: Reals  # (R, bins): what a run adds to that of its size, times its runs; NaN: no data
    size_of: Ints  # (R,): index k of its size; K + k of a graph

    def __sub__(self, other: Lines) -> Lines:
        """Subtract line by line."""
        return Lines(
            self.log_n, self.heights - other.heights, self.shares - other.shares, self.size_of
        )

    def __getitem__(self, bins: slice | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Lines:
        """Pick bins."""
        return Lines(self.log_n, self.heights[bins], self.shares[:, bins], self.size_of)

    def averaged(self) -> Lines:
        """Average all bins into one."""
        heights = self.heights.mean(axis=0, keepdims=True)
        return Lines(self.log_n, heights, averaged(self.shares), self.size_of)

    def with_difference(self) -> Lines:
        """Append post - pre to the bins aggregate, pre, post."""
        change = self[2:3] - self[1:2]
        return Lines(
            self.log_n,
            np.concatenate([self.heights, change.heights]),
            np.concatenate([self.shares, change.shares], axis=1),
            self.size_of,
        )

    def weights(self, power: int = 1) -> Reals:
        """Return w (bins, K): the slope, or for power 2 the curvature, is sum_k w_k ln(s_k)."""
        there = ~np.isnan(self.heights)

        def centred(values: Reals) -> Reals:
            mean = (there * values).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
            return np.where(there, values - mean[:, None], 0.0)

        x = centred(np.broadcast_to(self.log_n, self.heights.shape))
        if power == 2:
            square, line = centred(self.log_n**2 * np.ones_like(x)), x
            x = (
                square
                - quotient((square * line).sum(axis=1), (line**2).sum(axis=1))[:, None] * line
            )
        return x / np.where((x**2).sum(axis=1) > 0, (x**2).sum(axis=1), np.nan)[:, None]

    def influences(self, power: int = 1) -> Reals:
        """Return each run's influence on the slope or curvature, (R, bins), to first order."""
        return self.weights(power).T[self.size_of % len(self.log_n)] * self.shares

    def variances(self) -> tuple[Reals, Reals, Ints]:
        """Return the variance of ln(statistic), its degrees of freedom, and the runs with data.

        (bins, K) each. The variance is over runs, or that over runs and that over graphs, whose
        degrees of freedom are those of Welch and Satterthwaite.
        """
        variance, parts = np.zeros(self.heights.shape), np.zeros(self.heights.shape)
        count = np.zeros(self.heights.shape, np.int64)
        for stratum in np.unique(self.size_of):
            k = stratum % len(self.log_n)
            mine = self.shares[self.size_of == stratum]
            n = (~np.isnan(mine)).sum(axis=0)
            mean = np.nansum(mine, axis=0) / np.maximum(n, 1)
            square = np.nansum((mine - mean) ** 2, axis=0)
            part = np.where(n > 1, square / np.maximum(n * (n - 1), 1), np.nan)
            variance[:, k] += part
            parts[:, k] += part**2 / np.maximum(n - 1, 1)
            count[:, k] = n if stratum == k else count[:, k]
        freedom = np.where(parts > 0, variance**2 / np.where(parts > 0, parts, 1.0), 1.0)
        return variance, freedom, count

    @functools.cached_property
    def lack_of_fit(self) -> LackOfFit:
        """The comparison of each line with the scatter of runs.

        chi^2 is the least sum of (ln s - line)^2 / variance over all lines. As each variance is
        estimated from its few runs, chi^2 / c is taken to be F distributed (S. Johansen,
        Biometrika 67, 85, 1980, of which Welch's test of equal means is a case):

            A = sum_k (1 - h_k)^2 / nu_k,  c = f + 2 A - 6 A / (f + 2),
            f = K - 2 and f (f + 2) / (3 A) degrees of freedom,

        h_k the leverage of a size, nu_k = n_k - 1 of n_k runs; with several graphs the variances
        of both levels add up, and nu_k is that of the sum. Where p < ``ALPHA``, the sizes scatter
        about the line by t^2 = (residual sum of squares - what runs explain of it) / f more than
        runs do, and the slope's variance grows by t^2 / sum (x - mean x)^2.
        """
        variance, freedom, _ = self.variances()
        there = ~np.isnan(self.heights)
        free = np.maximum(there.sum(axis=1) - 2, 0)
        known = (free >= MINIMUM_SIZES - 2) & (np.where(there, variance, 1.0) > 0).all(axis=1)
        w = np.where(there & known[:, None], 1 / np.where(variance > 0, variance, 1.0), 0.0)
        y = np.where(there, self.heights, 0.0)
        x = self.log_n - self.log_n.mean()
        total, first, second = w.sum(axis=1), w @ x, w @ x**2
        determinant = total * second - first**2
        wy, wxy = (w * y).sum(axis=1), (w * x * y).sum(axis=1)
        slope = quotient(total * wxy - first * wy, determinant)
        level_of = quotient(second * wy - first * wxy, determinant)
        residual = y - level_of[:, None] - slope[:, None] * x
        chi2 = np.where(known, (w * residual**2).sum(axis=1), np.nan)
        leverage = w * (second[:, None] - 2 * x * first[:, None] + x**2 * total[:, None])
        leverage = quotient(leverage, determinant[:, None])
        a = np.where(w > 0, (1 - leverage) ** 2 / freedom, 0.0).sum(axis=1)
        f = np.maximum(free, 1)
        p = scipy.special.fdtrc(
            f, quotient(f * (f + 2), 3 * a), chi2 / (f + 2 * a - 6 * a / (f + 2))
        )
        # Of the unweighted line, whose slope is the exponent.
        weights = self.weights()
        sxx = quotient(np.ones(len(weights)), (weights**2).sum(axis=1))
        dx = weights * sxx[:, None]
        mean = (there * y).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        plain = (weights * y).sum(axis=1)
        rest = np.where(there, y - mean[:, None] - plain[:, None] * dx, 0.0)
        hat = 1 / np.maximum(there.sum(axis=1), 1)[:, None] + quotient(dx**2, sxx[:, None])
        explained = np.where(there & known[:, None], (1 - hat) * variance, 0.0).sum(axis=1)
        more = np.maximum((rest**2).sum(axis=1) - explained, 0.0) / f
        misfit = np.where(known & (p < ALPHA), quotient(more, sxx), 0.0)
        return LackOfFit(chi2, free, np.where(known, p, np.nan), misfit)


def averaged(shares: Reals) -> Reals:
    """Average the shares of runs, (R, bins), over bins, (R, 1); a bin without a run has none."""
    there = ~np.isnan(shares)
    mean = np.where(there, shares, 0.0).mean(axis=1)
    return np.where(there.any(axis=1), mean, np.nan)[:, None]


def lines_of(ensemble: Ensemble, by_run: Reals, statistic: str) -> Lines:
    """Return the lines of a statistic given per run and bin, (R, bins).

    A statistic that is a ratio of means has both in ``by_run``, (2, R, bins).
    """

    def positive(by_size: Reals) -> Reals:
        return np.where(np.nan_to_num(by_size, nan=-1.0) > 0, by_size, np.nan)

    def share(values: Reals, mean: Reals) -> Reals:
        return values / mean.T[ensemble.size_of] - 1

    statistics = positive(over_runs(ensemble, by_run, statistic))
    if by_run.ndim == 2:
        shares = share(by_run, statistics)
    else:
        top, bottom = (share(each, positive(over_runs(ensemble, each, "mean"))) for each in by_run)
        shares = top - bottom
    log_n = np.log(ensemble.sizes.astype(np.float64))
    return Lines(log_n, np.log(statistics), *levels(ensemble, shares))


def levels(ensemble: Ensemble, shares: Reals) -> tuple[Reals, Ints]:
    """Return the shares of runs and those of graphs, and the index of the size of each.

    Of runs crossed with graphs: a run's share is its mean over graphs, a graph's at one size its
    mean over runs. Else the shares are as they were.
    """
    if not ensemble.graphs:
        return shares, ensemble.size_of
    sizes, count = len(ensemble.sizes), len(ensemble.graphs)
    crossed = [
        mine.reshape(count, -1, shares.shape[1])
        for mine in (shares[ensemble.size_of == k] for k in range(sizes))
    ]
    runs = [mean_known(each, axis=0) for each in crossed]
    graphs = [mean_known(each, axis=1) for each in crossed]
    size_of = np.concatenate(
        [
            np.repeat(np.arange(sizes), [len(each) for each in runs]),
            sizes + np.repeat(np.arange(sizes), count),
        ]
    )
    return np.concatenate([*runs, *graphs]), size_of
