"""``grokcrit ingest`` as typed: both streams, exit codes, what is left on the disk."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.shell import grokcrit, sentence

PATTERN = ("--pattern", "{family}-{size}/step{step}.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints of three sizes, and one that lacks a tensor."""
    folder = tmp_path_factory.mktemp("saved")
    for size in (10, 20, 40):
        (folder / f"toy-{size}").mkdir()
        for step in (0, 9, 10):
            rng = np.random.default_rng([size, step])
            tensors = {"w": rng.standard_normal((size, 3)), "b": rng.standard_normal(size)}
            count = np.array([step])
            np.savez(folder / f"toy-{size}/step{step}.npz", **tensors, count=count)
    np.savez(folder / "toy-10/step11.npz", w=np.ones((10, 3)))
    return folder


def files(folder, *steps):
    return [p.relative_to(folder) for s in steps for p in sorted(folder.glob(f"toy-*/step{s}.npz"))]


def test_checkpoints_become_a_table_and_one_json_object(folder):
    done = grokcrit(
        "ingest", "--checkpoints", *files(folder, 0, 10, 9), *PATTERN, "--json", cwd=folder
    )
    shown = json.loads(done.stdout)
    assert shown["out"] == "ingest.parquet"
    assert shown["rows"] == [
        {
            "family": "toy",
            "size": size,
            "n_params": 4 * size,
            "runs": 1,
            "snapshots": 2,
            "steps": [9, 10],
            "field": "update",
        }
        for size in (10, 20, 40)
    ]
    assert [w["id"] for w in shown["warnings"]] == ["not-floating"]
    assert "count (int64)" in done.stderr
    assert set(pq.read_table(folder / "ingest.parquet")["field"].to_pylist()) == {"update"}


def test_a_tensor_that_is_missing_stops_it_and_the_output_stays_as_it_was(folder):
    (folder / "old.parquet").write_text("precious")
    arguments = ["ingest", "--checkpoints", *files(folder, 0, 9, 11), *PATTERN]
    said = sentence(grokcrit(*arguments, "-o", "old.parquet", cwd=folder, code=1))
    assert "toy-10/step11.npz lacks the tensor 'b'" in said
    assert (folder / "old.parquet").read_text() == "precious"
    assert not list(folder.glob(".grokcrit-*"))
    grokcrit(*arguments, "--exclude", "b", "-o", "old.parquet", "--quiet", cwd=folder)
    assert pq.read_table(folder / "old.parquet").num_rows == 4


def test_a_value_that_is_not_finite_is_found_late_and_leaves_nothing(folder, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(50))
    np.save(tmp_path / "b.npy", np.append(np.ones(70), np.nan))
    said = sentence(grokcrit("ingest", "a.npy", "b.npy", cwd=tmp_path, code=1))
    assert "b.npy: tensor 'vector' holds nan at entry 70" in said
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "b.npy"}


def test_the_command_line_at_fault_is_told_so_and_exits_2(folder):
    one = files(folder, 0)[0]
    for arguments, words in (
        (["--pattern", "{hidden}.npz"], "--pattern knows the fields {family}"),
        (["--run-seed", "x"], "--run-seed must be a whole number"),
        (["-o", one], "--out would overwrite the input"),
    ):
        assert words in sentence(grokcrit("ingest", one, *arguments, cwd=folder, code=2))
