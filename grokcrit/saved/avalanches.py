"""Avalanches that other programs saved, in CSV, Parquet or .npy files, as an avalanche table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from grokcrit.base.errors import (
    ColumnError,
    DamagedError,
    EmptyError,
    OptionError,
    RepeatedError,
    ShapeError,
    TableError,
)
from grokcrit.saved.names import FileName, matcher, read_name
from grokcrit.saved.options import AVALANCHE_COLUMNS, IngestOptions, columns_of
from grokcrit.tables import provenance
from grokcrit.tables.bare import GIVEN, codes, completed
from grokcrit.tables.checking import check_lists, check_unique, check_values
from grokcrit.tables.reading import check_once, open_parquet, read_groups, unreadable
from grokcrit.tables.schemas import AVALANCHE
from grokcrit.tables.types import check_columns, normalised, told

# What avalanches need, and what gives it.
REQUIRED = {
    "n_params": "system=NAME, or {size} in --pattern, or --size",
    "seed": "run=NAME, or {seed} in --pattern, or --run-seed",
    "size": "size=NAME",
}
# Options that the record keeps.
RECORDED = ("columns", "pattern", "family", "size", "run_seed", "label")


def avalanches_of(paths: Sequence[str], options: IngestOptions) -> pa.Table:
    """Return the avalanches of several files as one checked table of schema ``avalanche/1``.

    Raise TableError where a file cannot be read, lacks columns, all of which are named, or holds
    values that cannot be those of an avalanche.
    """
    if not paths:
        raise OptionError("FILES", "needs at least one file")
    check_once(paths)
    where = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    try:
        parts = [of_file(path, options) for path in paths]
        joint = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise ColumnError(f"{where}: a column has types that differ: {told(error)}") from None
    if not joint.num_rows:
        raise EmptyError(f"there are no avalanches in {where}")
    joint, names = numbered(joint)
    full = completed(joint)
    check_columns(full.schema, AVALANCHE, where, empty=False)
    table = normalised(full, AVALANCHE, where)
    check_values(table, AVALANCHE, where)
    check_lists(table, AVALANCHE, where)
    try:
        check_unique(table, AVALANCHE)
    except RepeatedError:
        raise RepeatedError(
            f"{where}: two avalanches of one run have the same time; without a time they are "
            "numbered in the order of the rows"
        ) from None
    kept = {name: getattr(options, name) for name in RECORDED}
    made = provenance.record(
        AVALANCHE.name,
        {"avalanches": True, "seed": options.seed, "files": list(paths), "runs": names, **kept},
        root_seed=options.seed,
        cases={case: {"source": "avalanches"} for case in pc.unique(table["case"]).to_pylist()},
    )
    return table.replace_schema_metadata(provenance.encode(made))


def of_file(path: str, options: IngestOptions) -> pa.Table:
    """Return the columns of a file that are known here, by their names in ``avalanche/1``."""
    name = FileName()
    if options.pattern is not None:
        name = read_name(path, matcher(options.pattern), options.pattern)
    raw = raw_table(path)
    held = raw.column_names
    asked = columns_of(options.columns or {})
    absent = [theirs for theirs in asked.values() if theirs not in held]
    if absent:
        raise ColumnError(
            f"{path} has no column {', '.join(map(repr, absent))}; it has {', '.join(held)}"
        )
    found = {
        ours: asked.get(ours) or next(each for each in known if each in held)
        for ours, known in AVALANCHE_COLUMNS.items()
        if ours in asked or set(known) & set(held)
    }
    columns = {ours: column(raw, theirs, ours, path) for ours, theirs in found.items()}
    family = name.family or options.family or GIVEN
    given = {
        "n_params": name.size if name.size is not None else options.size,
        "seed": name.seed if name.seed is not None else options.run_seed,
        "task": family,
        "case": options.label or family,
    }
    for ours, value in given.items():
        if value is not None and ours not in columns:
            columns[ours] = pa.chunked_array([pa.repeat(pa.scalar(value), raw.num_rows)])
    lacking = [f"{ours} ({how})" for ours, how in REQUIRED.items() if ours not in columns]
    if lacking:
        raise ColumnError(
            f"{path} does not say {', '.join(lacking)}; name what it has with --columns: "
            f"{', '.join(held)}"
        )
    return pa.table(columns)


def column(raw: pa.Table, name: str, ours: str, path: str) -> pa.ChunkedArray:
    """Return a column; activity that is written as text, ``1 3 2``, as lists."""
    if raw.column_names.count(name) > 1:
        raise ColumnError(f"{path} has more than one column {name!r}; keep one")
    values = raw[name]
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if ours == "activity" and pa.types.is_string(values.type):
        values = pc.utf8_split_whitespace(values).cast(pa.list_(pa.int64()))
    return values


def raw_table(path: str) -> pa.Table:
    """Read a file as it is, by its ending."""
    ending = Path(path).suffix.lower()
    if ending == ".npy":
        return of_array(path)
    try:
        if ending == ".csv":
            with Path(path).open("rb") as file:
                first = file.readline().decode(errors="replace")
            delimiter = next((each for each in ",;\t" if each in first), ",")
            return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter))
        if ending == ".parquet":
            footer, arrow, sums = open_parquet(Path(path))
            pieces = read_groups(Path(path), footer, sums, arrow.names)
            return pa.concat_tables([arrow.empty_table(), *pieces]).replace_schema_metadata()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        if ending == ".csv" and getattr(error, "errno", None) is None:
            raise DamagedError(f"{path} is not a readable CSV file: {told(error)}") from None
        raise unreadable(path, error) from None
    raise TableError(f"{path} must end in .csv, .parquet or .npy to be read with --avalanches")


def of_array(path: str) -> pa.Table:
    """Read an array of numpy: a structured one by its fields, a flat one as sizes."""
    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, EOFError) as error:
        raise DamagedError(f"{path} is not a readable .npy file: {told(error)}") from None
    if values.ndim != 1 or values.dtype.kind not in "iufV":
        raise ShapeError(
            f"{path} must be a flat array of sizes or a structured array, a field per column; it "
            f"has shape {values.shape} and type {values.dtype}"
        )
    names = values.dtype.names
    if names is None:
        return pa.table({"size": values})
    return pa.table({name: np.ascontiguousarray(values[name]) for name in names})


def numbered(table: pa.Table) -> tuple[pa.Table, list[str] | None]:
    """Number runs that have names in the order of the names, which are returned; else None."""
    runs = table["seed"]
    if not (pa.types.is_string(runs.type) or pa.types.is_large_string(runs.type)):
        return table, None
    if runs.null_count:
        raise ColumnError("a run without a name is among runs that have names; name each run")
    place = table.column_names.index("seed")
    names = sorted(pc.unique(runs).to_pylist())
    return table.set_column(place, "seed", pa.array(codes(runs))), names
