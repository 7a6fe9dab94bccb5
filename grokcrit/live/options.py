"""Options of a recorder, each checked."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING as MISSING_VALUE
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from grokcrit.base.errors import OptionError
from grokcrit.base.options import CascadeOptions, check_choice, check_integer, recorded
from grokcrit.base.options import listed as listed_values
from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.live.parts import Recording, plain
from grokcrit.saved.options import sample_of
from grokcrit.signals.registry import Signal, chosen

FIELDS = ("gradient", "clipped-gradient")
MISSING = ("refuse", "zeros")
KEEP = ("gradients", "avalanches", "both")
# Of the options of `avalanche`, those that mean nothing while a training runs.
AFTERWARDS = ("grok_accuracy",)
Sink: TypeAlias = Callable[[int, dict[str, float]], Any]


@dataclass(frozen=True)
class RecorderOptions:
    """What a recorder records; see :class:`grokcrit.live.recorder.GradientRecorder`."""

    task: str
    width: int
    seed: int
    every: int = 1
    keep: str = "gradients"
    budget: float | None = None
    sample: int | float | str | None = None
    gather: bool = False
    cascade: Mapping[str, Any] | None = None
    sink: Sink | Sequence[Sink] | None = None
    signals: str | Sequence[str] | None = None
    field: str = "gradient"
    include: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    missing: str = "refuse"
    case: str | None = None
    control: str | None = None
    configuration: Mapping[str, Any] | None = None
    part_bytes: int = 2**26
    part_snapshots: int = 100

    def __post_init__(self) -> None:
        """Check every option; give those that can be written in several ways one type."""
        for name in ("task", "case", "control"):
            text = getattr(self, name)
            if text is None and name != "task":
                continue
            if not isinstance(text, str) or not text.strip():
                raise OptionError(name, f"must be a name, got {text!r}")
        check_choice("field", self.field, FIELDS)
        check_choice("missing", self.missing, MISSING)
        check_choice("keep", self.keep, KEEP)
        if not isinstance(self.gather, bool):
            raise OptionError("gather", f"must be True or False, got {self.gather!r}")
        if not isinstance(self.cascade, Mapping | None):
            raise OptionError("cascade", f"must be a dict of options, got {self.cascade!r}")
        for name in ("width", "every", "part_bytes", "part_snapshots"):
            check_integer(
                name, getattr(self, name), 1, 2**62 if name == "part_bytes" else 2**31 - 1
            )
        check_integer("seed", self.seed, 0)
        if self.budget is not None and not 0 < number_of("budget", self.budget) < 1:
            raise OptionError("budget", f"must be a share between 0 and 1, got {self.budget!r}")
        self._check_avalanches()
        given: dict[str, Any] = {
            "include": None if self.include is None else listed("include", self.include),
            "exclude": listed("exclude", self.exclude),
            "sample": None if self.sample is None else sample_of(self.sample),
            "configuration": as_json(self.configuration or {}),
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        self.avalanche, self.measured  # noqa: B018  checked now, not at the first step

    def _check_avalanches(self) -> None:
        """Raise OptionError where an option is of avalanches and there are none."""
        if self.keep != "gradients":
            return
        if self.sink is not None:
            raise OptionError("sink", "is of avalanches: add keep='avalanches' or 'both'")
        if self.cascade is not None and not self.measured:
            raise OptionError(
                "cascade", "is of avalanches: add keep='avalanches' or 'both', or signals='all'"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> RecorderOptions:
        """Return checked options; raise OptionError at one that is unknown, or is missing."""
        known = {each.name: each for each in fields(cls)}
        for name in options:
            check_choice("option", name, tuple(known))
        for name, each in known.items():
            if each.default is MISSING_VALUE and name not in options:
                raise OptionError(name, "must be given")
        return cls(**options)

    @functools.cached_property
    def avalanche(self) -> AvalancheOptions:
        """The options of the cascades; by default the data and one Gaussian null model."""
        known = {each.name for each in fields(AvalancheOptions)} - {*AFTERWARDS}
        for name in self.cascade or {}:
            check_choice("cascade", name, tuple(sorted(known)))
        return AvalancheOptions(**{"surrogate": ("none", "gaussian"), **(self.cascade or {})})

    @functools.cached_property
    def cascaded(self) -> CascadeOptions:
        """The options of the cascade that signals are measured of: the first of several."""
        return self.avalanche.cascades(recorded(CascadeOptions()))[0]

    @property
    def signal_names(self) -> list[str]:
        """Names of signals as they were given."""
        return list(listed_values(self.signals or ()))

    @functools.cached_property
    def measured(self) -> list[Signal]:
        """The signals to measure; none by default."""
        if not all(isinstance(name, str) for name in self.signal_names):
            raise OptionError("signals", f"must be 'all' or names, got {self.signals!r}")
        return chosen(self.signal_names)

    @property
    def sinks(self) -> list[Sink]:
        """The functions that get the numbers of each row."""
        if self.sink is None:
            return []
        several: list[Any] = [self.sink]
        if isinstance(self.sink, list | tuple):
            several = list(self.sink)
        for each in several:
            if not callable(each):
                raise OptionError("sink", f"must be a function of step and numbers, got {each!r}")
        return several

    @functools.cached_property
    def recording(self) -> Recording:
        """Which run it is, and what its vectors depend on."""
        options: dict[str, Any] = {
            "task": self.task,
            "configuration": self.configuration,
            "every": self.every,
            "include": self.include,
            "exclude": self.exclude,
            "missing": self.missing,
        }
        # What is not given is left out: a case keeps the digest that it had.
        if self.sample is not None:
            options |= {"sample": self.sample, "sample_seed": self.avalanche.seed}
        if self.control is not None:
            options["control"] = self.control
        text = json.dumps(options, sort_keys=True)
        label = hashlib.sha256(text.encode()).hexdigest()[:8] if self.case is None else self.case
        return Recording(self.task, label, self.field, int(self.width), int(self.seed), options)


def number_of(name: str, value: Any) -> float:
    """Return a number; raise OptionError where a value is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if math.isnan(found):
        raise OptionError(name, f"must be a number, got {value!r}")
    return found


def listed(name: str, patterns: Sequence[str]) -> list[str]:
    """Return patterns as a list; a single string is a mistake that would match letters."""
    if isinstance(patterns, str):
        raise OptionError(name, f"must be a list of patterns, got the string {patterns!r}")
    return list(patterns)


def as_json(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON gives it back; raise OptionError where it cannot hold it."""
    try:
        return plain(configuration)
    except (TypeError, ValueError) as error:
        raise OptionError("configuration", f"must be what JSON can hold: {error}") from None
