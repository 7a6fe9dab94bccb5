"""Locking: detector, sign and thresholds of a signal, from the runs that explore alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from grokcrit.protocol import concordance
from grokcrit.protocol.courses import Course
from grokcrit.protocol.designs import BASE
from grokcrit.protocol.detectors import score, statistics
from grokcrit.scaling.ensembles import Reals

# Shares of the controls of each kind that may alarm.
RATES = (0.05, 0.1)
# A detector is for a signal that gives it a statistic in this share of the runs of each kind: where
# it has none in most controls, as a window that begins late, it would tell kinds by their length.
DEFINED = 0.9


@dataclass(frozen=True)
class Lock:
    """What is fixed before any run is held out."""

    detector: str
    sign: int
    thresholds: Mapping[float, float]  # by the rate of false alarms; an alarm is above it
    auroc: float  # mean over kinds of control, of the runs that explore


def lock(course: Course) -> Lock | None:
    """Return the detector and sign with the largest mean AUROC over kinds, and its thresholds.

    The first of :func:`statistics` where several have it. None where no control explores, or no
    detector has a statistic in ``DEFINED`` of the runs of each kind. A threshold is the lowest that
    at most its rate of the controls of any kind exceeds.
    """
    watch = course.watch
    kinds = np.unique(watch.kind[watch.kind != BASE])
    places = np.unique(watch.seed, return_inverse=True)[1]
    best: Lock | None = None
    for detector, sign, statistic in statistics(course):
        defined = np.any(course.inside & ~np.isnan(statistic), axis=1)
        if min(defined[watch.kind == kind].mean() for kind in (BASE, *kinds)) < DEFINED:
            continue
        scores = score(statistic, course)
        found = [
            concordance.auroc(scores, watch, kind, places, places.max() + 1).value for kind in kinds
        ]
        if found and (best is None or np.mean(found) > best.auroc):
            thresholds = {
                rate: max(threshold(scores[watch.kind == kind], rate) for kind in kinds)
                for rate in RATES
            }
            best = Lock(detector, sign, thresholds, float(np.mean(found)))
    return best


def threshold(scores: Reals, rate: float) -> float:
    """Return the lowest threshold that at most a share ``rate`` of some runs exceeds."""
    allowed = int(rate * len(scores) + 1e-9)
    return float(np.sort(scores)[::-1][allowed])
