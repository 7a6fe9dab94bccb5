"""Options of the stages that measure; each command, sweep file and record takes them from here."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from grokcrit.base import vocabulary
from grokcrit.base.options import (
    CascadeOptions,
    Options,
    listed,
    option,
    option_of,
    options_of,
    root_seed,
    settle,
)


def as_trained(name: str) -> Any:
    """Make a field that is declared as in the cascade, and by default is as it was there."""
    return option_of(CascadeOptions, name, unset="as trained")


@dataclass(frozen=True)
class AvalancheOptions(Options):
    """Options of ``avalanche``. None: as in training. The lists are multiplied out."""

    topology: tuple[str, ...] | None = as_trained("topology")
    degree: int | None = as_trained("degree")
    graph_seed: tuple[int, ...] | None = as_trained("graph_seed")
    alpha: tuple[float, ...] | None = as_trained("alpha")
    quantile: tuple[float, ...] | None = as_trained("quantile")
    rule: tuple[str, ...] | None = as_trained("rule")
    max_steps: int | None = as_trained("max_steps")
    parameter_order: str | None = as_trained("parameter_order")
    threshold_of: str | None = as_trained("threshold_of")
    surrogate: tuple[str, ...] = option(
        ("none",), "Null models", choices=(*vocabulary.SURROGATES, "all")
    )
    replicates: int = option(1, "Draws of each random null model", least=1)
    grok_accuracy: float | None = option(
        None,
        "Grokking epoch: first of test accuracy above this",
        least=0,
        below=1,
        unset="as recorded",
    )
    seed: int = root_seed()

    def __post_init__(self) -> None:
        """Check every option; name the null models that are all."""
        super().__post_init__()
        if "all" in self.surrogate:
            settle(self, surrogate=vocabulary.SURROGATES)

    def cascades(self, trained: dict[str, Any]) -> list[CascadeOptions]:
        """Multiply out the lists, over what the training used where nothing was given."""
        names = options_of(CascadeOptions)
        base = {name: trained[name] for name in names if name in trained}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        axes = {name: listed(value) for name, value in given.items()}
        return [
            CascadeOptions(**base | dict(zip(axes, values, strict=True)))
            for values in itertools.product(*axes.values())
        ]


def size_column() -> Any:
    """Make the field that every stage has which reads avalanches of other programs."""
    return option(
        None,
        "Column that holds the system's size, in avalanche tables of other programs",
        metavar="<name>",
        unset="n_params",
    )


@dataclass(frozen=True)
class EstimateOptions(Options):
    """Options that all estimating stages have."""

    observable: tuple[str, ...] = option(
        vocabulary.SHOWN, "What is measured of an avalanche", choices=vocabulary.OBSERVABLES
    )
    resamples: int = option(10_000, "Bootstrap resamples of the runs", least=1)
    confidence: float = option(0.95, "Confidence of the intervals", above=0, below=1)
    keep_zero_threshold: bool = option(
        False, "Keep avalanches whose threshold is 0, which mean nothing"
    )
    blocks: int | None = option(
        None,
        "Cut every run into this many blocks, which stand for runs",
        least=2,
        unset="automatic: where a size has one run, by its autocorrelation time",
        added=True,
    )
    seed: int = root_seed()


@dataclass(frozen=True)
class BootstrapOptions(EstimateOptions):
    """Options of ``bootstrap``."""

    graph_seed: tuple[int, ...] | None = option_of(
        CascadeOptions,
        "graph_seed",
        help="Graph seeds of the table to use; several are a second level beside the runs",
        unset="all",
        group="common",
    )
    size_column: str | None = size_column()


@dataclass(frozen=True)
class FitOptions(EstimateOptions):
    """Options of fits that need no draws beyond their intervals."""

    resamples: int = 2000


@dataclass(frozen=True)
class FssOptions(FitOptions):
    """Options of ``fss``."""

    size_column: str | None = size_column()


@dataclass(frozen=True)
class DiagnoseOptions(FssOptions):
    """Options of ``diagnose``."""

    only: tuple[str, ...] = option(
        tuple(vocabulary.QUESTIONS), "What to answer", choices=tuple(vocabulary.QUESTIONS)
    )
    splits: tuple[int, ...] = option(
        (20, 50, 100, 200, 300, 400), "Common epochs of the placebos", least=1
    )
    permutations: int = option(1000, "Permutations of the grokking epochs", least=1)
    collapse_from: int = option(
        10, "Smallest avalanche in a collapse with two exponents", least=0, added=True
    )
    gof: int = option(100, "Data sets drawn for each goodness of fit of a tail", least=1)


@dataclass(frozen=True)
class WarnOptions(Options):
    """Options of ``warn``."""

    family: int = option(8, "Least number of widths of a seed that make a family, for D", least=3)
    resamples: int = option(2000, "Bootstrap resamples of the seeds", least=2)
    confidence: float = option_of(EstimateOptions, "confidence", 0.95)
    seed: int = root_seed()


@dataclass(frozen=True)
class RobustnessOptions(FitOptions):
    """The grid of ``robustness``: one axis is varied at a time, all else is as in training."""

    observable: tuple[str, ...] = ("size", "excess")
    topology: tuple[str, ...] = option_of(CascadeOptions, "topology", vocabulary.THE_FIVE)
    graph_seeds: int = option(6, "Graphs of each topology", least=1, group="cascade")
    alpha: tuple[float, ...] = option_of(CascadeOptions, "alpha", (0.1, 0.2, 0.3, 0.4, 0.5))
    quantile: tuple[float, ...] = option_of(CascadeOptions, "quantile", (80.0, 85.0, 90.0, 95.0))
    threshold_of: str | None = as_trained("threshold_of")

    def axes(self) -> dict[str, dict[str, Any]]:
        """Name each axis and the options of ``avalanche`` that make it."""
        seeds = tuple(range(self.graph_seeds))
        return {
            "topology": {"topology": self.topology, "graph_seed": seeds},
            "alpha": {"alpha": self.alpha},
            "quantile": {"quantile": self.quantile},
            "rule": {"rule": vocabulary.RULES},
            **{
                f"parameter order {order}": {"parameter_order": order, "graph_seed": seeds}
                for order in vocabulary.PARAMETER_ORDERS
            },
        }


@dataclass(frozen=True)
class ReportOptions(Options):
    """Options of a report."""

    size_column: str | None = size_column()


@dataclass(frozen=True)
class WatchOptions(Options):
    """Options of a view of running trainings."""

    interval: float = option(2.0, "Seconds between two looks at the parts", least=0.1)
    once: bool = option(False, "Print the view once and end, as in a pipe")


@dataclass(frozen=True)
class PlotOptions(Options):
    """Options of a figure."""

    observable: str = option(
        "size", "What is measured of an avalanche", choices=vocabulary.OBSERVABLES
    )
    statistic: str = option("mean", "Whose D(t) is shown", choices=vocabulary.STATISTICS)
    width: int | None = option(
        None, "Example run", least=1, unset="the middle width", names=("--hidden", "--width")
    )
    run: int | None = option(None, "Seed of the example run", unset="the first")
    aligned: bool = option(False, "Against the time since each run's grokking epoch")
    size_column: str | None = size_column()
