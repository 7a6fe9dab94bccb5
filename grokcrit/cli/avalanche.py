"""``grokcrit avalanche``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.base.vocabulary import PARAMETER_ORDERS, SURROGATES
from grokcrit.cli import probe_options as probing
from grokcrit.cli import shell as sh


def complete_surrogate(start: str) -> list[str]:
    """Complete a surrogate."""
    return [name for name in (*SURROGATES, "all") if name.startswith(start)]


def avalanche(
    train: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRAIN...",
            readable=False,
            help="Train tables, folders of their parts, or .npy gradients.",
        ),
    ],
    topology: probing.Topologies = None,
    degree: probing.DegreeOverride = None,
    graph_seed: probing.GraphSeeds = None,
    alpha: probing.Alphas = None,
    quantile: probing.Quantiles = None,
    threshold_of: probing.ThresholdOfOverride = None,
    rule: probing.Rules = None,
    max_steps: probing.MaxStepsOverride = None,
    parameter_order: Annotated[
        str | None,
        typer.Option(
            help=f"Parameters on the graph: {', '.join(PARAMETER_ORDERS)}.  [default: as trained]"
        ),
    ] = None,
    surrogate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<str>",
            help=f"Null models: {', '.join(SURROGATES)}; all. Repeatable or a,b.  [default: none]",
            autocompletion=complete_surrogate,
        ),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Draws of each random surrogate.")] = 1,
    grok_accuracy: Annotated[
        float | None,
        typer.Option(
            help="Grokking epoch: first of test accuracy above this.  [default: as recorded]"
        ),
    ] = None,
    seed: sh.Seed = 0,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Table to write.")
    ] = Path("avalanche.parquet"),
    threads: sh.Threads = None,
    cache: sh.Cache = True,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Run the cascade of every snapshot. Makes avalanche.parquet.

    Options not given are as in training. Lists are multiplied out, a case each. A .npy file is a
    gradient: its width is its length, its seed its place among the files of that length.

    \b
    Example:
      grokcrit avalanche train.parquet --surrogate none,gaussian --topology ba,ring
    """
    from grokcrit.stages.avalanche import avalanche as stage
    from grokcrit.summaries import avalanche_summary

    options = sh.given(
        topology=sh.words(topology),
        degree=degree,
        graph_seed=sh.integers("graph_seed", graph_seed),
        alpha=sh.reals("alpha", alpha),
        quantile=sh.reals("quantile", quantile),
        rule=sh.words(rule),
        max_steps=max_steps,
        parameter_order=parameter_order,
        threshold_of=threshold_of,
        surrogate=sh.words(surrogate),
        replicates=replicates,
        grok_accuracy=grok_accuracy,
        seed=seed,
        threads=threads,
        cache=cache,
    )
    sh.run_stage(stage, avalanche_summary, train, out, sh.Shell(quiet, json, silence), **options)
