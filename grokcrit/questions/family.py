"""The data of a case and its null models as one, and their exponents in every window."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokcrit.base.summary import Row
from grokcrit.questions.judge import FAMILY, same_snapshots
from grokcrit.questions.rows import finding
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import BIN, Around, Windows, windows
from grokcrit.scaling.crossings import Rise, clear_rise
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.reductions import mean_known, over_runs, over_snapshots
from grokcrit.scaling.resampling import Estimate


@dataclass(frozen=True)
class Family:
    """The data of a case and the null models made of the same snapshots."""

    data: Ensemble
    nulls: dict[str, list[Ensemble]]  # replicates by the name of the surrogate
    strangers: tuple[str, ...] = ()  # surrogates left out: of other runs or snapshots


def families(found: Sequence[Ensemble]) -> list[Family]:
    """Put every case and its null models together; null models without their data stay out."""
    by_place: dict[tuple[object, ...], list[Ensemble]] = {}
    for each in found:
        by_place.setdefault(tuple(each.case[name] for name in FAMILY), []).append(each)
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


@dataclass(frozen=True)
class Course:
    """Exponents in time."""

    window: str  # ``epoch`` or ``aligned``
    times: Ints  # (T,): those at which every size has data
    estimate: Estimate  # of T bins

    @property
    def middle(self) -> Reals:
        """The times; an aligned bin stands at its middle."""
        return self.times.astype(np.float64) + (BIN / 2 if self.window == "aligned" else 0.0)

    def __sub__(self, other: Course) -> Course:
        """Subtract time by time, where both have data."""
        mine, others = np.isin(self.times, other.times), np.isin(other.times, self.times)
        return Course(self.window, self.times[mine], self.estimate[mine] - other.estimate[others])


@dataclass(frozen=True)
class Exponents:
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
) -> Exponents:
    """Estimate exponents in phases and in time; replicates of a null model are averaged by run."""
    what = (members, observable, statistic)
    return Exponents(
        phases(*what, draws), course(*what, "epoch", draws), course(*what, "aligned", draws)
    )


def phases(
    members: Sequence[Ensemble],
    observable: str,
    statistic: str,
    draws: Sequence[Ints],
    sizes: Ints | None = None,
) -> Estimate:
    """Estimate the exponents ``aggregate, pre, post, post - pre``, over some sizes or all."""
    kinds = [windows(members[0], name) for name in members[0].phases]
    by_run = np.concatenate(
        [over_replicates(members, observable, bins, statistic) for bins in kinds], axis=-1
    )
    if sizes is not None:
        kept = np.isin(members[0].sizes, sizes)[members[0].size_of]
        by_run = np.where(kept[:, None], by_run, np.nan)
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
    bins = windows(ensemble, window)
    by_run = over_replicates(members, observable, bins, statistic)
    by_size = over_runs(ensemble, by_run, statistic)
    whole = ~np.isnan(by_size).any(axis=1)
    times = np.array(bins.times, np.int64)[whole]
    found = resampling.exponents(ensemble, by_run[..., whole], statistic, draws)
    return Course(window, times, found)


def over_replicates(
    members: Sequence[Ensemble], observable: str, bins: Windows, statistic: str
) -> Reals:
    """Reduce the snapshots of each run in each bin, then average over replicates, NaN left out."""
    return mean_of_replicates(
        [over_snapshots(member, member.observe(observable), bins, statistic) for member in members]
    )


def balanced(members: Sequence[Ensemble], observable: str, statistic: str, split: Around) -> Reals:
    """Reduce each run over all its snapshots, those before, and those after, (R, 3)."""
    kinds = windows(members[0], "aggregate"), split.windows
    return np.concatenate(
        [over_replicates(members, observable, bins, statistic) for bins in kinds], axis=-1
    )


def mean_of_replicates(each: Sequence[Reals]) -> Reals:
    """Average the statistics of runs over replicates, NaN left out."""
    return each[0] if len(each) == 1 else mean_known(np.array(each), axis=0)


def gap_of(course: Course, null: Course | None, level: str) -> Course | None:
    """Return how far D(t) lies above a level; None for a null that is not there."""
    if level == "gaussian":
        return None if null is None else course - null
    above = course.estimate
    shifted = dataclasses.replace(above, value=above.value - 1, draws=above.draws - 1)
    return dataclasses.replace(course, estimate=shifted)


def rise_above(data: Course, null: Course, confidence: float) -> Rise:
    """Follow D(t) of the data against that of a null model, at the times that both have."""
    both = np.isin(data.times, null.times)
    level = null.estimate.value[np.isin(null.times, data.times)]
    kept = data.estimate[both]
    low, high = kept.interval(confidence)
    return clear_rise(data.times[both].astype(np.float64), kept.value, low, high, level)


def zero_threshold(data: Ensemble) -> list[Row]:
    """Count the avalanches left out for a threshold of 0, of all; no row if there is none."""
    if not data.left_out:
        return []
    total = data.left_out + len(data.epoch)
    return [finding("zero-threshold", float(data.left_out), n=total, method="avalanches left out")]
