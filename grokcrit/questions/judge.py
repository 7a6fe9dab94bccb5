"""The decisions that turn numbers into words, each made once and with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import MINIMUM_SIZES, NO_TRAINING, PHASES
from grokcrit.scaling.ensembles import Ensemble
from grokcrit.scaling.lines import ALPHA
from grokcrit.tables.schemas import CASE_COLUMNS

# With many runs any curve is significantly bent. A slope that changes by 0.1 from the smallest
# size to the largest changes the first decimal of D, in which the source's D differ.
BEND = 0.1
# gamma and D of one data set share their scatter. A hundredth is the rounding of the source.
EXCESS = 0.01
# A null model keeps most of the distance where its interval lies above this, loses most below it.
HALF = 0.5
# Beyond a fifth the logarithm of a mean is off by 2 % on average, and skewed: intervals of D from
# moments then cover too little (docs/truth.md).
SAMPLED = 0.2
# What distinguishes one family of data and null models from another.
FAMILY = tuple(name for name in CASE_COLUMNS if name not in ("surrogate", "replicate"))


def apart(p: float | None) -> bool:
    """Return whether a p tells a number from zero; a p that does not exist never does."""
    return p is not None and p < ALPHA


def adjusted(row: Row) -> float | None:
    """Return the p of a row that words follow: adjusted for the tests of its question if it is."""
    p = row.get("p_adjusted")
    return row["p"] if p is None else float(p)


def bent(bend: float | None, p: float | None) -> bool:
    """Return whether a slope changes by ``BEND`` or more, with a p that tells it from no change."""
    return apart(p) and abs(bend or 0.0) >= BEND


def bend_of(curvature: float | None, sizes: Sequence[int]) -> float | None:
    """Return the change of slope 2 c ln(N_max / N_min) of a parabola with coefficient c."""
    if curvature is None or len(sizes) < MINIMUM_SIZES:
        return None
    return 2 * curvature * math.log(max(sizes) / min(sizes))


def exceeds(gamma: float | None, largest: float | None) -> bool:
    """Return whether the exponent of the mean exceeds that of the maximum by ``EXCESS``."""
    return gamma is not None and largest is not None and gamma > largest + EXCESS


def collapses(quality: Row) -> bool:
    """Return whether a row of the quality of a collapse, with its goodness of fit, lets it stand.

    Not adjusted for the number of tests: an assumption is checked, not a finding claimed.
    """
    return quality["p"] is not None and not apart(quality["p"])


def opposite(one: Row, other: Row, both: bool = False) -> bool:
    """Return whether two numbers have opposite signs and one of them, or both, differ from zero."""
    if one["value"] is None or other["value"] is None:
        return False
    shown = [apart(adjusted(row)) for row in (one, other)]
    return one["value"] * other["value"] < 0 and (all(shown) if both else any(shown))


def disjoint(one: Row, other: Row) -> bool:
    """Return whether two intervals have nothing in common; one that is missing holds everything."""
    if one["ci_low"] is None or other["ci_low"] is None:
        return False
    return bool(one["ci_low"] > other["ci_high"] or other["ci_low"] > one["ci_high"])


def multiscaling(bend: Row, d: float) -> bool:
    """Return whether the bend of sigma(q) changes its slope by ``BEND`` of D from q = 1 to 4."""
    return bent(6 * (bend["value"] or 0.0) / d, adjusted(bend))


def sampled(error: Row) -> bool:
    """Return whether the highest moment is known well enough: ``SAMPLED`` of it."""
    return bool(error["value"] <= SAMPLED)


def thin_windows(fits: Sequence[Row]) -> list[str]:
    """Return the phases without a fit: fewer than three sizes have a statistic above 0."""
    return sorted(
        {fit["window"] for fit in fits if fit["exponent"] is None and fit["window"] in PHASES}
    )


def named(fit: Row) -> str:
    """Name an estimate: observable, statistic, window."""
    return f"{fit['observable']} {fit['statistic']} {fit['window']}"


def of_training(row: Row) -> bool:
    """Return whether a row is of avalanches during a training; see ``Ensemble.of_training``."""
    return bool(row["field"] != NO_TRAINING)


def is_data(row: Row) -> bool:
    """Return whether a row is of the data, not of a null model."""
    return bool(row["surrogate"] == "none")


def are_family(case: Ensemble, null: Ensemble) -> bool:
    """Return whether one is the Gaussian null of the other, whatever their runs."""
    return case.case["surrogate"] != "gaussian" == null.case["surrogate"] and all(
        case.case[name] == null.case[name] for name in FAMILY
    )


def same_runs(one: Ensemble, other: Ensemble) -> bool:
    """Return whether two ensembles have the same sizes, seeds and graphs: draws pair their runs."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("sizes", "size_of", "seed", "graphs")
    )


def same_snapshots(one: Ensemble, other: Ensemble) -> bool:
    """Return whether ensembles are of the same runs, epochs and grokking epochs."""
    return same_runs(one, other) and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "grok")
        for name in ("grok", "run", "epoch")
    )


def counted_alike(fit: Row, null: Row) -> bool:
    """Return whether two rows of fss count the same runs and snapshots, fitted or left out."""
    return fit["n_avalanches"] == null["n_avalanches"] and all(
        fit[name] + fit[f"{name}_excluded"] == null[name] + null[f"{name}_excluded"]
        for name in ("n_sizes", "n_runs")
    )


def shared(row: Row) -> tuple[Any, ...]:
    """Return what an estimate of the data shares with that of its null models."""
    return tuple(row[name] for name in (*FAMILY, "observable", "statistic", "window"))


def baselines(rows: Sequence[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """Return the replicates of the Gaussian null of each estimate, by what they share with it."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["surrogate"] == "gaussian":
            found.setdefault(shared(row), []).append(row)
    return found


def baseline(fit: Row, replicates: Sequence[Row]) -> Row | None:
    """Return the Gaussian null of a row of an fss table: the mean of replicates of the same runs.

    A table holds exponents, no runs: of several replicates the exponents are averaged, and the mean
    has no interval. Where runs are at hand, each run's statistic is averaged before the fit
    (`family.mean_of_replicates`), which differs in the third decimal.
    """
    alike = [null for null in replicates if counted_alike(fit, null)]
    if len(alike) < 2:
        return alike[0] if alike else None
    known = [null["exponent"] for null in alike if null["exponent"] is not None]
    mean = sum(known) / len(known) if len(known) == len(alike) else None
    return {**alike[0], "replicate": None, "exponent": mean, "ci_low": None, "ci_high": None}
