"""``grokcrit train``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokcrit.base.errors import OptionError
from grokcrit.base.summary import Row
from grokcrit.cli.command import Call, command, output
from grokcrit.tasks import TASKS, run_options

if TYPE_CHECKING:
    import pyarrow as pa


@command(*TASKS.values(), out="train.parquet", cache=True)
def train(
    call: Call,
    signals_out: Annotated[
        Path | None,
        output("Table of --signals to write.  [default: --out with .signals]", "--signals-out"),
    ] = None,
    watched_as: Annotated[
        Path | None,
        typer.Option(
            metavar="<signals.parquet>",
            help="Train each run as long after memorising as its partner there, of the same width "
            "and seed; see --after-grok.",
        ),
    ] = None,
) -> None:
    """Train the networks, cascade in line; keep gradients. Makes train.parquet.

    \b
    Example:
      grokcrit train --hidden 20,30,50,75 --seeds 6 -o train.parquet
      grokcrit train --controls --seeds 12 -o cells.parquet
      grokcrit train --task parity --signals all --no-gradients -o parity.parquet
    """
    options = run_options(**call.options)
    beside = signals_out or call.out.with_suffix(".signals" + call.out.suffix)
    if signals_out and not options.signals:
        raise OptionError("signals_out", "is the table of --signals; add --signals all")
    if beside.resolve() == call.out.resolve():
        raise OptionError("signals_out", f"must be another file than --out, got {beside}")

    from grokcrit.base.parallel import thread_count
    from grokcrit.base.processes import one_blas_thread

    if options.signals:
        one_blas_thread()
    from grokcrit.stages import train as stage
    from grokcrit.tables import files, writing

    if watched_as:
        for written in (beside, call.out):
            writing.check_output(written, [watched_as])
        options = stage.watched_as(options, watched_as)

    log: list[Row] = []
    signals: list[pa.Table] = []
    means = call.means | {"threads": thread_count(call.means["threads"])}
    with contextlib.ExitStack() as stack:
        if options.signals:
            # Opened first: a folder that cannot be written is known before the work is done.
            file = stack.enter_context(files.replacing(beside))
        progress = stack.enter_context(call.shell.progress("training", "runs"))
        runs = stage.runs(options, progress=progress, **means)
        writing.write(call.out, stage.noted(runs, log, signals), stage.schema_of(options))
        if options.signals:
            table = stage.signals_of(options, signals)
            writing.fill(file, [table], table.schema)
    if options.signals:
        call.shell.wrote(beside)
    call.shell.show(stage.train_summary(log), call.out)
