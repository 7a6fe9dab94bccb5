"""What users measure at a step: loss, accuracies, and the loss on two halves of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice, check_integer

MEASURED = ("loss", "train_accuracy", "test_accuracy")
HALVES = "halves"
# A running mean of accuracies in single precision ends up that close to 1.
ROUNDING = 1e-4


def numbers_of(measured: Mapping[str, Any]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the measures as numbers, None where not finite or no share, and warnings by name."""
    for name in measured:
        check_choice("measure", name, (*MEASURED, HALVES))
    found: dict[str, float | None] = {}
    warned = {}
    for name in MEASURED:
        value = measured.get(name)
        if isinstance(value, torch.Tensor):
            value = value.detach()  # a loss is mostly given as it is
        try:
            number = math.nan if value is None else float(value)
        except (TypeError, ValueError, RuntimeError):
            raise OptionError(name, f"must be a number or a tensor of one, got {value!r}") from None
        found[name] = number if math.isfinite(number) else None
        if name == "loss" or math.isnan(number):
            continue
        if -ROUNDING <= number <= 1 + ROUNDING:
            found[name] = min(max(number, 0.0), 1.0)
        else:
            found[name] = None
            warned[name] = (
                f"{name} {number:g} is not a share from 0 to 1, so it is recorded as missing; "
                "divide percentages by 100"
            )
    return found, warned


@dataclass(frozen=True)
class Halves:
    """Two disjoint sets of training data.

    Attributes
    ----------
    losses
        Two functions without arguments that return the loss of the model as it is on one of them.
    size
        Samples in each; None where that is not known.
    """

    losses: tuple[Callable[[], Any], Callable[[], Any]]
    size: int | None = None


def halves_of(measured: Mapping[str, Any]) -> Halves | None:
    """Return the two halves among the measures; raise OptionError where they are not."""
    given = measured.get(HALVES)
    if given is None:
        return None
    parts = tuple(given) if isinstance(given, tuple | list) else ()
    if len(parts) not in (2, 3) or not all(callable(each) for each in parts[:2]):
        raise OptionError(
            HALVES,
            "must be two functions without arguments that return a loss, and, where it is known, "
            f"the number of samples in each, got {given!r}",
        )
    size = parts[2] if len(parts) == 3 else None
    if size is not None:
        check_integer(HALVES, size, 2)  # llc divides by its logarithm
    return Halves((parts[0], parts[1]), size)
