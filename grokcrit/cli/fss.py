"""``grokcrit fss``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.cli import shell as sh


def fss(
    avalanche: Annotated[
        list[Path],
        typer.Argument(
            metavar="AVALANCHE...",
            readable=False,
            help="Avalanche tables, or folders of their parts.",
        ),
    ],
    observable: sh.Observable = None,
    resamples: sh.Resamples = 2000,
    confidence: sh.Confidence = 0.95,
    keep_zero_threshold: sh.KeepZeroThreshold = False,
    seed: sh.Seed = 0,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Table to write.")
    ] = Path("fss.parquet"),
    threads: sh.Threads = None,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Fit exponents in every window, each beside its null. Makes fss.parquet.

    \b
    Example:
      grokcrit fss avalanche.parquet --observable size,area,duration
    """
    from grokcrit.stages.fss import fss as stage
    from grokcrit.stages.fss import fss_summary

    sh.run_stage(
        stage,
        fss_summary,
        avalanche,
        out,
        sh.Shell(quiet, json, silence),
        threads=threads,
        **sh.given(observable=sh.words(observable)),
        resamples=resamples,
        confidence=confidence,
        keep_zero_threshold=keep_zero_threshold,
        seed=seed,
    )
