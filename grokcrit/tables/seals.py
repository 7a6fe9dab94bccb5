"""The seal of a Parquet file: its footer and its pages are those that were written, in their place.

Parquet's own checksums say that a page is whole, not that it is the page of this column, run or
file; its footer has none. There a flipped bit can make one column's numbers another's, and a copy
that was interrupted leaves the pages of two tables in one file: both were seen to be read as wrong
numbers. So the footer carries a seal: the length of the file, the SHA-256 of the footer, and the
CRC-32 of every column chunk. A mark between pages and footer says that there is one.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq

from grokcrit.base.errors import DamagedError

KEY = "grokcrit-footer"
SEAL = re.compile(rb"(seal:(\d{20}):[0-9a-f]{64})((?::[0-9a-f]{8})+)")
# Stands before the footer of a file that has a seal: a footer that lost it is not one without.
MARK = b"grokcrit-sealed:"
BLANK = b"seal:" + b"0" * 20 + b":" + b"0" * 64
BLANK_SUM = b":" + b"0" * 8
# Bytes that are read at once.
PIECE = 2**20


def blank(chunks: int) -> bytes:
    """Return the seal of a file of that many column chunks before it is known."""
    return BLANK + BLANK_SUM * chunks


def seal(file: BinaryIO, chunks: int) -> None:
    """Seal a file that was written whole, with a blank seal in its metadata."""
    file.seek(0)
    metadata = pq.read_metadata(file)
    found = b"".join(
        f":{sum_of(file, *place):08x}".encode()
        for group in range(metadata.num_row_groups)
        for _, _, place in chunks_of(metadata, group, None)
    )
    footer, start, length = read_footer(file)
    footer = footer.replace(blank(chunks), BLANK + found)
    footer = footer.replace(BLANK, head(footer, length + len(MARK)))
    file.seek(-8, os.SEEK_END)
    end = file.read(8)
    file.seek(start)
    file.write(MARK + footer + end)


def check(path: Path) -> list[int] | None:
    """Return the sum of each chunk, None without a seal; raise DamagedError for a bad one."""
    with path.open("rb") as file:
        footer, start, length = read_footer(file)
        file.seek(max(0, start - len(MARK)))
        marked = file.read(len(MARK)) == MARK
    found = SEAL.search(footer)
    if found is None:
        if marked:
            raise DamagedError(f"{path} is damaged: its footer is not the one that was written")
        return None
    blanked, written = footer.replace(found[1], BLANK), int(found[2])
    if head(blanked, length) == found[1]:
        return [int(each, 16) for each in found[3][1:].split(b":")]
    if head(blanked, written) == found[1]:
        raise DamagedError(f"{path} is damaged: it has {length} bytes, {written} were written")
    raise DamagedError(f"{path} is damaged: its footer is not the one that was written")


def check_chunks(
    path: Path,
    metadata: pq.FileMetaData,
    group: int,
    names: Collection[str] | None,
    sums: list[int],
) -> None:
    """Raise TableError where a column, of ``names`` or of all, is not the one that was written."""
    with path.open("rb") as file:
        for k, name, place in chunks_of(metadata, group, names):
            if sum_of(file, *place) != sums[k]:
                raise DamagedError(
                    f"{path} is damaged: column '{name}' of row group {group} is not the one that "
                    "was written"
                )


def chunks_of(
    metadata: pq.FileMetaData, group: int, names: Collection[str] | None
) -> Iterator[tuple[int, str, tuple[int, int]]]:
    """Yield the number in the file, the column, and start and length of the chunks of a group."""
    rows = metadata.row_group(group)
    for c in range(metadata.num_columns):
        chunk = rows.column(c)
        name = chunk.path_in_schema.partition(".")[0]
        if names is None or name in names:
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            place = min(start, chunk.data_page_offset), chunk.total_compressed_size
            yield group * metadata.num_columns + c, name, place


def sum_of(file: BinaryIO, start: int, length: int) -> int:
    """Return the CRC-32 of some bytes of a file."""
    file.seek(start)
    found = 0
    while length > 0 and (piece := file.read(min(length, PIECE))):
        found, length = zlib.crc32(piece, found), length - len(piece)
    return found


def read_footer(file: BinaryIO) -> tuple[bytes, int, int]:
    """Return a Parquet file's footer (empty if damaged), where it starts, and the file's length."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - 8))
    start = length - 8 - int.from_bytes(file.read(4), "little")
    if start < 0:
        return b"", length, length
    file.seek(start)
    return file.read(length - 8 - start), start, length


def head(footer: bytes, length: int) -> bytes:
    """Return the first part of a seal: the length, and the SHA-256 of a footer without it."""
    return f"seal:{length:020d}:{hashlib.sha256(footer).hexdigest()}".encode()
