"""Placebos: would any split in time, or any run's grokking epoch, show the same?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from grokcrit.base.rng import stream
from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.questions.crossings import lasting_rise, middle
from grokcrit.questions.family import Course, over_replicates, phases
from grokcrit.questions.findings import Row, finding, of_bins
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.ensembles import BIN, Ensemble, Ints, Reals, Windows
from grokcrit.scaling.resampling import Estimate

PERMUTED = "grokking epochs permuted among the runs of a size"


def splits(
    ensemble: Ensemble,
    observable: str,
    statistic: str,
    own: Estimate,
    epochs: Sequence[int],
    draws: Sequence[Ints],
    confidence: float,
) -> list[Row]:
    """Split every run at one common epoch instead of its own grokking epoch.

    Runs that never grok have no phases, and have none here either. ``own-minus-split`` is how
    much more the own epoch separates the phases, with the p of no more.

    Parameters
    ----------
    own
        Exponents ``aggregate, pre, post, post - pre`` of the true phases.
    epochs
        Common epochs.
    """
    rows: list[Row] = []
    for epoch in epochs:
        common = dataclasses.replace(
            ensemble, grok=np.where(np.isnan(ensemble.grok), np.nan, float(epoch))
        )
        found = phases([common], observable, statistic, draws)
        places = [{"window": w, "time": epoch} for w in (*PHASES, DIFFERENCE)][1:]
        tested = [False, False, True]
        method = "one epoch for all runs"
        rows += of_bins("placebo-split", found[1:], confidence, places, tested, method=method)
        rows += of_bins(
            "own-minus-split", own[3:] - found[3:], confidence, places[-1:], method=method
        )
    return rows


def split_crossings(gap: Course, epochs: Sequence[int], confidence: float) -> list[Row]:
    """Time from a common epoch to the lasting rise of a gap of D(t), with the p of none."""
    if not len(gap.times):
        return []
    value = float(lasting_rise(middle(gap), gap.estimate.value))
    drawn = lasting_rise(middle(gap), gap.estimate.draws)
    drawn = drawn[~np.isnan(drawn)]
    rows = []
    for epoch in epochs:
        row = finding("placebo-split-crossing", value - epoch, time=epoch, n=len(drawn))
        if len(drawn) and not np.isnan(value):
            ends = (0.5 - confidence / 2, 0.5 + confidence / 2)
            low, high = np.quantile(drawn - epoch, ends)
            beyond = min((drawn <= epoch).sum(), (drawn >= epoch).sum())
            p = min(1.0, 2 * (1 + beyond) / (1 + len(drawn)))
            row |= {"ci_low": float(low), "ci_high": float(high), "p": float(p)}
        rows.append(row | {"method": "one epoch for all runs"})
    return rows


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """Statistics of every run under the grokking epoch of every run of its size.

    Attributes
    ----------
    pre, post : ndarray, shape (R, J)
        Under the j-th grokked run's epoch, J the most grokked runs of a size.
    aligned : ndarray, shape (R, J, bins)
    times : ndarray, shape (bins,)
        Middle of each aligned bin.
    donors : list of ndarray
        Of each size, its grokked runs.
    """

    pre: Reals
    post: Reals
    aligned: Reals
    times: Reals
    donors: list[Ints]


def shuffled(members: Sequence[Ensemble], observable: str, statistic: str) -> Shuffled:
    """Work out all that a permutation can need, once: permutations then only pick from it."""
    ensemble = members[0]
    grokked = ~np.isnan(ensemble.grok)
    donors = [np.flatnonzero(grokked & (ensemble.size_of == k)) for k in range(len(ensemble.sizes))]
    most = max((len(d) for d in donors), default=0)
    first = np.floor((ensemble.epoch.min() - np.nanmax(ensemble.grok)) / BIN) * BIN
    last = ensemble.epoch.max() - np.nanmin(ensemble.grok)
    bins = np.arange(first, last + 1, BIN)
    pre, post = (np.full((ensemble.runs, most), np.nan) for _ in range(2))
    aligned = np.full((ensemble.runs, most, len(bins)), np.nan)
    for j in range(most):
        grok = np.full(ensemble.runs, np.nan)
        for mine in donors:
            if j < len(mine):
                grok[mine] = ensemble.grok[mine[j]]
        other = dataclasses.replace(ensemble, grok=grok)
        start = np.floor((ensemble.epoch - np.nan_to_num(grok)[ensemble.run]) / BIN) * BIN
        place = np.searchsorted(bins, start)
        inside = ~np.isnan(grok)[ensemble.run]
        kinds = (
            scaling.windows(other, "pre"),
            scaling.windows(other, "post"),
            Windows("aligned", bins.astype(int).tolist(), np.where(inside, place, -1)),
        )
        values = [over_replicates(members, observable, kind, statistic) for kind in kinds]
        pre[:, j], post[:, j], aligned[:, j] = values[0][:, 0], values[1][:, 0], values[2]
    return Shuffled(pre, post, aligned, bins + BIN / 2, donors)


def permutations(donors: Iterable[Ints], runs: int, count: int, key: tuple[int, ...]) -> Ints:
    """Draw which donor each run gets, shape (runs, count); the first column leaves all in place."""
    rng = stream("placebo", *key)
    picks = np.zeros((runs, count + 1), np.int64)
    for mine in donors:
        order = np.argsort(rng.random((count, len(mine))), axis=1).T
        picks[mine, 0], picks[mine, 1:] = np.arange(len(mine)), order
    return picks


def picked(values: Reals, picks: Ints) -> Reals:
    """Take each run's statistic under the donor it got: (R, J, ...) to (R, count, ...)."""
    index = picks.reshape(*picks.shape, *([1] * (values.ndim - 2)))
    taken: Reals = np.take_along_axis(values, index, axis=1)
    return taken


def permuted(
    ensemble: Ensemble,
    data: Shuffled,
    null: Shuffled | None,
    statistic: str,
    levels: Sequence[str],
    count: int,
    seed: int,
    confidence: float,
) -> list[Row]:
    """Give every run the grokking epoch of a run of its size, drawn without replacement.

    The value is that of the true epochs, the interval the central range of the permuted ones, p
    the two-sided share of the permuted ones at least as far out.

    Parameters
    ----------
    data, null
        The data and the Gaussian null, where there is one.
    levels
        What the aligned D(t) may cross.
    count
        How many permutations.
    """
    picks = permutations(data.donors, ensemble.runs, count, (seed, *map(int, ensemble.sizes)))

    def exponents(values: Reals) -> Reals:
        by_size = scaling.over_runs(values, ensemble.size_of, len(ensemble.sizes), statistic)
        return scaling.fit(ensemble.sizes, by_size).exponent

    def contrast(of: Shuffled) -> Reals:
        return exponents(picked(of.post, picks)) - exponents(picked(of.pre, picks))

    def course(of: Shuffled) -> Reals:
        flat = picked(of.aligned, picks).reshape(ensemble.runs, -1)
        by_size = scaling.over_runs(flat, ensemble.size_of, len(ensemble.sizes), statistic)
        whole = ~np.isnan(by_size).any(axis=1)
        found = np.where(whole, scaling.fit(ensemble.sizes, by_size).exponent, np.nan)
        return found.reshape(-1, len(of.times))

    rows = [against("placebo-permuted", contrast(data), confidence) | {"window": DIFFERENCE}]
    own = course(data)
    for level in levels:
        if level == "gaussian" and null is None:
            continue
        gaps = own - (course(null) if level == "gaussian" and null is not None else 1.0)
        rises = np.array([rise_of(data.times, gap) for gap in gaps])
        row = against("placebo-permuted-crossing", rises, confidence)
        rows.append(row | {"window": "aligned", "part": level})
    return rows


def rise_of(times: Reals, gap: Reals) -> float:
    """Lasting rise of one curve with gaps."""
    there = ~np.isnan(gap)
    return float(lasting_rise(times[there], gap[there])) if there.sum() > 1 else np.nan


def against(quantity: str, values: Reals, confidence: float) -> Row:
    """Hold the first of some values against the others."""
    found, others = values[0], values[1:][~np.isnan(values[1:])]
    row = finding(quantity, float(found), n=len(others), method=PERMUTED)
    if len(others):
        low, high = np.quantile(others, (0.5 - confidence / 2, 0.5 + confidence / 2))
        row |= {"ci_low": float(low), "ci_high": float(high)}
        if not np.isnan(found):
            # Rounding must not tell apart what a permutation leaves as it was.
            slack = 1e-12 * max(1.0, abs(found))
            farther = min((others <= found + slack).sum(), (others >= found - slack).sum())
            row["p"] = min(1.0, 2 * (1 + int(farther)) / (1 + len(others)))
    return row
