"""``grokcrit diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.cli.command import Call, command, inputs


@command(DiagnoseOptions, out="diagnostics.parquet")
def diagnose(
    call: Call,
    table: Annotated[
        list[Path],
        inputs(
            "TABLE...", "Avalanche tables and, for the Gini coefficient, train tables; or folders."
        ),
    ],
) -> None:
    """Ask what D measures: null models, placebos, straightness, ... Makes diagnostics.parquet.

    \b
    Example:
      grokcrit avalanche train.parquet --surrogate all
      grokcrit diagnose avalanche.parquet train.parquet
    """
    from grokcrit.stages.diagnose import diagnose as stage
    from grokcrit.stages.diagnose import diagnose_summary

    call.run_stage(stage, diagnose_summary, table)
