"""``grokcrit warn``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from grokcrit.base.stage_options import WarnOptions
from grokcrit.cli.command import Call, command, inputs


@command(WarnOptions, out="warn.parquet")
def warn(
    call: Call,
    table: Annotated[
        list[Path],
        inputs(
            "SIGNALS...", "Signals tables of cases that grok and of their controls; or folders."
        ),
    ],
) -> None:
    """Score signals as warnings of grokking, against controls and placebos. Makes warn.parquet.

    \b
    Example:
      grokcrit train --task parity --controls --hidden 64 --seeds 24 --signals all
      grokcrit warn train.signals.parquet
    """
    from grokcrit.stages.warn import warn as stage
    from grokcrit.stages.warn import warn_summary

    call.run_stage(stage, warn_summary, table)
