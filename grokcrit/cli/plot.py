"""``grokcrit plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice
from grokcrit.base.stage_options import PlotOptions
from grokcrit.cli.command import DRAWING, NOTHING_RANDOM, Call, command, completion, inputs, output
from grokcrit.plot import NAMES

Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<column=value>", help="Which case, where there are several (repeatable)."
    ),
]


def conditions(values: list[str] | None) -> dict[str, str]:
    """Read ``column=value`` conditions."""
    chosen = {}
    for value in values or ():
        name, equals, wanted = (part.strip() for part in value.partition("="))
        name = name.replace("-", "_")
        if not (name and equals and wanted):
            raise OptionError("where", f"must be column=value, got {value!r}")
        if name in chosen:
            raise OptionError("where", f"says twice what {name} must be")
        chosen[name] = wanted
    return chosen


@command(PlotOptions, seed=NOTHING_RANDOM, threads=DRAWING)
def plot(
    call: Call,
    figure: Annotated[
        str,
        typer.Argument(
            metavar="FIGURE", help=f"{', '.join(NAMES)}.", autocompletion=completion(NAMES)
        ),
    ],
    table: Annotated[list[Path], inputs("TABLE...", "The tables it needs, in any order.")],
    where: Where = None,
    out: Annotated[
        Path | None, output("png, pdf or svg, by extension.  [default: FIGURE.png]")
    ] = None,
) -> None:
    """Draw one of the source's figures, or a panel alone.

    \b
    Example:
      grokcrit plot fig1 train.parquet fss.parquet -o fig1.pdf
      grokcrit plot dimension train.parquet fss.parquet --aligned -o dimension.png
    """
    check_choice("FIGURE", figure, NAMES)
    target = out or Path(f"{figure}.png")

    from grokcrit.base.summary import Summary
    from grokcrit.stages.plot import plot as stage
    from grokcrit.tables import writing

    writing.check_output(target, table)
    stage(figure, table, target, where=conditions(where), **call.options)
    drawn = {"figure": figure, "file": str(target)}
    call.shell.show(Summary("drawn", [drawn]), target)
