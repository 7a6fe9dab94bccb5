"""What people and programs do to tables: the same answer, another answer, or one sentence."""

import functools
import math

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grokcrit.base.errors import TableError
from grokcrit.tables.reading import Inputs
from grokcrit.tasks.swept import TABLES
from tests.badinput import damage, stages
from tests.badinput.samples import samples

# One damaged file, and one output, after the other.
QUIET = {"suppress_health_check": list(HealthCheck)}


@functools.cache
def undamaged(reader, stage, out):
    """What a reader makes of the sample: its exit code, and the table where it makes one."""
    code, _ = stages.run(reader, stage, stages.folder() / f"{stage}.parquet", out)
    made = reader in stages.COMMANDS
    return code, pq.read_table(out / "made.parquet") if made else None


def judge(found, reader, out):
    """Run one reader on a damaged table; what must not be is raised."""
    path = out / "x.parquet"
    pq.write_table(found.table, path)
    code, said = stages.run(reader, found.stage, path, out)
    if found.harmless:
        expected, table = undamaged(reader, found.stage, out.parent)
        assert code == expected, (found.what, said)
        assert table is None or pq.read_table(out / "made.parquet").equals(table), found.what
    elif code == 2:  # of the table's content only which case is meant is a matter of options
        assert "--where" in said or "--observable" in said, (found.what, said)


def readers(stage, drawn):
    return [r for r in stages.readers(stage) if r.startswith("plot") == drawn and r != "report"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "inner"
    folder.mkdir()
    return folder


def sound(table, schema):
    """What every table that is read must be, said again in plain Python."""
    assert table.schema.names == schema.arrow.names
    for column in schema.columns:
        field = table.schema.field(column.name)
        assert field.type in (column.type, column.alternative)
        values = table[column.name].to_pylist()
        assert column.nullable or None not in values
        for value in values:
            if isinstance(value, float | int) and not isinstance(value, bool):
                assert math.isfinite(value)
                assert abs(value) <= 1e150
                assert column.minimum is None or value >= column.minimum


@pytest.mark.parametrize("stage", TABLES)
def test_a_table_is_read_as_one_that_is_sound_or_not_at_all(stage):
    schema, plain = TABLES[stage], samples()[stage].replace_schema_metadata(None)
    order = [(name, "ascending") for name in schema.key]

    @settings(max_examples=40, **QUIET)
    @given(damage.damaged(stage))
    def each(found):
        try:
            table = Inputs(found.table, schema).read()
        except TableError as error:
            table, said = None, str(error)
        if table is None:
            assert stage in said or f"'grokcrit {schema.command}'" in said
            assert not found.harmless, said
            return
        sound(table, schema)
        if found.harmless:
            assert table.sort_by(order).equals(plain.sort_by(order)), found.what

    each()


@pytest.mark.parametrize("stage", ["train", "avalanche"])
def test_commands_answer_or_say_why_not(out, stage):
    @settings(max_examples=10, **QUIET)
    @given(damage.damaged(stage), st.sampled_from(readers(stage, False)))
    def each(found, reader):
        judge(found, reader, out)

    each()


@pytest.mark.slow
@pytest.mark.parametrize("stage", TABLES)
@pytest.mark.parametrize("drawn", [False, True], ids=["commands", "figures"])
def test_whoever_reads_a_table_answers_or_says_why_not(out, stage, drawn):
    names = readers(stage, drawn) or ["report"]

    @settings(max_examples=60, **QUIET)
    @given(damage.damaged(stage), st.sampled_from(names))
    def each(found, reader):
        judge(found, reader, out)

    each()
