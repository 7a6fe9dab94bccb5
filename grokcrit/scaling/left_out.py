"""Exponents without a part of the data: each size, each seed, each tenth of the training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from grokcrit.scaling.ensembles import Ensemble, Reals
from grokcrit.scaling.fits import exponents
from grokcrit.scaling.reductions import over_runs
from grokcrit.scaling.resampling import with_difference

# Parts of the training that are left out, one at a time.
SNAPSHOT_INTERVALS = 10


def leave_one_out(
    ensemble: Ensemble,
    by_run: Reals,
    phases: Callable[[npt.NDArray[np.bool_]], Reals],
    statistic: str,
) -> dict[tuple[str, int], Reals]:
    """Refit without each size, each seed, and each tenth of the training."""
    sizes = ensemble.sizes

    def refit(runs: Reals, kept: Any = slice(None)) -> Reals:
        by_size = over_runs(ensemble, runs, statistic)
        return with_difference(exponents(sizes[kept], by_size[:, kept]))

    found = {
        ("n_params", int(n)): refit(by_run, np.arange(len(sizes)) != k) for k, n in enumerate(sizes)
    }
    for seed in np.unique(ensemble.seed):
        kept = np.where((ensemble.seed == seed)[:, None], np.nan, by_run)
        found["seed", int(seed)] = refit(kept)
    if not ensemble.of_training:
        return found
    for epochs in np.array_split(np.unique(ensemble.epoch), SNAPSHOT_INTERVALS):
        if len(epochs):
            inside = (ensemble.epoch >= epochs[0]) & (ensemble.epoch <= epochs[-1])
            found["epoch", int(epochs[0])] = refit(phases(inside))
    return found
