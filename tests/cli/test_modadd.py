"""Modular addition from the shell: processes start, stop and clean up."""

import signal
import subprocess
import time

import pyarrow.parquet as pq
import pytest

from tests.shell import COMMAND, ENVIRONMENT, grokcrit

pytestmark = pytest.mark.extra("torch")


@pytest.mark.slow
def test_modular_addition_goes_through_to_the_separation_from_its_control(tmp_path):
    small = ["--task", "modadd", "--model", "mlp", "--prime", "7", "--hidden", "24,48,96"]
    small += ["--seeds", "2", "--epochs", "60", "--train-fraction", "0.9"]
    grokcrit("train", *small, "--label", "grokking", "-o", "a.parquet", cwd=tmp_path)
    control = ["--weight-decay", "0", "--label", "control", "-o", "c.parquet"]
    grokcrit("train", *small, *control, cwd=tmp_path)
    grokcrit("avalanche", "a.parquet", "c.parquet", cwd=tmp_path)
    cases = pq.read_table(tmp_path / "avalanche.parquet").to_pandas().groupby("case")
    assert {case: len(rows) for case, rows in cases} == {"control": 42, "grokking": 42}


def test_ctrl_c_stops_the_processes_of_modular_addition(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "train", "--task", "modadd", "--epochs", "100000"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(3)  # well inside the first runs
    workers = children(process.pid)
    assert workers
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert time.monotonic() - start < 2
    assert process.returncode == 130
    assert "nothing half-written remains" in said
    assert list(tmp_path.iterdir()) == []
    deadline = time.monotonic() + 10
    while any(running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(running(pid) for pid in workers)


def children(pid):
    """Processes begun by a process."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in found.stdout.split()]


def running(pid):
    """Whether a process is there and has not ended."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")
