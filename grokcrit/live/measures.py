"""Loss and accuracies as users measure them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice

MEASURED = ("loss", "train_accuracy", "test_accuracy")
# A running mean of accuracies in single precision ends up that close to 1.
ROUNDING = 1e-4


def numbers_of(measured: Mapping[str, Any]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the measures as numbers, None where not finite or no share, and warnings by name."""
    for name in measured:
        check_choice("measure", name, MEASURED)
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
