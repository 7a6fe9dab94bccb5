"""train --signals as a person runs it: two tables, controls, bad input."""

import pyarrow.parquet as pq
import pytest

from tests.shell import grokcrit, sentence

SMALL = ["train", "--task", "parity", "--bits", "12", "--relevant", "1", "--samples", "200"]
SMALL += ["--hidden", "8", "--seeds", "2", "--epochs", "6", "--no-gradients"]


def test_two_tables_are_written_and_named(tmp_path):
    done = grokcrit(*SMALL, "--signals", "weight-norm", "-o", "a.parquet", cwd=tmp_path)
    assert "wrote a.parquet" in done.stderr
    assert "wrote a.signals.parquet" in done.stderr
    names = pq.read_table(tmp_path / "a.signals.parquet")["signal"].to_pylist()
    assert set(names) == {"weight-norm", "train_accuracy", "test_accuracy"}


def test_controls_name_their_base_and_end_with_their_partner(tmp_path):
    """Fault: a chain through make that works from Python alone."""
    grokcrit(*SMALL, "--signals", "all", "--label", "base", "-o", "b.parquet", cwd=tmp_path)
    more = ["--labels", "shuffled", "--control", "base", "--watched-as", "b.signals.parquet"]
    grokcrit(*SMALL, *more, "--signals", "all", "-o", "c.parquet", cwd=tmp_path)
    record = pq.read_schema(tmp_path / "c.signals.parquet").metadata[b"grokcrit"]
    assert b'"control": "base"' in record
    done = grokcrit("warn", "b.signals.parquet", "c.signals.parquet", cwd=tmp_path, code=1)
    assert "nothing can be scored" in sentence(done)


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (["--signals-out", "x.parquet"], "--signals-out"),
        (["--signals", "weight-nrm"], "weight-norm"),
        (["--signals", "all", "--signals-out", "train.parquet"], "another file"),
        (["--signals", "nowhere:signal"], "cannot load nowhere:signal"),
        (["--draw", "hidden=8..16"], "--draw"),
        (["--signals", "all", "--watched-as", "none.parquet"], "none.parquet"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(tmp_path, options, about):
    code = 1 if "--watched-as" in options else 2
    assert about in sentence(grokcrit(*SMALL, *options, cwd=tmp_path, code=code))
    assert list(tmp_path.iterdir()) == []
