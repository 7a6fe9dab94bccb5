"""Rows of the tails: power-law fits of every size, and both sides of the crackling-noise relation.

Apart from the question of tails, whose words and tables need no compiled loop.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from grokcrit.base.parallel import Stop
from grokcrit.base.rng import stream
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row
from grokcrit.questions.rows import finding, labelled
from grokcrit.scaling import plateau, resampling, tails
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.plateau import Size
from grokcrit.scaling.resampling import Estimate
from grokcrit.scaling.tails import TailFit

# What is free, or of what tau is.
BOTH, LOWER, ALL = "both cutoffs", "lower cutoff", "all sizes"
SHORT = "range too short for a reliable exponent"
UNTRUSTED = "no range can be trusted"
# Resamples of the runs behind an interval; each searches its cutoffs again.
REFITS = 200


def distributions(
    ensemble: Ensemble, observable: str, window: str, options: DiagnoseOptions, stop: Stop
) -> list[Row]:
    """Fit P(s) ~ s^-tau for every size in a phase, and one tau for all sizes.

    The interval is over resampled runs, cutoffs sought again in each; p is the goodness of fit
    (METHOD, section 7). Likelihood ratios are positive where the power law is the better one. Both
    p take avalanches to be independent, which those of one run are not: they are indicative.
    """
    draws = resampling.draw_runs(ensemble, options.resamples, options.seed)
    values = np.nan_to_num(ensemble.observe(observable)).astype(np.int64)
    inside = windows(ensemble, window).bin_of >= 0
    found: list[Row] = []
    sizes: list[Size] = []
    for k, n in enumerate(ensemble.sizes):
        stop.check()
        chosen = inside & (ensemble.size_of[ensemble.run] == k) & (values > 0)
        counts = of_runs(ensemble, values, chosen, k)
        rng = partial(stream, "tails", options.seed, observable, window, int(n))
        sizes.append(plateau.of_size(*counts, draws[k][:REFITS]))
        mine = labelled(of_both(counts, sizes[-1], ensemble, options, rng(BOTH)), part=BOTH)
        mine += labelled(of_lower(counts, draws[k], ensemble, options, rng(LOWER)), part=LOWER)
        found += labelled(mine, n_params=int(n))
    sure = [size for size in sizes if size.sure]
    rows = labelled(found + of_all(sure, ensemble, options.confidence), window=window)
    return labelled(rows, **ensemble.case, observable=observable)


class Counts(NamedTuple):
    """Avalanches of one size, counted."""

    values: Reals  # (K,): distinct values
    counts: Ints  # (R, K): by run
    runs: Ints  # (R,): indices of the runs of the size


def of_runs(ensemble: Ensemble, values: Ints, chosen: npt.NDArray[np.bool_], k: int) -> Counts:
    """Count the chosen avalanches of a size by run and value."""
    runs = np.flatnonzero(ensemble.size_of == k)
    distinct, place = np.unique(values[chosen], return_inverse=True)
    row = np.searchsorted(runs, ensemble.run[chosen])
    cells = np.bincount(row * len(distinct) + place, minlength=len(runs) * len(distinct))
    return Counts(distinct.astype(np.float64), cells.reshape(len(runs), -1), runs)


def of_both(
    of: Counts, size: Size, ensemble: Ensemble, options: DiagnoseOptions, rng: np.random.Generator
) -> list[Row]:
    """Make the rows of a size where both cutoffs are free; tau is that of the plateau."""
    n, inner = int(of.counts.sum()), size.found
    estimate = plateau.joint([size], ensemble.size_of) if size.sure else None
    if inner is None or estimate is None:
        return [finding("tau", None, n=n, method=UNTRUSTED)]
    total = of.counts.sum(axis=0)
    fit = tails.fit(of.values, total, upper="free", least=plateau.FLOOR, gof=options.gof, rng=rng)
    assert fit is not None
    assert fit.upper is not None
    low, high = estimate.interval(options.confidence)
    method = f"{inner.lower} to {inner.upper}; {fit.lower} to {fit.upper} is not rejected"
    tau = finding("tau", inner.exponent, ci_low=low[0], ci_high=high[0], p=fit.p, method=method)
    error = finding("tau-stderr", inner.stderr, method="observed information")
    return labelled([tau, error], n=inner.n) + of_fit(fit)


def of_lower(
    of: Counts, drawn: Ints, ensemble: Ensemble, options: DiagnoseOptions, rng: np.random.Generator
) -> list[Row]:
    """Make the rows of a size whose lower cutoff alone is free."""
    n = int(of.counts.sum())
    fit = tails.fit(of.values, of.counts.sum(axis=0), gof=options.gof, rng=rng) if n else None
    if fit is None:
        return [finding("tau", None, n=n, method="no range can be fitted")]
    exponents = np.full((min(len(drawn), REFITS), 1), np.nan)
    for d, picks in enumerate(drawn[:REFITS]):
        total = of.counts[picks].sum(axis=0)
        found = tails.search(plateau.observed_pairs(of.values, total), None, None)
        if found is not None:
            exponents[d, 0] = found.exponent
    kept = of.values >= fit.lower
    each = -np.log(of.values[kept])[None]
    shares = np.full((ensemble.runs, 1), np.nan)
    shares[of.runs, 0] = plateau.influences(of.counts[:, kept], each, np.array([fit.stderr**2]))
    value = np.array([fit.exponent])
    low, high = Estimate(value, exponents, shares, ensemble.size_of).interval(options.confidence)
    words = f"{fit.lower} to {of.values[-1]:.0f}, {fit.decades:.1f} decades"
    method = f"{words}: {SHORT}" if fit.short else words
    tau = finding("tau", fit.exponent, ci_low=low[0], ci_high=high[0], p=fit.p, method=method)
    error = finding("tau-stderr", fit.stderr, method="observed information")
    return labelled([tau, error], n=fit.n) + of_fit(fit)


def of_all(sizes: list[Size], ensemble: Ensemble, confidence: float) -> list[Row]:
    """Make the row of one tau for all sizes that have one."""
    estimate = plateau.joint(sizes, ensemble.size_of)
    if estimate is None:
        return [finding("tau", None, n=0, part=ALL, method=UNTRUSTED)]
    low, high = estimate.interval(confidence)
    n = sum(size.found.n for size in sizes if size.found is not None)
    method = f"{len(sizes)} of {len(ensemble.sizes)} sizes"
    value = float(estimate.value[0])
    return [finding("tau", value, ci_low=low[0], ci_high=high[0], n=n, part=ALL, method=method)]


def of_fit(fit: TailFit) -> list[Row]:
    """Make the rows of one range and of what else may describe it."""
    rows = [
        finding("tau-lower", float(fit.lower)),
        finding("tau-upper", None if fit.upper is None else float(fit.upper)),
        finding("tau-decades", fit.decades),
        finding("tau-distance", fit.distance, method="Kolmogorov-Smirnov"),
    ]
    for name, r in fit.ratios.items():
        quantity = f"ratio-{name.replace(' ', '-')}"
        rows.append(finding(quantity, r.normalised, p=r.p, method="normalised"))
    rows.append(finding("truncated-tau", fit.truncated.exponent))
    rows.append(finding("truncated-cutoff", fit.truncated.cutoff))
    goodness = finding("tau-goodness", fit.p, p=fit.p, n=fit.drawn, method="data sets drawn")
    return [*labelled(rows, n=fit.n), goodness]


def crackling(ensemble: Ensemble, confidence: float, _: Stop) -> list[Row]:
    """Compare (tau_T - 1) / (tau_S - 1) with gamma of <S>(T) ~ T^gamma, for every size.

    ``crackling-left`` and ``crackling-right`` are its sides, null where an exponent does not exist;
    the p of the right is that of their being equal, both taken to be normal and independent.
    """
    observed = (np.nan_to_num(ensemble.observe(name)) for name in ("size", "duration"))
    size, duration = (values.astype(np.int64) for values in observed)
    rows: list[Row] = []
    z = scipy.special.ndtri(0.5 + confidence / 2)
    for window in ensemble.phases:
        inside = windows(ensemble, window).bin_of >= 0
        for k, n in enumerate(ensemble.sizes):
            chosen = inside & (ensemble.size_of[ensemble.run] == k) & (size > 0)
            s, t = size[chosen], duration[chosen]
            fits = [
                tails.fit(*np.unique(v, return_counts=True), upper="free") if len(v) else None
                for v in (s, t)
            ]
            sides = tails.crackling(fits[0], fits[1], s, t)
            p = np.nan
            if sides[0] is not None and sides[1] is not None:
                error = math.hypot(sides[0].stderr, sides[1].stderr)
                p = 2 * scipy.special.ndtr(-abs(sides[0].value - sides[1].value) / error)
            for name, side in zip(("crackling-left", "crackling-right"), sides, strict=True):
                value, reach = (np.nan, np.nan) if side is None else (side.value, z * side.stderr)
                row = finding(name, value, ci_low=value - reach, ci_high=value + reach, n=len(s))
                row |= {"window": window, "n_params": int(n)}
                rows.append(row | finding(name, value, p=p if name.endswith("right") else None))
    return labelled(rows, **ensemble.case)
