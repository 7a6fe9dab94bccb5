"""Reading, checking and writing tables. The only module that knows of Parquet."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grokcrit.base.errors import OptionError, TableError
from grokcrit.tables import provenance, seals
from grokcrit.tables.files import replacing
from grokcrit.tables.schemas import TABLES, Schema
from grokcrit.tables.types import check_columns, normalised, told

TableLike: TypeAlias = pa.Table | str | os.PathLike[str]

# A damaged footer can promise any number of rows; ours never hold more than this many a byte.
ROWS_A_BYTE = 10
# Rows, and bytes, of a table in memory that make one block, enough blocks for all threads.
BLOCK_ROWS = 4096
BLOCK_BYTES = 2**23
# Bytes of a row group, as they are in memory: a thread holds one.
GROUP_BYTES = 2**22
# What numbers may be at most, where their column does not say: whole ones about as large as doubles
# hold exactly, real ones such that their squares are finite.
EXACT, LARGEST = 10**16, 1e150
# Bytes that are read of a file at once where it is read piece by piece.
BUFFER = 2**20
# Columns of a train table that few stages read; the gradients are most of the file.
HEAVY = ("gradient",)


@dataclass(frozen=True)
class Block:
    """A piece of a table that is read at once: a row group of a file, or a table in memory."""

    where: str
    rows: int
    schema: Schema
    _read: Callable[[list[str], int | None], Iterator[pa.Table]]

    def load(self) -> pa.Table:
        """Read and check it; columns in the schema's order, plain types."""
        (whole,) = self._checked(None)
        return whole

    def pieces(self, width: str, entries: int) -> Iterator[pa.Table]:
        """Read and check it piece by piece, each of a few rows.

        Parameters
        ----------
        width
            Column that says how many entries a row's longest list has.
        entries
            As many rows are read at once as make this many entries; at least one.
        """
        narrow = dataclasses.replace(self, schema=self.schema.only([width])).load()
        most = pc.max(narrow[width]).as_py() or 1
        yield from self._checked(max(1, entries // most))

    def _checked(self, rows: int | None) -> Iterator[pa.Table]:
        for part in self._read(self.schema.arrow.names, rows):
            plain = normalised(part, self.schema, self.where)
            check_values(plain, self.schema, self.where)
            check_lists(plain, self.schema, self.where)
            check_intervals(plain, self.where)
            yield plain


class Inputs:
    """The tables a stage reads, as one: in memory, in files, or in folders of parts.

    Parameters
    ----------
    tables
        One table or several; each a pyarrow Table or a path.
    schema
        What they must be.

    Attributes
    ----------
    blocks : list of Block
        What there is to read; nothing of it is read yet.
    records : list
        Records of the parts that carry one.

    Raises
    ------
    TableError
        A file is missing or damaged, of another stage, or lacks a column.
    """

    def __init__(self, tables: TableLike | Sequence[TableLike], schema: Schema) -> None:
        """Open every part and check its schema."""
        self.schema = schema
        self.blocks: list[Block] = []
        self.records: list[provenance.Record] = []
        several = [tables] if isinstance(tables, (pa.Table, str, os.PathLike)) else list(tables)
        for each in several:
            if isinstance(each, pa.Table):
                where = f"the {schema.stage} table"
                self._admit(each.schema, where, each.num_rows)
                self.blocks += [
                    Block(where, part.num_rows, schema, partial(slices, part))
                    for part in slices(each, schema.arrow.names, block_rows(each))
                ]
                continue
            for path in parts_of(Path(each)):
                footer, arrow, sums = open_parquet(path)
                self._admit(arrow, str(path), footer.num_rows)
                self.blocks += [
                    Block(
                        str(path),
                        footer.row_group(group).num_rows,
                        schema,
                        partial(read_group, path, group, footer, sums),
                    )
                    for group in range(footer.num_row_groups)
                    if footer.row_group(group).num_rows
                ]
        if not sum(block.rows for block in self.blocks):
            names = ", ".join(str(t) for t in several if not isinstance(t, pa.Table))
            raise TableError(
                f"there are no rows in {names or 'the tables given'}; "
                f"make the table with 'grokcrit {schema.command}'"
            )

    def _admit(self, arrow: pa.Schema, where: str, rows: int) -> None:
        """Check the schema of a part and keep its record."""
        found = provenance.decode(arrow.metadata, where)
        check_stage(found, self.schema, where)
        check_columns(arrow, self.schema, where, empty=not rows)
        if found is not None:
            self.records.append(found)

    @property
    def cases(self) -> dict[str, Any]:
        """Options of every case the records know."""
        return provenance.merged("case", [r.get("cases", {}) for r in self.records])

    @property
    def widths(self) -> dict[str, Any]:
        """Tensors of each width the records know."""
        return provenance.merged("width", [r.get("widths", {}) for r in self.records])

    def read(self) -> pa.Table:
        """Read all of it; refuse rows that appear twice.

        Raises
        ------
        TableError
            A value out of its range; the same row twice.
        """
        # Permissive: blocks differ where a column has an alternative type.
        blocks = [block.load() for block in self.blocks]
        joint = pa.concat_tables(blocks, promote_options="permissive")
        check_unique(joint, self.schema)
        check_runs(joint, self.schema)
        return joint


def parts_of(path: Path) -> list[Path]:
    """Return a file, or the Parquet files of a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"))
    if not found:
        raise TableError(f"{path} is a folder without .parquet files")
    return found


def repeated(paths: Sequence[str | os.PathLike[str]]) -> list[bool]:
    """Return of each path whether it has been there before, however it was written."""
    real = [place_of(path) for path in paths]
    first = {path: k for k, path in reversed(list(enumerate(real)))}
    return [first[path] != k for k, path in enumerate(real)]


def place_of(path: str | os.PathLike[str]) -> str:
    """Return where a file lies, folders followed but not the file itself if it is a link.

    Links to one blob, as the cache of Hugging Face keeps them, are several files: the same weights
    at different steps.
    """
    return str(Path(path).parent.resolve() / Path(path).name)


def by_stage(tables: TableLike | Sequence[TableLike]) -> dict[str, list[TableLike]]:
    """Sort tables, files and the parts of folders by their stage; read nothing but schemas.

    Raises
    ------
    TableError
        One of them is of no stage.
    """
    several = [tables] if isinstance(tables, (pa.Table, str, os.PathLike)) else list(tables)
    found: dict[str, list[TableLike]] = {}
    for each in several:
        pieces = [each] if isinstance(each, pa.Table) else parts_of(Path(each))
        for piece in pieces:
            found.setdefault(stage_of(piece), []).append(piece)
    return found


def stage_of(table: TableLike) -> str:
    """Return the stage of a table: as its record says, or else as its columns do.

    Raises
    ------
    TableError
        It is of no stage.
    """
    if isinstance(table, pa.Table):
        arrow, where = table.schema, "a table given"
    else:
        arrow, where = open_parquet(Path(table))[1], str(table)
    record = provenance.decode(arrow.metadata, where)
    if record is not None:
        stage = str(record["schema"]).partition("/")[0]
        if stage in TABLES:
            return stage
        nearest = ""
    else:
        needed = {
            stage: [c.name for c in schema.without(HEAVY).columns if not c.optional]
            for stage, schema in TABLES.items()
        }
        lacking = {stage: set(names) - set(arrow.names) for stage, names in needed.items()}
        stage = min(lacking, key=lambda each: len(lacking[each]))
        if not lacking[stage]:
            return stage
        missing = [repr(name) for name in needed[stage] if name in lacking[stage]]
        near = len(missing) <= len(needed[stage]) / 2
        nearest = f"; to be one of stage '{stage}' it lacks {', '.join(missing)}" if near else ""
    raise TableError(
        f"{where} is not a table of grokcrit; it must be one of {', '.join(TABLES)}{nearest}"
    )


def open_parquet(path: Path) -> tuple[pq.FileMetaData, pa.Schema, list[int] | None]:
    """Read the footer of a Parquet file and hold its promises against the file's length.

    Returns
    -------
    tuple
        The footer, the schema, and the sums of the column chunks where they are known.
    """
    try:
        length = path.stat().st_size
        if length == 0:
            raise TableError(f"{path} is empty (0 bytes); make it again")
        sums = seals.check(path)
        with pq.ParquetFile(path, arrow_extensions_enabled=False) as opened:
            footer, arrow = opened.metadata, opened.schema_arrow
    except (OSError, pa.ArrowException, UnicodeDecodeError, OverflowError) as error:
        raise unreadable(path, error) from None
    # The footer's count of values is not asked for: on a damaged one pyarrow 26 ends the process.
    if footer.num_rows > ROWS_A_BYTE * length:
        raise TableError(f"{path} is damaged: it promises {footer.num_rows} rows in {length} bytes")
    return footer, arrow, sums


def verified(path: Path) -> provenance.Record | None:
    """Hold every byte of a file against its seal, decoding none; return its record.

    Raises
    ------
    TableError
        The file cannot be read, is not what was written, or has no seal of ours.
    """
    footer, arrow, sums = open_parquet(path)
    if sums is None:
        raise TableError(f"{path} is not as grokcrit wrote it: it has no seal")
    for group in range(footer.num_row_groups):
        seals.check_chunks(path, footer, group, None, sums)
    return provenance.decode(arrow.metadata, str(path))


def block_rows(table: pa.Table) -> int:
    """Return how many rows of a table in memory make a block."""
    return min(BLOCK_ROWS, rows_that_fit(table, BLOCK_BYTES))


def rows_that_fit(table: pa.Table, size: int) -> int:
    """Return how many rows of a table make that many bytes, at least 1."""
    fit: int = size * table.num_rows // max(table.nbytes, 1)
    return max(1, fit)


def slices(table: pa.Table, names: list[str], rows: int | None) -> Iterator[pa.Table]:
    """Yield some columns of a table in memory, that many rows at once, or all."""
    known = [name for name in names if name in table.column_names]
    for first in range(0, table.num_rows, rows or table.num_rows):
        yield table.select(known).slice(first, rows)


def read_group(
    path: Path,
    group: int,
    footer: pq.FileMetaData,
    sums: list[int] | None,
    names: list[str],
    rows: int | None,
) -> Iterator[pa.Table]:
    """Read one row group, that many rows at once, or all; checksums verified.

    Opens the file anew: threads share no reader. With ``rows`` the file is read through a small
    buffer, so that no more than those rows and a page is ever held.
    """
    try:
        if sums is not None:
            seals.check_chunks(path, footer, group, names, sums)
        with pq.ParquetFile(
            path,
            metadata=footer,
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
            buffer_size=BUFFER if rows else 0,
        ) as opened:
            if rows is None:
                yield opened.read_row_group(group, columns=names, use_threads=False)
                return
            for batch in opened.iter_batches(rows, [group], names, use_threads=False):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None


def unreadable(path: str | Path, error: Exception) -> TableError:
    """Say why a file cannot be read: the system's reason, or what is wrong with its content."""
    if isinstance(error, OSError) and error.errno is not None:
        return TableError(f"cannot read {path}: {os.strerror(error.errno)}")
    return TableError(f"{path} is not a readable Parquet file, or is damaged: {told(error)}")


def check_stage(found: provenance.Record | None, wanted: Schema, where: str) -> None:
    """Raise TableError where a record names another stage or another version."""
    if found is None or found["schema"] == wanted.name:
        return
    stage = found["schema"].partition("/")[0]
    if stage in TABLES and stage != wanted.stage:
        raise TableError(
            f"{where} is a table of stage '{stage}', not '{wanted.stage}'; "
            f"'grokcrit {wanted.command}' makes the right one"
        )
    raise TableError(
        f"{where} has schema {found['schema']}, this grokcrit reads {wanted.name}; "
        f"make it again with 'grokcrit {wanted.command}'"
    )


def check_values(block: pa.Table, schema: Schema, where: str) -> None:
    """Raise TableError at the first null, NaN or out-of-range value that the schema forbids."""
    for column in schema.columns:
        values = block[column.name]
        if not column.nullable and values.null_count:
            row = pc.index(pc.is_null(values), True).as_py()
            raise TableError(f"{where}: column '{column.name}' is null in {describe(block, row)}")
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
        raise TableError(
            f"{where}: column '{column.name}' is {value} in {describe(block, row)}, it must be "
            "a finite number"
            + ("" if column.minimum is None else f" and at least {column.minimum:g}")
            + (f", at most {most:g} in size" if most < abs(value) < np.inf else "")
        )


def check_lists(block: pa.Table, schema: Schema, where: str) -> None:
    """Raise TableError at the first list whose length is not what its row says, or below 0."""
    for column in schema.columns:
        if column.length is None or column.length not in block.column_names:
            continue
        lists = block[column.name].combine_chunks()
        lengths = pc.list_value_length(lists).to_numpy()
        wrong = lengths != block[column.length].to_numpy()
        entries = lists.flatten().fill_null(-1).to_numpy()
        outside = np.append(0, np.cumsum((entries < 0) | (entries > EXACT)))
        wrong |= np.diff(outside[np.append(0, np.cumsum(lengths))]) > 0
        if wrong.any():
            row = int(np.argmax(wrong))
            raise TableError(
                f"{where}: column '{column.name}' in {describe(block, row)} must hold as many "
                f"numbers as {column.length} says, each at least 0"
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
            raise TableError(
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


def check_unique(table: pa.Table, schema: Schema, inputs: str | None = None) -> None:
    """Raise TableError where two rows carry the same key, naming the first such key."""
    counts = table.group_by(list(schema.key)).aggregate([([], "count_all")])
    if counts.num_rows == table.num_rows:
        return
    twice = counts.filter(pc.greater(counts["count_all"], 1)).slice(0, 1).to_pylist()[0]
    name = ", ".join(f"{k} {twice[k]}" for k in schema.key if twice[k] is not None)
    raise TableError(
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
            raise TableError(
                f"column '{name}' of the {inputs or schema.stage} inputs has several values in one "
                f"run ({named}); a run has one"
            )


def check_output(out: str | os.PathLike[str], inputs: Sequence[str | os.PathLike[str]]) -> None:
    """Raise OptionError where an output would replace an input, or lie among its parts."""
    place = Path(os.path.realpath(out))
    for each in inputs:
        real = Path(os.path.realpath(each))
        if real == place:
            raise OptionError("out", f"would overwrite the input {each}; choose another name")
        if real.is_dir() and place.parent == real:
            raise OptionError("out", f"would lie among the parts in {each}; choose another folder")


def fill(file: BinaryIO, blocks: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write blocks of a schema into an open output, and seal its footer.

    A block is a row group, or several where it is large: readers hold one at a time. Gradients get
    no dictionary: hardly two entries are equal, and of one long vector it took 70 bytes an entry.
    """
    # Values of a gradient hardly repeat: a dictionary of them made files a quarter larger, and
    # took five times as long.
    names = [name for name in schema.names if name not in HEAVY]
    leaves = [f"{name}.list.element" for name in names]
    groups = 0
    # A seal that was read with a table is another file's.
    known = schema.metadata or {}
    schema = schema.with_metadata({k: v for k, v in known.items() if k != seals.KEY.encode()})
    try:
        with pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=names + leaves,
            write_page_checksum=True,
        ) as writer:
            for block in blocks:
                rows = rows_that_fit(block, GROUP_BYTES)
                writer.write_table(block, row_group_size=rows)
                groups += max(1, -(-block.num_rows // rows))
            chunks = groups * len(schema.names)
            writer.add_key_value_metadata({seals.KEY: seals.blank(chunks)})
    except pa.ArrowException as error:
        raise OSError(str(error)) from None
    seals.seal(file, chunks)


def write(path: str | os.PathLike[str], blocks: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write blocks as one Parquet file, a row group each, whole or not at all.

    Parameters
    ----------
    path
        Where; overwritten.
    blocks
        Tables of that schema; computed one by one while the file grows.
    schema
        Arrow schema with the record.
    """
    with replacing(path) as file:
        fill(file, blocks, schema)


def split(table: pa.Table, names: Sequence[str]) -> list[pa.Table]:
    """Split a table where one of the named columns changes from one row to the next."""
    if table.num_rows == 0:
        return []
    changed = np.zeros(table.num_rows, bool)
    for name in names:
        before, after = table[name].slice(0, table.num_rows - 1), table[name].slice(1)
        one_is_null = pc.xor(pc.is_null(after), pc.is_null(before))
        changed[1:] |= pc.coalesce(pc.not_equal(after, before), one_is_null).to_numpy()
    starts = [0, *np.flatnonzero(changed).tolist(), table.num_rows]
    return [table.slice(a, b - a) for a, b in itertools.pairwise(starts)]
