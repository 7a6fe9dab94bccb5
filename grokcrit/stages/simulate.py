"""Make avalanches of a system whose exponents are known, to test estimators on."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from grokcrit.base.parallel import Progress
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import NO_TRAINING
from grokcrit.questions.notices import warn
from grokcrit.systems import SystemOptions, system_options
from grokcrit.systems.exact import mean_size
from grokcrit.systems.runs import Made, runs
from grokcrit.tables import provenance
from grokcrit.tables.schemas import AVALANCHE

# Rows of a table that is handed on, so that long runs take little memory.
ROWS = 2**16


def simulate(
    system: str, *, threads: int | None = None, progress: Progress | None = None, **options: Any
) -> pa.Table:
    """Return avalanches of a known system in its stationary state.

    Parameters
    ----------
    system
        ``branching``, ``reed-frost``, ``oslo``, ``manna``, ``btw`` or ``ofc``.
    threads
        How many runs at once; None for all cores. Changes no bit of the result.
    progress
        Called with (runs done, runs in all).
    **options
        Fields of the system's class in :mod:`grokcrit.systems`.

    Returns
    -------
    pyarrow.Table
        Schema ``avalanche/1``, sorted by its key; the record in its metadata. ``epoch`` is the
        number of the avalanche in its run.

    Raises
    ------
    OptionError
        An option out of its range, or of another system.
    """
    chosen = system_options(system, **options)
    return pa.concat_tables(blocks(chosen, [], threads=threads, progress=progress))


def schema_of(options: SystemOptions) -> pa.Schema:
    """Return the Arrow schema of the table, with its record."""
    sides = {size: [size] * options.dimension for size in options.size}
    record = provenance.record(
        AVALANCHE.name,
        {"system": options.task, **asdict(options)},
        root_seed=options.seed,
        cases={options.case: options.case_options},
        widths={
            str(size): [{"name": "sites", "shape": shape, "offset": 0}]
            for size, shape in sides.items()
        },
    )
    return AVALANCHE.recorded(record)


def blocks(
    options: SystemOptions,
    log: list[Row],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[pa.Table]:
    """Make every run; yield the rows in pieces, and append what matters of each run to a log."""
    schema = schema_of(options)
    for made in runs(options, threads, progress):
        log.append(note(made))
        for first in range(0, options.avalanches, ROWS):
            yield rows_of(made, first, min(first + ROWS, options.avalanches), schema)


def rows_of(made: Made, first: int, last: int, schema: pa.Schema) -> pa.Table:
    """Return the rows of the avalanches from ``first`` to below ``last`` of a run."""
    run, part = made.run, made.series.part(first, last)
    options = run.options
    values: dict[str, Any] = {
        "task": options.task,
        "case": options.case,
        "field": NO_TRAINING,
        "surrogate": "none",
        "replicate": 0,
        "alpha": options.parameters.get("alpha"),
        "width": run.size,
        "n_params": options.n_params(run.size),
        "seed": run.seed,
    }
    columns: dict[str, Any] = {"epoch": np.arange(first, last, dtype=np.int32), **part._asdict()}
    arrays = [
        pa.array(columns[field.name])
        if field.name in columns
        else pa.repeat(pa.scalar(values.get(field.name), field.type), last - first)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def note(made: Made) -> Row:
    """Return what the summary says of a run."""
    series = made.series
    return {
        "size": made.run.size,
        "warmup": made.warmup,
        "mean": float(series.size.mean()),
        "duration": float(series.duration.mean()),
        "largest": int(series.size.max()),
        "truncated": int(series.truncated.sum()),
    }


def simulate_summary(options: SystemOptions, log: list[Row]) -> Summary:
    """Sum up a simulation: the mean avalanche size of each size of the system."""
    rows = []
    for size in options.size:
        mine = [run for run in log if run["size"] == size]
        means = [run["mean"] for run in mine]
        spread = statistics.stdev(means) / len(means) ** 0.5 if len(means) > 1 else None
        rows.append(
            {
                "size": size,
                "N": options.n_params(size),
                "warm-up": (min(r["warmup"] for r in mine), max(r["warmup"] for r in mine)),
                "mean s": statistics.fmean(means),
                "standard error": spread,
                "exact mean": mean_size(options, size),
                "largest s": max(run["largest"] for run in mine),
                "mean duration": statistics.fmean(run["duration"] for run in mine),
            }
        )
    if not any(run["warmup"] for run in log):
        for row in rows:
            del row["warm-up"]
    names = ("mean s", "standard error", "exact mean", "mean duration")
    count = f"{options.seeds} run{'s' * (options.seeds > 1)} of {options.avalanches:,} avalanches"
    sizes = f"{len(rows)} size{'s' * (len(rows) > 1)}"
    title = f"{options.case}: {count} for each of {sizes}; {beginning(options, log)}"
    return Summary(title, rows, truncated(options, log), dict.fromkeys(names, ".4g"))


def beginning(options: SystemOptions, log: list[Row]) -> str:
    """Return how the runs came to the state in which their avalanches count."""
    if options.warmup is not None:
        return f"warm-up of {options.warmup:,} avalanches, as asked for"
    if options.drifts:
        least, most = (f(run["warmup"] for run in log) for f in (min, max))
        count = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        return f"warm-up of {count} avalanches, until mean stress and mean size no longer drifted"
    return "no warm-up, as runs start in the stationary state"


def truncated(options: SystemOptions, log: list[Row]) -> list[Notice]:
    """Warn of trees that were cut off."""
    count, total = sum(run["truncated"] for run in log), options.avalanches * len(log)
    return warn("truncated/trees", count, total)
