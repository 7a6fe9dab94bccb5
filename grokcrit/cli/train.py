"""``grokcrit train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.base.options import ModaddOptions, TrainOptions, run_options
from grokcrit.base.vocabulary import (
    ACTIVATIONS,
    GINI_OF,
    INITS,
    MODELS,
    PARAMETER_ORDERS,
    PROBES,
    SIZES,
    TASKS,
)
from grokcrit.cli import probe_options as probing
from grokcrit.cli import shell as sh

DEFAULTS, MODADD = TrainOptions(), ModaddOptions()


def train(
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            "--hidden",
            "--width",
            metavar="<int>",
            help="Hidden units, or d_model; repeatable or 20,30,50.  "
            f"[default: {','.join(map(str, SIZES))}; modadd: of the recipe]",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each width.")] = DEFAULTS.seeds,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each run.  [default: 500]")] = None,
    snapshot_every: Annotated[
        int, typer.Option(help="Epochs between gradients kept.")
    ] = DEFAULTS.snapshot_every,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate.  [default: xor 0.5; modadd: of the recipe]"),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(PROBES)}: train on the redistributed or the raw gradient.  "
            "[default: xor inline; modadd shadow]"
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help=f"{', '.join(TASKS)} (a + b mod a prime; needs torch).")
    ] = DEFAULTS.task,
    activation: Annotated[
        str | None,
        typer.Option(help=f"xor: {', '.join(ACTIVATIONS)}.  [default: {DEFAULTS.activation}]"),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help=f"xor: {', '.join(INITS)}; normal:0.5 for sigma 0.5.  [default: {DEFAULTS.init}]"
        ),
    ] = None,
    gini_of: Annotated[
        str | None,
        typer.Option(
            help=f"xor: Gini of which weights: {', '.join(GINI_OF)}.  [default: {DEFAULTS.gini_of}]"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help=f"modadd: {', '.join(MODELS)}.  [default: {MODADD.model}]"),
    ] = None,
    prime: Annotated[
        int | None, typer.Option(help=f"modadd: the modulus.  [default: {MODADD.prime}]")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="modadd: pairs, or sym: (a, b) and (b, a) on one side, which leaks nothing.  "
            f"[default: {MODADD.split}]"
        ),
    ] = None,
    train_fraction: Annotated[
        float | None,
        typer.Option(help=f"modadd: share that trains.  [default: {MODADD.train_fraction}]"),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            help="modadd: of AdamW; 0 is the control that does not grok.  "
            f"[default: {MODADD.weight_decay:g}]"
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="modadd: pairs of an update, 0 for all.  [default: of the recipe]"),
    ] = None,
    snapshot_window: Annotated[
        int | None,
        typer.Option(
            help="modadd: keep gradients of runs that grok only that many epochs around grokking."
            "  [default: all]"
        ),
    ] = None,
    parameter_order: Annotated[
        str, typer.Option(help=f"Parameters on the graph: {', '.join(PARAMETER_ORDERS)}.")
    ] = DEFAULTS.parameter_order,
    topology: probing.Topology = DEFAULTS.topology,
    degree: probing.Degree = DEFAULTS.degree,
    graph_seed: probing.GraphSeed = DEFAULTS.graph_seed,
    alpha: probing.Alpha = DEFAULTS.alpha,
    quantile: probing.Quantile = DEFAULTS.quantile,
    rule: probing.Rule = DEFAULTS.rule,
    threshold_of: probing.ThresholdOf = DEFAULTS.threshold_of,
    max_steps: probing.MaxSteps = DEFAULTS.max_steps,
    gradients: Annotated[
        bool,
        typer.Option(
            "--gradients/--no-gradients", help="Keep gradients; without, no avalanche stage."
        ),
    ] = DEFAULTS.gradients,
    label: Annotated[
        str | None, typer.Option(help="Name of the case.  [default: a digest of the options]")
    ] = None,
    seed: sh.Seed = DEFAULTS.seed,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Table to write.")
    ] = Path("train.parquet"),
    threads: sh.Threads = None,
    cache: sh.Cache = True,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Train the networks, cascade in line; keep gradients. Makes train.parquet.

    \b
    Example:
      grokcrit train --hidden 20,30,50,75 --seeds 6 -o train.parquet
      grokcrit train --task modadd --weight-decay 0 --label control -o control.parquet
    """
    given = dict(locals())
    fields = {*TrainOptions.__dataclass_fields__, *ModaddOptions.__dataclass_fields__}
    chosen = {name: given[name] for name in fields if given[name] is not None}
    options = run_options(**chosen | sh.given(hidden=sh.integers("hidden", hidden)))

    from grokcrit.base.parallel import thread_count
    from grokcrit.stages import train as stage
    from grokcrit.summaries import RunLog, train_summary
    from grokcrit.tables import writing

    shell, log = sh.Shell(quiet, json, silence), RunLog()
    workers = thread_count(threads)
    with shell.progress("training", "runs") as progress:
        runs = stage.runs(options, threads=workers, progress=progress, cache=cache)
        writing.write(out, log.tap(runs), stage.schema_of(options))
    shell.show(train_summary(log.runs), out)
