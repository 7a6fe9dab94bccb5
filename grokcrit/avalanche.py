"""Stage 2: the cascade of every snapshot, on any graph, of the data and of its surrogates."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit import provenance
from grokcrit.errors import OptionError, TableError
from grokcrit.graphs import graph_of
from grokcrit.kernels import cascade as kernel
from grokcrit.kernels import types as kt
from grokcrit.options import CascadeOptions, check_choice, check_distinct, check_integer
from grokcrit.parallel import Progress, Stop, StoppedError, in_order
from grokcrit.rng import stream
from grokcrit.schemas import AVALANCHE, TRAIN
from grokcrit.surrogates import surrogate as make_surrogate
from grokcrit.tables import Block, Inputs, TableLike
from grokcrit.vocabulary import SURROGATES

# Entries of the snapshots that a thread holds at once: 16 MiB of float64.
CHUNK = 2**21

LISTED = ("topology", "graph_seed", "alpha", "quantile", "rule")


@dataclass(frozen=True)
class AvalancheOptions:
    """What the stage depends on. None: as in training. The lists are multiplied out."""

    topology: tuple[str, ...] | None = None
    degree: int | None = None
    graph_seed: tuple[int, ...] | None = None
    alpha: tuple[float, ...] | None = None
    quantile: tuple[float, ...] | None = None
    rule: tuple[str, ...] | None = None
    max_steps: int | None = None
    surrogate: tuple[str, ...] = ("none",)
    replicates: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Turn single values into lists; check every range."""
        for name in (*LISTED, "surrogate"):
            value = getattr(self, name)
            if value is not None:
                values = (value,) if isinstance(value, str | int | float) else tuple(value)
                check_distinct(name, values)
                object.__setattr__(self, name, values)
        for name in self.surrogate:
            check_choice("surrogate", name, SURROGATES)
        check_integer("replicates", self.replicates, 1)
        check_integer("seed", self.seed, 0, 2**63 - 1)
        self.probes({})

    def probes(self, trained: dict[str, Any]) -> list[Probe]:
        """Multiply out the lists, over what the training used where nothing was given."""
        fields = [f.name for f in dataclasses.fields(CascadeOptions)]
        base = {name: trained[name] for name in fields if name in trained}
        for name in ("degree", "max_steps"):
            if getattr(self, name) is not None:
                base[name] = getattr(self, name)
        axes = {name: getattr(self, name) for name in LISTED if getattr(self, name) is not None}
        return [
            Probe(CascadeOptions(**base | dict(zip(axes, values, strict=True))), name, replicate)
            for values in itertools.product(*axes.values())
            for name in self.surrogate
            for replicate in range(1 if name == "none" else self.replicates)
        ]


@dataclass(frozen=True)
class Probe:
    """One way to look at a snapshot."""

    cascade: CascadeOptions
    surrogate: str
    replicate: int


def avalanche(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Run the cascade of every snapshot in one or several train tables.

    Parameters
    ----------
    tables
        Schema ``train/1``; pyarrow Tables, files, or folders of parts.
    threads
        How many row groups at once; None for all cores. Changes no bit of the result.
    progress
        Called with (row groups done, in all).
    **options
        Fields of :class:`AvalancheOptions`. What is not given is as it was in training.

    Returns
    -------
    pyarrow.Table
        Schema ``avalanche/1``, sorted by its key; the record in its metadata.

    Raises
    ------
    OptionError
        An option out of its range.
    TableError
        A gradient that is not finite or not of length n_params; the same snapshot twice.
    """
    chosen = AvalancheOptions(**options)
    inputs = Inputs(tables, TRAIN)
    cases = inputs.cases
    record = provenance.record(
        AVALANCHE.name, dataclasses.asdict(chosen), root_seed=chosen.seed, inputs=inputs.records
    )
    results = in_order(
        lambda block, stop: block_avalanches(block, cases, chosen, stop),
        inputs.blocks,
        cost=lambda block: block.rows,
        threads=threads,
        progress=progress,
    )
    joint = pa.concat_tables([part for parts in results for part in parts])
    if joint.num_rows == 0:
        raise TableError("there is no gradient in the train tables: every snapshot is null")
    unique = check_unique_sorted(joint)
    return unique.replace_schema_metadata(provenance.encode(record))
