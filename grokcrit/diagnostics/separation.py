"""Runs that grok against controls that do not: D(t) of both, and since when they differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from grokcrit import resampling
from grokcrit.diagnostics.family import Course, course
from grokcrit.diagnostics.findings import Row, finding, labelled, of_bins
from grokcrit.scaling import Ensemble, Ints, Reals
from grokcrit.schemas import CASE_COLUMNS

# Times in a row at which the difference must be seen, so that one noisy time is no separation.
LASTING = 3
ALIGNMENTS = ("epoch", "aligned", "relative")


def controlled(found: Sequence[Ensemble]) -> list[tuple[Ensemble, Ensemble]]:
    """Pair every case that groks with each control of the same runs that never does.

    The same runs: equal columns but for the case, equal sizes and seeds. Only the data are paired,
    no null models.
    """
    shared = [name for name in CASE_COLUMNS if name != "case"]
    data = [each for each in found if each.case["surrogate"] == "none"]
    return [
        (one, other)
        for one in data
        for other in data
        if not np.isnan(one.grok).all()
        and np.isnan(other.grok).all()
        and all(one.case[name] == other.case[name] for name in shared)
        and np.array_equal(one.sizes, other.sizes)
        and np.array_equal(one.size_of, other.size_of)
        and np.array_equal(one.seed, other.seed)
    ]


def separations(
    pair: tuple[Ensemble, Ensemble],
    observable: str,
    statistic: str,
    draws: Sequence[Ints],
    confidence: float,
) -> list[Row]:
    """Compare D(t) of a case with that of its control, on three ways to count time.

    ``epoch``: the epoch. ``aligned``: epochs since grokking. ``relative``: per cent of the grokking
    epoch. A control run has no grokking epoch: it is aligned on that of its partner, the run of the
    same width and seed. Draws take partners together.
    """
    grokking, control = pair
    partnered = dataclasses.replace(control, grok=grokking.grok)
    rows: list[Row] = []
    for window in ALIGNMENTS:
        own = course([grokking], observable, statistic, window, draws)
        other = course([partnered], observable, statistic, window, draws)
        gap = own - other
        found = []
        for quantity, each in (("D-grokking", own), ("D-control", other), ("D-difference", gap)):
            places = [{"time": int(t)} for t in each.times]
            tested = quantity == "D-difference"
            found += of_bins(quantity, each.estimate, confidence, places, tested)
        found.append(separation(gap, confidence))
        rows += labelled(found, window=window)
    return labelled(
        rows,
        **grokking.case,
        observable=observable,
        statistic=statistic,
        part=control.case["case"],
    )


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


def of_pair(
    pair: tuple[Ensemble, Ensemble],
    observable: str,
    statistic: str,
    resamples: int,
    seed: int,
    confidence: float,
) -> list[Row]:
    """Draw the runs and compare; see :func:`separations`."""
    draws = resampling.draw_runs(pair[0], resamples, seed)
    return separations(pair, observable, statistic, draws, confidence)
