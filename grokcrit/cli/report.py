"""``grokcrit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from grokcrit.base.stage_options import ReportOptions
from grokcrit.cli.command import DRAWING, NOTHING_RANDOM, Call, command, inputs
from grokcrit.cli.plot import Where, conditions


@command(
    ReportOptions, out="report.html", writes="Page to write.", seed=NOTHING_RANDOM, threads=DRAWING
)
def report(
    call: Call,
    table: Annotated[
        list[Path],
        inputs(
            "FOLDER|TABLE...",
            "A folder, as reproduce fills it or your own, or tables of any stages.",
        ),
    ],
    where: Where = None,
) -> None:
    """Write one self-contained page: the verdict, the source beside ours, figures, null models.

    It needs no network and no JavaScript, and says what is missing and which command adds it.

    \b
    Example:
      grokcrit reproduce -o results/
      grokcrit report results/ -o report.html
    """
    from grokcrit.base.summary import Notice, Summary
    from grokcrit.report import report as stage
    from grokcrit.report.inputs import files_in
    from grokcrit.tables import writing

    writing.check_output(call.out, files_in(table))
    with call.shell.progress("drawing", "figures") as progress:
        made = stage(table, call.out, where=conditions(where), progress=progress, **call.options)
    rows = [
        {"question": a.question, "answer": a.word, "because": " ".join(a.because)}
        for a in made.answers
    ]
    brief = [{k: row[k] for k in ("question", "answer")} for row in rows]
    nothing = [{"question": "-", "answer": "these tables answer no question by themselves"}]
    warnings = [Notice("missing", each) for each in made.missing]
    warnings += [Notice("no-figure", each) for each in made.left_out]
    summary = Summary("the verdict", brief or nothing, warnings + made.warnings, details=rows)
    call.shell.show(summary, call.out)
