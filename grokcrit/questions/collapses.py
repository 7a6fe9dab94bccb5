"""The exponent of the data collapse beside the direct ones, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokcrit.base.vocabulary import PHASES, STATISTICS
from grokcrit.questions.findings import Row, finding, labelled
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.collapse import collapse
from grokcrit.scaling.ensembles import Ensemble, Ints


def collapses(
    ensemble: Ensemble, observable: str, draws: Sequence[Ints], confidence: float
) -> list[Row]:
    """Collapse the distributions of all sizes, phase by phase, beside the direct exponents.

    ``collapse-exponent`` is the D of least S, ``collapse-quality`` that S; with a ``part``, S at
    the exponent of that statistic.
    """
    values = ensemble.observe(observable)
    rows: list[Row] = []
    for window in PHASES:
        bins = scaling.windows(ensemble, window)
        direct = {}
        for statistic in STATISTICS:
            exponent = scaling.exponent(ensemble, values, bins, statistic)
            if not np.isnan(exponent):
                direct[statistic] = exponent
        found = collapse(ensemble, values, bins, draws, confidence, list(direct.values()))
        ends = {"ci_low": found.ci_low, "ci_high": found.ci_high}
        method = found.reason or "least S"
        each = [
            finding("collapse-exponent", found.exponent, **ends, n=found.n_draws, method=method),
            finding("collapse-quality", found.quality, n=found.n_points, method=method),
        ]
        each += [
            finding("collapse-quality", s, part=f"D of {name}", n=found.n_points, method="S")
            for name, s in zip(direct, found.at, strict=True)
        ]
        rows += labelled(each, window=window)
    return rows
