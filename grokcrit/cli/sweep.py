"""``grokcrit sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.base.errors import GrokcritError
from grokcrit.cli.command import Call, command, inputs


@command(
    out="sweep",
    writes="Folder to fill, or to go on with.",
    seed="Root seed of everything random that the file gives none for.",
    threads="Processes to use.  [default: all cores]",
    cache=True,
)
def sweep(
    call: Call,
    plan: Annotated[
        Path,
        inputs("SWEEP.toml", "[train] and [avalanche]: their options; lists and ranges are axes."),
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the file; say how much there is to do, and stop."),
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask: address or file of a scheduler, or local-cluster.  "
            "[default: processes of this machine]"
        ),
    ] = None,
) -> None:
    """Measure D over many choices of training and cascade. Fills sweep/.

    What is there already is not computed again: a sweep that was stopped goes on when the same
    command is given again, and so does one whose file has grown. The joint table is
    sweep/sweep.parquet, a point is a part in sweep/parts/.

    \b
    Example:
      grokcrit sweep examples/sweep.toml -o sweep/ --dry-run
      grokcrit sweep examples/sweep.toml -o sweep/
      grokcrit plot sweep sweep/ -o sweep.png
    """
    from grokcrit.base.options import INT64_MAX, check_integer
    from grokcrit.base.parallel import thread_count
    from grokcrit.sweeps.plan import read_plan

    check_integer("seed", call.seed, 0, INT64_MAX)
    workers, cache = thread_count(call.means["threads"]), call.means["cache"]
    made = read_plan(plan, call.seed)
    if dry_run:
        from grokcrit.sweeps.account import planned_summary

        call.shell.show(planned_summary(made, call.out, workers), None)
        return

    from grokcrit.sweeps.account import swept_summary
    from grokcrit.sweeps.sweep import sweep as stage

    with call.shell.progress("sweeping", "points") as progress:
        found = stage(
            made, call.out, scheduler=scheduler, threads=workers, progress=progress, cache=cache
        )
    call.shell.show(swept_summary(found), found.table)
    if found.failed:
        key, reason = next(iter(found.failed.items()))
        raise GrokcritError(
            f"of {found.points} points {len(found.failed)} failed, the first ({key}): {reason}; "
            f"the column error of {found.table} has them all, and the same command tries them again"
        )
