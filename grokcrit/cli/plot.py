"""``grokcrit plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice
from grokcrit.base.vocabulary import COMPARISONS, FIGURES, OBSERVABLES, PANELS, STATISTICS
from grokcrit.cli import shell as sh

KNOWN = FIGURES + COMPARISONS + PANELS


def complete_figure(start: str) -> list[str]:
    """Complete a figure."""
    return [name for name in KNOWN if name.startswith(start)]


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


def plot(
    figure: Annotated[
        str,
        typer.Argument(
            metavar="FIGURE", help=f"{', '.join(KNOWN)}.", autocompletion=complete_figure
        ),
    ],
    table: Annotated[
        list[Path],
        typer.Argument(
            metavar="TABLE...", readable=False, help="The tables it needs, in any order."
        ),
    ],
    observable: Annotated[str, typer.Option(help=f"{', '.join(OBSERVABLES)}.")] = "size",
    statistic: Annotated[
        str, typer.Option(help=f"Whose D(t) is shown: {', '.join(STATISTICS)}.")
    ] = "mean",
    hidden: Annotated[
        int | None,
        typer.Option("--hidden", "--width", help="Example run.  [default: the middle width]"),
    ] = None,
    run: Annotated[
        int | None, typer.Option(help="Seed of the example run.  [default: the first]")
    ] = None,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Against the time since each run's grokking epoch.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<column=value>", help="Which case, where there are several (repeatable)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Accepted as everywhere; nothing here is random.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            readable=False,
            callback=sh.named,
            help="png, pdf or svg, by extension.  [default: FIGURE.png]",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Accepted as everywhere; drawing uses one.")
    ] = None,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Draw one of the source's figures, or a panel alone.

    \b
    Example:
      grokcrit plot fig1 train.parquet fss.parquet -o fig1.pdf
      grokcrit plot dimension train.parquet fss.parquet --aligned -o dimension.png
    """
    check_choice("FIGURE", figure, KNOWN)
    check_choice("observable", observable, OBSERVABLES)
    check_choice("statistic", statistic, STATISTICS)
    target = out or Path(f"{figure}.png")

    from grokcrit.plot import plot as stage
    from grokcrit.summaries import Summary
    from grokcrit.tables import writing

    writing.check_output(target, table)
    stage(
        figure,
        table,
        target,
        observable=observable,
        statistic=statistic,
        width=hidden,
        run=run,
        aligned=aligned,
        where=conditions(where),
    )
    drawn = {"figure": figure, "file": str(target)}
    sh.Shell(quiet, json, silence).show(Summary("drawn", [drawn]), target)
