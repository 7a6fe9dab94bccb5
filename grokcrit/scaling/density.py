"""Avalanche density rho = s / N at each size: D = 1 + d ln rho / d ln N, without a fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.resampling import Estimate, resample


def densities(ensemble: Ensemble, by_run: Reals, draws: Sequence[Ints]) -> Estimate:
    """Return ln(mean size / N) of every bin and size: bin 0 at each of the K sizes, bin 1, ...

    Parameters
    ----------
    by_run
        (R, bins): mean of each run's avalanches.
    draws
        Runs of each resample: estimates of the same draws can be subtracted.
    """
    log_n = np.log(ensemble.sizes.astype(np.float64))
    mean = logarithm(scaling.over_runs(ensemble, by_run, "mean"))
    drawn = logarithm(resample(ensemble, by_run, draws)) - log_n
    # A run moves the density of its own size; of the others it has no share.
    influence = np.full((ensemble.runs, *mean.shape), np.nan)
    for run, k in enumerate(ensemble.size_of):
        influence[run, :, k] = by_run[run] / np.exp(mean[:, k]) - 1
    flat = (len(drawn), -1), (ensemble.runs, -1)
    return Estimate(
        (mean - log_n).ravel(),
        drawn.reshape(flat[0]),
        influence.reshape(flat[1]),
        ensemble.size_of,
    )


def logarithm(mean: Reals) -> Reals:
    """Return the logarithm; NaN where there is nothing above 0."""
    found: Reals = np.log(mean, out=np.full_like(mean, np.nan), where=mean > 0)
    return found
