"""Counts of what weakens a fit: avalanches cut off or quiet, runs that never grok, thin bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Notice, Row
from grokcrit.base.vocabulary import PHASES
from grokcrit.questions.family import Family, zero_threshold
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Question, Task
from grokcrit.questions.rows import finding, labelled, of
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.reductions import tally


def of_family(family: Family, _: DiagnoseOptions) -> list[Task]:
    """Count in one task."""
    return [lambda _: labelled(counts(family), **family.data.case)]


def counts(family: Family) -> list[Row]:
    """Make the rows of all counts of a case."""
    data = family.data
    quiet = data.observe("size") == 0
    rows = [
        finding("truncated", float(data.truncated.sum()), n=len(quiet), method="avalanches"),
        finding("quiet", float(quiet.sum()), n=len(quiet), method="avalanches"),
    ]
    if data.of_training:
        never = float(np.isnan(data.grok).sum())
        rows.append(finding("never-grokked", never, n=data.runs, method="runs"))
    rows += zero_threshold(data)
    for window in (*PHASES, "epoch", "aligned"):
        bins = windows(data, window)
        if not bins.times:
            continue
        mine = [(data.size_of == k)[data.run] for k in range(len(data.sizes))]
        inside = np.array([tally(data, bins, chosen).sum(axis=0) for chosen in mine])
        lacking = (inside == 0).any(axis=0)
        row = finding("thin", float(lacking.sum()), n=len(lacking), window=window)
        rows.append(row | {"method": "bins that lack a size"})
    single = (np.bincount(data.size_of) == 1).sum()
    rows.append(finding("single-run", float(single), n=len(data.sizes), method="sizes"))
    rows += [
        finding("null-of-other-runs", 1.0, part=name, method="left out")
        for name in family.strangers
    ]
    return rows


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn of everything that is counted."""
    warnings = []
    for name in ("zero-threshold", "truncated", "quiet", "never-grokked"):
        for row in of(rows, name)[-1:]:
            warnings += warn(name, int(row["value"] or 0), row["n"])
    if any(row["value"] for row in of(rows, "single-run")):
        warnings += warn("single-run")
    thin = [row for row in of(rows, "thin") if row["value"]]
    bins = [f"{row['value']:.0f} of {row['n']} {row['window']}" for row in thin]
    strangers = sorted(row["part"] for row in of(rows, "null-of-other-runs"))
    return warnings + warn("lacking-size", bins) + warn("null-of-other-runs/named", strangers)


QUESTION = Question(
    quantities={
        "truncated, quiet, never-grokked, thin, single-run": "avalanches cut off, of size 0; runs "
        "that never grok; bins that lack a size; sizes with one run; `n`: of how many",
    },
    of_family=of_family,
    cautions=cautions,
)
