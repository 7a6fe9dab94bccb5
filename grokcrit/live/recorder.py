"""The recorder: a few lines in anyone's training loop."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from grokcrit.base.errors import OptionError, RecorderError
from grokcrit.base.options import check_choice, check_integer
from grokcrit.live.measures import numbers_of
from grokcrit.live.optimizers import before_each_step, owns_some, stepping_optimizer
from grokcrit.live.parameters import (
    Named,
    chosen,
    flat_gradient,
    is_finite,
    is_first_rank,
    kept,
    missing_from,
    named,
    precision,
)
from grokcrit.live.parts import Parts, Recording
from grokcrit.live.scalers import divisors, now, watch
from grokcrit.tasks.train_rows import tensors_of

FIELDS = ("gradient", "clipped-gradient")
MISSING = ("refuse", "zeros")
Measure: TypeAlias = Callable[[], Mapping[str, Any]]

watch()  # at import, not later: what a scaler did before its first note is unknown

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
    control
        The case whose control this is: it shares every option with that but the one that lets it
        generalise. ``diagnose --only controls`` compares the two, run by run.
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
        control: str | None = None,
        configuration: Mapping[str, Any] | None = None,
        part_bytes: int = 2**26,
        part_snapshots: int = 100,
    ) -> None:
        names = {"task": task, "case": case, "control": control}
        for name, text in names.items():
            if text is None and name != "task":
                continue
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
        if control is not None:  # else a case keeps the digest that it had
            options["control"] = control
        text = json.dumps(options, sort_keys=True)
        label = hashlib.sha256(text.encode()).hexdigest()[:8] if case is None else case
        recording = Recording(task, label, field, int(width), int(seed), options)
        versions = {"torch": str(torch.__version__)}
        self._parts = Parts(folder, recording, part_bytes, part_snapshots, versions)
        self._key = os.path.realpath(self._parts.folder / recording.prefix)
        self._resumed = self._parts.last_step
        self._closed = False
        self._warned: set[str] = set()
        self._since = now()
        self._hooks: list[Any] = []
        self._optimizer: Any = None  # a weak reference: the optimizer's hook holds this recorder
        self.snapshots, self.skipped, self.seconds = 0, 0, 0.0
        # A program that forgets to close it keeps its last rows all the same.
        self._finalizer = weakref.finalize(self, self._parts.flush)

    @property
    def last_step(self) -> int | None:
        """Last step recorded; None before the first."""
        return self._parts.last_step

    def due(self, step: int) -> bool:
        """Return whether ``record`` would take that step: measure accuracies only then."""
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
            Numbers, or tensors of one entry. Accuracies are shares from 0 to 1; others are
            recorded as missing and warned of once.
        scaler
            The ``GradScaler`` of the loss, if there is one. Each gradient is divided by its
            scale, unless ``scaler.unscale_`` has done so for the optimizer of that parameter.

        Returns
        -------
        bool
            Whether a gradient was taken: False where the step is not due, is recorded already,
            overflowed, or where this process is not rank 0.

        Raises
        ------
        RecorderError
            There is no gradient to take, or a GradScaler leaves its scale in doubt.
        TableError
            The model is not the one of the folder, or the part cannot be written.

        Notes
        -----
        All rows of a run hold the tensors of its first row. Tensors that become trainable later
        are left out. If a recorded tensor is frozen or gone, the row has no gradient. Both are
        warned of once. Before the first row, tensors that differ from the folder's are an error.
        """
        check_integer("step", step, 0)
        if step % self.every:
            return False
        accuracies = {"train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
        return self._take(model, step, lambda: {"loss": loss, **accuracies}, scaler)

    def _take(
        self, model: torch.nn.Module, step: int, measure: Measure, scaler: Any, stepping: Any = None
    ) -> bool:
        """Take the gradient of a step; ``stepping`` is the optimizer whose hook this is."""
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
        if not is_first_rank():
            named(model)  # every rank refuses a sharded model: one alone would leave the others
            return False
        parameters, warned = self._parameters(model, step)
        gradient = None
        if parameters is not None:
            gradient, broken = self._gradient(parameters, step, scaler, stepping)
            warned |= broken
        numbers, odd = numbers_of(measure())
        for kind, message in (warned | odd).items():
            self._warn(kind, message)
        self._parts.add(int(step), gradient, numbers)
        taken = gradient is not None
        self.snapshots += taken
        self.skipped += not taken
        self.seconds += time.perf_counter() - started
        return taken

    def _gradient(
        self, parameters: Named, step: int, scaler: Any, stepping: Any
    ) -> tuple[npt.NDArray[np.floating] | None, dict[str, str]]:
        """Return the gradient of a step, or None with a warning of why the row has none."""
        factors, scaled = divisors(parameters, scaler, self._since, stepping)
        try:
            gradient = flat_gradient(parameters, self.missing, factors)
        except RecorderError as error:
            if not self.snapshots:
                raise
            return None, {"missing": f"step {step} is recorded without a gradient: {error}"}
        if is_finite(gradient):
            return gradient, {}
        if scaled:  # with a GradScaler an overflow is part of the training
            return None, {}
        return None, {"broken": f"the gradient of step {step} is not finite: recorded as skipped"}

    def _parameters(self, model: torch.nn.Module, step: int) -> tuple[Named | None, dict[str, str]]:
        """Return the parameters that every row of this run holds, and warnings by kind.

        None if one has no gradient now: a run that has rows, here or in the folder, is not ended.
        """
        everything, recorded = named(model), self._parts.tensors
        if self.last_step is not None and recorded is not None:
            mine = self.snapshots + self.skipped > 0
            if mine or not missing_from(everything, recorded):
                found, warned = kept(everything, recorded, self.include, self.exclude, step)
                if found is not None:
                    self._parts.fit(recorded, precision(found))
                return found, warned
        found = chosen(everything, self.include, self.exclude)
        self._parts.fit(tensors_of([(name, p.shape) for name, p in found]), precision(found))
        return found, {}

    def attach(
        self,
        optimizer: torch.optim.Optimizer,
        model: torch.nn.Module,
        *,
        first_step: int = 0,
        measure: Measure | None = None,
        scaler: Any = None,
    ) -> None:
        """Record from inside ``optimizer.step``; no call in the loop is needed.

        Attaching again changes nothing; a new recorder of the same run takes the old one's place.
        Steps that a ``GradScaler`` skips are not seen; with fused optimizers they are recorded as
        skipped.

        Parameters
        ----------
        optimizer
            Wrappers of other libraries are looked into. If none of the optimizers inside can be
            hooked, this is warned of and nothing is recorded. Nor are steps with a closure.
        model
            Whose gradients are taken.
        first_step
            Updates made so far; a restarted training says those of its checkpoint.
        measure
            Called at steps that are recorded; returns ``loss``, ``train_accuracy`` and
            ``test_accuracy``, or some of them.
        scaler
            Needed if a ``GradScaler`` scales a model of several optimizers. Attach to the one
            that steps first.
        """
        check_integer("first_step", first_step, 0)
        hooked = stepping_optimizer(optimizer)
        if hooked is None and not callable(getattr(optimizer, "step", None)):
            raise OptionError("optimizer", f"must be a torch optimizer, got {optimizer!r}")
        if hooked is None or (hooked is not optimizer and not owns_some(hooked, model)):
            self._warn(
                "wrapped",
                f"{type(optimizer).__name__} has no optimizer inside that updates the model's own "
                "parameters and can be hooked, so nothing is recorded; call record in the loop",
                stacklevel=3,
            )
            return
        runs = _attached.setdefault(hooked, {})
        if runs.get(self._key) is self:
            return
        if self._hooks:
            raise RecorderError("the recorder is attached to another optimizer; detach it first")
        if self._key in runs:
            runs[self._key].detach()

        def take(stepping: Any, made: int, closure: bool) -> None:
            if closure:
                self._warn(
                    "closure",
                    "optimizer.step(closure) computes the gradients after the hook, so its steps "
                    "are not recorded; call recorder.record at the end of the closure",
                )
            elif made % self.every == 0:
                self._take(model, made, measure or dict, scaler, stepping)

        self._hooks = before_each_step(hooked, first_step, take)
        self._optimizer = weakref.ref(hooked)
        runs[self._key] = self

    def detach(self) -> None:
        """Take the hook off the optimizer, if there is one."""
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        optimizer = self._optimizer()
        if optimizer is not None:
            _attached.get(optimizer, {}).pop(self._key, None)
        self._hooks, self._optimizer = [], None

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

    def _warn(self, kind: str, message: str, stacklevel: int = 4) -> None:
        """Warn once of each kind of thing."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, stacklevel=stacklevel)


def listed(name: str, patterns: Sequence[str]) -> list[str]:
    """Return patterns as a list; a single string is a mistake that would match letters."""
    if isinstance(patterns, str):
        raise OptionError(name, f"must be a list of patterns, got the string {patterns!r}")
    return list(patterns)


def plain(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON gives it back, so that it equals the one in a part."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(configuration), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise OptionError("configuration", f"must be what JSON can hold: {error}") from None
    return found
