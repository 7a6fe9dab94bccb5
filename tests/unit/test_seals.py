"""The seal: a file is read as it was written, or refused."""

import itertools

import pyarrow.parquet as pq
import pytest

import grokcrit
from grokcrit.base.errors import TableError
from grokcrit.tables import seals
from grokcrit.tables.reading import Inputs, split
from grokcrit.tables.schemas import TRAIN
from grokcrit.tables.writing import write


def save(path, table):
    write(path, split(table, ["width", "seed"]), table.schema)
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two train tables of the same length in rows and bytes, with other numbers."""
    folder = tmp_path_factory.mktemp("two")
    made = [
        grokcrit.train(hidden=(2,), seeds=2, epochs=12, snapshot_every=3, seed=s, label="x")
        for s in (1, 2)
    ]
    return [save(folder / f"{k}.parquet", table) for k, table in enumerate(made)]


def chunks(path):
    metadata = pq.read_metadata(path)
    return [
        place
        for group in range(metadata.num_row_groups)
        for _, _, place in seals.chunks_of(metadata, group, None)
    ]


def refused(path, *words):
    with pytest.raises(TableError) as caught:
        Inputs(path, TRAIN).read()
    for word in (path.name, "is damaged", *words):
        assert word in str(caught.value)


def test_a_seal_holds_the_sum_of_every_column_chunk(two):
    whole = two[0].read_bytes()
    sums = seals.check(two[0])
    assert len(sums) == len(chunks(two[0])) == 2 * len(TRAIN.arrow.names)
    with two[0].open("rb") as file:
        assert sums == [seals.sum_of(file, *place) for place in chunks(two[0])]
    assert seals.SEAL.search(whole)[0].count(b":") == 2 + len(sums)


def test_a_whole_page_in_the_place_of_another_is_refused(tmp_path, two):
    """Its own checksum holds; what a disk leaves that writes a block to a wrong address."""
    whole, seen = two[0].read_bytes(), 0
    for (start, length), (other, size) in itertools.permutations(chunks(two[0]), 2):
        piece = whole[other : other + size]
        if length == size and piece != whole[start : start + length]:
            path = tmp_path / "x.parquet"
            path.write_bytes(whole[:start] + piece + whole[start + length :])
            refused(path, "column '", "row group")
            seen += 1
    assert seen > 10


def test_a_copy_that_was_interrupted_is_refused(tmp_path, two):
    """The head of a new file over the tail of an old one, cut between two columns."""
    new, old = (path.read_bytes() for path in two)
    gradient = TRAIN.arrow.names.index("gradient")
    start, length = chunks(two[0])[gradient]
    path = tmp_path / "x.parquet"
    path.write_bytes(old[:start] + new[start : start + length] + old[start + length :])
    refused(path)


def test_bytes_put_in_or_taken_out_are_refused(tmp_path, two):
    whole, path = two[0].read_bytes(), tmp_path / "x.parquet"
    end = sum(chunks(two[0])[-1])
    for changed in (whole[:end] + b"\0" + whole[end:], whole[:end] + b"\0" * 9 + whole[end:]):
        path.write_bytes(changed)
        refused(path, "were written")


def test_a_footer_that_promises_more_than_the_file_is_not_read(tmp_path, two, monkeypatch):
    """A flipped bit in its length asked for gigabytes."""
    whole, path = two[0].read_bytes(), tmp_path / "x.parquet"
    path.write_bytes(whole[:-5] + b"\xff" + whole[-4:])
    with path.open("rb") as file:
        assert seals.read_footer(file) == (b"", len(whole), len(whole))
    with pytest.raises(TableError, match=r"x\.parquet is not a readable Parquet file"):
        Inputs(path, TRAIN)


def test_a_column_that_is_not_read_is_not_checked(tmp_path, two):
    whole = bytearray(two[0].read_bytes())
    start, length = chunks(two[0])[TRAIN.arrow.names.index("gradient")]
    whole[start + length // 2] ^= 1
    path = tmp_path / "x.parquet"
    path.write_bytes(whole)
    refused(path, "'gradient'")
    assert Inputs(path, TRAIN.without(["gradient"])).read().num_rows == 26


def test_a_seal_that_is_damaged_itself_is_seen(tmp_path, two):
    whole, path = two[0].read_bytes(), tmp_path / "x.parquet"
    at = whole.index(b"seal:")
    changed = whole.replace(b"test_accuracy", b"test_bccuracy")
    for place in range(at, at + 120, 7):
        for new in (b"0", b"9", b"x", b"\0", b":"):
            path.write_bytes(changed[:place] + new + changed[place + 1 :])
            refused(path, "footer")
    lost = seals.SEAL.sub(lambda found: b"-" * len(found[0]), changed)
    path.write_bytes(lost)
    refused(path, "footer")
    path.write_bytes(lost.replace(seals.MARK, bytes(len(seals.MARK))))
    assert seals.check(path) is None


def test_a_file_that_another_program_wrote_anew_is_read(tmp_path, two):
    path = tmp_path / "x.parquet"
    pq.write_table(pq.read_table(two[0]), path)
    assert seals.check(path) is None
    assert Inputs(path, TRAIN).read().equals(Inputs(two[0], TRAIN).read())


def test_a_seal_of_another_file_is_not_written_again(tmp_path, two):
    kept = {k: v for k, v in pq.read_metadata(two[0]).metadata.items() if k != b"ARROW:schema"}
    assert seals.KEY.encode() in kept
    path = save(tmp_path / "x.parquet", pq.read_table(two[0]).replace_schema_metadata(kept))
    assert path.read_bytes().count(b"seal:") == 1
    assert seals.check(path) is not None
