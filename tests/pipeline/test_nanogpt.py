"""The recorder's example, through make: a character GPT to D(t) and its null."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.shell import ENVIRONMENT

pytestmark = [pytest.mark.slow, pytest.mark.extra("torch")]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples/nanogpt"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nanogpt")
    for path in EXAMPLE.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    programs = [f"PYTHON={sys.executable}", f"GROKCRIT={sys.executable} -m grokcrit"]
    done = subprocess.run(
        ["make", "-C", str(folder), "-j2", *programs, "smoke"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "build-smoke"


def test_every_run_of_the_example_is_in_the_table_with_all_its_snapshots(built):
    table = pq.read_table(built / "avalanche.parquet", filters=[("surrogate", "=", "none")])
    runs = table.group_by(["width", "seed"]).aggregate([("epoch", "count")]).to_pylist()
    assert {(run["width"], run["seed"]) for run in runs} == {
        (width, seed) for width in (8, 16, 24) for seed in (0, 1)
    }
    assert {run["epoch_count"] for run in runs} == {11}


def test_the_example_learns(built):
    table = pq.read_table(built / "parts", columns=["epoch", "loss"])
    first, last = (
        pc.mean(table.filter(pc.equal(table["epoch"], epoch))["loss"]).as_py() for epoch in (0, 20)
    )
    assert last < 0.95 * first


def test_the_example_has_exponents_at_each_step_with_their_null(built):
    table = pq.read_table(built / "fss.parquet", filters=[("window", "=", "epoch")])
    assert set(table["surrogate"].to_pylist()) == {"none", "gaussian"}
    assert set(table["time"].to_pylist()) == set(range(0, 21, 2))
    assert (built / "dimension.png").stat().st_size > 10_000
