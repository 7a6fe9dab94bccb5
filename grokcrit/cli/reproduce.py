"""``grokcrit reproduce``."""

from __future__ import annotations

from typing import Annotated

import typer

from grokcrit.cli.command import Call, command
from grokcrit.cli.shell import aside


@command(out="results", writes="Folder to fill.", cache=True)
def reproduce(
    call: Call,
    scale: Annotated[
        str,
        typer.Option(
            help="smoke (tiny, means nothing), paper (the source's size) or full (every study; "
            "where PyTorch is installed, an hour of modular addition last)."
        ),
    ] = "paper",
) -> None:
    """Repeat the whole experiment; compare its numbers with the source's.

    Fills a folder with every table, fig1 to fig3, and the claims as claims.md and claims.json.

    \b
    Example:
      grokcrit reproduce --scale smoke -o results/
    """
    from grokcrit.paper import reproduce as stage
    from grokcrit.paper.claims import claims_summary

    tell = None if call.shell.quiet else aside
    with call.shell.progress("reproducing", "steps") as progress:
        rows = stage.reproduce(
            call.out,
            scale=scale,
            seed=call.seed,
            progress=progress,
            tell=tell,
            aside=True,
            **call.means,
        )
    call.shell.show(claims_summary(rows, scale), call.out)
