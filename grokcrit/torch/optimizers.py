"""The optimizer that steps, inside the wrappers of other libraries."""

from __future__ import annotations

from collections.abc import Callable
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
    """Return whether hooks can be registered with an optimizer and run when it steps.

    A wrapper may derive from ``Optimizer`` without its ``__init__``: it has no hooks, or those
    it has copied, and its ``step`` runs none.
    """
    return (
        isinstance(optimizer, torch.optim.Optimizer)
        and "_optimizer_step_pre_hooks" in vars(optimizer)
        and getattr(type(optimizer).step, "hooked", False)
    )


def owns_some(optimizer: Any, model: torch.nn.Module) -> bool:
    """Return whether an optimizer updates parameters of a model itself, not copies of them."""
    theirs = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return any(id(parameter) in theirs for parameter in model.parameters())


def before_each_step(
    optimizer: Any, made: int, call: Callable[[Any, int, bool], None]
) -> list[Any]:
    """Call a function before each step of an optimizer; return the handles of the hooks.

    Parameters
    ----------
    optimizer
        From ``stepping_optimizer``.
    made
        Updates made so far.
    call
        Takes the optimizer, the number of updates made, and whether the step has a closure.
    """
    inside = False

    def before(stepping: Any, args: Any, kwargs: dict[str, Any]) -> None:
        nonlocal made, inside
        # A step that calls the step of its parent class runs the hooks twice.
        if not inside:
            closure = any(callable(each) for each in (*args[1:2], kwargs.get("closure")))
            call(stepping, made, closure)
            made, inside = made + 1, True

    def after(*_: Any) -> None:
        nonlocal inside
        inside = False

    return [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
