"""Who reads a table: every command and figure that takes it, run in this process."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from grokcrit.cli.app import invoke
from grokcrit.plot import NAMES, SOURCE
from grokcrit.stages.plot import home
from grokcrit.tables import reading
from grokcrit.tasks.swept import TABLES
from tests.badinput.samples import samples, save

# Commands that make tables, and the stage that they read; names of tables are in braces.
COMMANDS: dict[str, tuple[str, str]] = {
    "avalanche": ("train", "avalanche {train} --surrogate none,gaussian"),
    "layers": ("train", "avalanche {train} --surrogate permute-layers"),
    "first": ("train", "avalanche {train} --grok-accuracy 0.9"),
    "fss": ("avalanche", "fss {avalanche} --resamples 20"),
    "bootstrap": ("avalanche", "bootstrap {avalanche} --resamples 20"),
    "diagnose": (
        "avalanche",
        "diagnose {avalanche} --resamples 20 --permutations 5 --gof 1 --observable size",
    ),
    "warn": ("signals", "warn {signals} --resamples 20"),
    "learning": ("train", "diagnose {avalanche} {train} --only gini --resamples 20"),
}


class UntoldError(Exception):
    """What must not be: anything but a result that is sound or one sentence."""


@functools.cache
def folder() -> Path:
    """A folder with the samples as files."""
    place = Path(tempfile.mkdtemp(prefix="grokcrit-samples-"))
    for stage, table in samples().items():
        save(stage, table, place / f"{stage}.parquet")
    return place


@functools.cache
def panels():
    """Every panel by its name."""
    named = (home(name)[0] for name in NAMES if name not in SOURCE)
    return {name: panel for each in named for name, panel in each.items()}


def readers(stage: str) -> list[str]:
    """Names of what reads a table."""
    made = [name for name, (source, _) in COMMANDS.items() if source == stage]
    drawn = [name for name, p in panels().items() if stage in (*p.needs, *p.helps)]
    return [*made, *(f"plot {name}" for name in drawn), "report"]


def run(reader: str, stage: str, path: Path, out: Path) -> tuple[int, str]:
    """Run a reader on a table, the other tables being sound; its exit code and what it said.

    Raises
    ------
    UntoldError
        No sentence, more than one, an unknown exception, or a result that is not sound.
    """
    kind, _, panel = reader.partition(" ")
    if kind == "plot":
        needed = dict.fromkeys((*panels()[panel].needs, *panels()[panel].helps[:1], stage))
        arguments = ["plot", panel, *(f"{{{each}}}" for each in needed)]
        target = out / "figure.svg"
    elif kind == "report":
        arguments, target = ["report", f"{{{stage}}}"], out / "report.html"
    else:
        arguments, target = (
            [*COMMANDS[kind][1].split(), "--json", "--threads", "1"],
            out / "made.parquet",
        )
    target.unlink(missing_ok=True)
    known = {**{s: str(folder() / f"{s}.parquet") for s in TABLES}, stage: str(path)}
    said, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        code = invoke([*(each.format(**known) for each in arguments), "-o", str(target)])
    told = said.getvalue()
    if code:
        sentence = told.splitlines()
        if (
            len(sentence) != 1
            or not told.startswith("grokcrit: ")
            or "internal error" in told
            or target.exists()
        ):
            raise UntoldError(f"{reader}: exit {code}, {told!r}")
    elif target.suffix == ".parquet":
        json.loads(printed.getvalue(), parse_constant=_no_number)
        table = pq.read_table(target)
        reading.Inputs(table, TABLES[reading.stage_of(table)]).read()
    elif "nan" in target.read_text().casefold().replace("nanogpt", "").split():
        raise UntoldError(f"{reader}: {target.name} shows NaN")
    return code, told


def _no_number(name: str) -> None:
    raise UntoldError(f"{name} in a summary")
