"""Concordance: how often a run that groks has the larger statistic, counted by pairs of seeds.

Every comparison counts 0, 1/2 or 1, and every seed a whole number of times: sums are exact, and
the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grokcrit.protocol.courses import HORIZON, Course
from grokcrit.protocol.designs import GAP, Watch
from grokcrit.scaling.ensembles import Ints, Reals

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Concordance:
    """Comparisons of S seeds with S seeds: won by the run that groks, and all."""

    won: Reals  # (S, S)
    all: Reals  # (S, S)
    runs: tuple[int, int]  # runs that grok, and others, in any comparison
    seeds: tuple[int, int]  # seeds of them

    @property
    def value(self) -> float:
        """The share won; NaN without a comparison."""
        total = self.all.sum()
        return float(self.won.sum() / total) if total else np.nan

    def drawn(self, counts: Reals) -> Reals:
        """Return the share of every resample, given how often seeds count, (resamples, S)."""
        won, total = (((counts @ each) * counts).sum(axis=1) for each in (self.won, self.all))
        return np.where(total > 0, won / np.where(total > 0, total, 1.0), np.nan)


def won(first: Reals, second: Reals) -> Reals:
    """Return the result of each comparison of two sets: 1, 1/2 for a tie, 0."""
    each = first[:, None]
    found: Reals = np.where(each > second, 1.0, np.where(each == second, 0.5, 0.0))
    return found


def by_seeds(won: Reals, all: Reals, first: Ints, second: Ints, seeds: int) -> Concordance:
    """Sum comparisons (I, J) over the runs of each seed; ``first``, ``second``: seed of each."""
    one, other = (np.eye(seeds)[each] for each in (first, second))
    there = all > 0
    used = there.any(axis=1), there.any(axis=0)
    return Concordance(
        one.T @ won @ other,
        one.T @ all @ other,
        (int(used[0].sum()), int(used[1].sum())),
        (len(np.unique(first[used[0]])), len(np.unique(second[used[1]]))),
    )


def auroc(scores: Reals, watch: Watch, kind: int, seed: Ints, seeds: int) -> Concordance:
    """Compare the largest statistic of each base run with that of each control of a kind.

    Parameters
    ----------
    scores
        (R,), -inf where a run has no statistic.
    watch, kind
        The runs, and the kind of the controls.
    seed, seeds
        Place of each run's seed among all, and how many there are.
    """
    base, control = sides(watch, kind)
    found = won(scores[base], scores[control])
    return by_seeds(found, np.ones_like(found), seed[base], seed[control], seeds)


def sides(watch: Watch, kind: int) -> tuple[Mask, Mask]:
    """Return which runs are base runs to compare with controls of a kind, and which are these.

    A base run is left out if its control was: the longer a run takes to grok, the longer its
    control had to be trained, and what is watched for longer has the larger maximum. A seed for
    which no control was trained is like any other.
    """
    control = np.equal(watch.kind, kind)
    paired = np.isin(watch.group, watch.group[control])
    return watch.base & (paired | ~watch.lost[:, kind]), control


def tauc(statistic: Reals, course: Course, kind: int, seed: Ints, seeds: int) -> Concordance:
    """Compare base runs about to grok with controls of a kind, at equal times since memorising.

    At each sample the base runs that are in the last ``HORIZON`` epochs of their watch meet the
    controls whose partner is. A clock is the same for both, and exchanging a run with its control
    changes no time: both give 1/2 by construction.
    """
    (base, control), soon = sides(course.watch, kind), course.soon
    one, other = (np.where(soon[each], filled(statistic[each]), np.nan) for each in (base, control))
    return over_times(one, other, seed[base], seed[control], seeds)


def timing(statistic: Reals, course: Course, late: Mask, seed: Ints, seeds: int) -> Concordance:
    """Compare runs about to grok with runs that grok later, at equal epochs.

    Both are base runs, or of the controls that are ``late`` (R,), which are watched until ``GAP``
    epochs before they grok, or as long as the signal was measured. The epoch is the same for both,
    and scores 1/2.
    """
    end = (course.watch.grokked - GAP - HORIZON)[:, None]
    length = statistic.shape[1]
    measured = np.cumsum(~np.isnan(course.values[:, ::-1]), axis=1)[:, ::-1] > 0
    mine = measured & (np.arange(length) < course.own[:, None])
    mine &= (course.watch.base | late)[:, None]
    soon = mine & (course.epoch > end)
    calendar = np.full((2, len(seed), 2 * length), np.nan)
    at = course.start[:, None] + np.arange(length)
    rows = np.arange(len(seed))[:, None]
    for each, chosen in zip(calendar, (soon, mine & ~soon), strict=True):
        each[rows, at] = np.where(chosen, filled(statistic), np.nan)
    return over_times(calendar[0], calendar[1], seed, seed, seeds)


def filled(statistic: Reals) -> Reals:
    """Return a statistic, -inf where it is undefined: there it is no reason for an alarm."""
    return np.where(np.isnan(statistic), -np.inf, statistic)


def over_times(one: Reals, other: Reals, first: Ints, second: Ints, seeds: int) -> Concordance:
    """Compare two sets (I, T) and (J, T) at each time; NaN where a run is not there."""
    total, all = np.zeros((2, len(one), len(other)))
    present, beside = ~np.isnan(one), ~np.isnan(other)
    for k in np.flatnonzero(present.any(axis=0) & beside.any(axis=0)):
        rows, columns = np.flatnonzero(present[:, k]), np.flatnonzero(beside[:, k])
        at = np.ix_(rows, columns)
        total[at] += won(one[rows, k], other[columns, k])
        all[at] += 1
    return by_seeds(total, all, first, second, seeds)
