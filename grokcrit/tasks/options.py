"""Options of every training, and what a task must define."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeAlias, TypeVar

from grokcrit.base.errors import OptionError
from grokcrit.base.options import (
    CascadeOptions,
    check_choice,
    option,
    options_of,
    recorded,
    root_seed,
    settle,
)
from grokcrit.tasks import draws

if TYPE_CHECKING:
    import pyarrow as pa

Run = TypeVar("Run", bound="RunOptions")
Shapes: TypeAlias = Sequence[tuple[str, tuple[int, ...]]]
PROBES = ("inline", "shadow")
RECIPE = "of the recipe"
# Options that change no number of a run, only what is measured of it, and how long.
NO_PART = ("signals", "signal_every", "after_grok")


def labels_of_either() -> Any:
    """Make the field of tasks whose labels can be shuffled."""
    return option(
        "true",
        "true, or shuffled: permuted over the training and over the test set",
        choices=("true", "shuffled"),
        added=True,
        decides=True,
        learnable=("true",),
    )


def weight_decay(default: float) -> Any:
    """Make the field of tasks with weight decay."""
    return option(default, "Weight decay: w -= lr decay w besides the step", least=0)


def batch_size(default: int | None) -> Any:
    """Make the field of tasks with minibatches."""
    unset = RECIPE if default is None else ""
    return option(default, "Training samples of an update, 0 for all", unset=unset)


def labels_and_decay(options: Any, amount: str, few: float) -> dict[str, dict[str, Any]]:
    """Name the cells of a design of labels, an amount of data and weight decay: 3 x 2.

    Raise OptionError where an option that the cells change is not that of what can be learnt.
    """
    given = {"labels": options.labels == "true", "weight_decay": options.weight_decay > 0}
    given[amount] = getattr(options, amount) > few
    needed = {"labels": "true", "weight_decay": "above 0", amount: f"above {few:g}"}
    for name, fits in given.items():
        if not fits:
            flag = name.replace("_", "-")
            raise OptionError(
                "controls", f"changes --{flag} in its cells, so it must be {needed[name]}"
            )
    cells: dict[str, dict[str, Any]] = {
        "learnable": {},
        "shuffled": {"labels": "shuffled"},
        "few": {amount: few},
    }
    without = {
        f"{name}-no-decay": changed | {"weight_decay": 0.0} for name, changed in cells.items()
    }
    return cells | without


@dataclass(frozen=True)
class RunOptions(CascadeOptions):
    """Options of a training: a task is a class below this one, named in ``TASKS``."""

    task: str = option("", "What is trained; modadd, a + b mod a prime, needs torch")
    hidden: tuple[int, ...] = option(
        (20, 30, 50, 75, 100, 200, 300, 500),
        "Hidden units, or d_model",
        least=1,
        unset=RECIPE,
        names=("--hidden", "--width"),
    )
    seeds: int = option(6, "Runs of each width", least=1)
    epochs: int = option(500, "Epochs of each run", unset=RECIPE)
    after_grok: int | None = option(
        None,
        "Epochs that a run goes on after it has grokked, not for xor",
        unset="all",
        swept=False,
        added=True,
    )
    snapshot_every: int = option(10, "Epochs between gradients kept", least=1)
    lr: float = option(0.5, "Learning rate", above=0, unset=RECIPE)
    probe: str = option(
        "inline",
        "inline, shadow: train on the redistributed or the raw gradient",
        choices=PROBES,
    )
    controls: bool = option(
        False, "Train the matched controls as well, in one table", swept=False, added=True
    )
    control: str | None = option(
        None,
        "Name of the case whose control this is, for diagnose and warn",
        metavar="<case>",
        swept=False,
        added=True,
    )
    draw: tuple[str, ...] = option(
        (),
        "Option that each seed draws at random from a range: lr=0.001..0.01, "
        "weight-decay=0.3..1.5:log (repeatable)",
        parse=draws.written,
        raw=True,
        metavar="<option=low..high>",
        swept=False,
        added=True,
    )
    gradients: bool = option(
        True, "Save gradients (needed by avalanche)", group="output", swept=False
    )
    signals: tuple[str, ...] | None = option(
        None,
        "Signals to measure besides, for warn: all, or names (docs/early-warning.md)",
        group="output",
        metavar="<name>",
        swept=False,
        added=True,
    )
    signal_every: int = option(
        1, "Epochs between signals", least=1, group="output", swept=False, added=True
    )
    seed: int = root_seed()
    label: str | None = option(
        None, "Name of the case", group="output", swept=False, unset="a digest of the options"
    )

    # Epochs that the partner of a (width, seed) was trained after it had memorised, where runs are
    # watched as long as those of another table: no option, for it is read from there.
    exposures: tuple[tuple[tuple[int, int], int], ...] = ()

    # Whether gradients are in single precision.
    single: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check every option; put the widths in order."""
        super().__post_init__()
        settle(self, hidden=tuple(sorted(self.hidden)))
        if self.controls and self.control is not None:
            raise OptionError("control", "is of one case, and --controls trains several")
        names = [draws.read(text).name for text in self.draw]
        for each in map(draws.read, self.draw):
            check_choice("draw", each.name, self.drawable())
            if names.count(each.name) > 1:
                raise OptionError("draw", f"draws {each.name} twice")
            for end in (each.low, each.high):  # its own check knows the option's range
                self._with(each.name, end)

    def shapes(self, width: int) -> Shapes:
        """Name and shape of each tensor of a network, in the order of the flat gradient."""
        raise NotImplementedError

    def trainer(self) -> ModuleType:
        """Import the module whose ``runs`` trains; raise OptionError if its package is missing."""
        raise NotImplementedError

    def controlled(self) -> dict[str, dict[str, Any]]:
        """Name the cells of ``controls``, the first what generalises, and what they change."""
        raise NotImplementedError

    @classmethod
    def drawable(cls) -> tuple[str, ...]:
        """Name the options that a seed can draw: numbers that change no shape and no length."""
        numbers = {k: each for k, each in options_of(cls).items() if each.kind in (int, float)}
        always = ("lr", "weight_decay", "batch")
        return tuple(k for k, each in numbers.items() if k in always or each.decides)

    def _with(self, name: str, value: float, **changed: Any) -> Self:
        """Return the options with a drawn number in place of its draw."""
        drawn: Any = round(value) if options_of(type(self))[name].kind is int else value
        others = tuple(text for text in self.draw if draws.read(text).name != name)
        return replace(self, draw=others, **{name: drawn}, **changed)

    def of_seed(self, seed: int) -> Self:
        """Return the options of one seed, with what it draws; the case keeps its name."""
        found, case = self, self.case
        for each in map(draws.read, self.draw):
            found = found._with(each.name, each.of(self.seed, seed), label=case)
        return found

    def exposure(self, width: int, seed: int) -> int | None:
        """Return how long a run is watched after it has memorised; None for as long as it goes.

        A run whose partner never grokked is not watched at all.
        """
        return dict(self.exposures).get((width, seed), 0) if self.exposures else None

    def cells(self) -> tuple[Self, ...]:
        """Return the options of each case that is trained; with ``controls`` there are several.

        Cells share everything but what `controlled` changes: sizes, seeds, first weights, data.
        """
        if not self.controls:
            return (self,)
        prefix = "" if self.label is None else f"{self.label}-"
        cells = []
        for name, changed in self.controlled().items():
            drawn = tuple(text for text in self.draw if draws.read(text).name not in changed)
            label: Any = {"label": prefix + name, "controls": False, "draw": drawn}
            cells.append(replace(self, **label, **changed))
        return tuple(cells)

    def n_params(self, width: int) -> int:
        """Return N of a width."""
        return sum(math.prod(shape) for _, shape in self.shapes(width))

    @property
    def snapshots(self) -> int:
        """The number of gradients of a run that are kept at most."""
        return self.epochs // self.snapshot_every + 1 if self.gradients else 0

    @property
    def cascade(self) -> CascadeOptions:
        """The cascade's share of the options."""
        return CascadeOptions(**{name: getattr(self, name) for name in options_of(CascadeOptions)})

    @property
    def case_options(self) -> dict[str, Any]:
        """Everything a run depends on except width, seed, and which gradients are kept."""
        apart = ("hidden", "seeds", "label", "gradients", "controls", *NO_PART)
        return {k: v for k, v in recorded(self).items() if k not in apart}

    @property
    def case(self) -> str:
        """The label, or a short digest of the options of the case."""
        if self.label is not None:
            return self.label
        import hashlib  # 5 ms of every start otherwise

        text = json.dumps(self.case_options, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


class Trained(NamedTuple):
    """The rows of one run."""

    rows: pa.Table  # schema train/1
    signals: pa.Table | None = None  # schema signals/1, where they are measured


def every_run(cells: Sequence[Run]) -> list[tuple[Run, int, int]]:
    """List the runs of some cells, in the order of the table: options, width, seed."""
    return [
        (each.of_seed(s), h, s) for each in cells for h in each.hidden for s in range(each.seeds)
    ]
