"""warn as a person runs it."""

import json

import pyarrow.parquet as pq
import pytest

from tests.shell import grokcrit, sentence
from tests.unit.signals import binormal, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("warn")
    pq.write_table(small(), place / "signals.parquet")
    pq.write_table(binormal(seeds=4), place / "few.parquet")
    return place


def test_warn_says_first_which_signal_is_best_and_writes_the_table(folder, tmp_path):
    done = grokcrit("warn", folder / "signals.parquet", "--resamples", "100", cwd=tmp_path)
    assert done.stdout.startswith("On base the best signal is level: AUROC ")
    assert all(len(line) <= 80 for line in done.stdout.splitlines()[1:])
    assert "wrote warn.parquet" in done.stderr
    assert pq.read_table(tmp_path / "warn.parquet").num_rows > 50


def test_warn_as_json_holds_every_row_and_its_warnings(folder, tmp_path):
    done = grokcrit("warn", folder / "few.parquet", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert len(told["rows"]) == pq.read_table(tmp_path / "warn.parquet").num_rows
    assert [each["id"] for each in told["warnings"]] == ["few-runs"]


def test_a_table_of_another_stage_is_named(folder, tmp_path):
    grokcrit("warn", folder / "signals.parquet", "-o", "w.parquet", cwd=tmp_path)
    said = sentence(grokcrit("warn", "w.parquet", cwd=tmp_path, code=1))
    assert "stage 'warn', not 'signals'" in said
