"""``grokcrit robustness``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from grokcrit.base.errors import TableError
from grokcrit.cli import probe_options as probing
from grokcrit.cli import shell as sh


def robustness(
    train: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRAIN...", readable=False, help="Train tables, or folders of their parts."
        ),
    ],
    topology: Annotated[
        list[str] | None,
        typer.Option(metavar="<str>", help="Repeatable or a,b.  [default: the source's five]"),
    ] = None,
    graph_seeds: Annotated[int, typer.Option(help="Graphs of each topology.")] = 6,
    alpha: Annotated[
        list[str] | None,
        typer.Option(metavar="<float>", help="Repeatable or a,b.  [default: 0.1,0.2,0.3,0.4,0.5]"),
    ] = None,
    quantile: Annotated[
        list[str] | None,
        typer.Option(metavar="<float>", help="Repeatable or a,b.  [default: 80,85,90,95]"),
    ] = None,
    threshold_of: probing.ThresholdOfOverride = None,
    observable: sh.Observable = None,
    resamples: sh.Resamples = 2000,
    confidence: sh.Confidence = 0.95,
    keep_zero_threshold: sh.KeepZeroThreshold = False,
    seed: sh.Seed = 0,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Table to write.")
    ] = Path("robustness.parquet"),
    figure: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="Figure to draw, by extension.  [default: the table's name, .png]"
        ),
    ] = None,
    threads: sh.Threads = None,
    cache: sh.Cache = True,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Measure D of the same gradients on other graphs, with other alpha, percentiles, rules.

    Makes robustness.parquet and its figure, robustness.png.

    \b
    Example:
      grokcrit robustness train.parquet --graph-seeds 3 --alpha 0.1,0.3,0.5
    """
    from grokcrit.plot import check_extension
    from grokcrit.plot import plot as draw
    from grokcrit.stages.robustness import robustness as stage
    from grokcrit.summaries import robustness_summary
    from grokcrit.tables import writing

    target = out.with_suffix(".png") if figure is None else figure
    check_extension(target, "figure")
    writing.check_output(target, [*train, out])
    if not os.access(target.parent, os.W_OK):  # known before the work is done
        raise TableError(f"cannot write {target}: its folder is missing or cannot be written")
    options = sh.given(
        topology=sh.words(topology),
        alpha=sh.reals("alpha", alpha),
        quantile=sh.reals("quantile", quantile),
        threshold_of=threshold_of,
        observable=sh.words(observable),
    )
    sh.run_stage(
        stage,
        robustness_summary,
        train,
        out,
        sh.Shell(quiet, json, silence),
        threads=threads,
        cache=cache,
        graph_seeds=graph_seeds,
        resamples=resamples,
        confidence=confidence,
        keep_zero_threshold=keep_zero_threshold,
        seed=seed,
        **options,
    )
    draw("robustness", out, target)
