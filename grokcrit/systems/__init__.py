"""Systems whose exponents are known, as `simulate` runs them: options, runs, exact means."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from grokcrit.base.errors import OptionError
from grokcrit.base.options import (
    INT32_MAX,
    Options,
    check_choice,
    option,
    option_of,
    options_of,
    root_seed,
    settle,
)


@dataclass(frozen=True)
class SystemOptions(Options):
    """Options of every system; a system is a class below this one, named in ``SYSTEMS``."""

    size: tuple[int, ...] = option(
        (16, 32, 64, 128),
        "Sizes: L of a pile or a lattice of L x L, generations of branching, N of reed-frost",
        least=1,
    )
    seeds: int = option(6, "Runs of each size", least=1)
    avalanches: int = option(1000, "Avalanches of each run, counted after its warm-up", least=1)
    warmup: int | None = option(
        None, "Avalanches before the first that is counted", unset="until stationary"
    )
    seed: int = root_seed()
    label: str | None = option(
        None, "Name of the case", group="output", unset="the system and its options"
    )

    # The name of the system, and its exponent of N: 2 for a square lattice.
    task: ClassVar[str]
    dimension: ClassVar[int] = 1
    # Whether a run has to move to its stationary state; all others start in it.
    drifts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check every option and the number of sites; put the sizes in order."""
        super().__post_init__()
        settle(self, size=tuple(sorted(self.size)))
        if self.n_params(self.size[-1] + 2) > INT32_MAX:  # with the places around the lattice
            raise OptionError("size", f"must be of fewer than 2^31 sites, got {self.size[-1]}")

    @classmethod
    def own(cls) -> tuple[str, ...]:
        """Return the names of the options that this system alone has."""
        shared = options_of(SystemOptions)
        return tuple(name for name in options_of(cls) if name not in shared)

    @property
    def parameters(self) -> dict[str, float]:
        """The options of this system alone."""
        return {name: getattr(self, name) for name in self.own()}

    def n_params(self, size: int) -> int:
        """Return N of a size."""
        return int(size**self.dimension)

    def kernel(self) -> ModuleType:
        """Import the compiled loops of the system."""
        return importlib.import_module(f"grokcrit.kernels.systems.{self.task.replace('-', '_')}")

    @property
    def case_options(self) -> dict[str, Any]:
        """Everything that an avalanche depends on except size, seed and its number."""
        apart = {"warmup": self.warmup, "seed": self.seed}
        return {"system": self.task, **self.parameters, **apart}

    @property
    def case(self) -> str:
        """The label, or the system and those of its options that are not at their defaults."""
        if self.label is not None:
            return self.label
        known = options_of(type(self))
        named = {k: v for k, v in self.case_options.items() if k in known and v != known[k].default}
        return " ".join([self.task, *(f"{name}={value:g}" for name, value in named.items())])


@dataclass(frozen=True)
class BranchingOptions(SystemOptions):
    """Galton-Watson trees."""

    size: tuple[int, ...] = option_of(SystemOptions, "size", (16, 32, 64, 128, 256))
    branching: float = option(1.0, "Mean offspring", above=0, most=4)
    task: ClassVar[str] = "branching"


@dataclass(frozen=True)
class ReedFrostOptions(SystemOptions):
    """Reed-Frost epidemics."""

    size: tuple[int, ...] = option_of(SystemOptions, "size", (256, 1024, 4096, 16384, 65536))
    task: ClassVar[str] = "reed-frost"


@dataclass(frozen=True)
class OsloOptions(SystemOptions):
    """Oslo rice pile."""

    size: tuple[int, ...] = option_of(SystemOptions, "size", (16, 32, 64, 128, 256))
    task: ClassVar[str] = "oslo"


@dataclass(frozen=True)
class MannaOptions(SystemOptions):
    """Abelian Manna sandpile."""

    task: ClassVar[str] = "manna"
    dimension: ClassVar[int] = 2


@dataclass(frozen=True)
class BtwOptions(SystemOptions):
    """Bak-Tang-Wiesenfeld sandpile."""

    task: ClassVar[str] = "btw"
    dimension: ClassVar[int] = 2


@dataclass(frozen=True)
class OfcOptions(SystemOptions):
    """Olami-Feder-Christensen model."""

    # 0.2 is where the model is mostly studied; 1/4 loses stress at the edges alone.
    alpha: float = option(
        0.2, "Share of its stress that a site passes to each neighbour", above=0, most=0.25
    )
    task: ClassVar[str] = "ofc"
    dimension: ClassVar[int] = 2
    drifts: ClassVar[bool] = True


SYSTEMS: dict[str, type[SystemOptions]] = {
    kind.task: kind
    for kind in (
        BranchingOptions,
        ReedFrostOptions,
        OsloOptions,
        MannaOptions,
        BtwOptions,
        OfcOptions,
    )
}


def system_options(system: str, **given: Any) -> SystemOptions:
    """Return the options of a system; raise OptionError for one that only others have."""
    check_choice("SYSTEM", system, tuple(SYSTEMS))
    known = options_of(SYSTEMS[system])
    for name in given:
        owners = [other for other, kind in SYSTEMS.items() if name in kind.own()]
        if name not in known and owners:
            raise OptionError(name, f"is an option of {', '.join(owners)}, not of {system}")
    return SYSTEMS[system](**given)
