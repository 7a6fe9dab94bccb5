"""The parts of a question: its rows, its table for people, its panels, its words, in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.plot.panel import Layout, Panel
from grokcrit.questions.family import Exponents, Family
from grokcrit.scaling.clusters import BoolArray
from grokcrit.scaling.ensembles import Ints
from grokcrit.tables.reading import Inputs

Task: TypeAlias = Callable[[Stop], list[Row]]
# Observables on which D(t) = 1 is a claim of the source; the others are compared with their null.
UNITY = ("size",)


@dataclass(frozen=True)
class Asked:
    """One observable and statistic of one case, with what the questions share."""

    family: Family
    observable: str
    statistic: str  # ``mean`` or ``run-max``
    draws: Sequence[Ints]  # runs of each resample, the same for everything that is compared
    own: Exponents  # exponents of the data
    nulls: Mapping[str, Exponents]  # of the null models, by name
    options: DiagnoseOptions
    swaps: BoolArray  # runs in which two curves are exchanged, (R, permutations)

    @property
    def gaussian(self) -> Exponents | None:
        """The Gaussian null, where there is one."""
        return self.nulls.get("gaussian")

    @property
    def levels(self) -> list[str]:
        """Levels that D(t) may cross: ``gaussian``, ``1``."""
        return ["gaussian"] * (self.gaussian is not None) + ["1"] * (self.observable in UNITY)


@dataclass(frozen=True)
class Answer:
    """The answer of a report to a question."""

    id: str  # names the question, for scripts and tests
    question: str
    word: str  # the answer in short
    because: tuple[str, ...]  # the numbers behind it, a paragraph each


@dataclass(frozen=True)
class Shown:
    """A panel as a report shows it: what it shows, how to read it, and its numbers in words."""

    panel: str
    title: str
    caption: str
    describe: Callable[[Sequence[Row]], str]
    wide: bool = False
    training: bool = False  # whether it shows something of a training or its null models


@dataclass(frozen=True)
class Question:
    """All there is of one question. It makes its rows by one or two of the ``of_`` functions."""

    # Meaning of each quantity, or of several with commas: docs/diagnostics.md.
    quantities: Mapping[str, str]
    # Columns of the row of its primary test; of a column with several values the first there is.
    primary: Mapping[str, Any] = field(default_factory=dict)
    # Quantities whose p checks an assumption; they are not adjusted for the number of tests.
    checks: tuple[str, ...] = ()
    # What it needs of a training; empty where it can be asked of any avalanches.
    training: str = ""
    # Tasks that make rows of one case; of all cases together.
    of_family: Callable[[Family, DiagnoseOptions], list[Task]] | None = None
    of_families: Callable[[Sequence[Family], DiagnoseOptions], list[Task]] | None = None
    # Rows of one observable and statistic of a case; whether they need every null model.
    of_curves: Callable[[Asked], list[Row]] | None = None
    every_null: bool = False
    # Rows of train tables; the columns of them that are read.
    of_training: Callable[[Inputs, DiagnoseOptions], list[Row]] | None = None
    columns: tuple[str, ...] = ()
    # Sums up its rows in a table; takes them and the case columns that vary.
    section: Callable[[list[Row], list[str]], Summary] | None = None
    # Quantities whose rows at a single time `section` and `cautions` need.
    timed: tuple[str, ...] = ()
    # A paragraph above that table in a report.
    about: str = ""
    # What its rows warn of.
    cautions: Callable[[Sequence[Row]], list[Notice]] = lambda _: []
    # What a report says, from the rows of the mean size and excess.
    answers: Callable[[Sequence[Row]], list[Answer]] | None = None
    # Of `grokcrit plot`, by name; panels that a report shows.
    panels: Mapping[str, Panel] = field(default_factory=dict)
    figures: Mapping[str, Layout] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()
