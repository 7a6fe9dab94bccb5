"""Courses: a signal of every run that is watched, sample by sample from memorising on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from grokcrit.protocol.designs import GAP, Watch
from grokcrit.protocol.regression import features_of, predicted
from grokcrit.protocol.runs import EPOCH
from grokcrit.scaling.ensembles import Ints, Reals

# Epochs that no training lasts.
NEVER = 1e12
# Epochs before the end of a watch in which a run "groks soon".
HORIZON = 40
# Placebos that are made of the watch, not of single runs.
CLOCK, REGRESSION = "since-memorising", "hyperparameters"


@dataclass(frozen=True)
class Course:
    """A signal of R runs at the B samples of each from memorising on."""

    watch: Watch  # the runs that have rows of the signal
    values: Reals  # (R, B), NaN where undefined, not measured, or after the last epoch
    epoch: Reals  # (R, B), NaN after the last epoch of the signal
    start: Ints  # (R,): place of the first sample among the epochs of all
    step: float  # epochs between two samples
    own: Ints  # (R,): samples until GAP epochs before the run itself groks; 0 if it never does
    samples: Ints  # (R,): samples of the watch, as many for a control as for its partner

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Which samples are in the watch, (R, B)."""
        return np.arange(self.values.shape[1]) < self.samples[:, None]

    @property
    def soon(self) -> npt.NDArray[np.bool_]:
        """Which samples are in the last ``HORIZON`` epochs of the watch of a base run, (R, B).

        Of a control those at the same times since memorising as its partner's.
        """
        end = self.watch.grokked - GAP
        own = self.inside & (self.epoch > (end - HORIZON)[:, None])
        return own[self.watch.group]


def course_of(watch: Watch, name: str) -> Course | None:
    """Return the course of a signal; None where no base run has it.

    Samples are the epochs at which any run of the design has the signal, from the first one not
    before the run memorises.
    """
    if name == CLOCK:
        found = course_of(watch, EPOCH)
        return found and replace(found, values=found.epoch - found.epoch[:, :1])
    if name == REGRESSION:
        return course_of_regression(course_of(watch, EPOCH))
    has = [watch.signal(k, name) is not None for k in range(len(watch.seed))]
    watch = watch.of(np.array(has))
    of_run = [each for k in range(len(watch.seed)) if (each := watch.signal(k, name))]
    if not of_run:
        return None
    epochs = np.unique(np.concatenate([signal.epochs for signal, _ in of_run]))
    start = np.searchsorted(epochs, watch.memorised)
    values = np.full((len(of_run), 2 * len(epochs)), np.nan)
    for k, (signal, row) in enumerate(of_run):
        values[k, np.searchsorted(epochs, signal.epochs)] = signal.values[row]
    at = start[:, None] + np.arange(len(epochs))
    epoch = np.append(epochs.astype(np.float64), np.full(len(epochs), np.nan))[at]
    own = (epoch <= (watch.grokked - GAP)[:, None]).sum(axis=1)
    step = float(np.median(np.diff(epochs))) if len(epochs) > 1 else 1.0
    values = np.take_along_axis(values, at, axis=1)
    return Course(watch, values, epoch, start, step, own, own[watch.group])


def course_of_regression(clock: Course | None) -> Course | None:
    """Return minus the epochs left until the grokking epoch that hyperparameters predict."""
    features = features_of(clock.watch) if clock else None
    if clock is None or features is None:
        return None
    with np.errstate(over="ignore"):
        grokking = np.exp(predicted(features, clock.watch))
    left = grokking[:, None] - clock.epoch
    # Without decay a control is beyond the regression, and not expected to grok in any time.
    expected = np.where(np.isfinite(left), -left, -NEVER)
    return replace(clock, values=np.where(np.isnan(clock.values), np.nan, expected))
