"""Stage 1: train the networks of a task, cascade in line, keep the gradients."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.degenerate import zero_threshold
from grokcrit.base.errors import OptionError, TableError
from grokcrit.base.options import INT32_MAX, CascadeOptions, listed, options_of
from grokcrit.base.parallel import Progress
from grokcrit.base.summary import Row, Summary
from grokcrit.cascades.graphs import check_graph
from grokcrit.questions.notices import warn
from grokcrit.signals.collector import ACCURACIES
from grokcrit.signals.registry import chosen
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, TableLike
from grokcrit.tables.schemas import MEMORISED, SIGNALS, TRAIN
from grokcrit.tasks import run_options
from grokcrit.tasks.options import RunOptions, Trained
from grokcrit.tasks.train_rows import tensors_of


def train(
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
    **options: Any,
) -> pa.Table:
    """Train every run and return the train table.

    Parameters
    ----------
    threads
        How many runs at once; None for all cores. Changes no bit of the result. Runs of modular
        addition are processes: a program that trains them starts under
        ``if __name__ == "__main__":``.
    progress
        Called with (runs done, runs in all).
    cache
        Whether to keep graphs on disk, and take them from there.
    **options
        Fields of :class:`grokcrit.tasks.xor.TrainOptions`, with ``task="parity"`` of
        :class:`grokcrit.tasks.parity.ParityOptions`, or with ``task="modadd"`` of
        :class:`grokcrit.tasks.modadd.ModaddOptions`, which needs torch.

    Returns
    -------
    pyarrow.Table
        Schema ``train/1``, its record in the metadata.

    Raises
    ------
    OptionError
        An option out of its range.
    RunError
        A run diverged.
    """
    settled = run_options(**options)
    return pa.concat_tables(tables(settled, threads=threads, progress=progress, cache=cache))


def measured(
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
    signals: str | Sequence[str] = "all",
    **options: Any,
) -> tuple[pa.Table, pa.Table]:
    """Train every run and measure signals; return the train table and the signals table.

    Takes the parameters of :func:`train`; schemas ``train/1`` and ``signals/1``. The column
    ``seconds`` of signals is measured time, and differs from one call to the next.
    """
    settled = run_options(signals=listed(signals), **options)
    found = list(runs(settled, threads=threads, progress=progress, cache=cache))
    return pa.concat_tables(each.rows for each in found), signals_of(
        settled, [each.signals for each in found if each.signals is not None]
    )


def signals_of(options: RunOptions, tables: Sequence[pa.Table]) -> pa.Table:
    """Return the signals of some runs as one table with its record."""
    schema = SIGNALS.recorded(record(options, SIGNALS.name))
    return pa.concat_tables(tables).replace_schema_metadata(schema.metadata)


def record(options: RunOptions, schema: str = TRAIN.name) -> provenance.Record:
    """Make the record of a training."""
    return provenance.record(
        schema,
        {name: getattr(options, name) for name in options_of(type(options))},
        root_seed=options.seed,
        cases={each.case: each.case_options for each in options.cells()},
        widths={str(h): tensors_of(options.shapes(h)) for h in options.hidden},
    )


def schema_of(options: RunOptions) -> pa.Schema:
    """Arrow schema of a training's table, with its record."""
    return TRAIN.recorded(record(options), single=options.single)


def runs(
    options: RunOptions,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
) -> Iterator[Trained]:
    """Train every run; yield the tables of each, by cell, width and seed."""
    check_sizes(options)
    chosen(options.signals or ())
    schema = schema_of(options)
    cells = options.cells()
    trained: Iterator[Trained] = options.trainer().runs(cells, schema, threads, progress, cache)
    return trained


def tables(options: RunOptions, **means: Any) -> Iterator[pa.Table]:
    """Train every run; yield its rows of the train table."""
    for each in runs(options, **means):
        yield each.rows


def check_sizes(options: RunOptions) -> None:
    """Raise OptionError where a run would hold too much, or its sizes cannot have the graph."""
    options.trainer()  # there is one, or it is said what is missing
    if options.snapshots * options.n_params(options.hidden[-1]) > INT32_MAX:
        raise OptionError(
            "snapshot_every", "keeps more than 2^31 gradient entries of a run; choose a larger one"
        )
    check_graphs(options, options)


def check_graphs(options: RunOptions, cascade: CascadeOptions) -> None:
    """Raise OptionError where the sizes of a training cannot have the graph of a cascade."""
    for width in options.hidden:
        check_graph(cascade.topology, options.n_params(width), cascade.degree)


def watched_as(options: RunOptions, partners: TableLike) -> RunOptions:
    """Return the options of runs that are watched as long as those of a signals table.

    That is, from memorising on, as long as the run of the same width and seed was trained there, if
    that one grokked. Raise TableError where the table is of several cases, or no run grokked in it.
    """
    if options.task == "xor":
        raise OptionError("watched_as", "is not an option of --task xor")
    table = Inputs(partners, SIGNALS.without(("seconds", "training_seconds"))).read()
    if len(cases := pc.unique(table["case"])) > 1:
        raise TableError(f"the partners are of {len(cases)} cases; give a table of one")
    memorised, grokked = (first_above(table, name) for name in ACCURACIES)
    ends = table.group_by(["width", "seed"]).aggregate([("epoch", "max")]).to_pylist()
    last = {(run["width"], run["seed"]): run["epoch_max"] for run in ends}
    exposures = {run: last[run] - memorised[run] for run in grokked if run in memorised}
    if not exposures:
        raise TableError("no run of the partners memorises and groks; controls need some that do")
    return replace(options, exposures=tuple(sorted(exposures.items())))


def first_above(table: pa.Table, accuracy: str) -> dict[tuple[int, int], int]:
    """Return the first epoch of each (width, seed) at which an accuracy is above MEMORISED."""
    # That is also the level of grokking.
    above = pc.and_(pc.equal(table["signal"], accuracy), pc.greater(table["value"], MEMORISED))
    runs = table.filter(above).group_by(["width", "seed"]).aggregate([("epoch", "min")])
    return {(run["width"], run["seed"]): run["epoch_min"] for run in runs.to_pylist()}


def noted(
    trained: Iterable[Trained], log: list[Row], signals: list[pa.Table]
) -> Iterator[pa.Table]:
    """Pass run tables on; append what matters of each to a log, and signals to a list."""
    names = ("case", "width", "n_params", "seed", "grok_epoch_first", "grok_epoch")
    for each in trained:
        if each.signals is not None:
            signals.append(each.signals)
        block = each.rows
        note = {name: block[name][0].as_py() for name in names}
        note |= {name: block[name][-1].as_py() for name in ("train_accuracy", "test_accuracy")}
        note["rows"] = block.num_rows
        note["snapshots"] = block.num_rows - block["gradient"].null_count
        note["cascades"] = block.num_rows - block["size"].null_count
        zero = zero_threshold(block["threshold"], block["size"])
        note["zero"] = int(zero.sum())
        note["truncated"] = pc.sum(pc.and_not(block["truncated"], pa.array(zero))).as_py() or 0
        log.append(note)
        yield block


def train_summary(runs: list[Row]) -> Summary:
    """Sum up a training: grokking epochs of each width, or of each cell of ``controls``."""
    cells = list(dict.fromkeys(run["case"] for run in runs))
    by = "case" if len(cells) > 1 else "width"
    rows = []
    for each in cells if by == "case" else sorted({run["width"] for run in runs}):
        mine = [run for run in runs if run[by] == each]
        grok = [run["grok_epoch"] for run in mine if run["grok_epoch"] is not None]
        row = {"case": each} if by == "case" else {"hidden": each, "N": mine[0]["n_params"]}
        row |= {
            "runs": len(mine),
            "grokked": len(grok),
            "grok_epoch median": statistics.median(grok) if grok else None,
            "grok_epoch range": (min(grok), max(grok)) if grok else None,
        }
        if by == "case":
            for name in ("train_accuracy", "test_accuracy"):
                row[f"last {name}"] = statistics.fmean(run[name] for run in mine)
        else:
            row |= {name: sum(run[name] for run in mine) for name in ("rows", "snapshots")}
        rows.append(row)
    never = sum(run["grok_epoch"] is None for run in runs)
    warnings = warn("never-grokked/trained", never, len(runs))
    cascades = sum(run["cascades"] for run in runs)
    warnings += warn("zero-threshold/trained", sum(run["zero"] for run in runs), cascades)
    warnings += warn("truncated", sum(run["truncated"] for run in runs), cascades)
    total = sum(run["snapshots"] for run in runs)
    title = f"{len(runs)} runs, {sum(run['rows'] for run in runs)} rows, {total} snapshots"
    return Summary(title, rows, warnings, {"grok_epoch median": ".4g"})
