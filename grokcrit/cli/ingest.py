"""``grokcrit ingest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokcrit.cli import shell as sh


def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...",
            readable=False,
            help=".npy, .npz, .safetensors, .pt (.pth, .bin, .ckpt, .pth.tar): a snapshot each; "
            "shards, or their .index.json, are one network.",
        ),
    ],
    checkpoints: Annotated[
        bool,
        typer.Option(
            "--checkpoints",
            help="The files are weights: use the difference between consecutive checkpoints.",
        ),
    ] = False,
    field: Annotated[
        str | None,
        typer.Option(
            help="gradient, clipped-gradient, update: what the vectors are.  [default: gradient; "
            "update for --checkpoints]"
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Where {family}, {size}, {seed} and {step} stand in the end of each path; * is "
            "anything within a name."
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="<glob>", help="Take tensors of such names only (repeatable)."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="<glob>", help="Leave tensors of such names out (repeatable)."),
    ] = None,
    keep_buffers: Annotated[
        bool,
        typer.Option(
            "--keep-buffers",
            help="Keep buffers and tensors that never change; they then count in N.",
        ),
    ] = False,
    strip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<prefix>",
            help="Take a prefix off the names of tensors (repeatable); those of torch.compile, "
            "FSDP and DataParallel are always taken off.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Where in a PyTorch file the network lies: net, models.encoder, . (on top), "
            "'model.*' (all below).  [default: on top, or under model, state_dict, ...]"
        ),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            help="Keep so many entries of each vector (10000, 100k), or a share (1%): the same "
            "ones for all of a size."
        ),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Family of networks.  [default: given]")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Size, such as 512, 70m or 1.4b.  [default: number of parameters]"),
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="Step.  [default: place among the files of a run, from 0]")
    ] = None,
    run_seed: Annotated[str | None, typer.Option(help="Seed of the run.  [default: 0]")] = None,
    label: Annotated[str | None, typer.Option(help="Name of the case.  [default: family]")] = None,
    seed: sh.Seed = 0,
    out: Annotated[
        Path, typer.Option("-o", "--out", readable=False, callback=sh.named, help="Table to write.")
    ] = Path("ingest.parquet"),
    threads: sh.Threads = None,
    quiet: sh.Quiet = False,
    json: sh.Json = False,
    silence: sh.Silence = None,
    debug: sh.Debug = False,
) -> None:
    """Make a train table of gradients or checkpoints that others saved. Makes ingest.parquet.

    \b
    Example:
      grokcrit ingest grads/*.npz --pattern 'h{size}-seed{seed}/step{step}.npz'
      grokcrit ingest --checkpoints pythia-*/step*/model.safetensors \\
        --pattern '{family}-{size}/step{step}/model.safetensors' --sample 1%
    """
    given = dict(locals())
    from grokcrit.base.parallel import thread_count
    from grokcrit.saved.series import IngestOptions
    from grokcrit.stages import ingest as stage
    from grokcrit.summaries import ingest_summary
    from grokcrit.tables import writing

    names = IngestOptions.__dataclass_fields__
    lists = {name: tuple(given[name] or ()) for name in ("include", "exclude", "strip")}
    options = IngestOptions(**{name: given[name] for name in names} | lists)
    writing.check_output(out, files)
    workers = thread_count(threads)
    plan = stage.plan(files, options)
    shell = sh.Shell(quiet, json, silence)
    with shell.progress("ingesting", "row groups") as progress:
        writing.write(out, stage.blocks(plan, threads=workers, progress=progress), plan.schema)
    shell.show(ingest_summary(plan), out)
