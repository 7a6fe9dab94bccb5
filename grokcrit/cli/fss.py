"""``grokcrit fss``."""

from __future__ import annotations

from grokcrit.base.stage_options import FssOptions
from grokcrit.cli.command import Avalanches, Call, command


@command(FssOptions, out="fss.parquet")
def fss(call: Call, avalanche: Avalanches) -> None:
    """Fit exponents in every window, each beside its null. Makes fss.parquet.

    \b
    Example:
      grokcrit fss avalanche.parquet --observable size,area,duration
    """
    from grokcrit.stages.fss import fss as stage
    from grokcrit.stages.fss import fss_summary

    call.run_stage(stage, fss_summary, avalanche)
