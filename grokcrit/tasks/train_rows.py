"""Rows of the train table, whoever trained: XOR runs, Transformers, a recorder, saved files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.options import CascadeOptions, recorded
from grokcrit.tables import provenance
from grokcrit.tables.schemas import TRAIN


@dataclass(frozen=True)
class RunName:
    """The name of a run: the columns in which runs differ."""

    task: str
    case: str
    field: str  # gradient, clipped-gradient, update
    width: int
    n_params: int
    seed: int


def tensors_of(shapes: Sequence[tuple[str, Sequence[int]]]) -> list[dict[str, Any]]:
    """Name, shape and offset of each tensor in the flat vector, in that order."""
    found, offset = [], 0
    for name, shape in shapes:
        found.append({"name": name, "shape": list(shape), "offset": offset})
        offset += int(np.prod(shape, dtype=np.int64))
    return found


def record_of(
    case: str,
    widths: dict[str, list[dict[str, Any]]],
    configuration: dict[str, Any],
    cascade: CascadeOptions | None = None,
    seed: int = 0,
) -> provenance.Record:
    """Make the record of a table of saved vectors, given all that the vectors depend on."""
    options = {**configuration, **recorded(cascade or CascadeOptions())}
    return provenance.record(
        TRAIN.name, options, root_seed=seed, cases={case: options}, widths=widths
    )


def rows_of(
    run: RunName,
    epochs: npt.ArrayLike,
    gradients: npt.NDArray[np.floating],
    snapshot: npt.NDArray[np.bool_],
    measured: dict[str, Any],
) -> pa.Table:
    """Make rows of the train table, without a record; columns not measured are null.

    ``gradients`` (snapshots, n_params) are those of the rows that ``snapshot`` (rows,) marks.
    ``measured`` has other columns by name: one value per row, or one for all; None or NaN for none.
    """
    rows = len(snapshot)
    offsets = np.concatenate([[0], np.cumsum(snapshot)]).astype(np.int32) * np.int32(run.n_params)
    values: dict[str, Any] = {**asdict(run), "epoch": epochs, **measured}
    arrays = {}
    for column in TRAIN.columns:
        value = values.get(column.name)
        if value is None or np.isscalar(value):
            arrays[column.name] = pa.repeat(pa.scalar(value, column.type), rows)
        elif column.name != "gradient":
            arrays[column.name] = pa.array(value, from_pandas=True).cast(column.type)
    lists = pa.ListArray.from_arrays(pa.array(offsets), gradients.ravel(), mask=pa.array(~snapshot))
    arrays["gradient"] = lists
    return pa.table({name: arrays[name] for name in TRAIN.arrow.names})
