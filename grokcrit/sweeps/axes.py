"""Axes of a sweep: the values that an option takes, from a list or a range, and their types."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from grokcrit.base.errors import PlanError
from grokcrit.base.options import CascadeOptions, ModaddOptions, TrainOptions, suggestion
from grokcrit.stages.avalanche import AvalancheOptions
from grokcrit.tables.checking import LARGEST

Kinds: TypeAlias = tuple[type, ...]

# Tables of a sweep file whose options can vary.
SWEPT = ("train", "avalanche")
# The name of a case and the gradients are the sweep's own affair.
NOT_SWEPT = ("label", "gradients")
# Options whose value is itself a list, of sizes, of null models: an axis is a list of lists.
LISTED = {"hidden": "[[8, 16, 32]]", "surrogate": '[["none", "gaussian"]]'}
RANGE = ("from", "to", "step", "points", "scale")
# Values of a range; more are a mistake in the step.
MOST = 100_000
WORDS: dict[type, str] = {int: "a whole number", float: "a number", str: "a text in quotes"}


@dataclass(frozen=True)
class Span:
    """A continuous range, for samples: uniform from ``low`` to ``high``, or in the logarithm."""

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """Return the value a share of the way from low to high, to twelve digits."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + share * (high - low))
        else:
            value = self.low + share * (self.high - self.low)
        # What is meant by 0.1 + 2 * 0.1 is 0.3.
        return float(f"{value:.12g}")


Axis: TypeAlias = tuple[Any, ...] | Span


def axis(table: str, key: str, value: Any, sampled: bool) -> Axis:
    """Return the values that an option takes: one, several, or for samples a span.

    Raises
    ------
    PlanError
        The table has no such option, or it does not take such a value.
    """
    place, known = f"[{table}] {key}", fields_of(table)
    if key not in known:
        raise PlanError(f"{place} is no option of a sweep{near(key, known)}")
    if isinstance(value, dict):
        return ranged(place, value, known[key], sampled)
    if key in LISTED:
        if not (isinstance(value, list) and all(isinstance(each, list) for each in value)):
            raise PlanError(f"{place} takes lists, each a value: {LISTED[key]}; got {value!r}")
        if key == "surrogate" and len(value) > 1:
            raise PlanError(
                f"{place} takes one list: points differ in what is measured, not in the null "
                "models beside it"
            )
        values = value
    else:
        values = value if isinstance(value, list) else [value]
    if not values:
        raise PlanError(f"{place} is an empty list; give it a value, or leave it out")
    return tuple(typed(place, each, known[key]) for each in values)


def typed(place: str, value: Any, kinds: Kinds) -> Any:
    """Return a value as its option takes it, lists as tuples; raise PlanError for other types."""
    if tuple in kinds and isinstance(value, list):
        return tuple(typed(place, each, (int, str)) for each in value)
    if float in kinds and type(value) in (int, float):
        if abs(value) > LARGEST:
            raise PlanError(f"{place} must be at most {LARGEST:g} in size, got {value!r}")
        return float(value)
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join(WORDS[kind] for kind in kinds if kind in WORDS)
        got = "a list" if isinstance(value, list) else repr(value)
        raise PlanError(f"{place} must be {names}, got {got}")
    return value


def ranged(place: str, given: dict[str, Any], kinds: Kinds, sampled: bool) -> Axis:
    """Return the values of ``{ from, to, step }`` or ``{ from, to, points, scale }``.

    Without ``step`` and ``points`` a range of whole numbers has them all, and one of real numbers
    is a span to draw from.
    """
    check_range(place, given, kinds)
    low, high, whole = given["from"], given["to"], float not in kinds
    span = Span(low, high, given.get("scale") == "log")
    if "step" in given or (whole and "points" not in given):
        step = given.get("step", 1)
        # Counted, not added up: the last value is not lost to rounding.
        count = math.floor(min((high - low) / step, MOST) + 1e-9) + 1
        span = Span(low, low + (count - 1) * step)
    elif "points" in given:
        count = given["points"]
    elif sampled:
        return span
    else:
        raise PlanError(f"{place}: a range needs step or points, or a [sample] to draw from it")
    if not 2 <= count <= MOST:
        has = "one" if count < 2 else "more"
        raise PlanError(f"{place}: a range must have 2 to {MOST} values, this one has {has}")
    found = [span.at(k / (count - 1)) for k in range(count)]
    if not whole:
        return tuple(found)
    if any(each != round(each) for each in found):
        raise PlanError(f"{place} must be a whole number, and this range holds others")
    return tuple(map(round, found))


def check_range(place: str, given: dict[str, Any], kinds: Kinds) -> None:
    """Raise PlanError where a range is not one."""
    if not {int, float} & set(kinds):
        raise PlanError(f"{place} is not a number: give a list of values, not a range")
    for name, value in given.items():
        if name not in RANGE:
            raise PlanError(f"{place}: a range has no {name!r}{near(name, RANGE)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # A number of 400 digits is finite, and yet no double: compared as it is.
        if name != "scale" and not (number and -LARGEST <= value <= LARGEST):
            raise PlanError(f"{place}: {name} must be a number, at most {LARGEST:g} in size")
    if not {"from", "to"} <= set(given) or given["from"] >= given["to"]:
        raise PlanError(f"{place}: a range needs 'from' and a larger 'to'")
    scale = given.get("scale", "linear")
    if scale not in ("linear", "log") or (scale == "log" and given["from"] <= 0):
        raise PlanError(f"{place}: scale must be linear, or log from above 0; got {scale!r}")
    if "step" in given and ("points" in given or "scale" in given or given["step"] <= 0):
        raise PlanError(f"{place}: step must be above 0, and without points and scale")
    if "points" in given and (type(given["points"]) is not int or given["points"] < 2):
        raise PlanError(f"{place}: points must be a whole number, at least 2")


def kinds_of(options: type) -> dict[str, Kinds]:
    """Return the types that each field of an options class takes."""
    found = {}
    for name, hint in typing.get_type_hints(options).items():
        parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        found[name] = tuple(
            typing.get_origin(part) or part for part in parts if part is not type(None)
        )
    return found


def fields_of(table: str) -> dict[str, Kinds]:
    """Return the options of a table that can vary, and the types of a value."""
    if table == "train":
        found = kinds_of(TrainOptions) | kinds_of(ModaddOptions)
    else:  # at a point the cascade has one value where `avalanche` takes several
        found = kinds_of(AvalancheOptions) | kinds_of(CascadeOptions)
    return {name: kinds for name, kinds in found.items() if name not in NOT_SWEPT}


def near(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest of the known names, or list them all where none is near."""
    names = list(known)
    return suggestion(name, names) or f" (known: {', '.join(names)})"
