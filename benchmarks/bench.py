"""Time grokcrit against its peers and against what the machine can do; check that answers agree.

    python benchmarks/bench.py [--sizes 2001,10000,...] [--rounds 5] [--out results-bench/]
                               [--only cascade,threads,training,tails,bootstrap,systems]
    python benchmarks/bench.py --markdown results-bench/bench.parquet

Writes bench.parquet and bench.png into the folder and prints a table a section. All in one process;
see measure.py for how it is timed, and the module of each section for what. Exits with 1 where
answers disagree.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cascades
import pyarrow as pa
import pyarrow.parquet as pq
import slopes
import systems
import tails
import threads
import training
from drawing import draw
from measure import Section, machine, torch_or_none
from rich.console import Console
from rich.table import Table

SIZES = "2001,10000,100000,1000000,10000000"
# Of training, more rounds would take minutes each.
TRAINING_ROUNDS = 3
SECTIONS: dict[str, Callable[[list[int], int], Section]] = {
    "cascade": cascades.run,
    "threads": lambda _, rounds: threads.run(rounds),
    "training": lambda _, rounds: training.run(min(rounds, TRAINING_ROUNDS)),
    "tails": lambda _, rounds: tails.run(rounds),
    "bootstrap": lambda _, rounds: slopes.run(rounds),
    "systems": lambda _, rounds: systems.run(rounds),
}
TITLES = {
    "cascade": "One cascade (ba, degree 4, Student-t gradient)",
    "threads": "The avalanche stage, 1 and 2 threads",
    "training": "In-line training of the default XOR runs",
    "tails": "Power-law fit with a free lower cutoff",
    "bootstrap": "Bootstrap of the scaling exponent",
    "systems": "Avalanches of known systems",
}
SCHEMA = pa.schema(
    [
        ("section", pa.string()),
        ("n", pa.int64()),
        ("way", pa.string()),
        ("seconds_median", pa.float64()),
        ("seconds_min", pa.float64()),
        ("seconds_max", pa.float64()),
        ("ratio", pa.float64()),
        ("fraction_of_bound", pa.float64()),
        ("answer", pa.float64()),
        ("work", pa.float64()),
        ("unit", pa.string()),
        ("rounds", pa.int64()),
        ("machine", pa.string()),
        ("versions", pa.string()),
    ]
)
LEGEND = (
    "Median over the rounds, fastest to slowest; ratio: time over that of the row that reads 1, "
    "median of the ratios within a round; of bound: time of the random updates over the time."
)
HEADERS = ("N", "way", "median", "min..max", "ratio", "of bound", "rate", "answer")


def seconds(value: float) -> str:
    """Write seconds with three digits and their unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def rate(value: float, unit: str) -> str:
    """Write how many of a unit a second, with three digits and a prefix."""
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}{'' if unit == 'B' else ' '}{unit}/s"
    return f"{value:.3g} {unit}/s"


def times(value: float) -> str:
    """Write a ratio with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def filled(body: list[list[str]]) -> list[int]:
    """Return the columns in which some row has something to say."""
    return [k for k in range(len(HEADERS)) if any(line[k] for line in body)]


def cells(row: dict[str, Any]) -> list[str]:
    """Write a row; empty where there is nothing to say."""
    low, high = seconds(row["seconds_min"]), seconds(row["seconds_max"])
    bound, work, answer = row["fraction_of_bound"], row["work"], row["answer"]
    return [
        f"{row['n']:,}",
        row["way"],
        seconds(row["seconds_median"]),
        f"{low} .. {high}",
        times(row["ratio"]),
        "" if bound is None else f"{bound:.2g}",
        "" if work is None else rate(work / row["seconds_median"], row["unit"]),
        "" if answer is None else f"{answer:.9g}",
    ]


def show(section: Section) -> None:
    """Print the table of a section, and how its answers compare."""
    table = Table(title=TITLES[section.name], title_justify="left")
    body = [cells(row) for row in section.rows]
    columns = filled(body)
    for k in columns:
        side = "left" if HEADERS[k] == "way" else "right"
        table.add_column(HEADERS[k], justify=side, no_wrap=True)
    for line in body:
        table.add_row(*(line[k] for k in columns))
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)
    for note in section.notes:
        console.print(f"  {note}")
    for note in section.wrong:
        console.print(f"  ANSWERS DISAGREE: {note}")


def markdown(path: Path) -> str:
    """Write the tables of a run as Markdown."""
    rows = pq.read_table(path).to_pylist()
    versions = json.loads(rows[0]["versions"])
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"{rows[0]['machine']}; {names}.", "", LEGEND]
    for name, title in TITLES.items():
        mine = [row for row in rows if row["section"] == name]
        if not mine:
            continue
        body = [cells(row) for row in mine]
        columns = filled(body)
        rounds = ", ".join(map(str, sorted({row["rounds"] for row in mine})))
        lines += ["", f"### {title}", "", f"Rounds: {rounds}.", ""]
        lines.append("| " + " | ".join(HEADERS[k] for k in columns) + " |")
        lines.append("|" + "|".join(":--" if HEADERS[k] == "way" else "--:" for k in columns) + "|")
        lines += ["| " + " | ".join(line[k] for k in columns) + " |" for line in body]
    return "\n".join(lines)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=SIZES, help="nodes of the cascades")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results-bench"))
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, by comma")
    parser.add_argument("--markdown", type=Path, help="print the tables of a run, measure nothing")
    given = parser.parse_args()
    given.sizes = sorted(int(float(size)) for size in given.sizes.split(","))
    given.only = given.only.split(",")
    unknown = set(given.only) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    return given


def main() -> int:
    """Run the sections, print and write what they found."""
    given = options()
    if given.markdown:
        print(markdown(given.markdown))
        return 0
    if torch_or_none() is None:
        print("torch cannot be imported: its rows are left out", file=sys.stderr)
    print(f"{machine()}; load average before: {os.getloadavg()[0]:.2f}")
    done = []
    given.out.mkdir(parents=True, exist_ok=True)
    for name, measured in SECTIONS.items():
        if name not in given.only:
            continue
        section = measured(given.sizes, given.rounds)
        show(section)
        done.append(section)
        rows = [row for each in done for row in each.rows]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), given.out / "bench.parquet")
        if name == "cascade":
            draw(section.rows, given.out / "bench.png")
    return 1 if any(section.wrong for section in done) else 0


if __name__ == "__main__":
    sys.exit(main())
