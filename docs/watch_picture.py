"""Draw docs/images/watch.svg: `watch` as it looks on three XOR trainings that write at the time.

    python docs/watch_picture.py

Each training is a process that writes its parts as a recorder does: every now and then the same
part with more steps in it. The picture is the view at the moment when all are past step 150.
"""

from __future__ import annotations

import io
import re
import tempfile
import time
from multiprocessing import Process
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

import grokcrit
from grokcrit.cli.picture import lines
from grokcrit.stages.watch import Watched
from grokcrit.tables.writing import write

IMAGE = Path(__file__).parent / "images/watch.svg"
# Width of each network, and seconds between two versions of its part.
RUNS = {100: 0.1, 200: 0.12, 400: 0.15}
EVERY, COLUMNS, PAST = 2, 100, 150
# No font is fetched from elsewhere.
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def train(folder: Path, width: int, pause: float) -> None:
    """Train a network and write its avalanches, ten snapshots more each time."""
    trained = grokcrit.train(hidden=width, seeds=1, epochs=400, snapshot_every=EVERY)
    rows = grokcrit.avalanche(trained, surrogate=("none", "gaussian"))
    steps = pc.unique(rows["epoch"])
    for first in range(0, len(steps), 100):
        for last in range(first + 10, first + 110, 10):
            part = rows.filter(pc.is_in(rows["epoch"], pa.array(steps[first:last])))
            name = f"width-{width:06d}-seed-0000-gradient-step-{EVERY * first:010d}.parquet"
            write(folder / name, [part], part.schema)
            time.sleep(pause)


def main() -> None:
    """Watch the trainings until all are far enough; draw the view."""
    with tempfile.TemporaryDirectory() as name:
        runs = [Process(target=train, args=(Path(name), *run)) for run in RUNS.items()]
        for run in runs:
            run.start()
        watched, view = Watched([name]), None
        while view is None or len(view.runs) < len(RUNS) or min(r.step for r in view.runs) < PAST:
            time.sleep(0.05)
            view = watched.look()
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
        for text, style in lines(view, time.time(), COLUMNS, 24):
            console.print(Text(text, style, no_wrap=True))
        for run in runs:
            run.terminate()
            run.join()
    IMAGE.write_text(console.export_svg(title="grokcrit watch parts/", code_format=SVG))


if __name__ == "__main__":
    main()
