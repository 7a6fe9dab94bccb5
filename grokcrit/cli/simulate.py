"""``grokcrit simulate``."""

from __future__ import annotations

from typing import Annotated

import typer

from grokcrit.base.summary import Row
from grokcrit.cli.command import Call, command
from grokcrit.systems import SYSTEMS, system_options

KNOWN = ", ".join(SYSTEMS)


@command(*SYSTEMS.values(), out="avalanche.parquet")
def simulate(
    call: Call,
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help=f"One of {KNOWN}.")],
) -> None:
    """Make avalanches of a system whose exponents are known. Makes avalanche.parquet.

    \b
    Example:
      grokcrit simulate oslo --size 16,32,64,128,256 --avalanches 10000 -o avalanche.parquet
      grokcrit simulate ofc --alpha 0.15 -o ofc.parquet
    """
    options = system_options(system, **call.options)

    from grokcrit.stages import simulate as stage
    from grokcrit.tables import writing

    log: list[Row] = []
    with call.shell.progress("simulating", "runs") as progress:
        made = stage.blocks(options, log, progress=progress, **call.means)
        writing.write(call.out, made, stage.schema_of(options))
    call.shell.show(stage.simulate_summary(options, log), call.out)
