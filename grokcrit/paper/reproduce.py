"""All of it in one command: the default experiment, its controls, the source beside ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from grokcrit.base.errors import OptionError, TableError, UnwritableError
from grokcrit.base.options import check_choice
from grokcrit.base.parallel import Progress, thread_count
from grokcrit.base.processes import Pool, outcome
from grokcrit.base.vocabulary import SURROGATES, THE_FIVE
from grokcrit.paper.claim_exponents import cautions, other_choices
from grokcrit.paper.claims import Claim, claims
from grokcrit.paper.page import markdown
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
    aside: bool = False,
) -> list[Claim]:
    """Return the claims of the source, judged on a repetition of the experiment.

    Tables, figures, ``claims.md`` and ``claims.json`` go to the folder ``out``, made if missing.
    Scale ``paper`` is the source's experiment; ``full`` adds null models, placebos, robustness, a
    thousand seeds for the Gini coefficient, matched controls of XOR and a report, and where torch
    is installed the matched controls of modular addition, which take an hour: a program that runs
    those starts under ``if __name__ == "__main__":``. ``smoke`` is ``full`` without matched
    controls on tiny sizes, its numbers mean nothing. ``progress`` is called with (steps done, in
    all), ``tell`` with what will take long, before anything begins. ``aside``: where there is more
    than one thread, figures and the Gini study are made in a process beside the steps; a program
    that asks for it starts under ``if __name__ == "__main__":``.
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
    with Pool(1) if aside and thread_count(threads) > 1 else nullcontext() as pool:
        work = Work(folder, scale, seed, threads, cache, pool)
        steps = work.steps()
        for done, step in enumerate(steps):
            if progress:
                progress(done, len(steps))
            step()
            pa.default_memory_pool().release_unused()
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
    pool: Pool | None = None  # of one process, for what can be made beside the steps
    begun: list[Future[dict[str, pa.Table]]] = field(default_factory=list)  # in it
    made: dict[str, pa.Table] = field(default_factory=dict)
    tried: list[tuple[pa.Table, pa.Table]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def steps(self) -> list[Callable[[], None]]:
        """Return the steps in order."""
        hidden = TrainOptions(**self.scale.training).hidden
        quarter = len(hidden) // 4
        compared = [self.controls(options) for options in controlled(self.name, self.seed)]
        return [
            # The longest, and nothing but the verdict needs it.
            *([partial(self.beside, "gini")] if self.scale.study else []),
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
            *([self.diagnoses, self.robustness] if self.scale.study else []),
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
            for run in training.tables(settled, **self.means):
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

    def beside(self, step: str, *arguments: str, **named: str) -> None:
        """Run a step whose tables the verdict alone needs: in the pool, if there is one."""
        if self.pool is None:
            getattr(self, step)(*arguments, **named)
            return
        alone = Work(self.folder, self.name, self.seed, self.threads, self.cache)
        task = (alone, step, arguments, named, provenance.command_line)
        self.begun.append(self.pool.submit(tables_of, task))

    def await_begun(self) -> None:
        """Wait for what was begun in the pool, and remember its tables."""
        for future in self.begun:
            tables: dict[str, pa.Table] = outcome(future)
            self.made |= tables
        self.begun.clear()

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
            self.beside("draw", figure, "train", "avalanche", "fss", "bootstrap")

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
        self.beside("draw", "nulls", "fss", "train")

    def robustness(self) -> None:
        """Vary the cascade on the same gradients."""
        seeds = self.scale.graph_seeds
        options = self.estimating | {"graph_seeds": seeds, "cache": self.cache}
        self.keep("robustness", robustness(self.path("train"), **options))
        self.beside("draw", "robustness", "robustness")

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
            runs = training.tables(options, **self.means)
            writing.write(path, runs, TRAIN.recorded(record, single=options.single))

    def compare(self, task: str) -> None:
        """Ask of the cells of a task whether D moves where nothing generalises."""
        name = f"{task}-controls"
        found = self.keep(f"{name}-avalanche", self.cascades(self.parts(task)))
        asked = self.estimating | {"only": ("controls", "density")}
        self.keep(f"{name}-diagnostics", diagnose(found, **asked))
        self.beside("draw_controls", task)

    def draw_controls(self, task: str) -> None:
        """Draw how its cells compare; where no run groks there are no phases, the tables stand."""
        with suppress(EmptyPanelError):
            for figure in ("controls", "controls-density"):
                self.draw(figure, f"{task}-controls-diagnostics", prefix=f"{task}-")

    def verdict(self) -> None:
        """Judge the claims; write them, and with a study the report."""
        self.await_begun()
        self.claims = claims(self.made)
        page = markdown(self.claims, other_choices(self.made), cautions(self.made), self.name)
        write_text(self.folder / "claims.md", page)
        rows = [row.as_dict() for row in self.claims]
        write_text(self.folder / "claims.json", json.dumps(rows, indent=1) + "\n")
        if self.scale.study:
            report(self.folder, self.folder / "report.html")


def tables_of(
    task: tuple[Work, str, tuple[str, ...], dict[str, str], str | None],
) -> dict[str, pa.Table]:
    """Run a step in a process of its own; return the tables that it made."""
    work, step, arguments, named, provenance.command_line = task
    getattr(work, step)(*arguments, **named)
    pa.default_memory_pool().release_unused()
    return work.made


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


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with files.replacing(path) as file:
        file.write(text.encode())
