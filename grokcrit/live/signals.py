"""The signals of a training that is recorded: measured at each recorded step, kept in parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from grokcrit.base.errors import GrokcritError
from grokcrit.base.sample import Sample
from grokcrit.cascades.counting import Setup
from grokcrit.live import vectors
from grokcrit.live.cascading import Cascades
from grokcrit.live.measures import Halves
from grokcrit.live.options import RecorderOptions
from grokcrit.live.parameters import Named
from grokcrit.live.parts import Parts
from grokcrit.live.parts import Signals as SignalRows
from grokcrit.live.source import Step
from grokcrit.signals.collector import Meter
from grokcrit.signals.registry import Signal
from grokcrit.signals.state import State, UndefinedError

# A folder of parts is of one stage: signals have one inside the recorder's.
FOLDER = "signals"


class Signals:
    """Measures the signals of one run and keeps their rows."""

    def __init__(
        self, folder: Path, given: RecorderOptions, cascades: Cascades, *limits: Any
    ) -> None:
        """Open the parts, which lie inside the recorder's folder."""
        self._name = given.avalanche.seed, given.width, given.seed
        self._gather, self._cascades = given.gather, cascades
        self._setup = Setup(given.cascaded, "none", 0)
        kind = SignalRows(given.signal_names, given.cascaded, given.avalanche.seed)
        self.parts = Parts(folder / FOLDER, given.recording, kind, *limits)
        self._meter = Meter([self._guarded(each) for each in given.measured], given.every)
        self._warned: dict[str, str] = {}

    def _guarded(self, each: Signal) -> Signal:
        """Return a signal that has no value where its function fails."""

        def of(state: State) -> float:
            try:
                return float(each.of(state))
            except (UndefinedError, GrokcritError):
                raise
            except Exception as error:
                self._warned[f"signal {each.name}"] = (
                    f"the signal {each.name} failed at step {state.epoch}, so its value is null "
                    f"there: {error!r}"
                )
                raise UndefinedError from error

        return dataclasses.replace(each, of=of)

    def state(
        self,
        model: torch.nn.Module,
        parameters: Named,
        sample: Sample | None,
        vector: torch.Tensor | None,
        halves: Halves | None,
    ) -> Step | None:
        """Return what signals are measured of; None without a vector.

        Every process of a sharded model must call it: the weights are put together in rank 0.
        """
        held = None
        if vectors.is_sharded(parameters):
            values = [parameter.detach() for _, parameter in parameters]
            held = vectors.sharded(values, parameters, sample, self._gather)
            if halves is not None:
                self._warned["halves"] = (
                    "the model is sharded, and other weights cannot be set in it: signals of two "
                    "halves of the data are null"
                )
                halves = None
        if vector is None:
            return None
        return Step(
            self._name,
            self._cascades,
            self._setup,
            model,
            parameters,
            sample,
            vector,
            halves,
            held,
        )

    def take(
        self, step: int, measured: Mapping[str, Any], state: Step | None, pace: float | None
    ) -> dict[str, str]:
        """Measure the signals of a step; return warnings by kind.

        ``state`` is None where the step has no gradient; accuracies are noted all the same.
        ``pace``: seconds that the training has taken per step since the last recorded one.
        """
        if state is None:
            rows = self._meter.rows(None, step, measured)
        else:
            with state.undisturbed():
                rows = self._meter.rows(state, step, measured)
        if rows:
            self.parts.add(step, (rows, pace), 0)
        else:
            self.parts.last_step = step
        warned, self._warned = self._warned, {}
        return warned
