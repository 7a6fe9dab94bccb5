"""``grokcrit avalanche``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.cli.command import Call, command, inputs


@command(AvalancheOptions, out="avalanche.parquet", cache=True)
def avalanche(
    call: Call,
    train: Annotated[
        list[Path],
        inputs("TRAIN...", "Train tables, folders of their parts, or .npy gradients."),
    ],
) -> None:
    """Run the cascade of every snapshot. Makes avalanche.parquet.

    Options not given are as in training. Lists are multiplied out, a case each. A .npy file is a
    gradient: its width is its length, its seed its place among the files of that length.

    \b
    Example:
      grokcrit avalanche train.parquet --surrogate none,gaussian --topology ba,ring
    """
    from grokcrit.stages.avalanche import avalanche as stage
    from grokcrit.stages.avalanche import avalanche_summary

    call.run_stage(stage, avalanche_summary, train)
