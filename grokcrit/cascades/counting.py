"""Many cascades of many snapshots: what each setup counts, and the table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base import degenerate
from grokcrit.base.degenerate import Findings, Tensor, first_broken
from grokcrit.base.errors import TableError, ValuesError
from grokcrit.base.options import CascadeOptions
from grokcrit.base.rng import stream
from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.cascades.surrogates import DETERMINISTIC
from grokcrit.cascades.surrogates import surrogate as make_surrogate
from grokcrit.kernels import cascade as kernel
from grokcrit.kernels import types as kt
from grokcrit.tables.checking import LARGEST
from grokcrit.tables.schemas import AVALANCHE, SETUP, TRAIN

# Columns of the avalanche table that are the snapshot's, and that are the setup's.
RUN = ("task", "case", "field", "width", "n_params", "seed")
MEASURED = ("loss", "train_accuracy", "test_accuracy", "every")
COPIED = (*RUN, "epoch", "grok_epoch", *MEASURED)
SETUP_NAMES = tuple(column.name for column in SETUP)


@dataclass(frozen=True)
class Setup:
    """One way to look at a snapshot."""

    cascade: CascadeOptions
    surrogate: str
    replicate: int


@dataclass(frozen=True)
class Counted:
    """Counts of one setup on some snapshots of one run."""

    rows: pa.Table  # which snapshots, m
    setup: Setup
    theta: npt.NDArray[np.float64]  # (m,)
    counts: npt.NDArray[np.int64]  # (m, 4): size, area, duration, peak
    truncated: npt.NDArray[np.bool_]  # (m,)
    transported: npt.NDArray[np.float64]  # (m,)
    activity: npt.NDArray[np.int64]  # the topplings of each step, one snapshot after the other
    findings: Findings | None  # what is degenerate among the gradients; None for surrogates


def setups_of(chosen: AvalancheOptions, trained: dict[str, Any]) -> list[Setup]:
    """Multiply out the options, over what the training used where nothing was given."""
    return [
        Setup(cascade, name, replicate)
        for cascade in chosen.cascades(trained)
        for name in chosen.surrogate
        for replicate in range(1 if name in DETERMINISTIC else chosen.replicates)
    ]


class Unlocked:
    """Memory of an array that may not be written, for one that may.

    The kernels read snapshots and no more, but numba would compile them once for those that lie in
    a table and once for those that were made: 2 s of a first call. The array is kept alive.
    """

    def __init__(self, values: npt.NDArray[np.floating]) -> None:
        self.values = values
        memory = values.__array_interface__
        self.__array_interface__ = memory | {"data": (memory["data"][0], False)}


def row_of(known: Mapping[str, Any]) -> pa.Table:
    """Return a snapshot's columns as a row; those that are not given are null."""
    return pa.table({name: pa.array([known.get(name)], TRAIN.column(name).type) for name in COPIED})


def name_of(run: pa.Table, row: int) -> str:
    """Name a snapshot of a run."""
    return ", ".join(f"{name} {run[name][row]}" for name in ("case", "width", "seed", "epoch"))


def worthless(run: pa.Table, row: int, what: str) -> TableError:
    """Say that a snapshot holds what is no number."""
    return ValuesError(
        f"the gradient of {name_of(run, row)} holds {what}; "
        "nothing was computed from it: leave the run out, or train it again"
    )


def check_finite(gradients: npt.NDArray[np.floating], run: pa.Table) -> None:
    """Raise TableError at the first snapshot of a run that holds NaN or infinity."""
    for row, values in enumerate(gradients):
        entry = first_broken(values)
        if entry is not None:
            raise worthless(run, row, f"{values[entry]} at entry {entry}")


def surrogates_of(
    gradients: npt.NDArray[np.floating],
    run: pa.Table,
    setup: Setup,
    tensors: list[int],
    seed: int,
    copies: npt.NDArray[np.floating] | None = None,
) -> npt.NDArray[np.floating]:
    """Return the snapshots that a setup cascades, one per row, in ``copies`` where it is given."""
    if setup.surrogate == "none":
        return gradients
    if copies is None:
        copies = np.empty_like(gradients)
    settings = setup.cascade
    seeds, epochs = run["seed"].to_pylist(), run["epoch"].to_pylist()
    for row in range(len(gradients)):
        # A graph's null is drawn for that graph: graphs are compared on independent draws.
        rng = stream(
            setup.surrogate,
            seed,
            setup.replicate,
            settings.topology,
            settings.degree,
            settings.graph_seed,
            gradients.shape[1],
            seeds[row],
            epochs[row],
        )
        make_surrogate(setup.surrogate, gradients[row], rng, tensors, copies[row])
    return copies


def count(
    snapshots: npt.NDArray[np.floating],
    run: pa.Table,
    setup: Setup,
    network: kt.Network,
    tensors: list[Tensor],
    scratch: npt.NDArray[np.floating] | None = None,
) -> Counted:
    """Cascade every row; raise TableError for one not finite. ``scratch`` (n,) is overwritten.

    It may be the memory of a single snapshot, which then is not looked at for what is degenerate.
    """
    (m, n), settings = snapshots.shape, setup.cascade
    theta, truncated, transported = np.empty(m), np.empty(m, np.bool_), np.empty(m)
    counts, activity = np.empty((m, 4), np.int64), np.empty((m, settings.max_steps), np.int64)
    finite = kernel.cascades(
        np.asarray(Unlocked(snapshots)),
        np.empty(n, snapshots.dtype) if scratch is None else scratch,
        network,
        kt.rule(n, snapshots.dtype, settings),
        kt.work(n, snapshots.dtype, settings.max_steps, network.most),
        theta,
        counts,
        truncated,
        transported,
        activity,
    )
    if not finite:
        check_finite(snapshots, run)
    within = np.arange(settings.max_steps) < counts[:, 2:3]
    found = None
    spared = scratch is None or not np.may_share_memory(scratch, snapshots)
    if setup.surrogate == "none" and spared:
        found = degenerate.findings(snapshots, theta, counts[:, 0], run["epoch"], tensors)
    rows = run.select(COPIED)
    return Counted(rows, setup, theta, counts, truncated, transported, activity[within], found)


def table_of(found: Sequence[Counted]) -> pa.Table:
    """Return what was counted as one unsorted table: joining many took longer than the cascades."""
    which = np.repeat(np.arange(len(found)), [each.rows.num_rows for each in found])
    counts = np.concatenate([each.counts for each in found])
    durations = counts[:, 2]
    offsets = np.concatenate([[0], np.cumsum(durations)]).astype(np.int32)
    setups = [{**vars(each.setup), **vars(each.setup.cascade)} for each in found]
    known = pa.concat_tables([each.rows for each in found])
    theta = np.concatenate([each.theta for each in found])
    if (theta > LARGEST).any():
        row = int(np.argmax(theta > LARGEST))
        raise ValuesError(
            f"the gradient of {name_of(known, row)} is too large to reckon with: its threshold is "
            f"{theta[row]:g}, at most {LARGEST:g} can be; scale it down"
        )
    moved = np.concatenate([each.transported for each in found])
    columns = {
        **{name: known[name] for name in COPIED},
        **{name: pa.array([setup[name] for setup in setups]).take(which) for name in SETUP_NAMES},
        "threshold": theta,
        "size": counts[:, 0],
        "area": counts[:, 1],
        "duration": durations,
        "peak": counts[:, 3],
        "truncated": np.concatenate([each.truncated for each in found]),
        "activity": pa.ListArray.from_arrays(
            offsets, np.concatenate([each.activity for each in found])
        ),
        "transported": pa.array(moved, mask=~(moved <= LARGEST)),  # past what can be read: null
        "zero_threshold": degenerate.zero_threshold(theta, counts[:, 0]),
        "memorise_epoch": pa.nulls(len(which), pa.int32()),
    }
    return pa.table({name: columns[name] for name in AVALANCHE.arrow.names}).cast(AVALANCHE.arrow)
