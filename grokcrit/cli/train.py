"""``grokcrit train``."""

from __future__ import annotations

from grokcrit.base.summary import Row
from grokcrit.cli.command import Call, command
from grokcrit.tasks import TASKS, run_options


@command(*TASKS.values(), out="train.parquet", cache=True)
def train(call: Call) -> None:
    """Train the networks, cascade in line; keep gradients. Makes train.parquet.

    \b
    Example:
      grokcrit train --hidden 20,30,50,75 --seeds 6 -o train.parquet
      grokcrit train --controls --seeds 12 -o cells.parquet
      grokcrit train --task parity --controls -o parity.parquet
    """
    options = run_options(**call.options)

    from grokcrit.base.parallel import thread_count
    from grokcrit.stages import train as stage
    from grokcrit.tables import writing

    log: list[Row] = []
    means = call.means | {"threads": thread_count(call.means["threads"])}
    with call.shell.progress("training", "runs") as progress:
        runs = stage.runs(options, progress=progress, **means)
        writing.write(call.out, stage.noted(runs, log), stage.schema_of(options))
    call.shell.show(stage.train_summary(log), call.out)
