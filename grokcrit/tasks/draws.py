"""Hyperparameters that each seed draws for itself: ``weight-decay=0.3..1.5:log``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grokcrit.base.errors import OptionError

FORM = re.compile(r"([a-z][a-z_-]*)=([0-9.eE+-]+?)\.\.([0-9.eE+-]+)(:log)?")


@dataclass(frozen=True)
class Draw:
    """An option that is drawn: uniform from ``low`` to ``high``, or uniform in its logarithm."""

    name: str
    low: float
    high: float
    log: bool

    def of(self, root_seed: int, seed: int) -> float:
        """Return the value of a seed: a function of (root seed, name, seed) and the range.

        Equal ranges give a seed equal values in every case: controls share those of their partner.
        """
        from grokcrit.base.rng import stream  # numpy: options are read without it

        share = stream("draw", root_seed, self.name, seed).random()
        if self.log:
            return math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)


def read(text: str) -> Draw:
    """Return the draw that a text describes; raise OptionError for one that describes none."""
    found = FORM.fullmatch(text.strip())
    try:
        low, high = (float(found[2]), float(found[3])) if found else (math.nan, math.nan)
    except ValueError:
        low = high = math.nan
    log = bool(found and found[4])
    if log and low <= 0:
        raise OptionError("draw", f"must begin above 0 with :log, got {text!r}")
    if not found or not low < high < math.inf:
        raise OptionError(
            "draw",
            "must be an option and its range, such as lr=0.001..0.01 or weight-decay=0.3..1.5:log, "
            f"got {text!r}",
        )
    return Draw(found[1].replace("-", "_"), low, high, log)


def written(text: str) -> str:
    """Return a draw in the one way in which tables hold it; raise OptionError for a wrong one."""
    draw = read(text)
    low, high = (repr(each).removesuffix(".0") for each in (draw.low, draw.high))
    return f"{draw.name}={low}..{high}" + (":log" if draw.log else "")


def drawn(options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the options of one seed, given those that a case's record holds."""
    found = dict(options)
    for text in options.get("draw", ()):
        draw = read(text)
        value = draw.of(options["seed"], seed)
        found[draw.name] = round(value) if isinstance(found.get(draw.name), int) else value
    return found
