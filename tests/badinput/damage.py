"""What people and programs do to tables, as hypothesis strategies."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import strategies as st

from grokcrit.tables.provenance import KEY
from grokcrit.tasks.swept import TABLES
from tests.badinput.samples import samples


@dataclass(frozen=True)
class Damaged:
    """A table after something was done to it.

    Attributes
    ----------
    what
        What was done, in words.
    harmless
        Whether the answer must be as before; else it may be another answer, or one sentence.
    """

    stage: str
    what: str
    harmless: bool
    table: pa.Table


INTEGERS = (0, 1, -1, 2, 2**31 - 1, -(2**31), 2**53 + 1, 2**62, 2**63 - 1, -(2**63))
REALS = (
    0.0,
    -0.0,
    -1.0,
    0.5,
    1.0,
    1e-9,
    5e-324,
    1e300,
    1.7e308,
    -1.7e308,
    float("nan"),
    float("inf"),
    float("-inf"),
)
WORDS = (
    "",
    "none",
    "gaussian",
    "size",
    "aggregate",
    "nan",
    "<b>&",
    "$x_{",
    "a\nb",
    "\0",
    "é\u202e",
    "{x}",
    "[red]",
    "x" * 5000,
)
DEEP = "[" * 400 + "]" * 400
JSON = (None, True, 0, -1, 10**30, 0.5, float("nan"), float("inf"), "", "x", [], [1], {}, {"": 1})


def pool(kind: pa.DataType) -> tuple[Any, ...]:
    """Values that a column of a type may hold."""
    if pa.types.is_integer(kind):
        bits = kind.bit_width - 1
        return tuple(n for n in INTEGERS if -(2**bits) <= n < 2**bits)
    if pa.types.is_floating(kind):
        return REALS
    if pa.types.is_boolean(kind):
        return (True, False)
    if pa.types.is_list(kind):
        inner = pool(kind.value_type)
        return ([], [inner[0]], [inner[1]] * 3, [None], list(inner), [inner[2]] * 1000)
    return WORDS


def put(table: pa.Table, name: str, values: pa.Array | list[Any]) -> pa.Table:
    """Return the table with another column in the place of one."""
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, values)


@st.composite
def values(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """Another value in one row, in some or in all of a column."""
    name = draw(st.sampled_from(table.column_names))
    kind = table.schema.field(name).type
    value = draw(st.sampled_from((None, *pool(kind))))
    held = table[name].to_pylist()
    which = draw(st.sampled_from(["one", "some", "all"]))
    step = {"one": len(held), "some": 3, "all": 1}[which]
    for row in range(draw(st.integers(0, len(held) - 1)) % step, len(held), step):
        held[row] = value
    return (
        f"{name} is {str(value)[:40]!r} in {which}",
        False,
        put(table, name, pa.array(held, kind)),
    )


@st.composite
def lists(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """Lists cut short, made longer, or with one entry changed; tables without lists: values."""
    names = [f.name for f in table.schema if pa.types.is_list(f.type)]
    if not names:
        return draw(values(table))
    name = draw(st.sampled_from(names))
    kind = table.schema.field(name).type
    held = table[name].to_pylist()
    rows = [k for k, each in enumerate(held) if each]
    row = draw(st.sampled_from(rows))
    how = draw(st.sampled_from(["cut", "longer", "entry", "exchange"]))
    value = draw(st.sampled_from((None, *pool(kind.value_type))))
    if how == "cut":
        held[row] = held[row][:-1]
    elif how == "longer":
        held[row] = [*held[row], value]
    elif how == "entry":
        held[row] = [*held[row][:-1], value]
    else:
        other = draw(st.sampled_from(rows))
        held[row], held[other] = held[other], held[row]
    return f"{name}, row {row}: {how} {value}", False, put(table, name, pa.array(held, kind))


KINDS = (
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.int64()),
    pa.bool_(),
    pa.null(),
    pa.timestamp("us"),
    pa.decimal128(38, 3),
    pa.list_(pa.int64()),
    pa.list_(pa.float32()),
    pa.large_list(pa.float64()),
    pa.list_(pa.string()),
    pa.struct([("x", pa.int32())]),
)


def recast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.Array | None:
    """Cast as well as it goes: by values, by text, else nulls."""
    for source in (values, values.to_pylist(), [str(v) for v in values.to_pylist()]):
        try:
            if isinstance(source, list):
                return pa.array(source, kind, from_pandas=False)
            return source.cast(kind, safe=False)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
    return pa.nulls(len(values), kind)


@st.composite
def types(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """A column of another type, the values kept as well as it goes."""
    name = draw(st.sampled_from(table.column_names))
    kind = draw(st.sampled_from(KINDS))
    return f"{name} as {kind}", False, put(table, name, recast(table[name], kind))


@st.composite
def columns(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """A column dropped, doubled, renamed, or exchanged for another."""
    name, other = draw(st.permutations(table.column_names))[:2]
    how = draw(st.sampled_from(["drop", "double", "rename", "exchange"]))
    if how == "drop":
        found = table.drop_columns([name])
    elif how == "double":
        found = table.append_column(name, table[other])
    elif how == "rename":
        new = draw(st.sampled_from([name.upper(), f" {name}", "", "x", other]))
        found = table.rename_columns([new if n == name else n for n in table.column_names])
    else:
        names = {name: other, other: name}
        found = table.rename_columns([names.get(n, n) for n in table.column_names])
    return f"{how} {name}, {other}", False, found


@st.composite
def rows(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """Rows gone, doubled, or one run, one size, one case alone."""
    how = draw(
        st.sampled_from(["none", "one", "some", "twice", "width", "seed", "epoch", "window"])
    )
    if how == "none":
        found = table.slice(0, 0)
    elif how == "one":
        found = table.slice(draw(st.integers(0, table.num_rows - 1)), 1)
    elif how == "some":
        kept = draw(st.lists(st.integers(0, table.num_rows - 1), min_size=1, max_size=40))
        found = table.take(sorted(set(kept)))
    elif how == "twice":
        found = pa.concat_tables([table, table.slice(draw(st.integers(0, table.num_rows - 1)), 1)])
    elif how in table.column_names:
        value = draw(st.sampled_from(pc.unique(table[how]).to_pylist()))
        same = pc.equal(table[how], pa.scalar(value, table.schema.field(how).type))
        found = table.filter(same if draw(st.booleans()) else pc.invert(same))
    else:
        found = table.slice(0, 2)
    return f"rows: {how}", False, found


@st.composite
def records(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """The record gone, of another stage or version, garbage, or with a part of it changed."""
    record = json.loads(table.schema.metadata[KEY])
    how = draw(st.sampled_from(["gone", "stage", "version", "garbage", "part", "part", "part"]))
    if how == "gone":
        return "no record", False, table.replace_schema_metadata(None)
    if how == "garbage":
        garbage = (
            b"",
            b"\xff\xfe",
            b"{",
            b"[]",
            b"{}",
            b"null",
            b"1e999",
            DEEP.encode(),
            b"\0" * 9,
        )
        content = draw(st.sampled_from(garbage))
        return f"record {content[:20]!r}", False, table.replace_schema_metadata({KEY: content})
    if how == "stage":
        other = draw(st.sampled_from(list(TABLES)))
        new = samples()[other].schema.metadata
        return f"record of {other}", False, table.replace_schema_metadata(new)
    if how == "version":
        stage = record["schema"].partition("/")[0]
        record["schema"] = draw(
            st.sampled_from([f"{stage}/2", stage, "", "/", "x/1", f"{stage}/1/1"])
        )
        told = f"schema {record['schema']!r}"
    else:
        path, place = [], record
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            path.append(key)
            deeper = isinstance(place[key], dict | list) and len(place[key])
            if not deeper or draw(st.integers(0, 3)) == 0:
                break  # the first damage left no way
            place = place[key]
        deep = json.loads(DEEP)
        value = draw(st.sampled_from([*JSON, deep, "gone"]))
        if value == "gone" and isinstance(place, dict):
            del place[key]
        else:
            place[key] = copy.deepcopy(value)
        told = f"record {path} is {str(value)[:20]}"
    return told, False, table.replace_schema_metadata({KEY: json.dumps(record).encode()})


@st.composite
def undecodable(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """Text that is not UTF-8."""
    name = draw(st.sampled_from([f.name for f in table.schema if f.type == pa.string()]))
    held = table[name].cast(pa.binary()).to_pylist()
    held[draw(st.integers(0, len(held) - 1))] = b"\xff\xfea"
    raw = pa.array(held, pa.binary())
    text = pa.StringArray.from_buffers(
        len(raw), raw.buffers()[1], raw.buffers()[2], raw.buffers()[0]
    )
    return f"{name} is not UTF-8", False, put(table, name, text)


WIDE = {
    pa.string(): (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())),
    pa.int32(): (pa.int64(), pa.int32()),
    pa.list_(pa.int64()): (pa.large_list(pa.int64()),),
    pa.list_(pa.float64()): (pa.large_list(pa.float64()),),
}


@st.composite
def harmless(draw: st.DrawFn, table: pa.Table) -> tuple[str, bool, pa.Table]:
    """What other programs do: wide types, other orders, columns besides, the same numbers."""
    how = draw(st.sampled_from(["columns", "rows", "types", "besides"]))
    if how == "columns":
        return how, True, table.select(draw(st.permutations(table.column_names)))
    if how == "rows":
        order = np.random.default_rng(draw(st.integers(0, 99))).permutation(table.num_rows)
        return how, True, table.take(order)
    if how == "besides":
        return how, True, table.add_column(0, "note", pa.array(["x"] * table.num_rows))
    fields = [
        pa.field(f.name, draw(st.sampled_from(WIDE.get(f.type, (f.type,))))) for f in table.schema
    ]
    return how, True, table.cast(pa.schema(fields, table.schema.metadata))


@st.composite
def damaged(draw: st.DrawFn, stage: str) -> Damaged:
    """The sample of a stage after one damage, or two."""
    table, told, sound = samples()[stage], [], True
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        kind = draw(
            st.sampled_from(
                [
                    values,
                    values,
                    values,
                    lists,
                    types,
                    columns,
                    rows,
                    records,
                    undecodable,
                    harmless,
                ]
            )
        )
        try:
            what, fine, table = draw(kind(table))
        except (LookupError, TypeError, ValueError, OverflowError, pa.ArrowException):
            break  # the first damage left no way
        told.append(what)
        sound = sound and fine
    return Damaged(stage, "; ".join(told), sound, table)
