"""The factor by which each gradient is scaled, for any number of GradScalers and optimizers.

A gradient does not show whether it has been divided by the scale: neither its identity nor its
version changes. A ``GradScaler`` knows its optimizers by id only, and forgets them in ``update``.
It has no hooks, so ``watch`` wraps five of its methods. The wrappers note the calls and change
nothing else.

"Unscaled" is a property of each parameter's optimizer, not of the scaler. A factor in doubt is
refused: the wrong one is off by 65,536, and the result still looks like a gradient.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch.utils.weak import TensorWeakRef

from grokcrit.base.errors import OptionError, RecorderError
from grokcrit.live.parameters import Named
from grokcrit.saved.tensor_names import some

NO_LOSS = (
    "no loss was scaled since the last scaler.update(), so the scale of the gradients is unknown; "
    "call record after scaler.scale(loss).backward() and before scaler.step(optimizer)"
)
_clock = itertools.count(1)


@dataclass
class Touched:
    """An optimizer that a scaler has unscaled or stepped since the scaler's last update."""

    optimizer: Any  # held until the update, so that no other object gets its id
    losses: int  # scaled before unscale_, or before step once that has returned
    stepped: bool  # whether scaler.step has returned


@dataclass(eq=False)
class History:
    """The calls of one scaler since its last update; times are on the clock of all scalers."""

    losses: int = 0  # calls of scale
    last_call: int = 0  # of any of the four methods
    last_update: int = field(default_factory=lambda: next(_clock))  # or when the scaler was made
    stepping: bool = False  # whether scaler.step is running
    touched: dict[int, Touched] = field(default_factory=dict)  # by id of the optimizer
    known: dict[int, Any] = field(default_factory=dict)  # weak references: all ever touched, by id
    # Gradients that a step or an update left behind, with their versions, by the parameter's id.
    # From the next scale on, only those that zero_grad did not reset before it.
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


Owners: TypeAlias = dict[int, list[tuple[Touched, History]]]


def divisors(
    parameters: Named, scaler: Any, since: int, stepping: Any = None
) -> tuple[list[float], bool]:
    """Return the factor by which each gradient is scaled, and whether a GradScaler is in use.

    A disabled ``scaler`` says that nothing is scaled. Without one, scalers not used after ``since``
    do not matter. ``stepping`` is the optimizer about to step, for an attached recorder. Raise
    RecorderError where a factor is in doubt.
    """
    if scaler is not None and not isinstance(scaler, torch.amp.GradScaler):
        raise OptionError("scaler", f"must be a torch.amp.GradScaler, got {scaler!r}")
    if scaler is not None and not scaler.is_enabled():
        return [1.0] * len(parameters), False
    acting = scaler
    if scaler is None and stepping is not None:
        acting = scaler_behind(stepping, since)
        if acting is None:
            factor = grad_scale(stepping) or 1.0
            return [factor] * len(parameters), hasattr(stepping, "found_inf")
    if acting is not None:
        check_complete(acting)
    relevant = histories_now(acting, since)
    owners = owners_in(relevant)
    scaled = {
        id(p): name
        for name, p in parameters
        if p.grad is not None and not is_unscaled(name, p, relevant, owners)
    }
    if acting is None:
        if scaled:
            check_nothing_scaled(relevant)
        return [1.0] * len(parameters), bool(owners)
    own = {id(p) for p in parameters_of(stepping)}
    if scaler is None:
        check_all_in(own, scaled)
    factors = dict.fromkeys(scaled, scale_now(acting, relevant) if scaled else 1.0)
    if grad_scale(stepping) is not None:  # fused: its step divides by that, the user's included
        factors |= dict.fromkeys(own, grad_scale(stepping) or 1.0)
    return [factors.get(id(p), 1.0) for _, p in parameters], True


def histories_now(acting: Any, since: int) -> list[History]:
    """Return the histories that matter for this step; those of interrupted trainings do not."""
    mine = histories.get(acting) if acting is not None else None
    oldest = mine.last_update if mine else since
    return [each for each in list(histories.values()) if each is mine or each.last_call > oldest]


def owners_in(relevant: list[History]) -> Owners:
    """Return which optimizers of each parameter are unscaled or stepped, by the parameter's id."""
    owners: Owners = {}
    for history in relevant:
        for touched in history.touched.values():
            for parameter in parameters_of(touched.optimizer):
                owners.setdefault(id(parameter), []).append((touched, history))
    return owners


def scaler_behind(optimizer: Any, since: int) -> Any:
    """Return the scaler that makes an optimizer step, or has unscaled it; None if there is none."""
    own = {id(p) for p in parameters_of(optimizer)}
    for scaler, history in list(histories.items()):
        owned = owners_in([history]) if history.last_call > since else {}
        if history.stepping or not own.isdisjoint(owned):
            return scaler
    return None


def check_complete(scaler: Any) -> None:
    """Raise RecorderError if a scaler has made calls that were not noted."""
    history = histories.get(scaler)
    # Private, but nothing public tells whether unscale_ has been called.
    states = scaler._per_optimizer_states
    seen = {key for key, state in states.items() if state["stage"].name != "READY"}
    if history is None or seen != set(history.touched):
        raise RecorderError(
            f"calls of this {type(scaler).__name__} were not noted, so the scale of the gradients "
            "is in doubt; import grokcrit.torch before the training, and use GradScaler itself, "
            "not a subclass with its own unscale_ or update"
        )


def is_unscaled(
    name: str, parameter: torch.nn.Parameter, relevant: list[History], owners: Owners
) -> bool:
    """Return whether a gradient was divided by the scale, once; raise RecorderError if in doubt."""
    found = owners.get(id(parameter), [])
    if any(touched.stepped for touched, _ in found):
        raise RecorderError(
            f"the optimizer of {name} has stepped already, which may change or clear its gradient; "
            "call record before scaler.step(optimizer), or attach to the optimizer that steps first"
        )
    if any(history.keeps(parameter) for history in relevant if history.losses == 0):
        raise RecorderError(NO_LOSS)
    if any(history.keeps(parameter) for history in relevant):
        raise RecorderError(
            f"{name} has kept its gradient since before scaler.update(), so it is a sum of "
            "gradients of different scales; call zero_grad before scaler.scale(loss)"
        )
    if len(found) > 1:
        raise RecorderError(
            f"{name} is in two optimizers and both were unscaled, so its gradient was divided by "
            "the scale twice; give each parameter to one optimizer"
        )
    if any(touched.losses == 0 for touched, _ in found):
        raise RecorderError(NO_LOSS)
    if any(touched.losses != history.losses for touched, history in found):
        raise RecorderError(
            f"a loss was scaled after scaler.unscale_(optimizer) of {name}, so its gradient may be "
            "a sum of scaled and unscaled ones; call record before that loss, or unscale_ after it"
        )
    return bool(found)


def check_nothing_scaled(relevant: list[History]) -> None:
    """Raise RecorderError if a GradScaler has scaled a loss and record was not told of it."""
    for scaler, history in list(histories.items()):
        if history in relevant and history.losses and scaler.get_scale() != 1:
            raise RecorderError(
                "a GradScaler has scaled a loss and record was given none, so the gradients may be "
                f"{scaler.get_scale():g} times too large; pass scaler=scaler, or "
                "scaler=GradScaler(enabled=False) if this model's loss is not scaled"
            )


def check_all_in(own: set[int], scaled: dict[int, str]) -> None:
    """Raise RecorderError if parameters outside the attached optimizer are still scaled."""
    others = [name for key, name in scaled.items() if key not in own]
    if others:
        raise RecorderError(
            f"the attached optimizer does not own {some(others)} and the GradScaler may not have "
            "unscaled them, so part of the gradient may be far too large; call attach with "
            "scaler=scaler"
        )


def scale_now(acting: Any, relevant: list[History]) -> float:
    """Return the factor of gradients that have not been unscaled."""
    if histories[acting].losses == 0:
        raise RecorderError(NO_LOSS)
    scale = float(acting.get_scale())
    for other, its in list(histories.items()):
        if its in relevant and its.losses and other.get_scale() != scale:
            raise RecorderError(
                f"two GradScalers are in use, with scales {scale:g} and {other.get_scale():g}, so "
                "the scale of the gradients is in doubt; call unscale_ for every optimizer before "
                "record"
            )
    return scale


def grad_scale(optimizer: Any) -> float | None:
    """Return the scale that a GradScaler leaves to a fused optimizer, or None."""
    scale = getattr(optimizer, "grad_scale", None)
    return None if scale is None else float(scale)
