"""Axes of a sweep: the values that an option takes, from a list or a range, and their types."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from grokcrit.base.errors import PlanError
from grokcrit.base.options import CascadeOptions, Option, options_of, suggestion
from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.tables.checking import LARGEST
from grokcrit.tasks import TASKS

# Tables of a sweep file whose options can vary.
SWEPT = ("train", "avalanche")
RANGE = ("from", "to", "step", "points", "scale")
# Values of a range; more are a mistake in the step.
MOST = 100_000
WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    bool: "true or false",
}


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
    """Return the values of an option, or for samples a span; raise PlanError for a wrong one."""
    place, known = f"[{table}] {key}", fields_of(table)
    if key not in known:
        raise PlanError(f"{place} is no option of a sweep{near(key, known)}")
    if isinstance(value, dict):
        return ranged(place, value, known[key], sampled)
    option = known[key]
    if not option.many:
        values = value if isinstance(value, list) else [value]
    elif isinstance(value, list) and all(isinstance(each, list) for each in value):
        values = value  # of an option that is a list an axis is a list of lists
    else:
        example = json.dumps([option.default[:3]])
        raise PlanError(f"{place} takes lists, each a value: {example}; got {value!r}")
    if key == "surrogate" and len(values) > 1:
        raise PlanError(
            f"{place} takes one list: points differ in what is measured, not in the null models "
            "beside it"
        )
    if not values:
        raise PlanError(f"{place} is an empty list; give it a value, or leave it out")
    return tuple(typed(place, each, option) for each in values)


def typed(place: str, value: Any, option: Option) -> Any:
    """Return a value as its option takes it, lists as tuples; raise PlanError for other types."""
    if not option.many:
        return typed_one(place, value, option.kind)
    values = value if isinstance(value, list) else [value]
    return tuple(typed_one(place, each, option.kind) for each in values)


def typed_one(place: str, value: Any, kind: type) -> Any:
    """Return a single value; raise PlanError where it is of another type."""
    if kind is float and type(value) in (int, float):
        if abs(value) > LARGEST:
            raise PlanError(f"{place} must be at most {LARGEST:g} in size, got {value!r}")
        return float(value)
    if type(value) is not kind:
        got = "a list" if isinstance(value, list) else repr(value)
        raise PlanError(f"{place} must be {WORDS[kind]}, got {got}")
    return value


def ranged(place: str, given: dict[str, Any], option: Option, sampled: bool) -> Axis:
    """Return the values of ``{ from, to, step }`` or ``{ from, to, points, scale }``.

    Without ``step`` and ``points`` a range of whole numbers has them all, and one of real numbers
    is a span to draw from.
    """
    check_range(place, given, option)
    low, high, whole = given["from"], given["to"], option.kind is int
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


def check_range(place: str, given: dict[str, Any], option: Option) -> None:
    """Raise PlanError where a range is not one."""
    if option.many or option.kind not in (int, float):
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


def fields_of(table: str) -> dict[str, Option]:
    """Return the options of a table that can vary; at a point the cascade has one value of each."""
    classes: dict[str, list[type]] = {
        "train": [*reversed(TASKS.values())],
        "avalanche": [AvalancheOptions, CascadeOptions],
    }
    found = {name: each for kind in classes[table] for name, each in options_of(kind).items()}
    return {name: option for name, option in found.items() if option.swept}


def near(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest of the known names, or list them all where none is near."""
    names = list(known)
    return suggestion(name, names) or f" (known: {', '.join(names)})"
