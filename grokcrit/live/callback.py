"""What callbacks of all trainers share: a recorder that begins with the training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from grokcrit.base.errors import OptionError
from grokcrit.base.options import INT32_MAX
from grokcrit.live.options import RecorderOptions
from grokcrit.live.parameters import named
from grokcrit.live.recorder import GradientRecorder


class Recording:
    """A recorder whose size and seed are known once the training begins.

    Parameters
    ----------
    folder
        Where the parts go.
    task
        What is learnt.
    width
        What size is called in this family of models; None: the number of trainable parameters.
    seed
        Which run of that width; None: the trainer's own seed.
    measure
        Called with the model at steps that are recorded; returns ``loss``, ``train_accuracy``,
        ``test_accuracy`` and ``halves``, or some of them. They come before those of the trainer. It
        is called by rank 0 alone, or, of a sharded model, by all processes.
    **options
        Of :class:`grokcrit.torch.GradientRecorder`; ``keep`` is ``avalanches`` by default.
    """

    recorder: GradientRecorder | None = None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        task: str,
        width: int | None = None,
        seed: int | None = None,
        measure: Callable[[torch.nn.Module], Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        self._folder, self._width, self._seed, self._measure = folder, width, seed, measure
        self._options: dict[str, Any] = {"task": task, "keep": "avalanches", **options}
        # A wrong option is told of now, not when the training begins.
        RecorderOptions.of({"width": width or 1, "seed": seed or 0, **self._options})

    def begin(self, model: torch.nn.Module, seed: int, field: str) -> None:
        """Make the recorder."""
        trainable = sum(p.numel() for _, p in named(model) if p.requires_grad)
        if self._width is None and trainable > INT32_MAX:
            raise OptionError(
                "width",
                f"must be given: the model has {trainable} trainable parameters, more than the "
                "column holds; name its size in a unit of your own",
            )
        self.recorder = GradientRecorder(
            self._folder,
            width=self._width or trainable,
            seed=seed if self._seed is None else self._seed,
            **{"field": field, **self._options},
        )

    def take(self, model: torch.nn.Module, step: int, scaler: Any = None, **measured: Any) -> None:
        """Record a step, if it is due, with what was measured at it."""

        def told() -> dict[str, Any]:
            return measured | dict(self._measure(model) if self._measure else {})

        # In every process, and not only where it is due: rank 0 decides.
        if self.recorder is not None:
            self.recorder.take(model, step, told, scaler)

    def end(self) -> None:
        """Write the rows that wait."""
        if self.recorder is not None:
            self.recorder.close()

    def saved(self) -> None:
        """Write the rows that wait, beside a checkpoint."""
        if self.recorder is not None:
            self.recorder.flush()
