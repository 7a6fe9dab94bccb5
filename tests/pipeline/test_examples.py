"""The examples run, at smoke size."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.shell import make

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_checkpoints_become_a_figure_through_make(tmp_path):
    for name in ("Makefile", "train.py"):
        shutil.copy(ROOT / "examples/ingest" / name, tmp_path)
    done = make(tmp_path, "HIDDEN=4,8,16", "SEEDS=2", "STEPS=40")
    assert done.returncode == 0, done.stderr
    assert "saved 30 checkpoints" in done.stdout
    table = pq.read_table(tmp_path / "build/ingest.parquet", columns=["width", "n_params", "epoch"])
    rows = {(r["width"], r["n_params"], r["epoch"]) for r in table.to_pylist()}
    assert rows == {(h, 6 * h + 1, step) for h in (4, 8, 16) for step in (10, 20, 30, 40)}
    assert (tmp_path / "build/dimension.png").read_bytes().startswith(b"\x89PNG")
