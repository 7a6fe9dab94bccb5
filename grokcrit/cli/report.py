"""``grokcrit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.cli import shell as sh
from grokcrit.cli.plot import conditions


def report(
    table: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER|TABLE...",
            readable=False,
            help="A folder, as reproduce fills it or your own, or tables of any stages.",
        ),
    ],
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<column=value>", help="Which case, where there are several (repeatable)."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Page to write.")
    ] = Path("report.html"),
    seed: Annotated[int, typer.Option(help="Accepted as everywhere; nothing here is random.")] = 0,
    threads: Annotated[
        int | None, typer.Option(help="Accepted as everywhere; drawing uses one.")
    ] = None,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Write one self-contained page: the verdict, the source beside ours, figures, null models.

    It needs no network and no JavaScript, and says what is missing and which command adds it.

    \b
    Example:
      grokcrit reproduce -o results/
      grokcrit report results/ -o report.html
    """
    from grokcrit.report import report as stage
    from grokcrit.report.inputs import files_in
    from grokcrit.summaries import Notice, Summary
    from grokcrit.tables import writing

    writing.check_output(out, files_in(table))
    shell = sh.Shell(quiet, json, silence)
    with shell.progress("drawing", "figures") as progress:
        made = stage(table, out, where=conditions(where), progress=progress)
    rows = [
        {"question": a.question, "answer": a.word, "because": " ".join(a.because)}
        for a in made.answers
    ]
    brief = [{k: row[k] for k in ("question", "answer")} for row in rows]
    nothing = [{"question": "-", "answer": "these tables answer no question by themselves"}]
    warnings = [Notice("missing", each) for each in made.missing]
    warnings += [Notice("no-figure", each) for each in made.left_out]
    summary = Summary("the verdict", brief or nothing, warnings + made.warnings, details=rows)
    shell.show(summary, out)
