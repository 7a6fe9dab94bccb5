"""``grokcrit ingest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from grokcrit.cli.command import Call, command, inputs
from grokcrit.saved.options import IngestOptions


@command(IngestOptions, out="ingest.parquet")
def ingest(
    call: Call,
    files: Annotated[
        list[Path],
        inputs(
            "FILES...",
            ".npy, .npz, .safetensors, .pt (.pth, .bin, .ckpt, .pth.tar): a snapshot each; "
            "shards, or their .index.json, are one network.",
        ),
    ],
) -> None:
    """Make a train table of gradients or checkpoints that others saved. Makes ingest.parquet.

    \b
    Example:
      grokcrit ingest grads/*.npz --pattern 'h{size}-seed{seed}/step{step}.npz'
      grokcrit ingest --checkpoints pythia-*/step*/model.safetensors \\
        --pattern '{family}-{size}/step{step}/model.safetensors' --sample 1%
    """
    from grokcrit.base.parallel import thread_count
    from grokcrit.stages import ingest as stage
    from grokcrit.tables import writing

    options = IngestOptions(**call.options)
    writing.check_output(call.out, files)
    workers = thread_count(call.means["threads"])
    plan = stage.plan(files, options)
    with call.shell.progress("ingesting", "row groups") as progress:
        rows = stage.blocks(plan, threads=workers, progress=progress)
        writing.write(call.out, rows, plan.schema)
    call.shell.show(stage.ingest_summary(plan), call.out)
