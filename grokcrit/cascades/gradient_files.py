"""Gradients in .npy files, a snapshot each: for those that no Parquet page can hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from grokcrit.base.errors import OptionError, ShapeError, TableError
from grokcrit.base.options import INT32_MAX
from grokcrit.base.parallel import Stop
from grokcrit.cascades.counting import (
    Counted,
    Setup,
    check_finite,
    count,
    row_of,
    surrogates_of,
)
from grokcrit.cascades.graphs import graph_of
from grokcrit.cascades.single import mapped, source_and_values
from grokcrit.tables.reading import check_once

# The task and the case of what comes in files.
CASE = "npy"


@dataclass(frozen=True)
class GradientFile:
    """A .npy file with one gradient: a run of one snapshot, of that length and number."""

    path: str
    n: int
    seed: int

    @property
    def rows(self) -> int:
        """The cost, in rows of small networks."""
        return self.n

    @property
    def row(self) -> pa.Table:
        """Which snapshot it is, as a row."""
        known = {"task": CASE, "case": CASE, "field": "gradient", "width": self.n}
        known |= {"n_params": self.n, "seed": self.seed, "epoch": 0}
        return row_of(known)


def is_gradient_file(path: object) -> bool:
    """Return whether a name is that of a .npy file."""
    return isinstance(path, str | os.PathLike) and str(os.fspath(path)).lower().endswith(".npy")


def gradient_files(paths: Sequence[str | os.PathLike[str]]) -> list[GradientFile]:
    """Open every file; number those of one length from 0, in the order given."""
    numbers: Counter[int] = Counter()
    found = []
    check_once(paths)
    for path in paths:
        name, values = os.fspath(path), mapped(path)
        if values.dtype.kind not in "iuf" or values.ndim != 1 or not 0 < values.size <= INT32_MAX:
            raise ShapeError(
                f"{name} holds {values.dtype} of shape {values.shape}; it must hold one vector of "
                f"1 to {INT32_MAX} real numbers"
            )
        found.append(GradientFile(name, values.size, numbers[values.size]))
        numbers[values.size] += 1
    return found


def file_avalanches(
    file: GradientFile, setups: Sequence[Setup], seed: int, cache: bool, stop: Stop
) -> list[Counted]:
    """Run every setup over the gradient of one file, which is read once for each."""
    row, found = file.row, []
    for setup in setups:
        stop.check()
        if setup.surrogate == "permute-layers":
            raise OptionError("surrogate", "permute-layers needs tensors, which .npy does not name")
        try:
            source, scratch = source_and_values(file.path, file.n, overwrite=False)
            snapshots = source[None]
            if setup.surrogate != "none":
                check_finite(snapshots, row)
                del scratch  # its memory is for the draw
                snapshots = surrogates_of(snapshots, row, setup, [0], seed)
                scratch = snapshots[0]  # spares a copy
            network = graph_of(setup.cascade, file.n, cache=cache).network
            found.append(count(snapshots, row, setup, network, [], scratch))
        except TableError as error:
            raise TableError(f"{file.path}: {error}") from None
        del source, snapshots, scratch
    return found
