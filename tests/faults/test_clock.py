"""Clocks that go backwards, and files from the future."""

import itertools
import json
import os
import time

import pyarrow.parquet as pq
import pytest

from grokcrit.cascades import graph_cache
from grokcrit.tables import provenance
from tests.faults.system import COMMANDS, columns, listing, prepare, run

YEAR = 365 * 24 * 3600
# What a process that died has left in the cache.
HALF = ".grokcrit-0123456789abcdef.tmp"


def created(path):
    return json.loads(pq.read_schema(path).metadata[provenance.KEY])["created"]


# The clock is asked by the cache of graphs, which other commands have not.
@pytest.mark.parametrize("name", ["train", "avalanche"])
def test_a_clock_that_goes_backwards_changes_no_column(tmp_path, name, monkeypatch):
    command, out = COMMANDS[name], tmp_path / COMMANDS[name].output
    prepare(command, tmp_path)
    assert run(command, tmp_path) == 0
    wanted = columns(out)
    ticks, now = itertools.count(), time.time()
    monkeypatch.setattr(time, "time", lambda: now - YEAR * next(ticks))
    for kept in (tmp_path / "cache").glob("*"):
        kept.unlink()
    (tmp_path / "cache" / HALF).write_bytes(b"half")
    assert run(command, tmp_path) == 0
    assert next(ticks) > 0, "the clock was asked"
    assert columns(out).equals(wanted)


def test_a_table_may_be_older_than_what_it_was_made_of(tmp_path, monkeypatch):
    avalanche = COMMANDS["avalanche"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(100 * YEAR))
    prepare(avalanche, tmp_path)
    assert created(tmp_path / "train.parquet").startswith("2069")
    for seconds in ("0", "-1"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)
        assert run(avalanche, tmp_path) == 0
        assert created(tmp_path / "avalanche.parquet")[:4] in ("1970", "1969")


def test_inputs_outputs_and_graphs_from_the_future_are_taken_as_they_are(tmp_path):
    avalanche = COMMANDS["avalanche"]
    prepare(avalanche, tmp_path)
    assert run(avalanche, tmp_path) == 0
    wanted = columns(tmp_path / "avalanche.parquet")
    half = tmp_path / "cache" / HALF
    half.write_bytes(b"half")
    future = time.time() + YEAR
    there = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert graph_cache.ENDING in {path.suffix for path in there}
    for path in there:
        os.utime(path, (future, future))
    made_again, *used = sorted((tmp_path / "cache").glob("erdos-renyi-*.graph"))
    made_again.unlink()  # what is kept anew has the folder tidied
    assert run(avalanche, tmp_path) == 0
    assert columns(tmp_path / "avalanche.parquet").equals(wanted)
    for path in (made_again, *used):
        assert path.stat().st_mtime < future, "used now: what is used last is what stays"
    assert half.exists(), "not yet an hour old, whatever the clock says"
    assert listing(tmp_path) == ["avalanche.parquet", "train.parquet"]
