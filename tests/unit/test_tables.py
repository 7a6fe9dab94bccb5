"""Reading, checking and writing tables: whole or not at all, right or refused."""

import itertools
import json
import os
import stat
import subprocess
import sys

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import grokcrit
from grokcrit.base.errors import OptionError, TableError
from grokcrit.tables.checking import ascending
from grokcrit.tables.reading import Inputs, split
from grokcrit.tables.schemas import AVALANCHE, BOOTSTRAP, FSS, TRAIN
from grokcrit.tables.writing import check_output, write
from grokcrit.tasks.swept import TABLES
from tests.sweeps.made import swept
from tests.unit import signals


def blocks_of(table):
    """A block a run, as the stages write them."""
    return split(table, [c for c in ("width", "seed") if c in table.column_names])


def save(path, table):
    write(path, blocks_of(table), table.schema)
    return path


def replaced(table, name, values):
    place = table.schema.get_field_index(name)
    return table.set_column(
        place, table.schema.field(name), pa.array(values, table.schema.types[place])
    )


def edited(table, name, row, value):
    values = table[name].to_pylist()
    values[row] = value
    return replaced(table, name, values)


@pytest.fixture(scope="session")
def small():
    """A train table of one run, a few kilobytes."""
    return grokcrit.train(hidden=(2,), seeds=1, epochs=12, snapshot_every=5)


SWEEP = """
[train]
hidden = [[3, 5, 8]]
seeds = 2
epochs = 40
lr = [0.5, 1.0]
[fss]
resamples = 20
"""


@pytest.fixture(scope="session")
def every_table(trained, avalanches):
    return {
        "sweep": swept(SWEEP),
        "train": trained,
        "avalanche": avalanches,
        "fss": grokcrit.fss(avalanches, resamples=20, observable=("size", "branching")),
        "bootstrap": grokcrit.bootstrap(avalanches, resamples=20),
        "diagnostics": grokcrit.diagnose(
            [avalanches, trained], resamples=20, permutations=5, gof=1, observable="size"
        ),
        "signals": signals.small(),
        "warn": grokcrit.warn(signals.small(), resamples=20),
    }


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", TABLES)
def test_a_table_comes_back_as_it_was_written(tmp_path, every_table, stage):
    table = every_table[stage]
    path = save(tmp_path / "t.parquet", table)
    inputs = Inputs(path, TABLES[stage])
    back = inputs.read()
    assert back.equals(table.replace_schema_metadata(None))
    assert back.schema.equals(TABLES[stage].arrow)
    assert inputs.records == [json.loads(table.schema.metadata[b"grokcrit"])]


@pytest.mark.parametrize("stage", TABLES)
def test_every_column_of_a_table_is_one_the_schema_declares(every_table, stage):
    assert every_table[stage].schema.equals(TABLES[stage].arrow)
    for column in TABLES[stage].columns:
        if not column.nullable:
            assert every_table[stage][column.name].null_count == 0, column.name


def test_a_row_group_is_written_for_each_block(tmp_path, trained):
    path = save(tmp_path / "t.parquet", trained)
    footer = pq.ParquetFile(path).metadata
    assert footer.num_row_groups == 15
    assert all(footer.row_group(g).num_rows == 121 for g in range(15))


KEYS = st.lists(st.tuples(st.none() | st.integers(0, 2), st.sampled_from("abc")), max_size=6)


@given(KEYS)
def test_rows_ascend_where_python_says_so(rows):
    """Fault: a table with a row twice passes as sorted, and is not looked through."""
    kinds = {"number": pa.int32(), "letter": pa.string()}
    columns = zip(*rows, strict=True) if rows else ((), ())
    made = pa.table(
        [pa.array(c, k) for c, k in zip(columns, kinds.values(), strict=True)], [*kinds]
    )
    known = len(rows) < 2 or all(number is not None for number, _ in rows)
    wanted = known and all(a < b for a, b in itertools.pairwise(rows))
    assert ascending(made, [*kinds]) == wanted


def test_several_tables_and_a_folder_of_parts_are_read_as_one(tmp_path, trained):
    runs = blocks_of(trained)
    for k, run in enumerate(runs):
        save(tmp_path / f"part-{k:02}.parquet", run)
    (tmp_path / "notes.txt").write_text("not a table")
    wanted = trained.replace_schema_metadata(None)
    assert Inputs(tmp_path, TRAIN).read().equals(wanted)
    assert Inputs(str(tmp_path), TRAIN).read().equals(wanted)
    mixed = [tmp_path / "part-00.parquet", runs[1], *runs[2:]]
    assert Inputs(mixed, TRAIN).read().equals(wanted)


def test_extra_columns_are_left_out_and_the_order_of_columns_does_not_matter(trained):
    names = trained.column_names[::-1]
    table = trained.select(names).append_column("note", pa.array(["x"] * trained.num_rows))
    assert Inputs(table, TRAIN).read().equals(trained.replace_schema_metadata(None))


@pytest.mark.parametrize("stage", TABLES)
def test_pandas_polars_and_duckdb_open_every_table_and_agree(tmp_path, every_table, stage):
    table = every_table[stage]
    path = save(tmp_path / "t.parquet", table)
    wanted = table.to_pylist()
    by_polars = polars.read_parquet(path).to_dicts()
    assert by_polars == wanted
    names = table.column_names
    by_duckdb = duckdb.sql(f"select * from '{path}'").fetchall()
    assert [dict(zip(names, row, strict=True)) for row in by_duckdb] == wanted
    by_pandas = pandas.read_parquet(path)
    assert list(by_pandas.columns) == names
    for name in names:
        column = by_pandas[name]
        for found, value in zip(column, table[name].to_pylist(), strict=True):
            if isinstance(value, list):
                assert found.tolist() == value
            elif value is None:
                assert found is None or found != found
            else:
                assert found == value


def test_tables_that_polars_wrote_are_accepted(tmp_path, avalanches):
    path = tmp_path / "polars.parquet"
    polars.from_arrow(avalanches).write_parquet(path)
    assert pa.types.is_large_list(pq.read_schema(path).field("activity").type)
    assert Inputs(path, AVALANCHE).read().equals(avalanches.replace_schema_metadata(None))
    ours = grokcrit.fss(avalanches, resamples=20)
    assert grokcrit.fss(path, resamples=20).equals(ours)


def test_tables_that_pandas_wrote_are_accepted(tmp_path, avalanches):
    path = tmp_path / "pandas.parquet"
    frame = pandas.DataFrame(
        {
            name: pandas.array(avalanches[name].to_pylist(), dtype="Int32")
            if name == "grok_epoch"
            else avalanches[name].to_pandas()
            for name in avalanches.column_names
        }
    )
    frame.to_parquet(path)
    assert Inputs(path, AVALANCHE).read().equals(avalanches.replace_schema_metadata(None))


@pytest.mark.parametrize("wide", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_the_wide_variants_of_plain_types_are_accepted(trained, wide):
    fields = []
    for field in trained.schema:
        kind = field.type
        if kind == pa.string():
            kind = wide
        elif pa.types.is_list(kind):
            kind = pa.large_list(pa.float64())
        fields.append(pa.field(field.name, kind))
    table = trained.cast(pa.schema(fields))
    assert Inputs(table, TRAIN).read().equals(trained.replace_schema_metadata(None))


def test_gradients_in_single_precision_stay_so(trained):
    place = trained.schema.get_field_index("gradient")
    narrow = trained["gradient"].cast(pa.list_(pa.float32()))
    back = Inputs(trained.set_column(place, "gradient", narrow), TRAIN).read()
    assert back.schema.field("gradient").type == pa.list_(pa.float32())
    assert back["gradient"].equals(narrow)


# --- bad input --------------------------------------------------------------------------------


def refuses(tables_given, schema, *words):
    with pytest.raises(TableError) as caught:
        Inputs(tables_given, schema).read()
    message = str(caught.value)
    for word in words:
        assert str(word) in message, message
    assert "\n" not in message
    assert caught.value.exit_code == 1
    return message


@pytest.mark.parametrize("content", [b"width,size\n1,2\n", b"PAR1", b"PAR1PAR1", b"\0" * 5000])
def test_what_is_no_parquet_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    refuses(path, TRAIN, path, "not a readable Parquet file")


def test_an_empty_file_is_refused_by_name(tmp_path):
    path = tmp_path / "x.parquet"
    path.touch()
    refuses(path, TRAIN, path, "empty")


def test_a_missing_file_is_refused_by_name(tmp_path):
    refuses(tmp_path / "no.parquet", TRAIN, tmp_path / "no.parquet", "No such file")


def test_a_folder_without_tables_is_refused_by_name(tmp_path):
    refuses(tmp_path, TRAIN, tmp_path, "without .parquet files")


def test_a_table_without_rows_is_refused(tmp_path, trained):
    empty = trained.slice(0, 0)
    refuses(empty, TRAIN, "no rows", "grokcrit train")
    path = tmp_path / "x.parquet"
    write(path, [empty], trained.schema)
    refuses(path, TRAIN, "no rows", path)
    refuses([], TRAIN, "no rows")


def test_a_file_cut_short_anywhere_is_refused_by_name(tmp_path, small):
    whole = save(tmp_path / "whole.parquet", small).read_bytes()
    path = tmp_path / "cut.parquet"
    for length in range(1, len(whole), 13):
        path.write_bytes(whole[:length])
        refuses(path, TRAIN, path)


def test_a_table_of_another_stage_is_refused_with_both_stages(tmp_path, every_table):
    for (held, table), wanted in itertools.product(every_table.items(), TABLES.values()):
        if held == wanted.stage:
            continue
        path = save(tmp_path / "x.parquet", table)
        refuses(path, wanted, path, f"stage '{held}'", f"grokcrit {wanted.command}")


def test_another_version_of_the_schema_is_refused(trained):
    record = json.loads(trained.schema.metadata[b"grokcrit"])
    record["schema"] = "train/2"
    table = trained.replace_schema_metadata({b"grokcrit": json.dumps(record).encode()})
    refuses(table, TRAIN, "train/2", "train/1")


@pytest.mark.parametrize(
    ("stage", "name"),
    [(s.stage, c.name) for s in TABLES.values() for c in s.columns if not c.optional],
)
def test_a_missing_column_is_named(every_table, stage, name):
    table = every_table[stage].drop_columns([name])
    column = TABLES[stage].column(name)
    refuses(table, TABLES[stage], f"'{name}'", "lacks", column.type)


def test_an_optional_column_that_is_missing_is_null(tmp_path, avalanches):
    path = save(tmp_path / "old.parquet", avalanches.drop_columns(["transported"]))
    found = Inputs(path, AVALANCHE).read()
    assert found.column_names == AVALANCHE.arrow.names
    assert found["transported"].null_count == found.num_rows
    assert found.drop_columns(["transported"]).equals(avalanches.drop_columns(["transported"]))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("width", pa.bool_()),
        ("width", pa.string()),
        ("n_params", pa.null()),
        ("epoch", pa.date32()),
        ("case", pa.int32()),
        ("loss", pa.string()),
        ("truncated", pa.string()),
        ("gradient", pa.list_(pa.string())),
        ("gradient", pa.float64()),
        ("gradient", pa.list_view(pa.float64())),
        ("grok_epoch", pa.string()),
    ],
)
def test_a_wrong_type_is_named_with_the_type_found_and_the_type_wanted(trained, name, kind):
    place = trained.schema.get_field_index(name)
    table = trained.set_column(place, name, pa.nulls(trained.num_rows, kind))
    refuses(table, TRAIN, f"'{name}'", kind, TRAIN.column(name).type)


@pytest.mark.parametrize("stage", TABLES)
def test_tables_that_pandas_read_and_wrote_hold_the_same_numbers(tmp_path, every_table, stage):
    """Whole numbers beside nulls come back as doubles, a column of nulls alone without a type."""
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    pandas.read_parquet(save(first, every_table[stage])).to_parquet(second)
    if stage in ("train", "diagnostics"):
        kinds = {field.name: field.type for field in pq.read_schema(second)}
        assert kinds["grok_epoch" if stage == "train" else "time"] == pa.float64()
    assert Inputs(second, TABLES[stage]).read().equals(Inputs(first, TABLES[stage]).read())


def test_whole_numbers_of_any_width_are_read_where_they_fit(trained):
    wide = trained.cast(
        pa.schema(
            [
                pa.field(f.name, pa.uint64() if pa.types.is_integer(f.type) else f.type)
                for f in trained.schema
            ]
        )
    )
    plain = trained.replace_schema_metadata(None)
    assert Inputs(wide, TRAIN).read().equals(plain)
    place = wide.schema.get_field_index("width")
    high = wide.set_column(place, "width", pa.array([2**31] * wide.num_rows, pa.uint64()))
    refuses(high, TRAIN, "'width'", "2147483648")


@pytest.mark.parametrize("value", [0.5, 1e300, -1.0, np.inf])
def test_a_double_that_is_no_whole_number_is_refused_where_one_must_be(trained, value):
    place = trained.schema.get_field_index("grok_epoch")
    doubles = [value, *trained["grok_epoch"].to_pylist()[1:]]
    table = trained.set_column(place, "grok_epoch", pa.array(doubles, pa.float64()))
    refuses(table, TRAIN, "'grok_epoch'")


@pytest.mark.parametrize(
    ("stage", "name", "value", "words"),
    [
        ("avalanche", "threshold", 1e200, "at most 1e+150"),
        ("bootstrap", "exponent", -1e200, "at most 1e+150"),
        ("avalanche", "peak", 2**54, "at most 1e+16"),
        ("fss", "n_avalanches", 2**62, "at most 1e+16"),
    ],
)
def test_a_number_too_large_to_reckon_with_is_named(every_table, stage, name, value, words):
    table = edited(every_table[stage], name, 3, value)
    refuses(table, TABLES[stage], f"'{name}'", "row 3", words)


def test_text_that_is_not_utf8_is_named(avalanches):
    bytes_ = pa.array([b"diffuse"] * (avalanches.num_rows - 1) + [b"\xff\xfe"], pa.binary())
    text = pa.StringArray.from_buffers(len(bytes_), *bytes_.buffers()[1:])
    place = avalanches.schema.get_field_index("rule")
    refuses(avalanches.set_column(place, "rule", text), AVALANCHE, "'rule'", "UTF8")


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:-1],
        lambda a: [*a, 0],
        lambda a: [-1, *a[1:]],
        lambda a: [None, *a[1:]],
        lambda a: [2**62, *a[1:]],
        lambda _: [],
    ],
)
def test_topplings_that_do_not_agree_with_their_row_are_named(avalanches, change):
    row = next(k for k, d in enumerate(avalanches["duration"].to_pylist()) if d > 1)
    table = edited(avalanches, "activity", row, change(avalanches["activity"][row].as_py()))
    refuses(table, AVALANCHE, "'activity'", f"row {row} ", "duration")


@pytest.mark.parametrize("name", ["n_params", "grok_epoch"])
def test_a_run_with_two_sizes_or_grokking_epochs_is_named(every_table, name):
    for stage in ("train", "avalanche"):
        table = edited(every_table[stage], name, 3, 77)
        refuses(table, TABLES[stage], f"'{name}'", "several values in one", "seed")


def test_a_column_that_is_there_twice_is_refused(trained):
    table = trained.append_column("seed", trained["seed"])
    refuses(table, TRAIN, "more than one column", "'seed'")


NUMBERS = [
    (schema.stage, column.name)
    for schema in TABLES.values()
    for column in schema.columns
    if column.minimum is not None
]


@pytest.mark.parametrize(("stage", "name"), NUMBERS)
def test_a_number_below_its_bound_is_named_with_its_row(every_table, stage, name):
    schema = TABLES[stage]
    table = edited(every_table[stage], name, 7, schema.column(name).minimum - 1)
    refuses(table, schema, f"'{name}'", "row 7", f"at least {schema.column(name).minimum:g}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("stage", "name"),
    [
        (schema.stage, column.name)
        for schema in TABLES.values()
        for column in schema.columns
        if pa.types.is_floating(column.type)
    ],
)
def test_a_number_that_is_not_finite_is_named_with_its_row(every_table, stage, name, value):
    table = edited(every_table[stage], name, 9, float(value))
    refuses(table, TABLES[stage], f"'{name}'", "row 9")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e200])
def test_a_draw_that_is_not_finite_or_too_large_is_named_with_its_row(every_table, value):
    """Fault: the entries of lists are held to no range."""
    table = every_table["bootstrap"]
    row = table["kind"].to_pylist().index("draws")
    draws = [*table["draws"][row].as_py()[:-1], value]
    refuses(edited(table, "draws", row, draws), BOOTSTRAP, "'draws'", f"row {row} ")


@pytest.mark.parametrize(
    ("stage", "name"),
    [(s.stage, c.name) for s in TABLES.values() for c in s.columns if not c.nullable],
)
def test_a_null_where_none_may_be_is_named_with_its_row(every_table, stage, name):
    refuses(edited(every_table[stage], name, 5, None), TABLES[stage], f"'{name}'", "null", "row 5")


def test_a_bad_row_is_named_by_run_and_epoch(trained):
    message = refuses(edited(trained, "loss", 130, np.nan), TRAIN)
    assert "width 3, seed 1, epoch 9" in message


def test_the_same_rows_twice_are_refused_with_their_name(tmp_path, every_table):
    for stage, table in every_table.items():
        refuses([table, table], TABLES[stage], "2 times")
    path = save(tmp_path / "a.parquet", every_table["train"])
    message = refuses([path, path], TRAIN, "2 times", "width", "seed", "epoch")
    assert "--label" in message


def test_a_file_that_promises_far_more_than_it_can_hold_is_refused_unread(tmp_path, small):
    rows = 2_000_000
    columns = {}
    for field in small.schema:
        first = small[field.name][0].as_py()
        columns[field.name] = (
            pa.repeat(pa.scalar(first, field.type), rows)
            if field.name != ("gradient")
            else pa.nulls(rows, field.type)
        )
    path = tmp_path / "bomb.parquet"
    pq.write_table(
        pa.table(columns, schema=small.schema),
        path,
        compression="zstd",
        max_rows_per_page=rows,
        data_page_size=2**30,
        row_group_size=rows,
    )
    assert path.stat().st_size < 40_000
    refuses(path, TRAIN, path, "promises")


# --- damage -----------------------------------------------------------------------------------


READER = """
import random, sys
from pathlib import Path
from grokcrit.base.errors import TableError
from grokcrit.tables.schemas import TRAIN
from grokcrit.tables.reading import Inputs

source, copy, first = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
whole = source.read_bytes()
wanted = Inputs(source, TRAIN)
table, records = wanted.read(), wanted.records
footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
record = whole.index(b"grokcrit", footer)
damages = [(place, random.Random(place).randrange(1, 256)) for place in range(len(whole))]
# Counts, offsets and encodings stand between the pages and the record: small changes hurt there.
damages += [(place, flip) for place in range(footer, record) for flip in (2, 6)]
for number, (place, flip) in enumerate(damages):
    if number < first:
        continue
    copy.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
    part = "page" if place < footer else "footer"
    print(number, part, place, flip, end=" ", flush=True)
    try:
        inputs = Inputs(copy, TRAIN)
        same = inputs.read().equals(table), inputs.records == records
        print({(True, True): "equal", (True, False): "record"}.get(same, "columns"))
    except TableError as error:
        print("refused" if str(copy) in str(error) and chr(10) not in str(error) else "nameless")
    except Exception as error:
        print(type(error).__name__)
"""


@pytest.fixture(scope="session")
def damaged(tmp_path_factory, small):
    """How reading fares for each damaged byte of a file, as (part, outcome) to (place, flip).

    In a process of its own: Arrow has ways to abort. The outcome is ``equal``, ``refused``,
    ``record`` or ``columns`` (read as something else), ``crash``, or the name of an exception.
    """
    folder = tmp_path_factory.mktemp("damaged")
    save(folder / "whole.parquet", small)
    found, first, ended = {}, 0, False
    while not ended:
        done = subprocess.run(
            [sys.executable, "-c", READER, folder / "whole.parquet", folder / "x", str(first)],
            capture_output=True,
            text=True,
            check=False,
        )
        for line in done.stdout.splitlines():
            number, part, place, flip, *outcome = line.split()
            key = part, outcome[0] if outcome else "crash"
            found.setdefault(key, []).append((int(place), int(flip)))
            first = int(number) + 1
        ended = done.returncode == 0
        assert ended or done.returncode < 0, done.stderr
    return found


def bad(damaged, part, *fine):
    return {k[1]: places for k, places in damaged.items() if k[0] == part and k[1] not in fine}


def test_a_damaged_data_page_is_refused_or_harmless(damaged):
    assert bad(damaged, "page", "refused", "equal") == {}
    assert len(damaged["page", "refused"]) > len(damaged["page", "equal"])


def test_a_damaged_footer_is_refused_or_harmless_to_the_columns(damaged):
    assert bad(damaged, "footer", "refused", "equal", "record") == {}
    assert damaged["footer", "refused"]


def test_a_damaged_record_is_refused_or_harmless(damaged):
    """The record is data too: what it says of alpha and topology, avalanche goes by."""
    assert bad(damaged, "footer", "refused", "equal", "columns", "crash") == {}


def test_checksums_are_written(tmp_path, small):
    path = save(tmp_path / "x.parquet", small)
    whole = path.read_bytes()
    # A flipped byte in the middle of a page is seen by any reader that verifies.
    column = pq.ParquetFile(path).metadata.row_group(0).column(TRAIN.arrow.get_field_index("loss"))
    middle = column.data_page_offset + column.total_compressed_size // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)


# --- writing ----------------------------------------------------------------------------------


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("there", [True, False])
def test_an_error_while_the_blocks_are_computed_leaves_everything_as_it_was(tmp_path, small, there):
    path = tmp_path / "x.parquet"
    if there:
        path.write_bytes(b"old")
    before = listing(tmp_path)

    class FailedError(Exception):
        pass

    def blocks():
        yield small
        assert listing(tmp_path) == before, "what is half-written has no name"
        raise FailedError

    with pytest.raises(FailedError):
        write(path, blocks(), small.schema)
    assert listing(tmp_path) == before
    if there:
        assert path.read_bytes() == b"old"


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_no_temporary_file(tmp_path, small, signal):
    def blocks():
        yield small
        raise signal

    with pytest.raises(signal):
        write(tmp_path / "x.parquet", blocks(), small.schema)
    assert listing(tmp_path) == []


def test_an_existing_file_is_replaced_as_a_whole(tmp_path, small):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"old")
    save(path, small)
    assert Inputs(path, TRAIN).read().num_rows == small.num_rows
    assert listing(tmp_path) == ["x.parquet"]


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path, small):
    path, other = tmp_path / "x.parquet", tmp_path / "other"
    path.write_bytes(b"old")
    os.link(path, other)
    with path.open("rb") as reading:
        save(path, small)
        assert reading.read() == b"old"
    assert other.read_bytes() == b"old", "moved into place, not copied over"


def test_a_link_is_written_through(tmp_path, small):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.parquet"
    link.symlink_to(tmp_path / "real" / "x.parquet")
    save(link, small)
    assert link.is_symlink()
    assert listing(tmp_path / "real") == ["x.parquet"]


def cannot_write(path, small, *words):
    with pytest.raises(TableError) as caught:
        save(path, small)
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_output_folder_is_refused_by_name(tmp_path, small):
    cannot_write(tmp_path / "no" / "x.parquet", small, "No such file")
    assert listing(tmp_path) == []


def test_an_output_below_a_file_is_refused_by_name(tmp_path, small):
    (tmp_path / "file").write_text("x")
    cannot_write(tmp_path / "file" / "x.parquet", small, "Not a directory")


def test_an_output_whose_name_is_too_long_is_refused_by_name(tmp_path, small):
    cannot_write(tmp_path / f"{'x' * 300}.parquet", small, "name too long")


@pytest.mark.parametrize("length", [200, 240, 255])
def test_an_output_name_as_long_as_the_system_takes_is_written(tmp_path, small, length):
    path = tmp_path / f"{'x' * (length - 8)}.parquet"
    path.touch()  # the system takes it
    save(path, small)
    assert listing(tmp_path) == [path.name]


def test_an_output_that_is_no_regular_file_is_refused(tmp_path, small):
    cannot_write(tmp_path, small, "not a regular file")
    os.mkfifo(tmp_path / "pipe")
    cannot_write(tmp_path / "pipe", small, "not a regular file")
    assert listing(tmp_path) == ["pipe"]


def test_a_device_is_no_place_for_a_table(small):
    cannot_write("/dev/full", small, "not a regular file")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_the_mode_of_a_new_file_obeys_the_umask(tmp_path, small, umask, mode):
    before = os.umask(umask)
    try:
        path = save(tmp_path / "x.parquet", small)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    """A file-size limit stands for the disk: the write itself fails, inside Arrow."""
    code = """
import resource, signal, sys
import grokcrit
from grokcrit.base.errors import TableError
from grokcrit.tables.writing import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
table = grokcrit.train(hidden=(20,), seeds=1, epochs=50, snapshot_every=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    write(sys.argv[1], [table], table.schema)
except TableError as error:
    print(error)
"""
    path = tmp_path / "x.parquet"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {path}: ")
    assert "File too large" in done.stdout
    assert listing(tmp_path) == ["x.parquet"]
    assert path.read_bytes() == b"old"


def test_the_same_table_gives_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    made = []
    for threads in (1, 2):
        table = grokcrit.train(hidden=(3, 5), seeds=2, epochs=20, threads=threads)
        made.append(save(tmp_path / f"{threads}.parquet", table).read_bytes())
        avalanches = grokcrit.avalanche(tmp_path / f"{threads}.parquet", threads=threads)
        made[-1] += save(tmp_path / f"a{threads}.parquet", avalanches).read_bytes()
    assert made[0] == made[1]


def test_an_output_in_the_place_of_an_input_is_refused(tmp_path, small):
    path = save(tmp_path / "x.parquet", small)
    link = tmp_path / "link.parquet"
    link.symlink_to(path)
    check_output(tmp_path / "y.parquet", [path, link])
    for out in (path, str(path), link, tmp_path / "." / "x.parquet"):
        with pytest.raises(OptionError) as caught:
            check_output(out, [path])
        assert caught.value.name == "out"


# --- splitting --------------------------------------------------------------------------------


def test_a_table_is_split_where_a_column_changes():
    table = pa.table({"a": [1, 1, 2, 2, 1], "b": ["x", "y", "y", "y", "y"], "c": range(5)})
    assert [part["c"].to_pylist() for part in split(table, ["a", "b"])] == [[0], [1], [2, 3], [4]]
    assert [part["c"].to_pylist() for part in split(table, ["a"])] == [[0, 1], [2, 3], [4]]
    assert split(table.slice(0, 0), ["a"]) == []
    assert [part.num_rows for part in split(table, [])] == [5]


# --- the schemas themselves -------------------------------------------------------------------

CONTRACT = {
    "train": "task case field width n_params seed epoch loss train_accuracy test_accuracy "
    "weight_gini threshold size area duration peak deviation truncated grok_epoch_first "
    "grok_epoch gradient",
    "avalanche": "task case field topology degree graph_seed surrogate replicate alpha quantile "
    "rule width n_params seed epoch grok_epoch threshold size area duration peak truncated "
    "activity",
    "fss": "task case field topology degree graph_seed surrogate replicate alpha quantile rule "
    "observable statistic window time exponent stderr r_squared intercept ci_low ci_high n_sizes "
    "n_runs n_avalanches n_runs_excluded n_sizes_excluded n_truncated n_quiet curvature "
    "curvature_p",
    "bootstrap": "task case field topology degree graph_seed surrogate replicate alpha quantile "
    "rule observable statistic window kind part index exponent ci_low ci_high p method",
}


def test_diagnostics_has_the_columns_of_the_contract_and_more():
    promised = "task case field topology degree graph_seed surrogate replicate alpha quantile rule "
    promised += "quantity window time value ci_low ci_high p n method"
    names = [c.name for c in TABLES["diagnostics"].columns]
    assert [name for name in names if name in promised.split()] == promised.split()


@pytest.mark.parametrize("stage", CONTRACT)
def test_the_columns_of_the_contract_are_there_in_its_order(stage):
    needed = [c.name for c in TABLES[stage].columns if not c.optional]
    assert needed == CONTRACT[stage].split()
    assert TABLES[stage].version == (2 if stage == "bootstrap" else 1)


def test_the_types_of_the_contract():
    types = {
        "task": pa.string(),
        "width": pa.int32(),
        "n_params": pa.int64(),
        "seed": pa.int32(),
        "epoch": pa.int32(),
        "loss": pa.float64(),
        "size": pa.int64(),
        "area": pa.int64(),
        "duration": pa.int32(),
        "peak": pa.int64(),
        "truncated": pa.bool_(),
        "grok_epoch": pa.int32(),
        "gradient": pa.list_(pa.float64()),
    }
    for name, kind in types.items():
        assert TRAIN.column(name).type == kind
    assert AVALANCHE.column("activity").type == pa.list_(pa.int64())
    assert FSS.column("time").type == BOOTSTRAP.column("index").type == pa.int32()


def test_the_reference_page_names_every_column():
    from grokcrit.tables.schemas import markdown

    page = markdown()
    for schema in TABLES.values():
        section = page.split(f"## {schema.name}\n")[1].split("\n## ")[0]
        for column in schema.columns:
            assert f"| `{column.name}` | " in section
            assert column.meaning in section
