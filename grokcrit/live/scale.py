"""The factor by which each gradient is scaled, for any number of GradScalers and optimizers.

"Unscaled" is a property of each parameter's optimizer, not of the scaler. A factor in doubt is
refused: the wrong one is off by 65,536, and the result still looks like a gradient.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

from grokcrit.base.errors import OptionError, RecorderError
from grokcrit.live.parameters import Named
from grokcrit.live.scaler_notes import History, Touched, histories, parameters_of
from grokcrit.saved.tensor_names import some

NO_LOSS = (
    "no loss was scaled since the last scaler.update(), so the scale of the gradients is unknown; "
    "call record after scaler.scale(loss).backward() and before scaler.step(optimizer)"
)
Owners: TypeAlias = dict[int, list[tuple[Touched, History]]]


def divisors(
    parameters: Named, scaler: Any, since: int, stepping: Any = None
) -> tuple[list[float], bool]:
    """Return the factor by which each gradient is scaled, and whether a GradScaler is in use.

    Parameters
    ----------
    parameters
        Names and parameters that are recorded.
    scaler
        The ``GradScaler`` of the loss, or None. A disabled one says that nothing is scaled.
    since
        Time from ``now``. If ``scaler`` is None, scalers not used after it do not matter.
    stepping
        The optimizer that is about to step, for an attached recorder.

    Raises
    ------
    RecorderError
        A factor is in doubt.
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
    """Return the histories that matter for this step, that of the acting scaler among them.

    An interrupted training may have left a scaler behind that it never updated.
    """
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
    """Return whether a parameter's gradient has been divided by the scale, and just once.

    Raise RecorderError where it is a sum of scaled and unscaled gradients, or may be.
    """
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
