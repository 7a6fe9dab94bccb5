"""Checks of a table's values: ranges, lists, intervals, rows that appear twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import RepeatedError, ValuesError
from grokcrit.tables.schemas import Schema

# What numbers may be at most, where their column does not say: whole ones about as large as doubles
# hold exactly, real ones such that their squares are finite.
EXACT, LARGEST = 10**16, 1e150


def check_values(block: pa.Table, schema: Schema, where: str) -> None:
    """Raise TableError at the first null, NaN or out-of-range value that the schema forbids."""
    for column in schema.columns:
        values = block[column.name]
        if not column.nullable and values.null_count:
            row = pc.index(pc.is_null(values), True).as_py()
            raise ValuesError(f"{where}: column '{column.name}' is null in {describe(block, row)}")
        if column.each:
            lists, values = values, pc.list_flatten(values)
        real = pa.types.is_floating(values.type)
        if not (real or pa.types.is_integer(values.type)):
            continue
        most = column.maximum or (LARGEST if real else EXACT)
        least = -most if column.minimum is None else column.minimum
        ends = pc.min_max(values).as_py()
        inside = ends["min"] is None or least <= ends["min"] <= ends["max"] <= most
        if inside and not (real and pc.any(pc.is_nan(values)).as_py()):
            continue
        wrong = pc.invert(pc.and_(pc.greater_equal(values, least), pc.less_equal(values, most)))
        row = pc.index(wrong, True).as_py()
        value = values[row].as_py()
        if column.each:
            row = pc.list_parent_indices(lists)[row].as_py()
        raise ValuesError(
            f"{where}: column '{column.name}' is {value} in {describe(block, row)}, it must be "
            "a finite number"
            + ("" if column.minimum is None else f" and at least {column.minimum:g}")
            + (f", at most {most:g} in size" if most < abs(value) < np.inf else "")
        )


def check_lists(block: pa.Table, schema: Schema, where: str) -> None:
    """Raise TableError at the first list whose length or sum is not its row's, or below 0.

    A length that the row does not give is not compared.
    """
    for column in schema.columns:
        if column.length is None or column.length not in block.column_names:
            continue
        lists = block[column.name].combine_chunks()
        absent = pc.is_null(lists).to_numpy(zero_copy_only=False)
        lengths = pc.list_value_length(lists).fill_null(0)
        wrong = ~absent & pc.not_equal(lengths, block[column.length]).fill_null(False).to_numpy()
        entries = lists.flatten().fill_null(-1).to_numpy()
        ends = np.append(0, np.cumsum(lengths.to_numpy()))
        outside = np.append(0, np.cumsum((entries < 0) | (entries > EXACT)))
        wrong |= np.diff(outside[ends]) > 0
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValuesError(
                f"{where}: column '{column.name}' in {describe(block, row)} must hold as many "
                f"numbers as {column.length} says, each at least 0"
            )
        if column.total is None or column.total not in block.column_names:
            continue
        sums, total = np.diff(np.append(0, np.cumsum(entries))[ends]), block[column.total]
        wrong = ~absent & (sums != total.to_numpy())
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValuesError(
                f"{where}: column '{column.name}' in {describe(block, row)} sums to {sums[row]}, "
                f"but {column.total} is {total[row].as_py()}; the two must be equal"
            )


def check_intervals(block: pa.Table, where: str) -> None:
    """Raise TableError at the first interval that has one end, or whose ends are exchanged."""
    for low in block.column_names:
        high = low.removesuffix("low") + "high"
        if not low.endswith("_low") or high not in block.column_names:
            continue
        halves = pc.not_equal(pc.is_null(block[low]), pc.is_null(block[high]))
        wrong = pc.or_(halves, pc.fill_null(pc.greater(block[low], block[high]), False))
        if pc.any(wrong).as_py():
            row = pc.index(wrong, True).as_py()
            ends = ", ".join(f"{name} {block[name][row].as_py()}" for name in (low, high))
            raise ValuesError(
                f"{where}: {describe(block, row)} has no interval from {low} to {high} ({ends}); "
                "both ends must be there, the lower one first, or none"
            )


def describe(block: pa.Table, row: int) -> str:
    """Name a row of a table by its run and epoch, or by its number where it has none."""
    named = [
        f"{name} {block[name][row].as_py()}"
        for name in ("case", "width", "seed", "epoch")
        if name in block.column_names
    ]
    return f"row {row} ({', '.join(named)})" if named else f"row {row}"


def ascending(table: pa.Table, names: Sequence[str]) -> bool:
    """Return whether every row comes after the one before it, in the order of some columns."""
    open_still = np.ones(max(table.num_rows - 1, 0), bool)
    for name in names:
        before, after = table[name].slice(0, table.num_rows - 1), table[name].slice(1)
        larger, equal = (
            pc.coalesce(compare(after, before), False).to_numpy()
            for compare in (pc.greater, pc.equal)
        )
        if (open_still & ~larger & ~equal).any():
            return False
        open_still &= equal
    return not open_still.any()


def check_unique(table: pa.Table, schema: Schema, inputs: str | None = None) -> None:
    """Raise TableError where two rows carry the same key, naming the first such key."""
    # A column with one value tells no rows apart, and grouping by it takes as long as by any other.
    held = {name: pc.count_distinct(table[name], "all").as_py() for name in schema.key}
    several = [name for name in schema.key if held[name] > 1] or list(schema.key)
    if ascending(table, several):  # as every stage writes its tables: no groups are needed
        return
    counts = table.group_by(several).aggregate([([], "count_all")])
    if counts.num_rows == table.num_rows:
        return
    twice = counts.filter(pc.greater(counts["count_all"], 1)).slice(0, 1).to_pylist()[0]
    named = {k: twice[k] if k in twice else table[k][0].as_py() for k in schema.key}
    name = ", ".join(f"{k} {value}" for k, value in named.items() if value is not None)
    raise RepeatedError(
        f"the same row is there {twice['count_all']} times among the {inputs or schema.stage} "
        f"inputs "
        f"({name}); give each table once, or tell the cases apart: --label of train and ingest, "
        "case= of a recorder"
    )


def check_runs(table: pa.Table, schema: Schema, inputs: str | None = None) -> None:
    """Raise TableError where a run has two values of what it has but one of."""
    steady = [name for name in schema.steady if name in table.column_names]
    if not steady:
        return
    run = [name for name in schema.key if name != "epoch"]
    kinds = [(name, "count_distinct", pc.CountOptions(mode="all")) for name in steady]
    counts = table.group_by(run).aggregate(kinds)
    for name in steady:
        found = counts.filter(pc.greater(counts[f"{name}_count_distinct"], 1))
        if found.num_rows:
            held = found.slice(0, 1).to_pylist()[0]
            named = ", ".join(f"{key} {held[key]}" for key in run)
            raise ValuesError(
                f"column '{name}' of the {inputs or schema.stage} inputs has several values in one "
                f"run ({named}); a run has one"
            )
