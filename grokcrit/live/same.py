"""The parameters of a run's first row, in a model that the training has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from grokcrit.live.parameters import Named, matching
from grokcrit.saved.tensor_names import some


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
    """Return the parameters of the recorded tensors, and warnings by kind of what has changed.

    ``tensors`` are those of the first row, in the order of the vector. The parameters are None if
    one of them is gone or frozen: the step has no gradient of all tensors.
    """
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
