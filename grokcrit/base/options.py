"""Options of the stages. A field of their classes declares all there is to know of an option."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grokcrit.base import vocabulary
from grokcrit.base.errors import OptionError

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
NONE = type(None)
GROUPS = ("common", "cascade", "output")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise OptionError unless ``value`` is known; list the known ones, suggest the nearest."""
    if value not in known:
        names = ", ".join(known)
        raise OptionError(name, f"must be one of {names}, got {value!r}{suggestion(value, known)}")


def suggestion(value: object, known: Sequence[str]) -> str:
    """Suggest the nearest of the known names, where one is near: the end of a sentence."""
    former = vocabulary.FORMER.get(str(value))
    if former in known:
        return f"; it is now called {former!r}"
    near = difflib.get_close_matches(str(value), known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_integer(name: str, value: int, low: int, high: int = INT32_MAX) -> None:
    """Raise OptionError unless ``low <= value <= high``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= value <= high:
        small = high == INT32_MAX and not (isinstance(value, numbers.Real) and value > high)
        limits = f"at least {low}" if small else f"from {low} to {high}"
        raise OptionError(name, f"must be a whole number, {limits}, got {value!r}")


def plain(value: Any) -> Any:
    """Turn a number of numpy into Python's: records are written as JSON."""
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def listed(value: Any) -> tuple[Any, ...]:
    """Take a single value as a list of one."""
    return (value,) if isinstance(value, str | numbers.Real) else tuple(value)


def settle(options: Any, **values: Any) -> None:
    """Give fields of a frozen options object other values."""
    for name, value in values.items():
        object.__setattr__(options, name, value)


@dataclass(frozen=True)
class Option:
    """One option of a stage; ``name`` to ``default`` are as the field and its type say."""

    help: str  # what it means, without the choices and the default, which are added
    choices: tuple[str, ...] = ()  # the values of a text
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    unset: str = ""  # what holds where it is not given and has no default
    parse: Callable[[Any], Any] | None = None  # checks and reads a value instead of all this
    raw: bool = False  # texts of a list keep their commas, and may be given twice
    group: str = "common"  # its place in the help: one of GROUPS
    added: bool = False  # tables were made without it: recorded only if not at its default
    swept: bool = True  # whether it can be an axis of a sweep
    decides: bool = False  # whether it decides if a run can generalise: controls differ in it
    learnable: tuple[str, ...] = ()  # values of such a text that let it, the default first
    names: tuple[str, ...] = ()  # on the command line, where it has others than its own
    metavar: str | None = None  # what stands for its value in the help
    name: str = ""
    kind: type = str
    many: bool = False
    optional: bool = False
    default: Any = None

    def checked(self, value: Any) -> Any:
        """Return a value in the one way in which it is written; raise OptionError if it is bad."""
        if value is None and self.optional:
            return None
        if not self.many:
            return self._one(value)
        values = listed(value)
        if not values and not self.raw:
            raise OptionError(self.name, "needs at least one value")
        for each in values:
            if not self.raw and values.count(each) > 1:
                raise OptionError(self.name, f"names {each} twice")
        return tuple(map(self._one, values))

    def _one(self, value: Any) -> Any:
        if self.parse:
            return self.parse(value)
        if self.choices:
            check_choice(self.name, value, self.choices)
        elif self.kind is int:
            check_integer(self.name, value, int(self.least or 0), int(self.most or INT32_MAX))
        elif self.kind is float:
            return self._real(value)
        elif self.kind is bool:
            if type(value).__name__ not in ("bool", "bool_"):  # Python's or numpy's
                raise OptionError(self.name, f"must be True or False, got {value!r}")
            return bool(value)
        elif self.kind is str and not value.strip():
            raise OptionError(self.name, "must not be empty")
        return plain(value)

    def _real(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise OptionError(self.name, f"must be a number, got {value!r}")
        real = float(value)
        inside = (
            math.isfinite(real)
            and (self.least is None or real >= self.least)
            and (self.above is None or real > self.above)
            and (self.most is None or real <= self.most)
            and (self.below is None or real < self.below)
        )
        if not inside:
            raise OptionError(self.name, f"must be {self.limits}, got {real:g}")
        return real

    @property
    def limits(self) -> str:
        """The range of a real number in words."""
        if self.above is not None and self.below is not None:
            return f"between {self.above:g} and {self.below:g}"
        if self.least is not None and self.below is not None:
            return f"from {self.least:g} to below {self.below:g}"
        low = f"above {self.above:g}" if self.above is not None else f"at least {self.least:g}"
        return low if self.most is None else f"{low} and at most {self.most:g}"

    @property
    def meaning(self) -> str:
        """The help with the choices, where it does not tell of each."""
        if all(choice in self.help for choice in self.choices):
            return self.help
        return f"{self.help}: {', '.join(self.choices)}"

    @property
    def phrase(self) -> str:
        """The meaning as it goes on within a line."""
        return self.meaning[0].lower() + self.meaning[1:]

    @property
    def shown_default(self) -> str:
        """The default as the command line takes it; empty where there is nothing to say."""
        if self.default is None:
            return self.unset
        if isinstance(self.default, bool):
            return self.name if self.default else ""
        if self.choices and self.default == self.choices:
            return "all"
        return ",".join(
            f"{each:g}" if isinstance(each, float) else str(each) for each in listed(self.default)
        )


def option(default: Any, help: str, **declared: Any) -> Any:
    """Make a field of an options class, see :class:`Option`."""
    return dataclasses.field(default=default, metadata={Option: Option(help, **declared)})


def option_of(options: type, name: str, default: Any = None, **changed: Any) -> Any:
    """Make a field that is declared as in another class, but for its default and what changes."""
    declared = dataclasses.replace(options_of(options)[name], **changed)
    return dataclasses.field(default=default, metadata={Option: declared})


# Options of the classes that were asked for.
_known: dict[type, dict[str, Option]] = {}


def options_of(options: type) -> dict[str, Option]:
    """Return the options of a class by name; where only a default is given, as its parent does."""
    if options in _known:
        return _known[options]
    parent = options.__base__
    found = dict(options_of(parent)) if dataclasses.is_dataclass(parent) else {}
    hints = inspect.get_annotations(options, eval_str=True)
    for field in dataclasses.fields(options):
        declared = field.metadata.get(Option) or found.get(field.name)
        if field.name not in hints or declared is None:
            continue
        hint = hints[field.name]
        parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        many = any(typing.get_origin(part) is tuple for part in parts)
        kinds = [typing.get_args(part)[0] if many else part for part in parts if part is not NONE]
        found[field.name] = dataclasses.replace(
            declared,
            name=field.name,
            kind=str if str in kinds else kinds[0],
            many=many,
            optional=NONE in parts,
            default=field.default,
        )
    return _known.setdefault(options, found)


def by_group(options: Iterable[Option]) -> list[Option]:
    """Return options as the help and the sweep table list them."""
    return sorted(options, key=lambda each: GROUPS.index(each.group))


@dataclass(frozen=True)
class Options:
    """Options of a stage, each checked by its declaration."""

    def __post_init__(self) -> None:
        """Check every option; give it its type: 90 and 90.0 are one configuration."""
        settle(
            self,
            **{k: each.checked(getattr(self, k)) for k, each in options_of(type(self)).items()},
        )


def root_seed() -> Any:
    """Make the field that every stage with randomness has."""
    return option(0, "Root seed of everything random", most=INT64_MAX, group="output")


@dataclass(frozen=True)
class CascadeOptions(Options):
    """Options of a cascade (METHOD, section 2)."""

    topology: str = option("ba", "Diffusion graph", choices=vocabulary.TOPOLOGIES, group="cascade")
    degree: int = option(
        6, "Mean degree of the graph; lattice has its own, at most 4", least=1, group="cascade"
    )
    graph_seed: int = option(0, "Seed of the graph", group="cascade")
    alpha: float = option(0.3, "Diffusion strength", above=0, most=1, group="cascade")
    quantile: float = option(
        90.0, "Percentile of abs(g) that is the threshold", least=0, below=100, group="cascade"
    )
    rule: str = option(
        "diffuse",
        "What a toppling node keeps: diffuse (1 - alpha of its value) or reset (nothing)",
        choices=vocabulary.RULES,
        group="cascade",
    )
    max_steps: int = option(20, "Steps after which a cascade is cut off", least=1, group="cascade")
    parameter_order: str = option(
        "as-is", "Parameters on the graph", choices=vocabulary.PARAMETER_ORDERS, group="cascade"
    )
    threshold_of: str = option(
        "all",
        "Entries whose percentile is the threshold",
        choices=vocabulary.THRESHOLDS_OF,
        group="cascade",
        added=True,
    )


# Options of a cascade that older tables do not have, with the value that those were made with.
ADDED = {name: each.default for name, each in options_of(CascadeOptions).items() if each.added}


def recorded(options: Any) -> dict[str, Any]:
    """Return options as a case's record holds them; an added option only if not at its default.

    So a case keeps its name, and older tables can be joined with new ones.
    """
    known = options_of(type(options))
    return {
        name: value
        for name, value in dataclasses.asdict(options).items()
        if name in known and not (known[name].added and known[name].default == value)
    }
