"""Sweeps on Dask: the same table, also where workers are killed in the middle."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pyarrow.parquet as pq
import pytest

from tests.shell import COMMAND, ENVIRONMENT, grokcrit, sentence
from tests.sweeps.conftest import SMALL

pytestmark = pytest.mark.extra("dask")
MORE = SMALL.replace("[0.5, 1.0]", "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a sweep of 16 points, computed without Dask."""
    place = tmp_path_factory.mktemp("cluster")
    (place / "sweep.toml").write_text(MORE)
    grokcrit("sweep", "sweep.toml", "-o", "local", "--quiet", "--threads", "1", cwd=place)
    return place


def table(folder, name):
    return pq.read_table(folder / name / "sweep.parquet")


def workers(process):
    """The workers of a cluster: the processes of processes, its own helpers left out."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def test_a_cluster_of_two_workers_makes_the_same_table(folder):
    options = ("--scheduler", "local-cluster", "--threads", "2", "--quiet")
    done = grokcrit("sweep", "sweep.toml", "-o", "dask", *options, cwd=folder)
    assert table(folder, "dask").equals(table(folder, "local"))
    assert (done.stdout, done.stderr) == ("", "")


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(folder):
    command = [*COMMAND, "sweep", "sweep.toml", "-o", "killed", "--quiet"]
    running = subprocess.Popen(
        [*command, "--scheduler", "local-cluster", "--threads", "2"],
        cwd=folder,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    parts = folder / "killed/parts"
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up and running.poll() is None:
        if parts.exists() and len(list(parts.glob("*.parquet"))) >= 2:
            break
        time.sleep(0.02)
    assert running.poll() is None
    found = workers(running)
    assert len(found) == 2
    found[0].send_signal(signal.SIGKILL)
    said = running.communicate(timeout=180)[1]
    assert running.returncode == 0, said
    assert table(folder, "killed").equals(table(folder, "local"))


def test_a_scheduler_elsewhere_is_used_and_its_workers_write_the_parts(folder):
    program = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    quiet = {"env": ENVIRONMENT, "stdout": subprocess.DEVNULL, "text": True}
    scheduler = subprocess.Popen(
        [*program, "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        stderr=subprocess.PIPE,
        **quiet,
    )
    running = [scheduler]
    try:
        address = next(
            found[0] for line in scheduler.stderr if (found := re.search(r"tcp://\S+:\d+", line))
        )
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
        running.append(
            subprocess.Popen(
                [*worker, "--nthreads", "2", "--local-directory", str(folder / "scratch")],
                stderr=subprocess.DEVNULL,
                **quiet,
            )
        )
        grokcrit("sweep", "sweep.toml", "-o", "there", "--scheduler", address, cwd=folder)
    finally:
        for process in reversed(running):
            process.terminate()
            process.communicate(timeout=30)
    assert table(folder, "there").equals(table(folder, "local"))


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named_in_one_sentence(folder):
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        options = ("--scheduler", address)
        done = grokcrit("sweep", "sweep.toml", "-o", "no", *options, cwd=folder, code=2)
        assert f"--scheduler '{address}' does not answer" in sentence(done)


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        pytest.param(b"", "does not answer: nothing came", marks=pytest.mark.slow),
        (b"SSH-2.0-server\r\n", "is no scheduler of Dask"),
    ],
)
def test_a_port_where_something_else_listens_is_named_and_not_waited_for(folder, greeting, words):
    held = []

    def greet():
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                held.append(listening.accept()[0])
                held[-1].sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=greet, daemon=True).start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        options = ("--scheduler", address)
        done = grokcrit("sweep", "sweep.toml", "-o", "no", *options, cwd=folder, code=2)
        assert words in sentence(done)
        listening.shutdown(socket.SHUT_RDWR)
    for each in held:
        each.close()


@pytest.mark.parametrize("content", ["no JSON", "3", '{"address": 3}', "{}"])
def test_a_file_that_no_scheduler_wrote_is_named(folder, content):
    (folder / "scheduler.json").write_text(content)
    options = ("--scheduler", "scheduler.json")
    done = grokcrit("sweep", "sweep.toml", "-o", "no", *options, cwd=folder, code=2)
    assert "is not a file that a Dask scheduler writes" in sentence(done)
