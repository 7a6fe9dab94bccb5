"""The recorder: a few lines in anyone's training loop."""

from __future__ import annotations

import inspect
import os
import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import torch

from grokcrit.base.errors import OptionError, RecorderError, RepeatedError
from grokcrit.base.options import check_integer
from grokcrit.base.sample import Sample, size_of_sample
from grokcrit.live import vectors
from grokcrit.live.measures import HALVES, numbers_of
from grokcrit.live.optimizers import before_each_step, owns_some, stepping_optimizer
from grokcrit.live.options import RecorderOptions
from grokcrit.live.parameters import (
    Named,
    agreed,
    chosen,
    is_first_rank,
    kept,
    missing_from,
    named,
)
from grokcrit.live.rows import Rows
from grokcrit.live.scalers import divisors, now, watch
from grokcrit.live.spacing import Spacing
from grokcrit.tasks.train_rows import tensors_of

Measure: TypeAlias = Callable[[], Mapping[str, Any]]

watch()  # at import, not later: what a scaler did before its first note is unknown

# The open recorder of each run of this process, by the start of its parts' paths. A notebook's cell
# that is run again, or a training that failed and begins again, makes a new one before the old one
# is gone: that must not write, later, what the new one has recorded meanwhile.
_open: weakref.WeakValueDictionary[str, GradientRecorder] = weakref.WeakValueDictionary()


class GradientRecorder:
    """Writes what a training's gradients do as a folder of Parquet parts.

    Parameters
    ----------
    folder
        Where the parts go. Runs of other widths and seeds may share it.
    **options
        ``task``
            What is learnt.
        ``width``
            What size is called in this family of models; the number of parameters is found.
        ``seed``
            Which run of that width.
        ``every``
            Steps that are no multiple of it are not recorded, and cost next to nothing. Default 1.
        ``keep``
            ``gradients`` (default): schema ``train/1``, 4 bytes per parameter and row.
            ``avalanches``: the cascades run at once, and the rows are those that ``avalanche``
            would make of the gradients, schema ``avalanche/1``. ``both``: the gradients then lie
            in the folder ``gradients`` inside.
        ``cascade``
            Options of ``grokcrit avalanche`` by name: ``surrogate`` (default: none, gaussian),
            ``topology``, ``degree``, ``graph_seed``, ``alpha``, ``replicates``, ``seed``, ...
        ``sample``
            Take so many entries of the gradient, or a share ("1%"): the same ones at every step, in
            every process and in ``ingest --sample``. N is then their number.
        ``budget``
            Share of the training's time that the rows may take, such as 0.01: ``every`` is
            stretched by powers of two where they would take more.
        ``gather``
            Put each tensor of a sharded model together in every process, one at a time. Needed
            where there is no ``sample``.
        ``signals``
            ``all``, or names of signals, or ``module:function`` of your own, to measure at every
            recorded step: schema ``signals/1``, in the folder ``signals`` inside. Those of the
            cascade take the first of ``cascade``.
        ``sink``
            A function of (step, numbers), or several: see :mod:`grokcrit.live.sinks`.
        ``field``
            ``gradient``, or ``clipped-gradient`` where it is recorded after clipping: the recorder
            cannot see which, and fits never mix them.
        ``include``, ``exclude``
            Patterns of parameter names, as in a shell; all trainable ones by default.
        ``missing``
            A trainable parameter without a gradient: ``refuse``, or ``zeros``.
        ``case``
            Name of this way of training; by default a digest of the options here.
        ``control``
            The case whose control this is: it shares every option with that but the one that lets
            it generalise. ``diagnose --only controls`` compares the two, run by run.
        ``configuration``
            What else the gradients depend on, for the record: learning rate, data, ...
        ``part_bytes``, ``part_snapshots``
            A part is full when its gradients take so many bytes, or there are so many rows.

    Attributes
    ----------
    last_step : int or None
        Last step recorded, in the folder or since. Steps up to it are skipped: a restarted
        training repeats the steps after its checkpoint, and those rows are there.
    snapshots, skipped : int
        Gradients taken, and steps recorded without one because it was not finite.
    seconds, setup_seconds : float
        Time spent on rows; that of the first, which makes the graphs.
    overhead : float or None
        Share of the time since the first row that went into rows; None before the second.

    Raises
    ------
    OptionError
        An option out of its range.
    TableError
        The folder was recorded with other options, or cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str], **options: Any) -> None:
        self._options = given = RecorderOptions.of(options)
        self.every = given.every
        self._spacing = Spacing(given.every, given.budget)
        key = os.path.realpath(Path(folder) / given.recording.prefix)
        if key in _open:
            _open[key].close()
        self._rows = Rows(folder, given, {"torch": str(torch.__version__)})
        self._resumed = self.last_step
        self._first: int | None = None  # step at which this training begins
        self._sharded: bool | None = None
        self._closed = False
        self._warned: set[str] = set()
        self._since = now()
        self._hooks: list[Any] = []
        self._optimizer: Any = None  # a weak reference: the optimizer's hook holds this recorder
        self.snapshots, self.skipped = 0, 0
        # A program that forgets to close it keeps its last rows all the same.
        self._finalizer = weakref.finalize(self, self._rows.flush)
        _open[key] = self

    @property
    def last_step(self) -> int | None:
        """Last step recorded; None before the first."""
        return self._rows.last_step

    @property
    def seconds(self) -> float:
        """Time spent on rows."""
        return self._spacing.seconds

    @property
    def setup_seconds(self) -> float:
        """Time of the first row, which makes the graphs."""
        return self._spacing.setup_seconds

    @property
    def overhead(self) -> float | None:
        """Share of the time since the first row that went into rows; None before the second."""
        return self._spacing.overhead

    def due(self, step: int) -> bool:
        """Return whether ``record`` would take that step: measure accuracies only then.

        Under a budget and DistributedDataParallel only the process of rank 0 knows.
        """
        last = self.last_step
        return self._spacing.due(step) and (last is None or step > last)

    def record(
        self,
        model: torch.nn.Module,
        step: int,
        *,
        loss: Any = None,
        train_accuracy: Any = None,
        test_accuracy: Any = None,
        scaler: Any = None,
        halves: Any = None,
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
        halves
            For ``signals``: two functions without arguments that each return the loss (a tensor
            with its graph, unscaled) of the model as it is on one of two disjoint batches; third,
            where it is known, the samples in each. Some signals call them at other weights, which
            are put back, to the bit. ``.grad``, buffers, training flags and the random numbers of
            torch stay as they are; other generators that the functions use do not. Without halves
            these signals are null, as of a sharded model.

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
        accuracies = {"train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
        told = {"loss": loss, **accuracies, HALVES: halves}
        return self.take(model, step, lambda: told, scaler)

    def take(
        self, model: torch.nn.Module, step: int, measure: Measure, scaler: Any, stepping: Any = None
    ) -> bool:
        """Take the gradient of a step, if it is due, as ``record`` does.

        ``measure`` is called if it is: by rank 0 alone, or, of a sharded model, by all processes.
        It returns the measures that ``record`` takes, or some of them.
        ``stepping`` is the optimizer whose hook this is.
        """
        check_integer("step", step, 0)
        if step % self.every:
            return False
        if self._closed:
            raise RecorderError("the recorder is closed; make a new one, it goes on after the last")
        self._first = step if self._first is None else self._first
        if not self._all_take(model, step):
            return False
        self._spacing.begin()
        parameters, warned = self._parameters(named(model), step)
        vector = None
        if parameters is not None:
            vector, broken = self._vector(parameters, step, scaler, stepping)
            warned |= broken
        told = measure()
        measured, odd = numbers_of(told)
        state = None
        if parameters is not None and self._options.measured:
            sample = self._sample(parameters)
            state = self._rows.state(model, parameters, sample, vector, told)
        taken = vector is not None
        self.snapshots += taken
        self.skipped += not taken
        if is_first_rank():
            measured = measured | {"every": self._spacing.stretched}
            warned |= odd | self._rows.keep(step, measured, vector, self._spacing, state)
            for kind, message in warned.items():
                self._warn(kind, message)
            self._spacing.end(step)
        else:
            self._rows.skip(step)
        if self._sharded:  # so that `due` is the same everywhere
            self._spacing.plan = agreed(self._spacing.plan)
        return taken

    def _all_take(self, model: torch.nn.Module, step: int) -> bool:
        """Return whether this process takes part in the row of a step."""
        if self._sharded is None:
            self._sharded = vectors.is_sharded(named(model))
        if self._sharded:  # all take part, and rank 0 knows whether it is due
            return agreed(self._takes(step))
        return is_first_rank() and self._takes(step)

    def _takes(self, step: int) -> bool:
        """Return whether a step is due; warn where it is not because it is recorded already."""
        if self.due(step):
            return True
        if self._resumed is not None and step <= self._resumed:
            if self._first:  # it was restarted from a checkpoint
                return False
            self._warn(
                "resumed",
                f"steps up to {self._resumed} of this run are in {self._rows.folder} already "
                "and are skipped; for a new training choose another folder",
            )
        elif self.last_step is not None and step <= self.last_step:
            self._warn(
                "repeated",
                f"step {step} is skipped, for step {self.last_step} of this run is recorded: "
                "each training takes a recorder of its own, with its own seed",
            )
        return False

    def _vector(
        self, parameters: Named, step: int, scaler: Any, stepping: Any
    ) -> tuple[torch.Tensor | None, dict[str, str]]:
        """Return the vector of a step, or None with a warning of why the row has none.

        It is overwritten by whoever gets it. Only rank 0 has one of a sharded model.
        """
        sample, given = self._sample(parameters), self._options
        factors, scaled = divisors(parameters, scaler, self._since, stepping)
        try:
            vectors.check_complete(parameters, given.missing)
        except RecorderError as error:
            if not self.snapshots + self.skipped:  # all processes of a sharded model agree
                raise
            return None, {"missing": f"step {step} is recorded without a gradient: {error}"}
        if self._sharded:
            if sample is None and not given.gather:
                raise RecorderError(
                    "the model is sharded, and no process has the whole gradient; take a sample= "
                    "of it, or gather=True to put each tensor together in every process"
                )
            vector = vectors.sharded_gradient(parameters, factors, sample, given.gather)
        else:
            places = {p.grad.device for _, p in parameters if p.grad is not None}
            device = self._rows.device(places, vectors.entries_taken(parameters, sample))
            vector = vectors.flat_gradient(parameters, factors, sample, device)
        if vector is None or vectors.is_finite(vector):
            return vector, {}
        if scaled:  # with a GradScaler an overflow is part of the training
            return None, {}
        return None, {"broken": f"the gradient of step {step} is not finite: recorded as skipped"}

    def _sample(self, parameters: Named) -> Sample | None:
        """Return which entries of the parameters are taken; None for all."""
        given, entries = self._options, sum(p.numel() for _, p in parameters)
        if given.sample is None:
            return None
        count = size_of_sample(given.sample, entries)
        if count == entries:
            return None
        return Sample(given.avalanche.seed, given.width, entries, count)

    def _parameters(self, everything: Named, step: int) -> tuple[Named | None, dict[str, str]]:
        """Return the parameters that every row of this run holds, and warnings by kind.

        None if one has no gradient now: a run that has rows, here or in the folder, is not ended.
        """
        given, recorded = self._options, self._rows.layout
        include, exclude = given.include, given.exclude
        if self.last_step is not None and recorded is not None:
            mine = self.snapshots + self.skipped > 0
            if mine or not missing_from(everything, recorded):
                found, warned = kept(everything, recorded, include, exclude, step)
                if found is not None:
                    self._fit(found, recorded)
                return found, warned
        found = chosen(everything, include, exclude)
        self._fit(found, tensors_of([(name, p.shape) for name, p in found]))
        return found, {}

    def _fit(self, parameters: Named, layout: list[dict[str, Any]]) -> None:
        """Check that a model is that of the rows so far."""
        taken = vectors.tensors_taken(parameters, self._sample(parameters))
        self._rows.fit(layout, taken)

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
            Called at steps that are recorded; returns ``loss``, ``train_accuracy``,
            ``test_accuracy`` and ``halves``, or some of them.
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
        if self._hooks and self._optimizer() is hooked:
            return
        if self._hooks:
            raise RecorderError("the recorder is attached to another optimizer; detach it first")

        def take(stepping: Any, made: int, closure: bool) -> None:
            if closure:
                self._warn(
                    "closure",
                    "optimizer.step(closure) computes the gradients after the hook, so its steps "
                    "are not recorded; call recorder.record at the end of the closure",
                )
            else:
                self.take(model, made, measure or dict, scaler, stepping)

        self._hooks = before_each_step(hooked, first_step, take)
        self._optimizer = weakref.ref(hooked)

    def detach(self) -> None:
        """Take the hook off the optimizer, if there is one."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._optimizer = [], None

    def flush(self) -> None:
        """Write the rows that wait as a part now, after a checkpoint for example."""
        self._rows.flush()

    def close(self) -> None:
        """Write what waits, and detach. Closing twice does nothing more."""
        self.detach()
        try:
            self.flush()
        except RepeatedError:  # these rows can never be written
            self._finalizer.detach()
            self._closed = True
            raise
        self._closed = True

    def __deepcopy__(self, _: Any) -> GradientRecorder:
        """Return the recorder itself: a copy of a model that holds it is not another training."""
        return self

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


# So that help() and notebooks show the options, which are declared once.
_options = inspect.signature(RecorderOptions).parameters.values()
_folder = inspect.Parameter("folder", inspect.Parameter.POSITIONAL_OR_KEYWORD)
GradientRecorder.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [_folder, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in _options)]
)
