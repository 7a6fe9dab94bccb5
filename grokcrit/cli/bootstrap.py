"""``grokcrit bootstrap``."""

from __future__ import annotations

from grokcrit.base.stage_options import BootstrapOptions
from grokcrit.cli.command import Avalanches, Call, command


@command(BootstrapOptions, out="bootstrap.parquet")
def bootstrap(call: Call, avalanche: Avalanches) -> None:
    """Resample the runs: intervals, differences, leave-one-out. Makes bootstrap.parquet.

    \b
    Example:
      grokcrit bootstrap avalanche.parquet --resamples 10000
    """
    from grokcrit.stages.bootstrap import bootstrap as stage
    from grokcrit.stages.bootstrap import bootstrap_summary

    call.run_stage(stage, bootstrap_summary, avalanche)
