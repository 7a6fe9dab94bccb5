"""Runs that grok against controls that do not: D(t) of both, and since when they differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from grokcrit.questions.family import Course, Family, course, same_runs
from grokcrit.questions.findings import Row, finding, labelled, of_bins
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.tables.schemas import CASE_COLUMNS

# Times in a row at which the difference must be seen, so that one noisy time is no separation.
LASTING = 3
ALIGNMENTS = ("epoch", "aligned", "relative")


Pair: TypeAlias = tuple[Family, Family]


def controlled(found: Sequence[Family]) -> list[Pair]:
    """Pair every case that groks with each control of the same runs that never does.

    The same runs: equal columns but for the case, equal sizes and seeds.
    """
    shared = [name for name in CASE_COLUMNS if name != "case"]
    return [
        (first, second)
        for first in found
        for second in found
        for one, other in [(first.data, second.data)]
        if not np.isnan(one.grok).all()
        and np.isnan(other.grok).all()
        and all(one.case[name] == other.case[name] for name in shared)
        and same_runs(one, other)
    ]


def separations(
    pair: Pair,
    observable: str,
    statistic: str,
    draws: Sequence[Ints],
    confidence: float,
) -> list[Row]:
    """Compare D(t) of a case with that of its control, on three ways to count time.

    ``epoch``: the epoch. ``aligned``: epochs since grokking. ``relative``: per cent of the grokking
    epoch. A control run has no grokking epoch: it is aligned on that of its partner, the run of the
    same width and seed. Draws take partners together. Null models of either stand beside it, with
    their name as ``surrogate``.
    """
    groks = pair[0].data.grok
    rows: list[Row] = []
    for window in ALIGNMENTS:
        how = observable, statistic, window, draws

        def along(members: Sequence[Ensemble], how: Any = how) -> Course:
            return course([dataclasses.replace(each, grok=groks) for each in members], *how)

        found = []
        courses = {}
        for quantity, family in zip(("D-grokking", "D-control"), pair, strict=True):
            courses[quantity] = along([family.data])
            found += over_time(quantity, courses[quantity], confidence)
            for name, members in family.nulls.items():
                null = over_time(quantity, along(members), confidence)
                found += labelled(null, surrogate=name)
        gap = courses["D-grokking"] - courses["D-control"]
        found += over_time("D-difference", gap, confidence)
        found.append(separation(gap, confidence))
        rows += labelled(found, window=window)
    return labelled(
        rows,
        **pair[0].data.case,
        observable=observable,
        statistic=statistic,
        part=pair[1].data.case["case"],
    )


def over_time(quantity: str, shown: Course, confidence: float) -> list[Row]:
    """Make a row of each time; differences have a p."""
    places = [{"time": int(t)} for t in shown.times]
    return of_bins(quantity, shown.estimate, confidence, places, quantity == "D-difference")


def since_when(times: Reals, apart: Reals) -> Reals:
    """Time of the first of LASTING times in a row at which curves are apart with one sign.

    Parameters
    ----------
    times
        Ascending, shape (T,).
    apart
        Shape (..., T): 1 or -1 where they are apart, 0 where they are not.

    Returns
    -------
    ndarray, shape (...,)
        NaN where they never are.
    """
    count = apart.shape[-1] - LASTING + 1
    if count < 1:
        return np.full(apart.shape[:-1], np.nan)
    sums = sum(apart[..., k : k + count] for k in range(LASTING))
    lasting = np.abs(np.asarray(sums)) == LASTING
    first = np.argmax(lasting, axis=-1)
    when: Reals = np.where(lasting.any(axis=-1), times[first], np.nan)
    return when


def separation(gap: Course, confidence: float) -> Row:
    """Make the row of the separation: the first of three times whose intervals exclude zero.

    Only the sign that the difference ends with counts: curves that are apart one way and cross
    before they part the other way separate at the latter. The interval: each draw of the
    difference is held against the same half-widths, and the central range of the times that this
    gives is taken over the draws that have one, counted in ``n``; it is not widened for few runs.
    """
    low, high = gap.estimate.interval(confidence)
    times, known = gap.times.astype(np.float64), ~np.isnan(low)
    final = float(np.sign(gap.estimate.value[-1])) if len(times) else 0.0
    apart = np.where(known, (low > 0).astype(float) - (high < 0), 0.0)
    apart = np.where(apart == final, apart, 0.0)
    when = float(since_when(times, apart)) if len(times) else np.nan
    half = np.where(known, (high - low) / 2, np.inf)
    drawn = gap.estimate.draws
    each = since_when(times, np.where(drawn * final > half, final, 0.0)) if len(times) else drawn
    valid = each[~np.isnan(each)]
    tail = (1 - confidence) / 2
    ends = np.quantile(valid, [tail, 1 - tail]) if len(valid) else (np.nan, np.nan)
    if np.isnan(when):
        ends = (np.nan, np.nan)
    return finding(
        "separation",
        when,
        ci_low=ends[0],
        ci_high=ends[1],
        n=len(valid),
        method=f"first of {LASTING} intervals in a row beyond 0, on the side where they end",
    )
