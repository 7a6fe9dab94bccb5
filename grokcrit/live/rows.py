"""What becomes of the vector of a step: a row of gradients, rows of avalanches, numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from grokcrit.base.sample import Sample
from grokcrit.cascades.counting import Counted, row_of
from grokcrit.live import device, numbers
from grokcrit.live.cascading import Cascades
from grokcrit.live.measures import halves_of
from grokcrit.live.options import RecorderOptions
from grokcrit.live.parameters import Named
from grokcrit.live.parts import Avalanches, Gradients, Parts
from grokcrit.live.signals import Signals
from grokcrit.live.source import Step
from grokcrit.live.spacing import Spacing
from grokcrit.tables.checking import LARGEST

# Where `keep="both"` puts the gradients: a folder of parts is of one stage.
BOTH = "gradients"


class Rows:
    """The parts of one run, its cascades and its sinks."""

    def __init__(
        self, folder: str | os.PathLike[str], given: RecorderOptions, versions: dict[str, str]
    ) -> None:
        self.folder, self.sinks = Path(folder), given.sinks
        self.recording = given.recording
        limits = given.part_bytes, given.part_snapshots, versions
        self.cascades: Cascades | None = None
        self._avalanches: Parts | None = None
        self._gradients: Parts | None = None
        self._signals: Signals | None = None
        if given.keep != "gradients" or given.measured:
            self.cascades = Cascades(given.avalanche)
        if given.keep != "gradients":
            kind = Avalanches(given.avalanche)
            self._avalanches = Parts(self.folder, self.recording, kind, *limits)
        if given.keep != "avalanches":
            place = self.folder / BOTH if given.keep == "both" else self.folder
            self._gradients = Parts(place, self.recording, Gradients(), *limits)
        if given.measured and self.cascades is not None:
            self._signals = Signals(self.folder, given, self.cascades, *limits)
        signals = None if self._signals is None else self._signals.parts
        kept = self._avalanches, self._gradients, signals
        self._parts = [parts for parts in kept if parts is not None]

    @property
    def last_step(self) -> int | None:
        """Last step that all parts have, or have skipped."""
        steps = [parts.last_step for parts in self._parts]
        known = [step for step in steps if step is not None]
        return min(known) if len(known) == len(steps) else None

    @property
    def layout(self) -> list[dict[str, Any]] | None:
        """The tensors of the model that is recorded; None before the first row."""
        return self._parts[0].layout

    def fit(self, layout: list[dict[str, Any]], taken: list[dict[str, Any]]) -> None:
        """Check that a model is that of the rows so far; ``taken``: what a sample has of it."""
        for parts in self._parts:
            parts.fit(layout, taken)

    def device(self, places: set[torch.device], n: int) -> torch.device | str:
        """Return where to put a vector together: on a GPU where the cascades can run there."""
        place = next(iter(places))
        here = len(places) == 1 and place.type == "cuda" and self._gradients is None
        return place if here and self.cascades and device.can_run(self.cascades, n) else "cpu"

    def skip(self, step: int) -> None:
        """Note a step whose rows are another process's."""
        for parts in self._parts:
            parts.last_step = step

    def state(
        self,
        model: torch.nn.Module,
        parameters: Named,
        sample: Sample | None,
        vector: torch.Tensor | None,
        measured: Mapping[str, Any],
    ) -> Step | None:
        """Return what signals are measured of, if they are; all processes of a model call it."""
        if self._signals is None:
            return None
        return self._signals.state(model, parameters, sample, vector, halves_of(measured))

    def keep(
        self,
        step: int,
        measured: dict[str, Any],
        vector: torch.Tensor | None,
        spacing: Spacing,
        state: Step | None = None,
    ) -> dict[str, str]:
        """Write down the row of a step, and tell the sinks; return warnings by kind.

        ``vector`` is None where the step has no gradient; it is overwritten. ``state`` is what
        signals are measured of.
        """
        warned = {}
        if self._signals is not None:  # before the cascades overwrite the vector
            warned = self._signals.take(step, measured, state, spacing.pace(step))
        return warned | self._kept(step, measured, vector, spacing)

    def _kept(
        self,
        step: int,
        measured: dict[str, Any],
        vector: torch.Tensor | None,
        spacing: Spacing,
    ) -> dict[str, str]:
        """Write down the gradient and the avalanches of a step; tell the sinks."""
        if self._gradients is not None:
            gradient = None if vector is None else vector.numpy()
            if gradient is not None and self._avalanches is not None:
                gradient = gradient.copy()
            held = 0 if gradient is None else gradient.nbytes
            self._gradients.add(step, (step, gradient, measured), held)
        avalanches = self._avalanches
        if self.cascades is None or avalanches is None:
            return {}
        if vector is None:
            avalanches.last_step = step
            return {}
        told: dict[str, Any] = {}
        if self.sinks:
            told |= {name: value for name, value in measured.items() if value is not None}
            told |= numbers.of_gradient(vector.cpu().numpy())
        found = self._cascaded(self.cascades, step, measured, vector)
        if max(float(each.theta[0]) for each in found) > LARGEST:
            avalanches.last_step = step
            return {"large": f"the gradient of step {step} is too large to reckon with: left out"}
        avalanches.account = {
            "budget": spacing.budget,
            "seconds": spacing.seconds,
            "setup_seconds": spacing.setup_seconds,
            "overhead": spacing.overhead,
        }
        avalanches.add(step, found, 0)
        if self.sinks:
            told |= numbers.of_avalanches(found, len(vector)) | {"seconds": spacing.so_far()}
        return self._tell(step, told)

    def _cascaded(
        self, cascades: Cascades, step: int, measured: dict[str, Any], vector: torch.Tensor
    ) -> list[Counted]:
        """Return what the cascades of a vector count."""
        run = asdict(self.recording.run(len(vector)))
        row = row_of({**run, "epoch": step, **measured})
        if vector.device.type != "cpu":
            return device.run(cascades, vector, row)
        starts = [each["offset"] for each in self._parts[0].taken]
        return cascades.run(vector.numpy(), row, starts)

    def _tell(self, step: int, told: dict[str, float]) -> dict[str, str]:
        """Give the sinks the numbers of a step; one that fails is warned of and ends nothing."""
        warned = {}
        for sink in self.sinks:
            try:
                sink(step, dict(told))
            except Exception as error:
                name = getattr(sink, "__name__", type(sink).__name__)
                warned[f"sink {name}"] = f"the sink {name} failed at step {step}: {error!r}"
        return warned

    def flush(self) -> None:
        """Write the rows that wait."""
        for parts in self._parts:
            parts.flush()
