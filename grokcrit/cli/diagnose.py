"""``grokcrit diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.cli import shell as sh
from grokcrit.questions import QUESTIONS


def complete_question(start: str) -> list[str]:
    """Complete a question."""
    return [name for name in QUESTIONS if name.startswith(start)]


def diagnose(
    table: Annotated[
        list[Path],
        typer.Argument(
            metavar="TABLE...",
            readable=False,
            help="Avalanche tables and, for the Gini coefficient, train tables; or folders.",
        ),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<str>",
            help=f"What to answer: {', '.join(QUESTIONS)}. Repeatable or a,b.  [default: all]",
            autocompletion=complete_question,
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<int>",
            help="Common epochs of the placebos; repeatable or a,b.  "
            "[default: 20,50,100,200,300,400]",
        ),
    ] = None,
    permutations: Annotated[int, typer.Option(help="Permutations of the grokking epochs.")] = 1000,
    gof: Annotated[
        int, typer.Option(help="Data sets drawn for each goodness of fit of a tail.")
    ] = 100,
    observable: sh.Observable = None,
    resamples: sh.Resamples = 2000,
    confidence: sh.Confidence = 0.95,
    keep_zero_threshold: sh.KeepZeroThreshold = False,
    seed: sh.Seed = 0,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Table to write.")
    ] = Path("diagnostics.parquet"),
    threads: sh.Threads = None,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Ask what D measures: null models, placebos, straightness, ... Makes diagnostics.parquet.

    \b
    Example:
      grokcrit avalanche train.parquet --surrogate all
      grokcrit diagnose avalanche.parquet train.parquet
    """
    from grokcrit.stages.diagnose import diagnose as stage
    from grokcrit.stages.diagnose import diagnose_summary

    options = sh.given(
        only=sh.words(only),
        splits=sh.integers("splits", splits),
        observable=sh.words(observable),
    )
    sh.run_stage(
        stage,
        diagnose_summary,
        table,
        out,
        sh.Shell(quiet, json, silence),
        threads=threads,
        permutations=permutations,
        gof=gof,
        resamples=resamples,
        confidence=confidence,
        keep_zero_threshold=keep_zero_threshold,
        seed=seed,
        **options,
    )
