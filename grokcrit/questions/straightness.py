"""Is ln(statistic) against ln(N) straight: local exponents and curvature, beside R^2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokcrit.base.vocabulary import PHASES
from grokcrit.questions.findings import Row, finding, labelled, of_bins
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.resampling import Estimate


def straightness(
    ensemble: Ensemble,
    observable: str,
    statistic: str,
    draws: Sequence[Ints],
    confidence: float,
) -> list[Row]:
    """Fit the exponent between neighbouring sizes, and the curvature, of each phase.

    ``local-exponent`` is ln(s_2 / s_1) / ln(N_2 / N_1), named by the smaller size; ``curvature``
    the coefficient of (ln N)^2 in a quadratic fit, with the p of zero; ``bend`` what it changes
    the slope by, from the smallest size to the largest.
    """
    values = ensemble.observe(observable)
    rows: list[Row] = []
    for window in PHASES:
        bins = scaling.windows(ensemble, window)
        by_run = scaling.over_snapshots(ensemble, values, bins, statistic)
        by_size = scaling.over_runs(by_run, ensemble.size_of, len(ensemble.sizes), statistic)
        drawn = resampling.resample(ensemble, by_run, draws)
        found = curvature(ensemble, by_run, by_size, drawn, confidence)
        found += local(ensemble, by_run, by_size[0], drawn[:, 0], confidence)
        rows += labelled(found, window=window)
    return rows


def curvature(
    ensemble: Ensemble, by_run: Reals, by_size: Reals, drawn: Reals, confidence: float
) -> list[Row]:
    """Make the rows of the curvature; its p is widened as that of the exponent is."""
    bend = Estimate(
        scaling.fit(ensemble.sizes, by_size).curvature,
        scaling.fit(ensemble.sizes, drawn).curvature,
        resampling.influence(ensemble, by_run, by_size),
        ensemble.size_of,
    )
    if np.isnan(bend.value).all():
        return [finding("curvature", None), finding("bend", None)]
    range_of_x = np.log(ensemble.sizes[-1] / ensemble.sizes[0])
    rows = of_bins("curvature", bend, confidence, [{}])
    ends = {
        k: None if rows[0][k] is None else 2 * range_of_x * rows[0][k]
        for k in ("value", "ci_low", "ci_high")
    }
    return [*rows, finding("bend", ends.pop("value"), **ends, p=rows[0]["p"])]


def local(
    ensemble: Ensemble, by_run: Reals, by_size: Reals, drawn: Reals, confidence: float
) -> list[Row]:
    """Make the rows of the exponents between neighbouring sizes."""
    step = np.diff(np.log(ensemble.sizes.astype(np.float64)))

    def slopes(statistic: Reals) -> Reals:
        there = np.nan_to_num(statistic, nan=-1.0) > 0
        logs = np.where(there, np.log(np.where(there, statistic, 1.0)), np.nan)
        return np.diff(logs, axis=-1) / step

    k = ensemble.size_of
    share = by_run[:, 0] / np.where(by_size > 0, by_size, np.nan)[k] - 1
    pair = np.arange(len(step))
    # A run moves the slope above its size down and the one below it up, and no other.
    sign = (k[:, None] == pair + 1).astype(float) - (k[:, None] == pair)
    influences = np.where(sign != 0, sign * share[:, None] / step, np.nan)
    estimate = Estimate(slopes(by_size), slopes(drawn), influences, k)
    places = [
        {"n_params": int(n), "part": f"{n} to {m}"}
        for n, m in zip(ensemble.sizes[:-1], ensemble.sizes[1:], strict=True)
    ]
    return of_bins("local-exponent", estimate, confidence, places, tested=False)


def largest(data: Ensemble, observables: Sequence[str]) -> list[Row]:
    """Fit the largest of all avalanches in each phase: gamma is to be held against it."""
    rows = []
    for observable in observables:
        values = data.observe(observable)
        for window in PHASES:
            exponent = scaling.exponent(data, values, scaling.windows(data, window), "max")
            rows.append(finding("exponent", exponent, window=window))
            rows[-1] |= {"observable": observable, "statistic": "max"}
    return rows
