"""Reading tables, in memory or from Parquet files, and checking what was read."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grokcrit.base.errors import (
    DamagedError,
    EmptyError,
    OptionError,
    RepeatedError,
    StageError,
    TableError,
    UnreadableError,
)
from grokcrit.tables import bare, provenance, seals
from grokcrit.tables.checking import (
    ascending,
    check_intervals,
    check_lists,
    check_runs,
    check_unique,
    check_values,
)
from grokcrit.tables.former import with_lists
from grokcrit.tables.schemas import TABLES, Schema
from grokcrit.tables.types import check_columns, normalised, told

TableLike: TypeAlias = pa.Table | str | os.PathLike[str]

# A damaged footer can promise any number of rows; ours never hold more than this many a byte.
ROWS_A_BYTE = 10
# Rows, and bytes, of a table in memory that make one block, enough blocks for all threads.
BLOCK_ROWS = 4096
BLOCK_BYTES = 2**23
# Blocks that are joined at once.
TOGETHER = 256
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
        """Read and check it in pieces of ``entries``; ``width`` says how many a row has at most."""
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
    """The tables a stage reads, as one. Opening them checks their schemas; no block is read yet."""

    def __init__(
        self,
        tables: TableLike | Sequence[TableLike],
        schema: Schema,
        size_column: str | None = None,
    ) -> None:
        """Open every part and check its schema; ``size_column`` see :mod:`grokcrit.tables.bare`."""
        self.schema = schema
        self.size_column = size_column
        self.blocks: list[Block] = []
        self.records: list[provenance.Record] = []
        several, loose = several_of(tables), list[bare.Part]()
        for each in several:
            if isinstance(each, pa.Table):
                where = f"the {schema.stage} table"
                if self._admit(each.schema, where, each.num_rows):
                    read = partial(slices, each, rows=None)
                    loose.append(bare.Part(where, each.num_rows, read))
                    continue
                rows = min(BLOCK_ROWS, rows_that_fit(each, BLOCK_BYTES))
                self.blocks += [
                    Block(where, part.num_rows, schema, partial(slices, part))
                    for part in slices(each, schema.arrow.names, rows)
                ]
                continue
            for path in parts_of(Path(each)):
                footer, arrow, sums = open_parquet(path)
                if self._admit(arrow, str(path), footer.num_rows):
                    read = partial(read_groups, path, footer, sums)
                    loose.append(bare.Part(str(path), footer.num_rows, read))
                    continue
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
        loose = [part for part in loose if part.rows]
        if loose:
            where = loose[0].where + (f" and {len(loose) - 1} more" if len(loose) > 1 else "")
            total = sum(part.rows for part in loose)
            self.blocks.append(Block(where, total, schema, partial(bare.read, loose, size_column)))
        if not sum(block.rows for block in self.blocks):
            names = ", ".join(str(t) for t in several if not isinstance(t, pa.Table))
            raise EmptyError(
                f"there are no rows in {names or 'the tables given'}; "
                f"make the table with 'grokcrit {schema.command}'"
            )

    def _admit(self, arrow: pa.Schema, where: str, rows: int) -> bool:
        """Check the schema of a part and keep its record; return whether to complete the part."""
        found = provenance.decode(arrow.metadata, where)
        check_stage(found, self.schema, where)
        if found is None and bare.is_bare(arrow, self.schema, self.size_column):
            bare.check_bare(arrow, self.schema, where, self.size_column)
            return True
        if self.size_column is not None and self.schema.stage == "avalanche":
            raise OptionError(
                "size_column", f"is for tables of other programs; {where} has n_params"
            )
        check_columns(arrow, self.schema, where, empty=not rows)
        if found is not None:
            self.records.append(found)
        return False

    @property
    def cases(self) -> dict[str, Any]:
        """Options of every case the records know."""
        return provenance.merged("case", [r["cases"] for r in self.records])

    @property
    def widths(self) -> dict[str, Any]:
        """Tensors of each width the records know."""
        return provenance.merged("width", [r["widths"] for r in self.records])

    def ascending(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield block after block; raise UnorderedError where rows do not ascend by some columns.

        Where they do no row is there twice, and nobody needs to hold them all.
        """
        last = None
        for block in self.blocks:
            table = block.load()
            if not ascending(table if last is None else concatenated([last, table]), names):
                raise UnorderedError
            last = table.slice(table.num_rows - 1)
            yield table

    def read(self) -> pa.Table:
        """Read all of it; refuse values out of their range and rows that appear twice."""
        # Sorting and grouping are several times as fast on whole columns as on pieces. Small blocks
        # are joined as they come, then column after column: no more is ever there twice. Of 8,000
        # runs that takes 0.55 instead of 0.88 GB.
        firsts = range(0, len(self.blocks), TOGETHER)
        pieces = concatenated(
            concatenated(block.load() for block in self.blocks[k : k + TOGETHER]).combine_chunks()
            for k in firsts
        )
        columns = {}
        for name in pieces.column_names:
            columns[name] = pieces[name].combine_chunks()
            pieces = pieces.drop_columns([name])
        joint = pa.table(columns)
        check_unique(joint, self.schema)
        check_runs(joint, self.schema)
        return with_lists(joint) if self.schema.stage == "bootstrap" else joint


class UnorderedError(Exception):
    """Raised at a row that does not come after the one before it."""


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """Return tables as one; permissive, for they differ where a column has an alternative type."""
    return pa.concat_tables(tables, promote_options="permissive")


def several_of(tables: TableLike | Sequence[TableLike]) -> list[TableLike]:
    """Return one table or several as a list."""
    return [tables] if isinstance(tables, (pa.Table, str, os.PathLike)) else list(tables)


def parts_of(path: Path) -> list[Path]:
    """Return a file, or the Parquet files of a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"))
    if not found:
        raise EmptyError(f"{path} is a folder without .parquet files")
    return found


def check_once(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Raise TableError at the first path that has been there before, however it was written."""
    seen: set[str] = set()
    for path in paths:
        place = place_of(path)
        if place in seen:
            raise RepeatedError(f"{os.fspath(path)} is given twice; give each file once")
        seen.add(place)


def place_of(path: str | os.PathLike[str]) -> str:
    """Return where a file lies, folders followed, but not the file itself if it is a link.

    The cache of Hugging Face links to one blob from several steps.
    """
    return str(Path(path).parent.resolve() / Path(path).name)


def by_stage(
    tables: TableLike | Sequence[TableLike], size_column: str | None = None
) -> dict[str, list[TableLike]]:
    """Sort tables, files and the parts of folders by their stage; read nothing but schemas."""
    found: dict[str, list[TableLike]] = {}
    for each in several_of(tables):
        pieces = [each] if isinstance(each, pa.Table) else parts_of(Path(each))
        for piece in pieces:
            found.setdefault(stage_of(piece, size_column), []).append(piece)
    return found


def first_record(table: TableLike) -> provenance.Record | None:
    """Return the record of a table, a file or a folder's first part."""
    first = table if isinstance(table, pa.Table) else parts_of(Path(table))[0]
    return schema_and_record(first)[2]


def schema_and_record(table: TableLike) -> tuple[pa.Schema, str, provenance.Record | None]:
    """Return the schema of a table or a file, what to call it, and its record."""
    if isinstance(table, pa.Table):
        arrow, where = table.schema, "a table given"
    else:
        arrow, where = open_parquet(Path(table))[1], str(table)
    return arrow, where, provenance.decode(arrow.metadata, where)


def stage_of(table: TableLike, size_column: str | None = None) -> str:
    """Return the stage of a table: as its record says, or else as its columns do.

    One without a record that has sizes, and is not nearly of another stage, is of avalanches.
    """
    arrow, where, record = schema_and_record(table)
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
        if "size" in arrow.names and (stage == "avalanche" or not near):
            bare.check_bare(arrow, TABLES["avalanche"], where, size_column)
            return "avalanche"
        nearest = f"; to be one of stage '{stage}' it lacks {', '.join(missing)}" if near else ""
    raise StageError(
        f"{where} is not a table of grokcrit; it must be one of {', '.join(TABLES)}{nearest}"
    )


def open_parquet(path: Path) -> tuple[pq.FileMetaData, pa.Schema, list[int] | None]:
    """Return the footer of a Parquet file, its schema, and the chunks' sums where it is sealed."""
    try:
        length = path.stat().st_size
        if length == 0:
            raise EmptyError(f"{path} is empty (0 bytes); make it again")
        sums = seals.check(path)
        with pq.ParquetFile(path, arrow_extensions_enabled=False) as opened:
            footer, arrow = opened.metadata, opened.schema_arrow
    except (OSError, pa.ArrowException, UnicodeDecodeError, OverflowError) as error:
        raise unreadable(path, error) from None
    # The footer's count of values is not asked for: on a damaged one pyarrow 26 ends the process.
    if footer.num_rows > ROWS_A_BYTE * length:
        raise DamagedError(
            f"{path} is damaged: it promises {footer.num_rows} rows in {length} bytes"
        )
    return footer, arrow, sums


def verified(path: Path) -> provenance.Record | None:
    """Check every byte of a file against its seal, decoding none; return its record."""
    footer, arrow, sums = open_parquet(path)
    if sums is None:
        raise DamagedError(f"{path} is not as grokcrit wrote it: it has no seal")
    for group in range(footer.num_row_groups):
        seals.check_chunks(path, footer, group, None, sums)
    return provenance.decode(arrow.metadata, str(path))


def rows_that_fit(table: pa.Table, size: int) -> int:
    """Return how many rows of a table make that many bytes, at least 1."""
    fit: int = size * table.num_rows // max(table.nbytes, 1)
    return max(1, fit)


def slices(table: pa.Table, names: list[str], rows: int | None) -> Iterator[pa.Table]:
    """Yield some columns of a table in memory, that many rows at once, or all."""
    known = [name for name in names if name in table.column_names]
    for first in range(0, table.num_rows, rows or table.num_rows):
        yield table.select(known).slice(first, rows)


def read_groups(
    path: Path, footer: pq.FileMetaData, sums: list[int] | None, names: list[str]
) -> Iterator[pa.Table]:
    """Yield some columns of every row group that has rows."""
    for group in range(footer.num_row_groups):
        if footer.row_group(group).num_rows:
            yield from read_group(path, group, footer, sums, names, None)


def read_group(
    path: Path,
    group: int,
    footer: pq.FileMetaData,
    sums: list[int] | None,
    names: list[str],
    rows: int | None,
) -> Iterator[pa.Table]:
    """Read a row group, ``rows`` at once or all; opens the file again: threads share no reader."""
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
        return UnreadableError(f"cannot read {path}: {os.strerror(error.errno)}")
    return DamagedError(f"{path} is not a readable Parquet file, or is damaged: {told(error)}")


def check_stage(found: provenance.Record | None, wanted: Schema, where: str) -> None:
    """Raise TableError where a record names another stage or another version."""
    if found is None or found["schema"] in wanted.readable:
        return
    stage = found["schema"].partition("/")[0]
    if stage in TABLES and stage != wanted.stage:
        raise StageError(
            f"{where} is a table of stage '{stage}', not '{wanted.stage}'; "
            f"'grokcrit {wanted.command}' makes the right one"
        )
    raise StageError(
        f"{where} has schema {found['schema']}, this grokcrit reads {wanted.name}; "
        f"make it again with 'grokcrit {wanted.command}'"
    )


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
