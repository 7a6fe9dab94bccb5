"""The chain as a user would write it, through make."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.shell import grokcrit, make

ROOT = Path(__file__).resolve().parents[2]
TINY = ["SEEDS=2", "EPOCHS=60", "HIDDEN=4 8 16"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    shutil.copy(ROOT / "examples/Makefile", folder)
    done = make(folder, "-j2", *TINY)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_make_j2_builds_every_table_and_figure(built):
    names = {path.name for path in (built / "build").iterdir()}
    tables = {"avalanche", "fss", "bootstrap", "train-4", "train-8", "train-16"}
    assert names == {f"{t}.parquet" for t in tables} | {
        "fig1.pdf",
        "fig2.pdf",
        "fig3.pdf",
        "dimension.png",
    }


@pytest.mark.slow
def test_a_second_make_has_nothing_to_do(built):
    assert make(built, "-q", *TINY).returncode == 0


@pytest.mark.slow
def test_a_newer_training_table_remakes_what_is_made_from_it_and_nothing_else(built):
    build = built / "build"
    before = {path.name: path.stat().st_mtime_ns for path in build.iterdir()}
    os.utime(build / "train-8.parquet")
    assert make(built, "-j2", *TINY).returncode == 0
    after = {path.name: path.stat().st_mtime_ns for path in build.iterdir()}
    untouched = {name for name in before if before[name] == after[name]}
    assert untouched == {"train-4.parquet", "train-16.parquet"}


@pytest.mark.slow
def test_one_width_a_target_gives_the_columns_of_all_widths_at_once(built, tmp_path):
    options = ["--hidden", "4,8,16", "--seeds", "2", "--epochs", "60"]
    grokcrit("train", *options, cwd=tmp_path)
    grokcrit("avalanche", "train.parquet", "--surrogate", "none,gaussian", cwd=tmp_path)
    apart = pq.read_table(built / "build/avalanche.parquet")
    assert apart.equals(pq.read_table(tmp_path / "avalanche.parquet"))
    for width in (4, 8, 16):
        alone = pq.read_table(built / f"build/train-{width}.parquet")
        together = pq.read_table(tmp_path / "train.parquet", filters=[("width", "=", width)])
        assert alone.equals(together)


@pytest.mark.slow
def test_a_folder_of_parts_is_one_table(built, tmp_path):
    (tmp_path / "parts").mkdir()
    for part in (built / "build").glob("train-*.parquet"):
        shutil.copy(part, tmp_path / "parts")
    grokcrit("avalanche", "parts", "--surrogate", "none,gaussian", cwd=tmp_path)
    whole = pq.read_table(built / "build/avalanche.parquet")
    assert whole.equals(pq.read_table(tmp_path / "avalanche.parquet"))


@pytest.mark.slow
def test_a_step_that_fails_stops_make_and_leaves_no_output(tmp_path):
    shutil.copy(ROOT / "examples/Makefile", tmp_path)
    done = make(tmp_path, "-j2", "SEEDS=1", "EPOCHS=20", "HIDDEN=4 8")
    assert done.returncode == 2
    assert "at least 3 sizes" in done.stderr
    names = {path.name for path in (tmp_path / "build").iterdir()}
    assert names == {"train-4.parquet", "train-8.parquet", "avalanche.parquet"}
