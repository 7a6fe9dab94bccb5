"""``grokcrit fss``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from grokcrit.base.stage_options import FssOptions
from grokcrit.cli.command import Call, command, inputs


@command(FssOptions, out="fss.parquet")
def fss(
    call: Call,
    avalanche: Annotated[
        list[Path],
        inputs("AVALANCHE...", "Avalanche tables, or folders of their parts."),
    ],
) -> None:
    """Fit exponents in every window, each beside its null. Makes fss.parquet.

    \b
    Example:
      grokcrit fss avalanche.parquet --observable size,area,duration
    """
    from grokcrit.stages.fss import fss as stage
    from grokcrit.stages.fss import fss_summary

    call.run_stage(stage, fss_summary, avalanche)
