"""All of it in one command: the default experiment, its controls, the source beside ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from grokcrit._version import __version__
from grokcrit.base.errors import OptionError, TableError, UnwritableError
from grokcrit.base.options import check_choice
from grokcrit.base.parallel import Progress
from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import DISAGREE, SURROGATES, THE_FIVE
from grokcrit.paper.claim_exponents import cautions, other_choices
from grokcrit.paper.claim_row import number
from grokcrit.paper.claims import COLUMNS, Claim, claims
from grokcrit.paper.reference import ELSEWHERE
from grokcrit.plot import SOURCE
from grokcrit.plot.sources import EmptyPanelError
from grokcrit.report import report
from grokcrit.stages import plot
from grokcrit.stages import train as training
from grokcrit.stages.avalanche import avalanche
from grokcrit.stages.bootstrap import bootstrap
from grokcrit.stages.diagnose import diagnose
from grokcrit.stages.fss import fss
from grokcrit.stages.robustness import robustness
from grokcrit.tables import files, provenance, reading, writing
from grokcrit.tables.schemas import TRAIN
from grokcrit.tasks import run_options
from grokcrit.tasks.options import RunOptions
from grokcrit.tasks.xor import TrainOptions

# Choices of METHOD, section 4, changed one at a time.
OTHER_CHOICES: dict[str, tuple[object, ...]] = {
    "activation": ("relu", "sigmoid"),
    "init": ("xavier", "he", "normal:0.5", "normal:1"),
    "lr": (0.1, 1.0),
    "topology": ("ring", "lattice", "small-world", "erdos-renyi", "random-regular"),
    "parameter_order": ("shuffled",),
    "alpha": (0.1, 0.5),
    "quantile": (80, 95),
    "rule": ("reset",),
    "max_steps": (10, 50),
}
FORMATS = ("png", "pdf")
AHEAD = (
    "PyTorch is installed: the matched controls of modular addition come last and take an hour on "
    "two cores and 3 GB in the folder. claims.md and report.html are written before them, and "
    "again after them. If stopped, the same command keeps the cells that were trained."
)
BOTH = ("none", "gaussian")


@dataclass(frozen=True)
class Scale:
    """The scale of an experiment."""

    training: dict[str, Any] = field(default_factory=dict)
    graph_seeds: int = 6
    fss_resamples: int = 2000
    resamples: int = 10_000
    # Null models, placebos, robustness, the Gini study: seeds of the study, 0 for none of it.
    study: int = 0
    # Options of the trainings whose matched controls are compared.
    controls: tuple[dict[str, Any], ...] = ()


SCALES = {
    # All but the controls on tiny sizes, for CI: its numbers mean nothing.
    "smoke": Scale({"hidden": (6, 10, 16, 24), "seeds": 2, "epochs": 150}, 2, 100, 200, study=8),
    "paper": Scale(),
    "full": Scale(study=1000, controls=({"seeds": 12}, {"task": "modadd", "split": "sym"})),
}


def reproduce(
    out: str | Path,
    *,
    scale: str = "paper",
    seed: int = 0,
    threads: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[Claim]:
    """Return the claims of the source, judged on a repetition of the experiment.

    Tables, figures, ``claims.md`` and ``claims.json`` go to the folder ``out``, made if missing.
    Scale ``paper`` is the source's experiment; ``full`` adds null models, placebos, robustness, a
    thousand seeds for the Gini coefficient, matched controls of XOR and a report, and where torch
    is installed the matched controls of modular addition, which take an hour: a program that runs
    those starts under ``if __name__ == "__main__":``. ``smoke`` is ``full`` without matched
    controls on tiny sizes, its numbers mean nothing. ``progress`` is called with (steps done, in
    all), ``tell`` with what will take long, before anything begins.
    """
    check_choice("scale", scale, tuple(SCALES))
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(f"cannot make the folder {out}: {error.strerror}") from None
    # An older verdict must not outlive its tables.
    for name in ("claims.md", "claims.json", "report.html"):
        (folder / name).unlink(missing_ok=True)
    if tell and any(options.task == "modadd" for options in controlled(scale)):
        tell(AHEAD)
    work = Work(folder, scale, seed, threads, cache)
    steps = work.steps()
    for done, step in enumerate(steps):
        if progress:
            progress(done, len(steps))
        step()
    return work.claims


def controlled(scale: str, seed: int = 0) -> list[RunOptions]:
    """Return the trainings of a scale whose matched controls can be trained and compared here."""
    asked = [run_options(controls=True, seed=seed, **each) for each in SCALES[scale].controls]
    return [options for options in asked if trainable(options)]


def trainable(options: RunOptions) -> bool:
    """Return whether the packages are there that a training needs."""
    try:
        options.trainer()
    except OptionError:
        return False
    return True


@dataclass
class Work:
    """The steps, and the tables they have made."""

    folder: Path
    name: str
    seed: int
    threads: int | None
    cache: bool
    made: dict[str, pa.Table] = field(default_factory=dict)
    tried: list[tuple[pa.Table, pa.Table]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def steps(self) -> list[Callable[[], None]]:
        """Return the steps in order."""
        hidden = TrainOptions(**self.scale.training).hidden
        quarter = len(hidden) // 4
        compared = [self.controls(options) for options in controlled(self.name, self.seed)]
        return [
            self.experiment,
            self.estimates,
            self.scaling,
            self.figures,
            self.topologies,
            self.shadow,
            *(
                partial(self.choice, f"{name}={value}", **{name: value})
                for name, values in OTHER_CHOICES.items()
                for value in values
            ),
            partial(self.choice, "sizes=without the smallest", hidden=hidden[quarter:]),
            partial(self.choice, "sizes=without the largest", hidden=hidden[:-quarter]),
            self.choices,
            *([self.diagnoses, self.robustness, self.gini] if self.scale.study else []),
            # A verdict before the next task as well, which may take an hour.
            *(step for steps in compared or [[]] for step in (*steps, self.verdict)),
        ]

    @property
    def scale(self) -> Scale:
        """Return the sizes of everything."""
        return SCALES[self.name]

    @property
    def means(self) -> dict[str, Any]:
        """Return what the steps that make graphs run with."""
        return {"threads": self.threads, "cache": self.cache}

    @property
    def estimating(self) -> dict[str, Any]:
        """Return what the steps that estimate run with."""
        resamples = self.scale.fss_resamples
        return {"threads": self.threads, "resamples": resamples, "seed": self.seed}

    def path(self, name: str) -> Path:
        """Return where a table is kept."""
        return self.folder / f"{name}.parquet"

    def keep(self, name: str, table: pa.Table) -> pa.Table:
        """Write a table and remember it."""
        writing.write(self.path(name), [table], table.schema)
        self.made[name] = table
        return table

    def train(self, name: str, remember: bool = True, **options: Any) -> Path:
        """Train and write a run at a time; remember the rows without their gradients."""
        settled = TrainOptions(**self.scale.training | {"seed": self.seed} | options)
        slim: list[pa.Table] = []

        def tapped() -> Iterator[pa.Table]:
            for run in training.runs(settled, **self.means):
                if remember:
                    slim.append(run.drop_columns(["gradient"]))
                yield run

        # The report reads the scale there.
        record = training.record(settled) | {"scale": self.name}
        writing.write(self.path(name), tapped(), TRAIN.recorded(record))
        if remember:
            self.made[name] = pa.concat_tables(slim)
        return self.path(name)

    def cascades(self, source: Path | pa.Table, **options: Any) -> pa.Table:
        """Run the cascades of a train table, data and null."""
        return avalanche(source, seed=self.seed, **self.means, **{"surrogate": BOTH} | options)

    def draw(self, figure: str, *tables: str, prefix: str = "") -> None:
        """Draw a figure in every format."""
        drawn = plot.figure(figure, [self.path(name) for name in tables])
        for kind in FORMATS:
            plot.save(drawn, self.folder / f"{prefix}{figure}.{kind}", figure)

    def experiment(self) -> None:
        """Train the default experiment; cascade and fit data and null."""
        source = self.train("train")
        nulls = SURROGATES if self.scale.study else BOTH
        found = self.keep("avalanche", self.cascades(source, surrogate=nulls))
        self.keep("fss", fss(found, **self.estimating))

    def estimates(self) -> None:
        """Bootstrap it."""
        options = self.estimating | {"resamples": self.scale.resamples}
        self.keep("bootstrap", bootstrap(self.made["avalanche"], **options))

    def scaling(self) -> None:
        """Ask whether the size scales at all: moments, halves, collapse."""
        asked = {"only": ("halves", "moments", "collapse"), "observable": "size"}
        found = diagnose(self.made["avalanche"], **self.estimating | asked)
        self.keep("scaling-diagnostics", found)

    def figures(self) -> None:
        """Draw the source's three figures."""
        for figure in SOURCE:
            self.draw(figure, "train", "avalanche", "fss", "bootstrap")

    def topologies(self) -> None:
        """Cascade the same gradients, and the synthetic control, on five topologies."""
        graphs = {"topology": THE_FIVE, "graph_seed": range(self.scale.graph_seeds)}
        found = self.keep("topologies-avalanche", self.cascades(self.path("train"), **graphs))
        self.keep("topologies-fss", fss(found, observable="size", **self.estimating))

    def shadow(self) -> None:
        """Train on the raw gradient, the cascade only measuring (alpha_train = 0)."""
        found = self.cascades(self.train("shadow-train", probe="shadow"))
        self.keep("shadow-avalanche", found)
        self.keep("shadow-fss", fss(found, observable="size", **self.estimating))

    def choice(self, label: str, **changed: Any) -> None:
        """Train under another choice; its avalanches are kept, its gradients are not."""
        options = self.scale.training | {"seed": self.seed, "label": label} | changed
        trained = training.train(**self.means, **options)
        found = self.cascades(trained, surrogate="none")
        self.tried.append((trained.drop_columns(["gradient"]), found))

    def choices(self) -> None:
        """Fit the other choices; the range their numbers take goes into the table."""
        trained, found = zip(*self.tried, strict=True)
        self.made["choices-train"] = pa.concat_tables(t.replace_schema_metadata() for t in trained)
        self.keep("choices-fss", fss(list(found), observable="size", **self.estimating))

    def diagnoses(self) -> None:
        """Ask what D measures: null models, placebos and all else that diagnose answers."""
        sources = [self.path("avalanche"), self.path("train")]
        self.keep("diagnostics", diagnose(sources, **self.estimating))
        self.draw("nulls", "fss", "train")

    def robustness(self) -> None:
        """Vary the cascade on the same gradients."""
        seeds = self.scale.graph_seeds
        options = self.estimating | {"graph_seeds": seeds, "cache": self.cache}
        self.keep("robustness", robustness(self.path("train"), **options))
        self.draw("robustness", "robustness")

    def gini(self) -> None:
        """Follow the Gini coefficient over many seeds; a run at a time, no gradients."""
        seeds = self.scale.study
        path = self.train("gini-train", remember=False, seeds=seeds, gradients=False)
        self.keep("gini-diagnostics", diagnose(path, only="gini", threads=self.threads))

    def controls(self, options: RunOptions) -> list[Callable[[], None]]:
        """Return the steps that train the cells of a task and compare them."""
        cells = [partial(self.cell, each) for each in options.cells()]
        return [*cells, partial(self.compare, options.task)]

    def parts(self, task: str) -> Path:
        """Return the folder of a task's cells, a train table in parts."""
        return self.folder / f"{task}-controls-train"

    def cell(self, options: RunOptions) -> None:
        """Train a cell of a task, unless an earlier attempt has left the same part."""
        path = self.parts(options.task) / f"{options.case}.parquet"
        path.parent.mkdir(exist_ok=True)
        record = training.record(options) | {"scale": self.name, "code": provenance.code_version()}
        if not holds(path, record):
            runs = training.runs(options, **self.means)
            writing.write(path, runs, TRAIN.recorded(record, single=options.single))

    def compare(self, task: str) -> None:
        """Ask of the cells of a task whether D moves where nothing generalises."""
        name = f"{task}-controls"
        found = self.keep(f"{name}-avalanche", self.cascades(self.parts(task)))
        asked = self.estimating | {"only": ("controls", "density")}
        self.keep(f"{name}-diagnostics", diagnose(found, **asked))
        # Where no run groks there are no phases to draw; the tables stand.
        with suppress(EmptyPanelError):
            for figure in ("controls", "controls-density"):
                self.draw(figure, f"{name}-diagnostics", prefix=f"{task}-")

    def verdict(self) -> None:
        """Judge the claims; write them, and with a study the report."""
        self.claims = claims(self.made)
        page = markdown(self.claims, other_choices(self.made), cautions(self.made), self.name)
        write_text(self.folder / "claims.md", page)
        rows = [row.as_dict() for row in self.claims]
        write_text(self.folder / "claims.json", json.dumps(rows, indent=1) + "\n")
        if self.scale.study:
            report(self.folder, self.folder / "report.html")


def holds(path: Path, record: provenance.Record) -> bool:
    """Return whether a whole table has a record, whenever and by whatever command it was made."""
    try:
        found = reading.verified(path)
    except TableError:
        return False
    # As a record is written: tuples are lists.
    wanted = provenance.decode(provenance.encode(record), str(path))
    apart = {"created": None, "command_line": None}
    return found is not None and wanted is not None and found | apart == wanted | apart


def markdown(rows: list[Claim], choices: list[Row], beware: list[str], scale: str) -> str:
    """Write the table, each row in words, and the numbers under other training choices."""
    both = [c for c in choices if c["D before"] is not None and c["D after"] is not None]
    higher = sum(c["D after"] > c["D before"] for c in both)
    lines = [
        "# The source beside ours",
        "",
        f"grokcrit {__version__}, scale {scale}. Source: arXiv 2604.04655. Basis: stated in the "
        "source, reported by summaries of it, or implied by it. How each row is judged is said in "
        "docs/method.md.",
        "",
    ]
    if scale == "smoke":
        lines += ["Smoke scale: tiny sizes, few runs. These numbers mean nothing.", ""]
    names = ["agrees?" if name == "agrees" else name for name in COLUMNS]
    lines += grid(names, [[getattr(row, name) for name in COLUMNS] for row in rows])
    for title, wanted in (
        ("What disagrees", DISAGREE),
        ("What could not be fitted", ("no fit",)),
        ("What agrees, or is consistent", ("yes", "consistent")),
    ):
        lines += section(title, [row.words for row in rows if row.agrees in wanted])
    lines += section("Beware", beware)
    lines += ["", "## Under other training choices", "", "Mean size; one choice changed at a time."]
    lines += ["", *grid(list(choices[0]), [list(choice.values()) for choice in choices])]
    lines += ["", f"D after exceeds D before under {higher} of the {len(both)} with both fits."]
    judged = {row.claim for row in rows}
    elsewhere = [f"{each.claim} ({each.text})" for each in ELSEWHERE if each.claim not in judged]
    lines += [*section("What XOR cannot answer", elsewhere), ""]
    return "\n".join(lines)


def grid(names: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> list[str]:
    """Return the lines of a table."""
    written = [[v if isinstance(v, str) else number(v) for v in row] for row in rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in [names, *written]]
    return [lines[0], "|" + "---|" * len(names), *lines[1:]]


def section(title: str, items: Sequence[str]) -> list[str]:
    """Return the lines of a section with a list; none where it is empty."""
    return ["", f"## {title}", "", *[f"- {item}" for item in items]] if items else []


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with files.replacing(path) as file:
        file.write(text.encode())
