"""The examples inside a training loop, through make: from the runs to D(t) and its null."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.shell import ENVIRONMENT, make

pytestmark = [pytest.mark.slow, pytest.mark.extra("torch")]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WIDTHS, SEEDS, STEPS = (8, 12, 16), (0, 1), (0, 5, 10, 15, 20)
RUN = re.compile(r"width (\d+), seed (\d+): (\d+) parameters, (\d+) rows")
KEY = ["width", "seed", "epoch", "surrogate"]


def built(name, folder):
    """The folder of a smoke run, and what each run says: parameters and rows, by width and seed."""
    for needed in (name, "nanogpt"):
        ignored = shutil.ignore_patterns("build*", "__pycache__")
        shutil.copytree(EXAMPLES / needed, folder / needed, ignore=ignored)
    shutil.copy(EXAMPLES / "live.mk", folder)
    done = make(folder / name, "-j2", "smoke")
    assert done.returncode == 0, done.stderr
    told = {
        (int(width), int(seed)): (int(parameters), int(rows))
        for width, seed, parameters, rows in RUN.findall(done.stdout)
    }
    assert set(told) == {(width, seed) for width in WIDTHS for seed in SEEDS}
    assert "D of the mean size" in done.stdout  # what watch says
    return folder / name / "build-smoke", told


def check_rows(folder, told, parameters):
    """Every run has each step once with its null, and the size of its model."""
    rows = pq.read_table(folder / "avalanche.parquet").to_pylist()
    found = sorted(tuple(row[name] for name in KEY) for row in rows)
    assert found == sorted(
        (width, seed, step, surrogate)
        for width in WIDTHS
        for seed in SEEDS
        for step in STEPS
        for surrogate in ("none", "gaussian")
    )
    assert {rows for _, rows in told.values()} == {len(STEPS)}
    for row in rows:
        assert row["n_params"] == parameters(told[row["width"], row["seed"]][0])
        assert 0 < row["test_accuracy"] < 1
    first, last = (
        [row["test_accuracy"] for row in rows if row["epoch"] == step] for step in (0, 20)
    )
    assert sum(last) > 2 * sum(first)  # it learns
    fits = pq.read_table(folder / "fss.parquet", filters=[("window", "=", "epoch")])
    assert set(fits["surrogate"].to_pylist()) == {"none", "gaussian"}
    assert set(fits["time"].to_pylist()) == set(STEPS)
    assert (folder / "dimension.png").stat().st_size > 10_000
    return rows


def check_tensorboard(folder, rows):
    """The numbers in TensorBoard are those of the table."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = {
        (row["epoch"], row["surrogate"]): row
        for row in rows
        if (row["width"], row["seed"]) == (12, 1)
    }
    events = EventAccumulator(str(folder / "tensorboard/width-12-seed-1"))
    events.Reload()
    shown = {each.step: each.value for each in events.Scalars("grokcrit/density_over_null")}
    assert set(shown) == set(STEPS)
    for step, value in shown.items():
        wanted = run[step, "none"]["size"] / run[step, "gaussian"]["size"]
        assert value == pytest.approx(wanted, rel=1e-6)
    accuracies = {each.step: each.value for each in events.Scalars("grokcrit/test_accuracy")}
    wanted = {step: run[step, "none"]["test_accuracy"] for step in STEPS}
    assert accuracies == pytest.approx(wanted, rel=1e-6)


def closed_form(width, characters, context=48, blocks=2):
    """Parameters of both GPTs: embeddings, blocks, the last LayerNorm; the head is tied."""
    return (characters + context + 2) * width + blocks * (12 * width**2 + 13 * width)


def all_of_them(parameters):
    return parameters


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("huggingface", marks=pytest.mark.extra("huggingface", "tensorboard")),
        pytest.param("lightning", marks=pytest.mark.extra("lightning", "tensorboard")),
    ],
)
def test_a_callback_records_every_step_the_trainer_takes(name, tmp_path):
    """Would catch a step of another count, an accuracy of another step, tied weights twice."""
    folder, told = built(name, tmp_path)
    characters = 22
    assert {run: parameters for run, (parameters, _) in told.items()} == {
        (width, seed): closed_form(width, characters) for width in WIDTHS for seed in SEEDS
    }
    rows = check_rows(folder, told, all_of_them)
    check_tensorboard(folder, rows)
    field = "clipped-gradient" if name == "huggingface" else "gradient"
    assert {row["field"] for row in rows} == {field}


def test_a_sharded_training_records_what_one_process_does(tmp_path):
    """Would catch entries of a shard in another place, and data that both processes see."""
    folder, told = built("fsdp", tmp_path)
    check_rows(folder, told, lambda parameters: round(0.5 * parameters))
    # In double precision no entry is as near to the threshold as the order of a sum moves it.
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    found = []
    for command in (launched, [sys.executable]):
        out = tmp_path / str(len(command))
        options = ["--width", "8", "--steps", "20", "--every", "5", "--double", "--out", out]
        subprocess.run(
            [*command, "train.py", *options],
            cwd=tmp_path / "fsdp",
            env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
        )
        rows = pq.read_table(out / "parts").sort_by([(name, "ascending") for name in KEY])
        found.append(rows.to_pylist())
    assert [row["epoch"] for row in found[0] if row["surrogate"] == "none"] == list(STEPS)
    rounded = ("threshold", "transported", "loss", "test_accuracy")
    for two, one in zip(*found, strict=True):
        for name, value in one.items():
            assert two[name] == (pytest.approx(value, rel=1e-9) if name in rounded else value), name
