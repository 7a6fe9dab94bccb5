"""A small table of every stage, made by the real stages, and who reads each of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

import grokcrit
from grokcrit.tables import reading, writing
from grokcrit.tasks.swept import TABLES
from tests.sweeps.made import swept
from tests.unit.signals import small

FEW = {"resamples": 20}
SWEEP = """
[train]
hidden = [[3, 5, 8]]
seeds = 2
epochs = 40
snapshot_every = 8
lr = [3.0, 4.0]
[avalanche]
rule = ["diffuse", "reset"]
[fss]
resamples = 20
"""

# A new table has its sample here: made from the samples before it.
MAKERS: dict[str, Callable[[dict[str, pa.Table]], pa.Table]] = {
    "train": lambda _: grokcrit.train(
        hidden=(3, 5, 8), seeds=2, epochs=40, snapshot_every=8, lr=3.0, threads=1
    ),
    "avalanche": lambda made: grokcrit.avalanche(
        made["train"], surrogate=("none", "gaussian", "permute"), threads=1
    ),
    "fss": lambda made: grokcrit.fss(made["avalanche"], threads=1, **FEW),
    "bootstrap": lambda made: grokcrit.bootstrap(made["avalanche"], threads=1, **FEW),
    "diagnostics": lambda made: grokcrit.diagnose(
        [made["avalanche"], made["train"]],
        permutations=5,
        gof=1,
        observable="size",
        threads=1,
        **FEW,
    ),
    "signals": lambda _: small(),
    "warn": lambda made: grokcrit.warn(made["signals"], threads=1, **FEW),
    "sweep": lambda _: swept(SWEEP),
}


@functools.cache
def samples() -> dict[str, pa.Table]:
    """The sample of every table."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", "1000000000")
    made: dict[str, pa.Table] = {}
    for stage in TABLES:
        made[stage] = MAKERS[stage](made)
    return made


def save(stage: str, table: pa.Table, path: Path) -> Path:
    """Write a table as its command does: train tables run by run."""
    blocks = reading.split(table, ["width", "seed"]) if stage == "train" else [table]
    writing.write(path, blocks, table.schema)
    return path
