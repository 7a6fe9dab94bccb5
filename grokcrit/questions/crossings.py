"""When D(t) crosses its null or 1, when it changes most, and how long before grokking."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from grokcrit.questions.family import Course, Curves
from grokcrit.questions.findings import Row, finding, labelled
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import BIN, Ensemble, Ints, Reals
from grokcrit.scaling.resampling import Widening

# Snapshots that either side of a change point needs.
SIDE = 3
QUARTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def sign_changes(times: Reals, gap: Reals) -> list[tuple[float, bool]]:
    """Return every crossing of zero, interpolated, and whether it is upward.

    A stretch at zero is crossed where it ends; one that is only touched is not crossed.
    """
    there = np.isfinite(gap) & (gap != 0)
    t, g = times[there], gap[there]
    return [
        (float(t0 + (t1 - t0) * -g0 / (g1 - g0)), bool(g1 > 0))
        for (t0, g0), (t1, g1) in itertools.pairwise(zip(t, g, strict=True))
        if (g0 < 0) != (g1 < 0)
    ]


def lasting_rise(times: Reals, gaps: Reals) -> Reals:
    """Time of the upward crossing after which a curve stays above zero to its end, interpolated.

    There is at most one: METHOD's first upward crossing that lasts.

    Parameters
    ----------
    times
        Ascending, shape (T,).
    gaps
        Curves, shape (..., T).

    Returns
    -------
    ndarray, shape (...,)
        NaN where a curve was never at or below zero, or ends there.
    """
    below = ~(gaps > 0)
    last = gaps.shape[-1] - 1 - np.argmax(below[..., ::-1], axis=-1)
    crossed = below.any(axis=-1) & (last < gaps.shape[-1] - 1)
    before = np.where(crossed, last, 0)
    after = np.minimum(before + 1, gaps.shape[-1] - 1)
    g0 = np.take_along_axis(gaps, before[..., None], -1)[..., 0]
    g1 = np.take_along_axis(gaps, after[..., None], -1)[..., 0]
    span = np.where(crossed & (g1 > g0), g1 - g0, np.nan)
    rise: Reals = np.where(
        crossed, times[before] - (times[after] - times[before]) * g0 / span, np.nan
    )
    return rise


@dataclasses.dataclass(frozen=True)
class Rise:
    """How D(t) stands to its null.

    Attributes
    ----------
    time : float
        Epoch of the lasting rise above the null; NaN without one.
    started_below : bool
        Whether D(t) was ever below the null by more than its own interval.
    ends_above : bool
        Whether it ends above the null by more than its own interval.
    judged : bool
        Whether there is an interval to say so.
    """

    time: float
    started_below: bool
    ends_above: bool
    judged: bool

    @property
    def clear(self) -> bool:
        """Whether D(t) rises from clearly below its null to clearly above."""
        return not np.isnan(self.time) and self.started_below and self.ends_above


def clear_rise(times: Reals, value: Reals, low: Reals, high: Reals, null: Reals) -> Rise:
    """Follow a curve and its interval against its null, all of shape (T,)."""
    if not len(times):
        return Rise(np.nan, False, False, False)
    known = np.flatnonzero(~np.isnan(low))
    return Rise(
        float(lasting_rise(times, value - null)),
        bool((high[known] < null[known]).any()),
        bool(len(known) and low[known[-1]] > null[known[-1]]),
        bool(len(known)),
    )


def rise_above(data: Course, null: Course, confidence: float) -> Rise:
    """Follow D(t) of the data against that of a null model, at the times that both have."""
    both = np.isin(data.times, null.times)
    level = null.estimate.value[np.isin(null.times, data.times)]
    kept = data.estimate[both]
    low, high = kept.interval(confidence)
    return clear_rise(data.times[both].astype(np.float64), kept.value, low, high, level)


def change_point(times: Reals, curves: Reals) -> tuple[Reals, Reals, Reals]:
    """Split curves into two constants by least squares.

    Parameters
    ----------
    times
        Ascending, shape (T,).
    curves
        Shape (..., T).

    Returns
    -------
    tuple of ndarray, shape (...,)
        Time of the change, halfway between two snapshots; mean after minus mean before; share of
        the variance that the two means explain. NaN where there are too few times, or a gap.
    """
    count = curves.shape[-1]
    if count < 2 * SIDE:
        nothing = np.full(curves.shape[:-1], np.nan)
        return nothing, nothing, nothing
    first = np.arange(SIDE, count - SIDE + 1)  # how many lie before the change
    total = curves.sum(axis=-1, keepdims=True)
    before = np.cumsum(curves, axis=-1)[..., first - 1]
    jump = (total - before) / (count - first) - before / first
    gain = first * (count - first) / count * jump**2
    gain = np.where(np.isnan(gain), -1.0, gain)
    best = np.argmax(gain, axis=-1)
    chosen = (np.take_along_axis(each, best[..., None], -1)[..., 0] for each in (jump, gain))
    step, explained = chosen
    variance = ((curves - total / count) ** 2).sum(axis=-1)
    there = explained >= 0
    after = first[best]
    return (
        np.where(there, (times[after - 1] + times[after]) / 2, np.nan),
        np.where(there, step, np.nan),
        np.where(there & (variance > 0), explained / np.where(variance > 0, variance, 1), np.nan),
    )


def moments(
    ensemble: Ensemble,
    data: Curves,
    null: Curves | None,
    levels: Sequence[str],
    draws: Sequence[Ints],
    confidence: float,
) -> list[Row]:
    """Make the rows of crossings, change points and lead times of one observable and statistic.

    Parameters
    ----------
    null
        The Gaussian null, where there is one.
    levels
        What D(t) may cross: ``gaussian``, ``1``.
    draws
        Which runs each resample holds: lead times resample the grokking epochs with them.
    """
    rows: list[Row] = []
    groks = drawn_medians(ensemble, draws)
    for place, course in enumerate(data.courses):
        found: list[Row] = []
        for level in levels:
            gap = gap_of(course, null.courses[place] if null else None, level)
            if gap is not None:
                found += labelled(crossings(gap, confidence, groks, ensemble), part=level)
        found += changes(course, confidence, groks, ensemble)
        rows += labelled(found, window=course.window)
    return rows


def middle(course: Course) -> Reals:
    """Times of a course; an aligned bin stands at its middle."""
    return course.times.astype(np.float64) + (BIN / 2 if course.window == "aligned" else 0.0)


def gap_of(course: Course, null: Course | None, level: str) -> Course | None:
    """Return how far D(t) lies above a level; None for a null that is not there."""
    if level == "gaussian":
        return None if null is None else course - null
    above = course.estimate
    shifted = dataclasses.replace(above, value=above.value - 1, draws=above.draws - 1)
    return dataclasses.replace(course, estimate=shifted)


def crossings(gap: Course, confidence: float, groks: Reals, ensemble: Ensemble) -> list[Row]:
    """Make the rows of every crossing and of the headline: the upward one that lasts."""
    times = middle(gap)
    if not len(times):
        return [finding("crossing", None, n=0)]
    value = gap.estimate.value
    rows = [
        finding("every-crossing", when, method="upward" if up else "downward")
        for when, up in sign_changes(times, value)
    ]
    headline = float(lasting_rise(times, value))
    drawn = lasting_rise(times, gap.estimate.draws)
    few = at_time(gap, times, headline)
    rows.append(moment("crossing", headline, drawn, few, confidence, "upward, lasting"))
    share = float(np.isnan(drawn).mean()) if len(drawn) else None
    rows.append(finding("share-without-crossing", share, n=len(drawn), method="of the draws"))
    if gap.window == "epoch":
        rows += leads("crossing", headline, drawn, few, confidence, groks, ensemble)
    return rows


def changes(course: Course, confidence: float, groks: Reals, ensemble: Ensemble) -> list[Row]:
    """Make the rows of the change point."""
    times = middle(course)
    when, jump, share = change_point(times, course.estimate.value)
    drawn = change_point(times, course.estimate.draws)
    few = at_time(course, times, float(when))
    # The first and the last split allowed are where a change that lies beyond them shows up.
    places = () if np.isnan(when) else (SIDE, len(times) - SIDE)
    edge = any(when == times[k - 1 : k + 1].mean() for k in places)
    method = f"change point{', at the edge' if edge else ''}"
    rows = [
        moment("change-point", float(when), drawn[0], few, confidence, method),
        moment("change-of-D", float(jump), drawn[1], few, confidence, method),
        finding("change-explained", float(share), method="share of the variance in time"),
    ]
    if course.window == "epoch":
        rows += leads("change-point", float(when), drawn[0], few, confidence, groks, ensemble)
    return rows


def at_time(course: Course, times: Reals, when: float) -> Widening | None:
    """How few runs there are for the exponent nearest to a time."""
    if np.isnan(when):
        return None
    nearest = int(np.argmin(np.abs(times - when)))
    influences = course.estimate.influences[:, nearest : nearest + 1]
    return resampling.widening(influences, course.estimate.size_of)


def moment(
    quantity: str, value: float, drawn: Reals, few: Widening | None, confidence: float, method: str
) -> Row:
    """Make the row of a time; its interval is over the draws that have one, counted in ``n``."""
    n = int((~np.isnan(drawn)).sum())
    if few is None or np.isnan(value):
        return finding(quantity, None, n=n, method=method)
    low, high = resampling.interval(drawn[:, None], few, confidence)
    return finding(quantity, value, ci_low=low[0], ci_high=high[0], n=n, method=method)


def drawn_medians(ensemble: Ensemble, draws: Sequence[Ints]) -> Reals:
    """Median grokking epoch of the runs in each resample, shape (resamples,); NaN where none."""
    groks = np.concatenate(
        [ensemble.grok[ensemble.size_of == k][drawn] for k, drawn in enumerate(draws)], axis=1
    )
    known = ~np.isnan(groks).all(axis=1)
    median = np.full(len(groks), np.nan)
    median[known] = np.nanmedian(groks[known], axis=1)
    return median


def leads(
    of: str,
    value: float,
    drawn: Reals,
    few: Widening | None,
    confidence: float,
    groks: Reals,
    ensemble: Ensemble,
) -> list[Row]:
    """Make the rows of the lead: grokking epoch of a run minus the time of a moment of D(t).

    The median run with its interval, quantiles over runs, the median run of each size, and the
    share of the runs that grok after the moment.
    """
    lead = ensemble.grok[~np.isnan(ensemble.grok)] - value
    if not len(lead) or np.isnan(value):
        return [finding(f"{of}-lead", None, n=0, method="median run")]
    rows = [
        moment(f"{of}-lead", float(np.median(lead)), groks - drawn, few, confidence, "median run"),
        finding(f"{of}-lead-share", float((lead > 0).mean()), n=len(lead), method="of the runs"),
    ]
    rows += [
        finding(f"{of}-lead", float(np.quantile(lead, q)), n=len(lead), method=f"{q:.0%} of runs")
        for q in QUARTILES
    ]
    for k, n in enumerate(ensemble.sizes):
        own = ensemble.grok[(ensemble.size_of == k) & ~np.isnan(ensemble.grok)] - value
        if len(own):
            median = float(np.median(own))
            rows.append(
                finding(f"{of}-lead", median, n=len(own), n_params=n, method="median run of a size")
            )
    return rows
