"""Watching: parts of running trainings, read while they grow; the newest of each run, and D(t)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import EmptyError, GrokcritError, RepeatedError, StageError, reason
from grokcrit.base.parallel import Progress
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import MINIMUM_SIZES, NO_TRAINING, SURROGATES
from grokcrit.questions.judge import FAMILY
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals, cases_of, column
from grokcrit.scaling.fits import exponents
from grokcrit.scaling.reductions import over_runs, over_snapshots, quotient
from grokcrit.tables.checking import check_unique
from grokcrit.tables.reading import Inputs, concatenated, parts_of, place_of, split, stage_of
from grokcrit.tables.schemas import AVALANCHE, TRAIN

RESAMPLES, CONFIDENCE = 2000, 0.95
# A part that is replaced while it is read is read again, that often.
TRIES = 3
ACCURACIES = ("test_accuracy", "train_accuracy")
# What a view needs of a part: no activity, no gradient.
KEPT = (
    *AVALANCHE.key,
    *("n_params", "grok_epoch", "threshold", "size", "truncated", "zero_threshold", "loss"),
    *ACCURACIES,
)
OF_RUN = ("n_params", "width", "seed")
# Tells one version of a file from the next: when it was written (ns), its length, its inode.
Signature: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Part:
    """A version of a file: its rows, or why it has none."""

    signature: Signature
    table: pa.Table | None = None
    notice: Notice | None = None


@dataclass(frozen=True, eq=False)
class Series:
    """Numbers over steps; those that are not known are left out."""

    steps: Ints
    values: Reals

    @classmethod
    def known(cls, steps: Ints, values: Reals) -> Series:
        """Return the numbers that are not NaN."""
        there = ~np.isnan(values)
        return cls(steps[there], values[there])

    @property
    def last(self) -> float | None:
        """The newest value; None where there is none."""
        return float(self.values[-1]) if len(self.values) else None


@dataclass(frozen=True, eq=False)
class Running:
    """What is known of one run."""

    case: Row  # what tells cases apart
    width: int
    n_params: int
    seed: int
    step: int
    updated: float  # when its newest part was written, in seconds of the clock
    loss: float | None
    accuracies: Mapping[str, Series]
    null: str | None  # the null model that its density is compared with
    density: Series  # size over the mean size of the null's replicates at the same step

    @property
    def accuracy(self) -> str:
        """Which accuracy to show: test, or train where there is no test."""
        known = [name for name in ACCURACIES if len(self.accuracies[name].values)]
        return (*known, *ACCURACIES)[0]


@dataclass(frozen=True)
class Dimension:
    """D of the mean size of one case over the steps that the same widths have in common."""

    case: Row
    data: Series
    null: str | None
    of_null: float | None  # D of the null at the newest step
    interval: tuple[float, float] | None
    runs: tuple[int, int]  # fewest and most runs of a width at the newest step
    widths: tuple[int, int]  # widths in the fit, and all


@dataclass(frozen=True)
class View:
    """All that there is to see at one moment."""

    runs: Sequence[Running] = ()
    dimensions: Sequence[Dimension] = ()
    waiting: Sequence[str] = ()  # folders without parts, and why
    warnings: Sequence[Notice] = ()

    @property
    def headline(self) -> str:
        """One sentence to quote."""
        if not self.runs:
            read = "no part could be read" if self.warnings else "the parts hold null models alone"
            return f"no runs yet: {'; '.join(self.waiting) or read}"
        widths, newest = {run.width for run in self.runs}, max(run.step for run in self.runs)
        cases = {tuple(run.case.items()) for run in self.runs}
        told = f"{counted(len(self.runs), 'run')} of {counted(len(widths), 'width')}"
        told += f" in {len(cases)} cases" if len(cases) > 1 else ""
        told += f", newest step {newest:,}; "
        if len(self.dimensions) == 1:
            return told + sentence(self.dimensions[0])
        if self.dimensions:
            return told + f"D of the mean size of {len(self.dimensions)} cases below"
        if not any(run.case["topology"] for run in self.runs):
            return told + "no D: these parts have gradients, not avalanches"
        return told + f"no D yet: it needs a step that {MINIMUM_SIZES} widths have in common"


class Watched:
    """Files and folders of parts; a part is read again only when it has changed."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]], seed: int = 0) -> None:
        """Remember what to watch; ``seed`` is that of the resampling."""
        self.paths, self.seed = [Path(each) for each in paths], seed
        self._parts: dict[str, Part] = {}
        self._view = View()

    def look(
        self, ended: Callable[[], bool] = lambda: False, progress: Progress | None = None
    ) -> View:
        """Return what the parts hold now; where ``ended`` becomes true, what was seen before."""
        found: dict[str, Part] = {}
        waiting: list[str] = []
        paths = {place_of(path): path for path in self._listed(waiting)}
        for done, (place, path) in enumerate(paths.items()):
            if ended():
                return self._view
            if progress:
                progress(done, len(paths))
            if part := current(path, self._parts.get(place)):
                found[place] = part
        if found != self._parts or waiting != self._view.waiting:
            self._parts, self._view = found, view_of(list(found.values()), waiting, self.seed)
        return self._view

    def _listed(self, waiting: list[str]) -> Iterator[Path]:
        """Yield the parts that are there; say what there is to wait for."""
        for path in self.paths:
            try:
                parts = parts_of(path)
                if parts == [path]:
                    path.stat()
                yield from parts
            except EmptyError:
                waiting.append(f"{path} has no parts yet")
            except FileNotFoundError:
                waiting.append(f"{path} is not there yet")
            except OSError as error:
                waiting.append(f"{path} cannot be read: {reason(error)}")


def signature_of(path: Path) -> Signature | None:
    """Return the signature of a file; None where it has gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def current(path: Path, known: Part | None) -> Part | None:
    """Return a part as it is now; None where it has gone.

    A reader opens a file several times: if another takes its place meanwhile, what was read may be
    of both, or seem damaged. So it counts only where the file is the same before and after.
    """
    before = signature_of(path)
    for _ in range(TRIES):
        if before is None or (known and known.signature == before):
            return known if before else None
        part = read(path, before)
        after = signature_of(path)
        if after == before:
            return part
        before = after
    return known


def read(path: Path, signature: Signature) -> Part:
    """Read what a view needs of a part, each row with the time at which it was written."""
    try:
        stage = stage_of(path)
        schema = {"avalanche": AVALANCHE, "train": TRAIN}.get(stage)
        if schema is None:
            raise StageError(
                f"{path} is a table of stage '{stage}'; watch reads parts of a recorder"
            )
        table = Inputs(path, schema.only(KEPT)).read()
        if NO_TRAINING in pc.unique(table["field"]).to_pylist():
            raise StageError(f"{path} has avalanches without a training; watch shows trainings")
    except (GrokcritError, OSError) as error:
        return Part(signature, notice=Notice(getattr(error, "id", "unreadable"), str(error)))
    if stage == "train":  # its cascade, where it has one, has no null model
        rows = table.drop_columns(["size"])
        table = rows.append_column("surrogate", pa.array(["none"] * rows.num_rows))
    updated = pa.array(np.full(table.num_rows, signature[0] / 1e9))
    return Part(signature, table.append_column("updated", updated))


def view_of(parts: Sequence[Part], waiting: Sequence[str], seed: int) -> View:
    """Return the view of some parts."""
    warnings = [part.notice for part in parts if part.notice]
    tables = [part.table for part in parts if part.table is not None]
    # The empty table has every column: parts of `train` have fewer, theirs are then null.
    rows = concatenated([AVALANCHE.only(KEPT).arrow.empty_table(), *tables])
    order = (*FAMILY, *OF_RUN, "epoch", "surrogate", "replicate")
    # Of 600,000 rows a column with one value would cost 30 ms of sorting each.
    several = [name for name in order if pc.count_distinct(rows[name], "all").as_py() > 1]
    rows = rows.sort_by([(name, "ascending") for name in several or order]).combine_chunks()
    try:
        check_unique(rows, AVALANCHE, "watched")
    except RepeatedError as error:
        warnings.append(Notice(error.id, str(error)))
    runs: list[Running] = []
    dimensions = []
    for family in split(rows, FAMILY):
        case = {name: family[name][0].as_py() for name in FAMILY}
        there = pc.unique(family["surrogate"]).to_pylist()
        null = next((name for name in ("gaussian", *SURROGATES[1:]) if name in there), None)
        data = with_null(family, null)
        runs += [running(case, null, run) for run in split(data, OF_RUN)]
        if found := dimension(case, null, data, seed):
            dimensions.append(found)
    return View(once_each(runs), dimensions, waiting, warnings)


def with_null(family: pa.Table, null: str | None) -> pa.Table:
    """Return the data of a case with a column ``null``: the mean size of the null's replicates."""
    place = [*OF_RUN, "epoch"]
    data = family.filter(pc.equal(family["surrogate"], "none"))
    of_null = family.filter(pc.equal(family["surrogate"], null or ""))
    means = of_null.group_by(place).aggregate([("size", "mean")])
    joint = data.join(means.rename_columns([*place, "null"]), place, join_type="left outer")
    return joint.sort_by([(name, "ascending") for name in place]).combine_chunks()


def running(case: Row, null: str | None, rows: pa.Table) -> Running:
    """Return what is known of a run, given its rows in the order of their steps."""
    steps = column(rows, "epoch").astype(np.int64)

    def series(name: str) -> Series:
        return Series.known(steps, column(rows, name).astype(np.float64))

    size, of_null = (column(rows, name).astype(np.float64) for name in ("size", "null"))
    return Running(
        case,
        **{name: rows[name][0].as_py() for name in OF_RUN},
        step=int(steps[-1]),
        updated=pc.max(rows["updated"]).as_py(),
        loss=series("loss").last,
        accuracies={name: series(name) for name in ACCURACIES},
        null=null,
        density=Series.known(steps, quotient(size, of_null)),
    )


def once_each(runs: Sequence[Running]) -> list[Running]:
    """Leave out runs that only have gradients where their avalanches are there, too."""

    def named(run: Running) -> tuple[Any, ...]:
        return (*(run.case[name] for name in ("task", "case", "field")), run.width, run.seed)

    cascaded = {named(run) for run in runs if run.case["topology"]}
    return [run for run in runs if run.case["topology"] or named(run) not in cascaded]


def dimension(case: Row, null: str | None, data: pa.Table, seed: int) -> Dimension | None:
    """Return D of the mean size of a case over steps; None below three widths with one in common.

    Every step is fitted over the same widths, so that none comes or goes in the middle: those that
    have the newest of the steps which the most widths have in common.
    """
    if pc.count_distinct(data["n_params"]).as_py() < MINIMUM_SIZES or data["size"].null_count:
        return None
    (found,) = cases_of(data, {})
    bins = windows(found, "epoch")
    by_run = over_snapshots(found, found.observe("size"), bins, "mean")
    by_null = over_snapshots(found, column(found.table, "null"), bins, "mean")
    means, means_of_null = (over_runs(found, each, "mean") for each in (by_run, by_null))
    there = means > 0
    count = there.sum(axis=1)
    if count.max(initial=0) < MINIMUM_SIZES:
        return None
    newest = np.flatnonzero(count == count.max())[-1]
    fitted = there[newest]
    common = there[:, fitted].all(axis=1)
    sizes = found.sizes[fitted]
    with_data = found.size_of[~np.isnan(by_run[:, newest])]
    of_sizes = np.bincount(with_data, minlength=len(fitted))[fitted]
    chosen = np.where(fitted[found.size_of], by_run[:, newest], np.nan)
    of_null = exponents(sizes, means_of_null[newest, fitted])
    return Dimension(
        case,
        Series(np.array(bins.times, np.int64)[common], exponents(sizes, means[common][:, fitted])),
        null,
        None if np.isnan(of_null) else float(of_null),
        interval_of(found, chosen, seed) if of_sizes.min() > 1 else None,
        (int(of_sizes.min()), int(of_sizes.max())),
        (len(sizes), len(found.sizes)),
    )


def interval_of(found: Ensemble, by_run: Reals, seed: int) -> tuple[float, float] | None:
    """Return the interval of D at one step, as `fss` has it; None where there is none."""
    draws = resampling.draw_runs(found, RESAMPLES, seed)
    estimate = resampling.exponents(found, by_run[:, None], "mean", draws)
    low, high = (float(end[0]) for end in estimate.interval(CONFIDENCE))
    return None if np.isnan(low) else (low, high)


def sentence(found: Dimension) -> str:
    """Say what D is at the newest step."""
    fitted, widths = found.widths
    over = f" over {fitted} of {widths} widths" if fitted < widths else ""
    fewest, most = found.runs
    runs = "one run" if most == 1 else f"{fewest} to {most} runs"
    interval = f"no interval: {runs} per width"
    if found.interval:
        low, high = found.interval
        interval = f"{100 * CONFIDENCE:g} % CI {low:.2f} to {high:.2f}"
    told = f"D of the mean size at step {found.data.steps[-1]:,}{over}: {found.data.last:.2f}"
    null = "Gaussian" if found.null == "gaussian" else found.null
    return f"{told} ({interval})" + (
        f", {null} null {found.of_null:.2f}" if found.of_null is not None else ""
    )


def counted(number: int, what: str) -> str:
    """Write a number of things."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def watch_summary(view: View, now: float) -> Summary:
    """Return a view for scripts: its numbers, and D over the steps."""
    rows = [
        {
            **run.case,
            "width": run.width,
            "n_params": run.n_params,
            "seed": run.seed,
            "step": run.step,
            "seconds_since_written": max(0.0, now - run.updated),
            "loss": run.loss,
            **{name: each.last for name, each in run.accuracies.items()},
            "null": run.null,
            "density_over_null": run.density.last,
        }
        for run in view.runs
    ]
    newest = [
        {
            **each.case,
            "step": int(each.data.steps[-1]),
            "exponent": each.data.last,
            "interval": each.interval,
            "null": each.null,
            "null_exponent": each.of_null,
            "widths": each.widths[0],
            "widths_in_all": each.widths[1],
        }
        for each in view.dimensions
    ]
    course = [
        {**each.case, "step": int(step), "exponent": float(value)}
        for each in view.dimensions
        for step, value in zip(each.data.steps, each.data.values, strict=True)
    ]
    more = [Summary("D of the mean size", newest), Summary("D of the mean size over steps", course)]
    return Summary(view.headline, rows, list(view.warnings), more=more)
