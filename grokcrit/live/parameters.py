"""The parameters of a model that are recorded, and their gradients as one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import torch

from grokcrit.base.errors import RecorderError
from grokcrit.saved import tensor_names
from grokcrit.saved.tensor_names import some

T = TypeVar("T")
Named: TypeAlias = list[tuple[str, torch.nn.Parameter]]
FSDP1 = (
    "FullyShardedDataParallel (FSDP1) keeps flat pieces of several layers, whose entries have no "
    "names; wrap the model with fully_shard (FSDP2), whose gradients are recorded"
)
DEEPSPEED = (
    "DeepSpeed keeps gradients to itself; collect each with "
    "deepspeed.utils.safe_get_full_grad, save the vector as .npy and run 'grokcrit avalanche', or "
    "record a run under fully_shard (FSDP2)"
)


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model inside torch.compile, DataParallel and DistributedDataParallel."""
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, wrappers):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod
        else:
            return model


def named(model: torch.nn.Module) -> Named:
    """Return all parameters by their names without wrappers.

    Raise RecorderError where gradients are out of reach: FSDP1, DeepSpeed.
    """
    if type(model).__name__ == "DeepSpeedEngine":
        raise RecorderError(DEEPSPEED)
    inner = unwrapped(model)
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in inner.modules()):
        raise RecorderError(FSDP1)
    parameters = dict(inner.named_parameters())
    if any(hasattr(parameter, "ds_id") for parameter in parameters.values()):  # ZeRO-3
        raise RecorderError(DEEPSPEED)
    names = tensor_names.plain_names(list(parameters))
    return [(plain, parameters[name]) for plain, name in names.items()]


def matching(parameters: Named, include: Sequence[str] | None, exclude: Sequence[str]) -> set[str]:
    """Return the names that patterns choose, also where a pattern has a wrapper's prefix in it."""
    plain = {name: name for name, _ in parameters}
    patterns = [
        None if each is None else [tensor_names.without_wrappers(pattern) for pattern in each]
        for each in (include, exclude)
    ]
    return set(tensor_names.chosen(plain, patterns[0], patterns[1] or []))


def chosen(parameters: Named, include: Sequence[str] | None, exclude: Sequence[str]) -> Named:
    """Return the trainable parameters whose names match; raise RecorderError if there is none."""
    wanted = matching(parameters, include, exclude)
    found = [(name, p) for name, p in parameters if p.requires_grad and name in wanted]
    if not found:
        raise RecorderError(
            "no trainable parameter is left to record; check include=, exclude= and requires_grad"
        )
    for name, parameter in found:
        if parameter.is_complex():
            raise RecorderError(f"{name} is complex; leave it out with exclude=[{name!r}]")
    return found


def missing_words(without: Sequence[str], total: int) -> str:
    """Say which parameters have no gradient, and why that may be."""
    if len(without) == total:
        return (
            "no parameter has a gradient; record after loss.backward() and before "
            "optimizer.step() or zero_grad(), under fully_shard also before any other forward pass "
            "(DeepSpeed keeps gradients to itself)"
        )
    return (
        f"{some(without)} took no part in the loss (no gradient); freeze or exclude it, or take "
        "it as zeros with missing='zeros'"
    )


def whole_words(whole: Sequence[str]) -> str:
    """Say why parameters of a sharded model that are not sharded have no gradient."""
    return (
        f"{some(whole)} has no gradient and is not sharded: if a forward pass came after "
        "loss.backward(), fully_shard holds it whole and its gradient is out of reach; evaluate "
        "before the training's own forward pass. If it takes no part in the loss, exclude it"
    )


def missing_from(parameters: Named, tensors: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of recorded tensors that a model does not have, or not in that shape."""
    here = {name: list(parameter.shape) for name, parameter in parameters}
    return [t["name"] for t in tensors if here.get(t["name"]) != list(t["shape"])]


def kept(
    parameters: Named,
    tensors: Sequence[Mapping[str, Any]],
    include: Sequence[str] | None,
    exclude: Sequence[str],
    step: int,
) -> tuple[Named | None, dict[str, str]]:
    """Return the parameters of recorded tensors (None if one is gone or frozen), and warnings."""
    gone = missing_from(parameters, tensors)
    if gone:
        return None, {
            "gone": f"tensors of the first row are gone or have another shape ({some(gone)}), so "
            f"rows have no gradient from step {step} on; record the new model in another folder"
        }
    here: dict[str, torch.nn.Parameter] = dict(parameters)
    found = [(t["name"], here[t["name"]]) for t in tensors]
    frozen = [name for name, parameter in found if not parameter.requires_grad]
    if frozen:
        return None, {
            "frozen": f"tensors of the first row are frozen now ({some(frozen)}), so rows have no "
            f"gradient from step {step} until that changes; leave out what will be frozen with "
            "exclude="
        }
    recorded = {name for name, _ in found}
    wanted = matching(parameters, include, exclude) - recorded
    new = [name for name, parameter in parameters if parameter.requires_grad and name in wanted]
    if not new:
        return found, {}
    return found, {
        "unfrozen": f"{some(new)} became trainable after the first row, so the recorded gradient "
        "is that of the other tensors only; to record all of them use another folder from here on"
    }


def is_first_rank() -> bool:
    """Return whether this process writes the rows: it is alone, or rank 0."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not there or torch.distributed.get_rank() == 0


def agreed(answer: T) -> T:
    """Return the answer of rank 0; every process must call it."""
    shared = [answer]
    torch.distributed.broadcast_object_list(shared, src=0)
    return shared[0]
