"""What weakens a fit, counted: avalanches cut off or quiet, runs that never grok, thin bins."""

from __future__ import annotations

import numpy as np

from grokcrit.base.vocabulary import PHASES
from grokcrit.questions.family import Family
from grokcrit.questions.findings import Row, finding
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.ensembles import Ensemble


def zero_threshold(data: Ensemble) -> list[Row]:
    """Count the avalanches left out for a threshold of 0, of all; no row if there is none."""
    if not data.left_out:
        return []
    total = data.left_out + len(data.epoch)
    return [finding("zero-threshold", float(data.left_out), n=total, method="avalanches left out")]


def counts(family: Family) -> list[Row]:
    """Count what weakens a fit: avalanches cut off or quiet, runs that never grok, thin bins."""
    data = family.data
    quiet = data.observe("size") == 0
    rows = [
        finding("truncated", float(data.truncated.sum()), n=len(quiet), method="avalanches"),
        finding("quiet", float(quiet.sum()), n=len(quiet), method="avalanches"),
        finding("never-grokked", float(np.isnan(data.grok).sum()), n=data.runs, method="runs"),
    ]
    rows += zero_threshold(data)
    for window in (*PHASES, "epoch", "aligned"):
        bins = scaling.windows(data, window)
        inside = np.array(
            [
                scaling.tally(data, bins, (data.size_of == k)[data.run]).sum(axis=0)
                for k in range(len(data.sizes))
            ]
        )
        lacking = (inside == 0).any(axis=0)
        method = "bins that lack a size"
        rows.append(
            finding("thin", float(lacking.sum()), n=len(lacking), window=window, method=method)
        )
    single = (np.bincount(data.size_of) == 1).sum()
    rows.append(finding("single-run", float(single), n=len(data.sizes), method="sizes"))
    rows += [
        finding("null-of-other-runs", 1.0, part=name, method="left out")
        for name in family.strangers
    ]
    return rows
