"""``grokcrit ingest``."""

from __future__ import annotations

import os
from typing import Annotated

from grokcrit.cli.command import Call, command, inputs
from grokcrit.saved.options import IngestOptions


@command(IngestOptions, out="ingest.parquet")
def ingest(
    call: Call,
    files: Annotated[
        list[str],
        inputs(
            "FILES...",
            ".npy, .npz, .safetensors, .pt (.pth, .bin, .ckpt, .pth.tar): a snapshot each; "
            "shards, or their .index.json, are one network. --checkpoints: also folders of "
            "checkpoints, models--org--name of a Hugging Face cache, hf://org/name@revision. "
            "--avalanches: .csv, .parquet, .npy.",
        ),
    ],
) -> None:
    """Make a table of gradients, checkpoints or avalanches that others saved. Makes ingest.parquet.

    \b
    Example:
      grokcrit ingest grads/*.npz --pattern 'h{size}-seed{seed}/step{step}.npz'
      grokcrit ingest --checkpoints pythia-*/step*/model.safetensors \\
        --pattern '{family}-{size}/step{step}/model.safetensors' --sample 1%
      grokcrit ingest --checkpoints trainer-output/
      grokcrit ingest --avalanches pile.csv --columns size=S,system=L,run=seed -o avalanche.parquet
    """
    from grokcrit.base.parallel import thread_count
    from grokcrit.questions import sizes
    from grokcrit.saved.avalanches import avalanches_of
    from grokcrit.stages import ingest as stage
    from grokcrit.tables import writing

    if call.shell.quiet:  # read once, when the library is imported
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    options = IngestOptions(**call.options)
    writing.check_output(call.out, files)
    if options.avalanches:
        table = avalanches_of(files, options)
        writing.write(call.out, [table], table.schema)
        call.shell.show(sizes.summary(table), call.out)
        return
    workers = thread_count(call.means["threads"])
    plan = stage.plan(files, options)
    with call.shell.progress("ingesting", "row groups") as progress:
        rows = stage.blocks(plan, threads=workers, progress=progress)
        writing.write(call.out, rows, plan.schema)
    call.shell.show(stage.ingest_summary(plan), call.out)
