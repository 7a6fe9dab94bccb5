"""``grokcrit robustness``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from grokcrit.base.errors import UnwritableError
from grokcrit.base.stage_options import RobustnessOptions
from grokcrit.cli.command import Call, command, inputs


@command(RobustnessOptions, out="robustness.parquet", cache=True)
def robustness(
    call: Call,
    train: Annotated[list[Path], inputs("TRAIN...", "Train tables, or folders of their parts.")],
    figure: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="Figure to draw, by extension.  [default: the table's name, .png]"
        ),
    ] = None,
) -> None:
    """Measure D of the same gradients on other graphs, with other alpha, percentiles, rules.

    Makes robustness.parquet and its figure, robustness.png; of several cases, a figure each.

    \b
    Example:
      grokcrit robustness train.parquet --graph-seeds 3 --alpha 0.1,0.3,0.5
    """
    from grokcrit.stages.plot import check_extension
    from grokcrit.stages.plot import plot as draw
    from grokcrit.stages.robustness import robustness as stage
    from grokcrit.stages.robustness import robustness_summary
    from grokcrit.tables import writing

    target = call.out.with_suffix(".png") if figure is None else figure
    check_extension(target, "figure")
    writing.check_output(target, [*train, call.out])
    if not os.access(target.parent, os.W_OK):  # known before the work is done
        raise UnwritableError(f"cannot write {target}: its folder is missing or cannot be written")
    table = call.run_stage(stage, robustness_summary, train)
    cases = table["case"].unique().to_pylist()
    for case in cases:  # of several, a figure each
        name = f"{target.stem}-{re.sub(r'[^A-Za-z0-9.]+', '-', case)}"
        path = target if len(cases) == 1 else target.with_stem(name)
        draw("robustness", call.out, path, where={"case": case})
