"""Writing tables, each whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from grokcrit.base.errors import OptionError
from grokcrit.tables import seals
from grokcrit.tables.files import replacing
from grokcrit.tables.reading import rows_that_fit
from grokcrit.tables.types import is_list_of_reals

# Bytes of a row group, as they are in memory: a thread holds one.
GROUP_BYTES = 2**22


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
    """Write blocks of a schema into an open output, in row groups of limited size, and seal it."""
    # Entries of a gradient hardly repeat: a dictionary of them made files a quarter larger, took
    # five times as long, and of one long vector 70 bytes an entry.
    names = [field.name for field in schema if not is_list_of_reals(field.type)]
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
    """Write blocks of a schema, which carries the record, as one Parquet file or not at all."""
    with replacing(path) as file:
        fill(file, blocks, schema)
