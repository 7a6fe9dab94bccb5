"""``grokcrit train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.cli import probe_options as probing
from grokcrit.cli import shell as sh
from grokcrit.options import TrainOptions
from grokcrit.vocabulary import ACTIVATIONS, GINI_OF, INITS, PARAMETER_ORDERS, PROBES, SIZES, TASKS

DEFAULTS = TrainOptions()


def train(
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            "--hidden",
            "--width",
            metavar="<int>",
            help=f"Hidden units; repeatable or 20,30,50.  [default: {','.join(map(str, SIZES))}]",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each width.")] = DEFAULTS.seeds,
    epochs: Annotated[int, typer.Option(help="Updates of each run.")] = DEFAULTS.epochs,
    snapshot_every: Annotated[
        int, typer.Option(help="Epochs between gradients kept.")
    ] = DEFAULTS.snapshot_every,
    lr: Annotated[float, typer.Option(help="Learning rate of plain SGD.")] = DEFAULTS.lr,
    activation: Annotated[
        str, typer.Option(help=f"{', '.join(ACTIVATIONS)}.")
    ] = DEFAULTS.activation,
    init: Annotated[
        str, typer.Option(help=f"{', '.join(INITS)}; normal:0.5 for sigma 0.5.")
    ] = DEFAULTS.init,
    probe: Annotated[
        str,
        typer.Option(help=f"{', '.join(PROBES)}: train on the redistributed or the raw gradient."),
    ] = DEFAULTS.probe,
    task: Annotated[str, typer.Option(help=f"{', '.join(TASKS)}.")] = DEFAULTS.task,
    gini_of: Annotated[
        str, typer.Option(help=f"Gini of which weights: {', '.join(GINI_OF)}.")
    ] = DEFAULTS.gini_of,
    parameter_order: Annotated[
        str, typer.Option(help=f"Parameters on the graph: {', '.join(PARAMETER_ORDERS)}.")
    ] = DEFAULTS.parameter_order,
    topology: probing.Topology = DEFAULTS.topology,
    degree: probing.Degree = DEFAULTS.degree,
    graph_seed: probing.GraphSeed = DEFAULTS.graph_seed,
    alpha: probing.Alpha = DEFAULTS.alpha,
    quantile: probing.Quantile = DEFAULTS.quantile,
    rule: probing.Rule = DEFAULTS.rule,
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
        Path, typer.Option("-o", "--out", readable=False, help="Table to write.")
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
    """
    given = dict(locals())
    names = TrainOptions.__dataclass_fields__
    chosen = {name: given[name] for name in names if name != "hidden"}
    options = TrainOptions(hidden=sh.integers("hidden", hidden) or DEFAULTS.hidden, **chosen)

    from grokcrit import tables
    from grokcrit.parallel import thread_count
    from grokcrit.schemas import TRAIN
    from grokcrit.stages import train as stage
    from grokcrit.summaries import RunLog, train_summary

    shell, log = sh.Shell(quiet, json, silence), RunLog()
    workers = thread_count(threads)
    with shell.progress("training", "runs") as progress:
        runs = stage.runs(options, threads=workers, progress=progress, cache=cache)
        tables.write(out, log.tap(runs), TRAIN.recorded(stage.record(options)))
    shell.show(train_summary(log.runs), out)
