"""Options of the stages: their defaults, their ranges, and the sentence for each that is wrong."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grokcrit.base import vocabulary
from grokcrit.base.errors import OptionError

INT32_MAX = 2**31 - 1


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise OptionError unless ``value`` is known; list the known ones, suggest the nearest."""
    if value not in known:
        names = ", ".join(known)
        raise OptionError(name, f"must be one of {names}, got {value!r}{suggestion(value, known)}")


def suggestion(value: object, known: Sequence[str]) -> str:
    """Suggest the nearest of the known names, where one is near: the end of a sentence."""
    near = difflib.get_close_matches(str(value), known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_integer(name: str, value: int, low: int, high: int = INT32_MAX) -> None:
    """Raise OptionError unless ``low <= value <= high``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= value <= high:
        small = high == INT32_MAX and not (isinstance(value, numbers.Real) and value > high)
        limits = f"at least {low}" if small else f"from {low} to {high}"
        raise OptionError(name, f"must be a whole number, {limits}, got {value!r}")


def check_number(name: str, value: float, valid: bool, limits: str) -> None:
    """Raise OptionError unless ``value`` is finite and ``valid``."""
    if not (math.isfinite(value) and valid):
        raise OptionError(name, f"must be {limits}, got {value:g}")


def check_real(name: str, value: object) -> None:
    """Raise OptionError unless ``value`` is a real number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise OptionError(name, f"must be a number, got {value!r}")


def plain(value: Any) -> Any:
    """Turn numbers of numpy, also inside a tuple, into Python's: records are written as JSON."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def listed(value: Any) -> tuple[Any, ...]:
    """Take a single value as a list of one."""
    return (value,) if isinstance(value, str | numbers.Real) else tuple(value)


def settle(options: Any, **values: Any) -> None:
    """Give the fields of a frozen options object their final values, numbers as Python's own."""
    for field in dataclasses.fields(options):
        value = values.get(field.name, getattr(options, field.name))
        object.__setattr__(options, field.name, plain(value))


def check_distinct(name: str, values: Sequence[Any]) -> None:
    """Raise OptionError where a list is empty or names a value twice."""
    if not values:
        raise OptionError(name, "needs at least one value")
    for value in values:
        if list(values).count(value) > 1:
            raise OptionError(name, f"names {value} twice")


@dataclass(frozen=True)
class CascadeOptions:
    """What a cascade depends on besides the gradient (METHOD, section 2)."""

    topology: str = "ba"
    degree: int = 6
    graph_seed: int = 0
    alpha: float = 0.3
    quantile: float = 90.0
    rule: str = "diffuse"
    max_steps: int = 20
    parameter_order: str = "as-is"
    threshold_of: str = "all"

    def __post_init__(self) -> None:
        """Check every range, and give every number its type: 90 and 90.0 are one configuration."""
        check_choice("topology", self.topology, vocabulary.TOPOLOGIES)
        check_integer("degree", self.degree, 1)
        check_integer("graph_seed", self.graph_seed, 0)
        check_real("alpha", self.alpha)
        check_real("quantile", self.quantile)
        check_number("alpha", self.alpha, 0 < self.alpha <= 1, "above 0 and at most 1")
        check_number("quantile", self.quantile, 0 <= self.quantile < 100, "from 0 to below 100")
        check_choice("rule", self.rule, vocabulary.RULES)
        check_integer("max_steps", self.max_steps, 1)
        check_choice("parameter_order", self.parameter_order, vocabulary.PARAMETER_ORDERS)
        check_choice("threshold_of", self.threshold_of, vocabulary.THRESHOLDS_OF)
        settle(self, alpha=float(self.alpha), quantile=float(self.quantile))


# Options that tables of earlier versions do not have, with the value that those were made with.
ADDED = {"threshold_of": "all"}


def recorded(options: Any) -> dict[str, Any]:
    """Return options as a case's record holds them.

    An added option is there only where it is not at its default. So a case keeps its name, and
    tables of earlier versions can be joined with new ones.
    """
    return {k: v for k, v in dataclasses.asdict(options).items() if ADDED.get(k) != v}


@dataclass(frozen=True)
class RunOptions(CascadeOptions):
    """What the training of every task depends on."""

    task: str = "xor"
    hidden: tuple[int, ...] = vocabulary.SIZES
    seeds: int = 6
    epochs: int = 500
    snapshot_every: int = 10
    lr: float = 0.5
    probe: str = "inline"
    gradients: bool = True
    seed: int = 0
    label: str | None = None

    def __post_init__(self) -> None:
        """Check every range."""
        super().__post_init__()
        settle(self, hidden=listed(self.hidden))
        check_choice("task", self.task, vocabulary.TASKS)
        check_distinct("hidden", self.hidden)
        for width in self.hidden:
            check_integer("hidden", width, 1)
        check_integer("seeds", self.seeds, 1)
        check_integer("epochs", self.epochs, 0)
        check_integer("snapshot_every", self.snapshot_every, 1)
        check_number("lr", self.lr, self.lr > 0, "above 0")
        check_choice("probe", self.probe, vocabulary.PROBES)
        check_integer("seed", self.seed, 0, 2**63 - 1)
        if self.label is not None and not self.label.strip():
            raise OptionError("label", "must not be empty")
        settle(self, hidden=tuple(sorted(self.hidden)), lr=float(self.lr))

    @property
    def cascade(self) -> CascadeOptions:
        """The cascade's share of the options."""
        return CascadeOptions(
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(CascadeOptions)}
        )

    @property
    def case_options(self) -> dict[str, Any]:
        """Everything a run depends on but its width and seed: the root seed is among it.

        Which gradients are kept is not: how often is, as it decides what is fitted.
        """
        apart = ("hidden", "seeds", "label", "gradients")
        return {k: v for k, v in recorded(self).items() if k not in apart}

    @property
    def case(self) -> str:
        """The label, or a short digest of the options of the case."""
        if self.label is not None:
            return self.label
        text = json.dumps(self.case_options, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class TrainOptions(RunOptions):
    """What a training on XOR depends on (METHOD, sections 3 and 4)."""

    activation: str = "tanh"
    init: str = "uniform"
    gini_of: str = "output"

    def __post_init__(self) -> None:
        """Write sigma in one way; check every range."""
        super().__post_init__()
        check_choice("activation", self.activation, vocabulary.ACTIVATIONS)
        settle(self, init=written_init(self.init))
        check_choice("gini_of", self.gini_of, vocabulary.GINI_OF)


@dataclass(frozen=True)
class ModaddOptions(RunOptions):
    """What a training on modular addition depends on: a + b mod ``prime``.

    ``model`` and ``split`` choose a recipe that groks; it gives the values that are None.
    ``batch`` is the pairs of an update, 0 for all; ``snapshot_window`` the epochs around grokking
    whose gradients are kept, in runs that grok.
    """

    task: str = "modadd"
    model: str = "transformer"
    prime: int = 59
    split: str = "pairs"
    train_fraction: float = 0.8
    weight_decay: float = 1.0
    probe: str = "shadow"
    hidden: tuple[int, ...] = None  # type: ignore[assignment]  # these four: as in the recipe
    epochs: int = None  # type: ignore[assignment]
    lr: float = None  # type: ignore[assignment]
    batch: int = None  # type: ignore[assignment]
    snapshot_window: int | None = None

    def __post_init__(self) -> None:
        """Take the recipe where nothing was given; check every range."""
        check_choice("model", self.model, vocabulary.MODELS)
        check_choice("split", self.split, vocabulary.SPLITS)
        recipe = vocabulary.RECIPES[self.model, self.split]
        settle(self, **{k: v for k, v in recipe.items() if getattr(self, k) is None})
        super().__post_init__()
        check_integer("prime", self.prime, 3, 2**15)
        if any(self.prime % k == 0 for k in range(2, math.isqrt(self.prime) + 1)):
            raise OptionError("prime", f"must be a prime, got {self.prime}")
        inside = 0 < self.train_fraction < 1
        check_number("train_fraction", self.train_fraction, inside, "between 0 and 1")
        pairs = self.prime**2 if self.split == "pairs" else self.prime * (self.prime + 1) // 2
        if not 0 < self.training_units(pairs) < pairs:
            side = "train on" if self.train_fraction < 0.5 else "test"
            raise OptionError(
                "train_fraction", f"leaves no pair to {side}: {self.train_fraction:g} of {pairs}"
            )
        check_number("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0")
        check_integer("batch", self.batch, 0)
        if self.snapshot_window is not None:
            check_integer("snapshot_window", self.snapshot_window, 1)
        if self.model == "transformer":
            for width in self.hidden:
                if width % vocabulary.HEADS:
                    raise OptionError(
                        "hidden",
                        f"must be a multiple of the {vocabulary.HEADS} heads, got {width}",
                    )
        settle(
            self,
            train_fraction=float(self.train_fraction),
            weight_decay=float(self.weight_decay),
        )

    def training_units(self, pairs: int) -> int:
        """How many of some pairs, ordered or not, train."""
        return round(self.train_fraction * pairs)


def run_options(**given: Any) -> TrainOptions | ModaddOptions:
    """Make the options of a training from those given.

    Raises
    ------
    OptionError
        One out of its range, or one that the task does not have.
    """
    task = given.get("task", "xor")
    check_choice("task", task, vocabulary.TASKS)
    kind, other = TrainOptions, ModaddOptions
    if task == "modadd":
        kind, other = ModaddOptions, TrainOptions  # type: ignore[assignment]
    known = {field.name for field in dataclasses.fields(kind)}
    for name in given:
        if name not in known and name in {field.name for field in dataclasses.fields(other)}:
            raise OptionError(name, f"is not an option of --task {task}")
    return kind(**given)


@dataclass(frozen=True)
class EstimateOptions:
    """What the estimating stages depend on."""

    observable: tuple[str, ...] = vocabulary.SHOWN
    resamples: int = 10_000
    confidence: float = 0.95
    keep_zero_threshold: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Turn a single observable into a list; check every range."""
        settle(self, observable=listed(self.observable))
        check_distinct("observable", self.observable)
        for name in self.observable:
            check_choice("observable", name, vocabulary.OBSERVABLES)
        check_integer("resamples", self.resamples, 1)
        check_number("confidence", self.confidence, 0 < self.confidence < 1, "between 0 and 1")
        check_integer("seed", self.seed, 0, 2**63 - 1)


def written_init(init: str) -> str:
    """Write an initialisation in the one way in which tables hold it: ``normal:0.5``."""
    name, sigma = init_scale(init)
    return name if name != "normal" else f"normal:{sigma!r}".removesuffix(".0")


def init_scale(init: str) -> tuple[str, float]:
    """Split an initialisation into its name and its sigma (``normal:0.5``; 1 where not given)."""
    found = re.fullmatch(r"normal:([0-9.eE+-]+)", init)
    if found:
        try:
            sigma = float(found[1])
        except ValueError:
            sigma = math.nan
        if math.isfinite(sigma) and sigma > 0:
            return "normal", sigma
        raise OptionError("init", f"needs a sigma above 0 after 'normal:', got {found[1]!r}")
    check_choice("init", init, vocabulary.INITS)
    return init, 1.0
