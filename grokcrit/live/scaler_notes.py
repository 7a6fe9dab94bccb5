"""Notes of what each GradScaler has done since its last update.

A gradient does not show whether it has been divided by the scale: neither its identity nor its
version changes. A ``GradScaler`` knows its optimizers by id only, and forgets them in ``update``.
It has no hooks, so ``watch`` wraps five of its methods. The wrappers note the calls and change
nothing else.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.weak import TensorWeakRef

_clock = itertools.count(1)


@dataclass
class Touched:
    """An optimizer that a scaler has unscaled or stepped since the scaler's last update.

    Attributes
    ----------
    optimizer
        Held until the update, so that no other object gets its id.
    losses
        Number of losses scaled before ``unscale_``, or before ``step`` once that has returned.
    stepped
        Whether ``scaler.step`` has returned.
    """

    optimizer: Any
    losses: int
    stepped: bool


@dataclass(eq=False)
class History:
    """The calls of one scaler since its last update.

    Attributes
    ----------
    losses
        Number of calls of ``scale``.
    last_call, last_update
        Times on the clock of all scalers: of the last call of any of the four methods, and of the
        last ``update`` or, before it, of the making of the scaler.
    stepping
        Whether ``scaler.step`` is running.
    touched
        Optimizers unscaled or stepped, by id.
    known
        Weak references to all optimizers ever touched, by id.
    left
        Gradients that a step or an update left behind, with their versions, by the parameter's id.
        From the next ``scale`` on, only those that zero_grad did not reset before it.
    """

    losses: int = 0
    last_call: int = 0
    last_update: int = field(default_factory=lambda: next(_clock))
    stepping: bool = False
    touched: dict[int, Touched] = field(default_factory=dict)
    known: dict[int, Any] = field(default_factory=dict)
    left: dict[int, tuple[Any, int]] = field(default_factory=dict)

    def scale(self, _: Any) -> None:
        """Note a scaled loss."""
        if self.left:
            # A later loss may have its own zero_grad, as in adversarial training. There a change of
            # the version may come from an earlier loss, so that only zeros are a reset.
            self.left = {
                id(p): self.left[id(p)]
                for p in self._parameters()
                if self.keeps(p) and (self.losses == 0 or not is_zero(p.grad))
            }
        self.losses += 1

    def unscale_(self, optimizer: Any) -> None:
        """Note that the gradients of an optimizer were divided by the scale."""
        self._touch(optimizer, stepped=False)

    def step(self, optimizer: Any) -> None:
        """Note that an optimizer has stepped, or was skipped because of an overflow."""
        self._touch(optimizer, stepped=True)
        self._leave(parameters_of(optimizer))

    def update(self, _: Any) -> None:
        """Note the end of a step."""
        # After its own step an optimizer's gradients change by zero_grad only, unless another loss
        # was scaled since.
        done = {
            key
            for key, touched in self.touched.items()
            if touched.stepped and touched.losses == self.losses
        }
        self._leave(self._parameters(without=done))
        self.touched, self.losses = {}, 0
        self.last_update = self.last_call

    def keeps(self, parameter: torch.nn.Parameter) -> bool:
        """Return whether a parameter has the gradient that was left behind before this step."""
        reference, version = self.left.get(id(parameter), (None, 0))
        if reference is None or parameter.grad is None or reference() is not parameter.grad:
            return False
        return self.losses > 0 or bool(parameter.grad._version == version)

    def _touch(self, optimizer: Any, stepped: bool) -> None:
        self.touched[id(optimizer)] = Touched(optimizer, self.losses, stepped)
        if type(optimizer).__weakrefoffset__:  # not so for a wrapper with slots
            self.known[id(optimizer)] = weakref.ref(optimizer)

    def _parameters(self, without: Container[int] = ()) -> Iterator[torch.nn.Parameter]:
        """Yield the parameters of all known optimizers but some."""
        self.known = {key: each for key, each in self.known.items() if each() is not None}
        for key, reference in self.known.items():
            if key not in without:
                yield from parameters_of(reference())

    def _leave(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        for p in parameters:
            self.left.pop(id(p), None)
            if p.grad is not None:
                self.left[id(p)] = (TensorWeakRef(p.grad), p.grad._version)


# By scaler. A scaler that was never used since the import has none.
histories: weakref.WeakKeyDictionary[Any, History] = weakref.WeakKeyDictionary()


def is_zero(gradient: Any) -> bool:
    """Return whether all entries are 0."""
    return not (gradient._values() if gradient.is_sparse else gradient).any()


def parameters_of(optimizer: Any) -> Iterator[torch.nn.Parameter]:
    """Yield the parameters of an optimizer; none for an object without any."""
    for group in getattr(optimizer, "param_groups", ()):
        yield from group["params"]


def watch() -> None:
    """Note the calls of every GradScaler from now on; a second call changes nothing."""
    kind = torch.amp.GradScaler
    if hasattr(kind.scale, "_noted_by_grokcrit"):
        return
    for name in ("scale", "unscale_", "step", "update"):
        setattr(kind, name, noted(getattr(kind, name)))
    make = kind.__init__

    @functools.wraps(make)
    def made(scaler: Any, *args: Any, **kwargs: Any) -> None:
        make(scaler, *args, **kwargs)
        history_of(scaler)  # begins now

    kind.__init__ = made


def history_of(scaler: Any) -> History:
    """Return the history of a scaler, which begins with the first call."""
    if scaler not in histories:
        histories[scaler] = History()
    return histories[scaler]


def noted(original: Any) -> Any:
    """Return a method of GradScaler that notes each call after it has succeeded."""
    name = original.__name__

    @functools.wraps(original)
    def method(scaler: Any, *args: Any, **kwargs: Any) -> Any:
        if not scaler.is_enabled():
            return original(scaler, *args, **kwargs)
        history = history_of(scaler)
        outer, history.stepping = history.stepping, history.stepping or name == "step"
        try:
            result = original(scaler, *args, **kwargs)
        finally:
            history.stepping = outer
        history.last_call = now()
        getattr(history, name)(args[0] if args else kwargs.get("optimizer"))
        return result

    made: Any = method
    made._noted_by_grokcrit = True
    made._torchdynamo_disable = True  # as torch.compile does with the original
    return made


def now() -> int:
    """Return the time on the clock of the scalers."""
    return next(_clock)
