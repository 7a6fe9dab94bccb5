"""The early-warning example runs, at smoke size, and so does a signal of one's own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.shell import ENVIRONMENT, make

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/early-warning"
# Sizes at which a task takes seconds; half of the runs grok all the same.
SMALL = ["RUNS=6", "CONTROLS=4", "MIX_RUNS=6", "MIX_CONTROLS=4", "P_FAMILIES=2", "SIGNALS=all"]
SMALL += ["P_FAMILY_CONTROLS=2", "P_WIDTH=64", "P_WIDTHS=56,72,80,88,96,104,112,128"]
# Every member of the two families groks at these widths: a control ends with its partner.
SMALL += ["AFTER_P=300"]


def made(tmp_path, *arguments):
    shutil.copy(EXAMPLE / "Makefile", tmp_path)
    done = make(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_tables_become_scores_and_a_figure_through_make(tmp_path):
    made(tmp_path, "TASKS=P", *SMALL)
    rows = pq.read_table(tmp_path / "build/warn.parquet").to_pylist()
    scored = {row["signal"]: row for row in rows if row["score"] == "auroc"}
    assert {"D", "density", "weight-norm", "white-noise", "task-structure"} <= set(scored)
    kinds = {row["control"] for row in rows if row["score"] == "auroc"}
    assert {"shuffled", "few", "no-decay", "late"} <= kinds
    # Three runs a half: no interval, and each row says so.
    assert scored["weight-norm"]["ci_low"] is None
    assert (tmp_path / "build/warn.png").read_bytes().startswith(b"\x89PNG")


def test_every_task_trains_its_runs_and_four_kinds_of_controls(tmp_path):
    """Fault: a control that shares less with its partner than the page says."""
    lines = [line for line in made(tmp_path, "-n").splitlines() if " train " in line]
    by_label = {re.search(r"--label (\S+)", line)[1]: line for line in lines if "size" not in line}
    kinds = ("few", "shuffled", "no-decay", "late")
    tasks = ("S", "P", "S-mix", "P-mix")
    assert set(by_label) == {*tasks, *(f"{task}-{kind}" for task in tasks for kind in kinds)}
    for label, line in by_label.items():
        task = re.sub(f"-({'|'.join(kinds)})$", "", label)
        assert (f"--control {task}" in line) == (label != task)
        assert (f"--watched-as build/{task}-grok.parquet" in line) == (label != task)
    families = [line for line in lines if "--signals size" in line]
    assert len(families) == 2 * 5
    assert all(len(re.search(r"--hidden (\S+)", line)[1].split(",")) == 8 for line in families)


def test_a_signal_of_ones_own_is_ten_lines(tmp_path):
    """Fault: what the page shows is not what runs."""
    (shown,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/early-warning.md").read_text(), re.S
    )
    assert shown == (EXAMPLE / "mine.py").read_text()
    assert len(shown.splitlines()) <= 10
    shutil.copy(EXAMPLE / "mine.py", tmp_path)
    train = ["train", "--task", "parity", "--hidden", "8", "--seeds", "1", "--epochs", "2"]
    signals = ["--signals", "weight-norm,mine:largest_weight", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "grokcrit", *train, *signals],
        env=ENVIRONMENT | {"PYTHONPATH": f"{ROOT}:."},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "train.signals.parquet").to_pandas()
    found = {name: set(rows.epoch) for name, rows in table.groupby("signal")}
    assert found["largest-weight"] == found["weight-norm"] == {0, 1, 2}
