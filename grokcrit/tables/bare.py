"""Avalanche tables of other programs: a system size, a run and a size, completed when read.

A table without a record of grokcrit may hold ``n_params`` (or another column that is named),
``seed`` and ``size``, and whatever else it has of ``avalanche/1``. What is missing is null, but for
what names a row. There is no training behind such avalanches, and ``field`` says so, unless the
table holds grokking epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import ColumnError, OptionError
from grokcrit.base.options import INT32_MAX
from grokcrit.base.vocabulary import NO_TRAINING
from grokcrit.tables.schemas import AVALANCHE, Schema
from grokcrit.tables.types import check_columns

# What an avalanche table cannot do without, and what each column is.
REQUIRED = {
    "n_params": "the size of the system, or --size-column NAME",
    "seed": "the number of the run",
    "size": "the size of the avalanche",
}
# Name of the task and of the case, where a table does not say.
GIVEN = "avalanches"


@dataclass(frozen=True)
class Part:
    """A table that is to be completed: where it is, how many rows it has, how it is read."""

    where: str
    rows: int
    read: Callable[[list[str]], Iterator[pa.Table]]  # those of some columns that it has


def is_bare(arrow: pa.Schema, schema: Schema, size_column: str | None) -> bool:
    """Return whether a table without a record has to be completed to be one of avalanches."""
    lacks = any(not c.optional and c.name not in arrow.names for c in schema.columns)
    return schema.stage == AVALANCHE.stage and (lacks or size_column is not None)


def check_bare(arrow: pa.Schema, schema: Schema, where: str, size_column: str | None) -> None:
    """Raise TableError unless a table can be completed; name all that it lacks at once."""
    if size_column is not None and size_column not in arrow.names:
        raise OptionError(
            "size_column", f"names {size_column!r}, which is no column of {where}: {listed(arrow)}"
        )
    own = with_size(arrow.empty_table(), size_column).schema
    lacking = [f"'{name}' ({what})" for name, what in REQUIRED.items() if name not in own.names]
    if lacking:
        raise ColumnError(
            f"{where} lacks {', '.join(lacking)}, which avalanches need; it has {listed(arrow)}"
        )
    optional = tuple(replace(column, optional=True) for column in schema.columns)
    check_columns(own, replace(schema, columns=optional), where, empty=False)


def listed(arrow: pa.Schema) -> str:
    """Name the columns of a table."""
    return ", ".join(arrow.names) or "no columns"


def with_size(table: pa.Table, size_column: str | None) -> pa.Table:
    """Return a table in which the column of the system's size is ``n_params``."""
    if size_column is None:
        return table
    kept = [name for name in table.column_names if name == size_column or name != "n_params"]
    names = ["n_params" if name == size_column else name for name in kept]
    return table.select(kept).rename_columns(names)


def read(
    parts: Sequence[Part], size_column: str | None, names: list[str], _: int | None
) -> Iterator[pa.Table]:
    """Yield all parts as one completed table: avalanches are counted through all of them."""
    wanted = names if size_column is None else [*names, size_column]
    pieces = [with_size(piece, size_column) for part in parts for piece in part.read(wanted)]
    yield completed(pa.concat_tables(pieces, promote_options="permissive")).select(names)


def completed(table: pa.Table) -> pa.Table:
    """Return avalanches with every column of ``avalanche/1``.

    ``epoch``, where it is missing, is the number of the avalanche within its run, in the order of
    the rows, from 0; ``width`` is the system's size or, where one is beyond int32, its rank.
    """
    held = table.column_names
    made: dict[str, Any] = {name: table[name] for name in held}
    if "width" not in held:
        made["width"] = pa.array(widths(table["n_params"]), pa.int32())
    if "epoch" not in held:
        run = [table[name] for name in (*AVALANCHE.key, "n_params") if name in held]
        made["epoch"] = pa.array(places(run), pa.int32())
    names: dict[str, str | int] = {"task": GIVEN, "case": GIVEN, "surrogate": "none"}
    names |= {"replicate": 0, "field": "given" if "grok_epoch" in held else NO_TRAINING}
    for column in AVALANCHE.columns:
        if column.name not in made:
            value = pa.scalar(names.get(column.name), column.type)
            made[column.name] = pa.repeat(value, table.num_rows)
    return pa.table({column.name: made[column.name] for column in AVALANCHE.columns})


def widths(size: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a width for each system size; for one that is none, 1: its column is at fault."""
    number = size.cast(pa.float64()).to_numpy()
    if np.nanmax(number, initial=1) > INT32_MAX:
        return codes(size) + 1
    return np.where(number >= 1, number, 1).astype(np.int64)


def codes(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Number the distinct values of a column in ascending order, from 0; null is the last."""
    encoded = values.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = pc.dictionary_encode(encoded, null_encoding="encode")
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    found: npt.NDArray[np.int64] = rank[encoded.indices.fill_null(0).to_numpy()]
    return found


def places(names: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.int64]:
    """Return the place of each row among those that agree with it in some columns, from 0."""
    joint = np.zeros(len(names[0]), np.int64)
    for values in names:
        code = codes(values)
        joint = np.unique(joint * (int(code.max(initial=0)) + 1) + code, return_inverse=True)[1]
    order = np.argsort(joint, kind="stable")
    ordered = joint[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    place = np.empty(len(joint), np.int64)
    place[order] = np.arange(len(joint)) - np.repeat(starts, np.diff(np.append(starts, len(joint))))
    return place
