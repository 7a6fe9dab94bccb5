"""The recorder's example, through make: a character GPT to D(t) and its null."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from grokcrit.signals.registry import chosen
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import SIGNALS
from tests.shell import make

pytestmark = [pytest.mark.slow, pytest.mark.extra("torch")]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples/nanogpt"


def made(target: str, folder: Path) -> str:
    """Make a target of a copy of the example; return what it prints."""
    for path in EXAMPLE.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    done = make(folder, "-j2", target)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nanogpt")
    made("smoke", folder)
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


def test_the_example_prints_its_signals(tmp_path):
    """Would catch a table of other numbers than the parts', and a signal that is never defined."""
    printed = made("signals", tmp_path)
    table = Inputs(tmp_path / "build-signals/parts/signals", SIGNALS).read().to_pandas()
    assert table["epoch"].unique().tolist() == list(range(0, 61, 2))
    known = table.dropna(subset="value")
    wanted = {each.name for each in chosen(["all"])} - {"task-structure"}
    assert set(known["signal"]) == wanted | {"train_accuracy", "test_accuracy"}
    lines = {line.split()[0]: line.split() for line in printed.splitlines() if line}
    for name, rows in known.groupby("signal"):
        first, last = (float(text) for text in lines[name][1:3])
        assert first == pytest.approx(rows["value"].iloc[0], rel=1e-3)
        assert last == pytest.approx(rows["value"].iloc[-1], rel=1e-3)
        if name in wanted:
            milliseconds, share = 1e3 * rows["seconds"].median(), float(lines[name][4])
            assert float(lines[name][3]) == pytest.approx(milliseconds, abs=0.006)
            step = 1e3 * table["training_seconds"].median()
            assert share == pytest.approx(100 * milliseconds / step, rel=0.01, abs=0.06)
    assert pd.isna(known.loc[known["signal"] == "test_accuracy", "seconds"]).all()
