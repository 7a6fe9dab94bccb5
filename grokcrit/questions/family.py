"""The data of a case and its null models as one, and their exponents in every window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokcrit.base.vocabulary import PHASES
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.resampling import Estimate
from grokcrit.tables.schemas import CASE_COLUMNS


@dataclass(frozen=True)
class Family:
    """The data of a case and the null models made of the same snapshots.

    Attributes
    ----------
    data : Ensemble
    nulls : dict
        Name of a surrogate to its replicates.
    strangers : tuple of str
        Surrogates left out because they are of other runs or snapshots than the data.
    """

    data: Ensemble
    nulls: dict[str, list[Ensemble]]
    strangers: tuple[str, ...] = ()


def families(found: Sequence[Ensemble]) -> list[Family]:
    """Put every case and its null models together; null models without their data stay out."""
    by_place: dict[tuple[object, ...], list[Ensemble]] = {}
    shared = [name for name in CASE_COLUMNS if name not in ("surrogate", "replicate")]
    for each in found:
        by_place.setdefault(tuple(each.case[name] for name in shared), []).append(each)
    made = []
    for members in by_place.values():
        for data in (m for m in members if m.case["surrogate"] == "none"):
            nulls: dict[str, list[Ensemble]] = {}
            strangers = set()
            for null in (m for m in members if m.case["surrogate"] != "none"):
                if same_snapshots(data, null):
                    nulls.setdefault(null.case["surrogate"], []).append(null)
                else:
                    strangers.add(null.case["surrogate"])
            made.append(Family(data, nulls, tuple(sorted(strangers))))
    return made


def same_runs(one: Ensemble, other: Ensemble) -> bool:
    """Whether two ensembles are of the same sizes and seeds."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("sizes", "size_of", "seed")
    )


def same_snapshots(one: Ensemble, other: Ensemble) -> bool:
    """Whether two ensembles are of the same runs and epochs."""
    return same_runs(one, other) and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "grok")
        for name in ("grok", "run", "epoch")
    )


@dataclass(frozen=True)
class Course:
    """Exponents in time.

    Attributes
    ----------
    window : str
        ``epoch`` or ``aligned``.
    times : ndarray of int64, shape (T,)
        Those at which every size has data.
    estimate : Estimate
        T bins.
    """

    window: str
    times: Ints
    estimate: Estimate

    def __sub__(self, other: Course) -> Course:
        """Subtract time by time, where both have data."""
        mine, others = np.isin(self.times, other.times), np.isin(other.times, self.times)
        return Course(self.window, self.times[mine], self.estimate[mine] - other.estimate[others])


@dataclass(frozen=True)
class Curves:
    """Exponents of one observable and statistic: ``aggregate, pre, post, post - pre``; in time."""

    phases: Estimate
    epoch: Course
    aligned: Course

    @property
    def courses(self) -> tuple[Course, Course]:
        """Both ways to count time."""
        return self.epoch, self.aligned


def curves(
    members: Sequence[Ensemble], observable: str, statistic: str, draws: Sequence[Ints]
) -> Curves:
    """Estimate the exponents of the data, or of a null model, in the phases and in time.

    Parameters
    ----------
    members
        The data alone, or the replicates of a null model: a run's statistic is its mean over them.
    observable, statistic
        ``mean`` or ``run-max``.
    draws
        From :func:`grokcrit.scaling.resampling.draw_runs`; the same for all that is to be compared.
    """
    what = (members, observable, statistic)
    return Curves(
        phases(*what, draws), course(*what, "epoch", draws), course(*what, "aligned", draws)
    )


def phases(
    members: Sequence[Ensemble], observable: str, statistic: str, draws: Sequence[Ints]
) -> Estimate:
    """Estimate the exponents ``aggregate, pre, post, post - pre``."""
    kinds = [scaling.windows(members[0], name) for name in PHASES]
    by_run = np.concatenate(
        [over_replicates(members, observable, bins, statistic) for bins in kinds], axis=1
    )
    return resampling.exponents(members[0], by_run, statistic, draws).with_difference()


def course(
    members: Sequence[Ensemble],
    observable: str,
    statistic: str,
    window: str,
    draws: Sequence[Ints],
) -> Course:
    """Estimate the exponents at those times, ``epoch`` or ``aligned``, that have every size."""
    ensemble = members[0]
    bins = scaling.windows(ensemble, window)
    by_run = over_replicates(members, observable, bins, statistic)
    by_size = scaling.over_runs(by_run, ensemble.size_of, len(ensemble.sizes), statistic)
    whole = ~np.isnan(by_size).any(axis=1)
    times = np.array(bins.times, np.int64)[whole]
    found = resampling.exponents(ensemble, by_run[:, whole], statistic, draws)
    return Course(window, times, found)


def over_replicates(
    members: Sequence[Ensemble], observable: str, bins: scaling.Windows, statistic: str
) -> Reals:
    """Reduce the snapshots of each run in each bin, then average over replicates, NaN left out."""
    each = np.array(
        [
            scaling.over_snapshots(member, member.observe(observable), bins, statistic)
            for member in members
        ]
    )
    count = (~np.isnan(each)).sum(axis=0)
    total = np.where(np.isnan(each), 0.0, each).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
