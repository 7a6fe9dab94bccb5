"""``grokcrit reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.cli import shell as sh


def reproduce(
    scale: Annotated[
        str,
        typer.Option(help="smoke (tiny, means nothing), paper (the source's size) or full."),
    ] = "paper",
    seed: sh.Seed = 0,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Folder to fill.")
    ] = Path("results"),
    threads: sh.Threads = None,
    cache: sh.Cache = True,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Repeat the whole experiment; set the source's numbers beside ours.

    Fills a folder with every table, fig1 to fig3, and the claims as claims.md and claims.json.

    \b
    Example:
      grokcrit reproduce --scale smoke -o results/
    """
    from grokcrit.paper import reproduce as stage
    from grokcrit.summaries import claims_summary

    shell = sh.Shell(quiet, json, silence)
    with shell.progress("reproducing", "steps") as progress:
        rows = stage.reproduce(
            out, scale=scale, seed=seed, threads=threads, cache=cache, progress=progress
        )
    shell.show(claims_summary([row.as_dict() for row in rows], stage.COLUMNS, scale), out)
