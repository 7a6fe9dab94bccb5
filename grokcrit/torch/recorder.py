"""The recorder: a few lines in anyone's training loop."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

import torch

from grokcrit.errors import OptionError, RecorderError
from grokcrit.options import check_choice, check_integer
from grokcrit.torch.parameters import chosen, flat_gradient, is_finite, precision, scale_of
from grokcrit.torch.parts import Parts, Recording
from grokcrit.train_rows import tensors_of

FIELDS = ("gradient", "clipped-gradient")
MISSING = ("refuse", "zeros")
MEASURED = ("loss", "train_accuracy", "test_accuracy")
Measure: TypeAlias = Callable[[], Mapping[str, Any]]

# The recorder of each run that hangs on an optimizer, by the start of its parts' paths: a cell of
# a notebook run again makes a new recorder, and must not leave the old one's hook.
_attached: weakref.WeakKeyDictionary[Any, dict[str, GradientRecorder]] = weakref.WeakKeyDictionary()


class GradientRecorder:
    """Writes the gradients of a training as a folder of Parquet parts, schema ``train/1``.

    Parameters
    ----------
    folder
        Where the parts go. Runs of other widths and seeds may share it.
    task
        What is learnt.
    width
        What size is called in this family of models; the number of parameters is found.
    seed
        Which run of that width.
    every
        Steps that are no multiple of it are not recorded, and cost next to nothing.
    field
        ``gradient``, or ``clipped-gradient`` where it is recorded after clipping: the recorder
        cannot see which, and fits never mix them.
    include, exclude
        Patterns of parameter names, as in a shell; all trainable ones by default.
    missing
        A trainable parameter without a gradient: ``refuse``, or ``zeros``.
    case
        Name of this way of training; by default a digest of the options here.
    configuration
        What else the gradients depend on, for the record: learning rate, data, ...
    part_bytes, part_snapshots
        A part is written when its gradients take so many bytes, or there are so many.

    Attributes
    ----------
    last_step : int or None
        Last step recorded, in the folder or since. Steps up to it are skipped: a restarted
        training repeats the steps after its checkpoint, and those rows are there.
    snapshots, skipped : int
        Gradients taken, and steps recorded without one because it was not finite.
    seconds : float
        Time spent on them.

    Raises
    ------
    OptionError
        An option out of its range.
    TableError
        The folder was recorded with other options, or cannot be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        task: str,
        width: int,
        seed: int,
        every: int = 1,
        field: str = "gradient",
        include: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        missing: str = "refuse",
        case: str | None = None,
        configuration: Mapping[str, Any] | None = None,
        part_bytes: int = 2**26,
        part_snapshots: int = 100,
    ) -> None:
        for name, text in (("task", task), ("case", "-" if case is None else case)):
            if not isinstance(text, str) or not text.strip():
                raise OptionError(name, f"must be a name, got {text!r}")
        check_choice("field", field, FIELDS)
        check_choice("missing", missing, MISSING)
        counts = {"width": width, "every": every}
        counts |= {"part_bytes": part_bytes, "part_snapshots": part_snapshots}
        for name, value in counts.items():
            check_integer(name, value, 1, 2**62 if name == "part_bytes" else 2**31 - 1)
        check_integer("seed", seed, 0)
        self.every, self.missing = every, missing
        self.include = None if include is None else listed("include", include)
        self.exclude = listed("exclude", exclude)
        options = {
            "task": task,
            "configuration": plain(configuration or {}),
            "every": every,
            "include": self.include,
            "exclude": self.exclude,
            "missing": missing,
        }
        text = json.dumps(options, sort_keys=True)
        label = hashlib.sha256(text.encode()).hexdigest()[:8] if case is None else case
        recording = Recording(task, label, field, int(width), int(seed), options)
        versions = {"torch": str(torch.__version__)}
        self._parts = Parts(folder, recording, part_bytes, part_snapshots, versions)
        self._key = os.path.realpath(self._parts.folder / recording.prefix)
        self._resumed = self._parts.last_step
        self._closed = False
        self._shapes: list[tuple[str, tuple[int, ...]]] = []
        self._warned: set[str] = set()
        self._hook: Any = None
        self._optimizer: Any = None  # a weak reference: the optimizer's hook holds this recorder
        self.snapshots, self.skipped, self.seconds = 0, 0, 0.0
        # A program that forgets to close it keeps its last rows all the same.
        self._finalizer = weakref.finalize(self, self._parts.flush)

    @property
    def last_step(self) -> int | None:
        """Last step recorded; None before the first."""
        return self._parts.last_step

    def due(self, step: int) -> bool:
        """Whether ``record`` would take that step: measure accuracies only then."""
        last = self._parts.last_step
        return step % self.every == 0 and (last is None or step > last)

    def record(
        self,
        model: torch.nn.Module,
        step: int,
        *,
        loss: Any = None,
        train_accuracy: Any = None,
        test_accuracy: Any = None,
        scaler: Any = None,
    ) -> bool:
        """Take the gradient of a step, if it is due.

        Call it after the last ``backward`` of the step and before ``optimizer.step``.

        Parameters
        ----------
        model
            Its ``.grad`` are read and left as they are.
        step
            Updates made so far: 0 before the first.
        loss, train_accuracy, test_accuracy
            Numbers, or tensors of one entry; accuracies are shares from 0 to 1.
        scaler
            The ``GradScaler``, where there is one: gradients are divided by its scale, unless
            ``scaler.unscale_`` has done it.

        Returns
        -------
        bool
            Whether a gradient was taken: False where the step is not due, is recorded already,
            overflowed, or where this process is not rank 0.

        Raises
        ------
        RecorderError
            There is no gradient to take.
        TableError
            The model is not the one of the folder, or the part cannot be written.
        """
        check_integer("step", step, 0)
        if step % self.every:
            return False
        measured = {"loss": loss}
        measured |= {"train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
        scaled = scaler is not None and scaler.is_enabled()
        return self._take(model, step, lambda: scale_of(scaler), lambda: measured, scaled)

    def _take(
        self,
        model: torch.nn.Module,
        step: int,
        scale: Callable[[], float],
        measure: Measure,
        scaled: bool,
    ) -> bool:
        """Take the gradient of a step that is a multiple of ``every``.

        ``scaled``: there is a GradScaler, so that an overflow is part of the training.
        """
        started = time.perf_counter()
        if self._closed:
            raise RecorderError("the recorder is closed; make a new one, it goes on after the last")
        check_integer("step", step, 0)
        if not self.due(step):
            if self._resumed is not None and step <= self._resumed:
                self._warn(
                    "resumed",
                    f"steps up to {self._resumed} of this run are in {self._parts.folder} already "
                    "and are skipped; for a new training choose another folder",
                )
            elif step % self.every == 0:
                self._warn(
                    "repeated",
                    f"step {step} is skipped, for step {self.last_step} of this run is recorded: "
                    "each training takes a recorder of its own, with its own seed",
                )
            return False
        parameters = chosen(model, self.include, self.exclude)
        if not is_first_rank():
            return False
        shapes = [(name, tuple(parameter.shape)) for name, parameter in parameters]
        if shapes != self._shapes:
            self._parts.fit(tensors_of(shapes), precision(parameters))
            self._shapes = shapes
        gradient = flat_gradient(parameters, self.missing, scale())
        finite = is_finite(gradient)
        if not (finite or scaled):
            self._warn("broken", f"the gradient of step {step} is not finite: recorded as skipped")
        numbers = numbers_of(measure())
        self._parts.add(int(step), gradient if finite else None, numbers)
        self.snapshots += finite
        self.skipped += not finite
        self.seconds += time.perf_counter() - started
        return finite

    def attach(
        self,
        optimizer: torch.optim.Optimizer,
        model: torch.nn.Module,
        *,
        first_step: int = 0,
        measure: Measure | None = None,
    ) -> None:
        """Record from inside ``optimizer.step``; no call in the loop is needed.

        Attaching again changes nothing; a new recorder of the same run takes the old one's place.
        A ``GradScaler`` needs no mention: it has unscaled before the hook, or, with fused
        optimizers, tells the scale there. Steps that it skips are not seen, with fused optimizers
        recorded as skipped.

        Parameters
        ----------
        optimizer
            Its step must take no closure.
        model
            Whose gradients are taken.
        first_step
            Updates made so far; a restarted training says those of its checkpoint.
        measure
            Called at steps that are recorded; returns ``loss``, ``train_accuracy`` and
            ``test_accuracy``, or some of them.
        """
        check_integer("first_step", first_step, 0)
        runs = _attached.setdefault(optimizer, {})
        if runs.get(self._key) is self:
            return
        if self._hook is not None:
            raise RecorderError("the recorder is attached to another optimizer; detach it first")
        if self._key in runs:
            runs[self._key].detach()
        made = first_step

        def hook(stepped: Any, args: Any, kwargs: dict[str, Any]) -> None:
            nonlocal made
            if any(callable(each) for each in (*args[-1:], kwargs.get("closure"))):
                raise RecorderError(
                    "optimizer.step(closure) makes the gradients inside the step, after the hook; "
                    "call recorder.record at the end of the closure instead"
                )
            step, made = made, made + 1
            if step % self.every == 0:
                scaled = hasattr(stepped, "found_inf")
                self._take(model, step, lambda: fused_scale(stepped), measure or dict, scaled)

        self._hook, self._optimizer = optimizer.register_step_pre_hook(hook), weakref.ref(optimizer)
        runs[self._key] = self

    def detach(self) -> None:
        """Take the hook off the optimizer, if there is one."""
        if self._hook is None:
            return
        self._hook.remove()
        optimizer = self._optimizer()
        if optimizer is not None:
            _attached.get(optimizer, {}).pop(self._key, None)
        self._hook = self._optimizer = None

    def flush(self) -> None:
        """Write the rows that wait as a part now, after a checkpoint for example."""
        self._parts.flush()

    def close(self) -> None:
        """Write what waits, and detach. Closing twice does nothing more."""
        self.detach()
        self._parts.flush()
        self._closed = True

    def __enter__(self) -> GradientRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, also when the training failed."""
        self.close()

    def _warn(self, kind: str, message: str) -> None:
        """Warn once of each kind of thing."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, stacklevel=4)


def listed(name: str, patterns: Sequence[str]) -> list[str]:
    """Return patterns as a list; a single string is a mistake that would match letters."""
    if isinstance(patterns, str):
        raise OptionError(name, f"must be a list of patterns, got the string {patterns!r}")
    return list(patterns)


def plain(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON gives it back, so that it equals the one in a part.

    Raises
    ------
    OptionError
        JSON cannot hold it.
    """
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(configuration), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise OptionError("configuration", f"must be what JSON can hold: {error}") from None
    return found


def numbers_of(measured: Mapping[str, Any]) -> dict[str, float | None]:
    """Turn what was measured into numbers; what is not finite into None.

    Raises
    ------
    OptionError
        An unknown name, or an accuracy that is no share.
    """
    for name in measured:
        check_choice("measure", name, MEASURED)
    found: dict[str, float | None] = {}
    for name in MEASURED:
        value = measured.get(name)
        if isinstance(value, torch.Tensor):
            value = value.detach()  # a loss is mostly given as it is
        try:
            number = math.nan if value is None else float(value)
        except (TypeError, ValueError, RuntimeError):
            raise OptionError(name, f"must be a number or a tensor of one, got {value!r}") from None
        if name != "loss" and not math.isnan(number) and not 0 <= number <= 1:
            raise OptionError(name, f"must be a share from 0 to 1, got {number:g}")
        found[name] = number if math.isfinite(number) else None
    return found


def fused_scale(optimizer: Any) -> float:
    """Return the scale that a GradScaler leaves to a fused optimizer, or 1."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else float(scale)


def is_first_rank() -> bool:
    """Whether this process is the one that writes: alone, or rank 0."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not there or torch.distributed.get_rank() == 0
