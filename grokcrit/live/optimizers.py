"""The optimizer that steps, inside the wrappers of other libraries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch

# accelerate, Lightning, apex and fairseq; Lightning's older ones; Opacus; SAM and Lookahead.
INNER = ("optimizer", "_optimizer", "original_optimizer", "base_optimizer")


def stepping_optimizer(optimizer: Any) -> Any:
    """Return the optimizer whose step runs its hooks: this one or one inside; None without one."""
    seen: set[int] = set()
    while optimizer is not None and id(optimizer) not in seen:
        if runs_hooks(optimizer):
            return optimizer
        seen.add(id(optimizer))
        own = getattr(optimizer, "__dict__", {})
        optimizer = next((own[name] for name in INNER if name in own), None)
    return None


def runs_hooks(optimizer: Any) -> bool:
    """Return whether an optimizer runs its hooks when it steps; some wrappers do not."""
    return (
        isinstance(optimizer, torch.optim.Optimizer)
        and "_optimizer_step_pre_hooks" in vars(optimizer)
        and getattr(type(optimizer).step, "hooked", False)
    )


def owns_some(optimizer: Any, model: torch.nn.Module) -> bool:
    """Return whether an optimizer updates parameters of a model itself, not copies of them."""
    theirs = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return any(id(parameter) in theirs for parameter in model.parameters())


def is_running(frame: FrameType, caller: FrameType | None) -> bool:
    """Return whether a call is among those that led to a caller."""
    while caller is not None:
        if caller is frame:
            return True
        caller = caller.f_back
    return False


def before_each_step(
    optimizer: Any, made: int, call: Callable[[Any, int, bool], None]
) -> list[Any]:
    """Call ``call(optimizer, updates made, has closure)`` before each step; return the hooks."""
    outer: FrameType | None = None

    def before(stepping: Any, args: Any, kwargs: dict[str, Any]) -> None:
        nonlocal made, outer
        caller = inspect.currentframe().f_back  # type: ignore[union-attr]
        # A step that calls the step of its parent class runs the hooks twice. A step that failed
        # has run none after it, so what counts is whether the outer one is still running.
        if outer is None or not is_running(outer, caller):
            closure = any(callable(each) for each in (*args[1:2], kwargs.get("closure")))
            call(stepping, made, closure)
            made, outer = made + 1, caller

    def after(*_: Any) -> None:
        nonlocal outer
        if inspect.currentframe().f_back is outer:  # type: ignore[union-attr]
            outer = None

    return [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
