"""Sweeps that come to grief: what is done is kept, a rerun does the rest, the table is the same."""

import errno
import itertools
import os
import random
import shutil
import subprocess
import time

import pytest

from tests.faults.system import Command, System, columns, failing, run, strays
from tests.faults.test_full_disk import small_disk
from tests.shell import COMMAND, ENVIRONMENT

PLAN = """
[train]
hidden = [[4, 6, 8]]
seeds = 1
epochs = 20
lr = [0.5, 1.0]
[fss]
observable = "size"
resamples = 10
"""
# More of it, so that it is killed while it computes and not only while it starts.
LONGER = PLAN.replace("[0.5, 1.0]", "{ from = 0.2, to = 2.0, step = 0.2 }").replace(
    "epochs = 20", "epochs = 400"
)
SWEEP = Command(("sweep", "sweep.toml", "--threads", "1"), "sweep/sweep.parquet")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "sweep.toml").write_text(PLAN)
    assert run(SWEEP, folder) == 0
    return folder


def began(folder, plan=PLAN):
    folder.mkdir(exist_ok=True)
    (folder / "sweep.toml").write_text(plan)
    return folder


def check(folder, whole):
    """Every part is whole, nothing else is there."""
    for part in (folder / "sweep/parts").iterdir():
        assert columns(part).equals(columns(whole / "sweep/parts" / part.name))
    assert strays(folder) == []
    assert {p.name for p in (folder / "sweep").iterdir()} <= {"parts", "failed", "sweep.parquet"}


def completes(folder, whole):
    """A rerun ends well, with the table of the undisturbed sweep."""
    assert run(SWEEP, folder) == 0
    assert columns(folder / SWEEP.output).equals(columns(whole / SWEEP.output))
    check(folder, whole)


def failed(folder, n, number, capsys):
    """Run a sweep whose n-th call fails; was there such a call?"""
    faulty = System(n, failing(number))
    capsys.readouterr()
    code, said = run(SWEEP, folder, faulty), capsys.readouterr()
    if code == 0:  # no such call, a graph that could not be kept, a folder that was not closed
        assert said.err == ""
    else:
        assert said.err.startswith("grokcrit: cannot write ")
        assert said.err.endswith(f": {os.strerror(number)}\n")
        assert said.err.count("\n") == 1
    return bool(faulty.failed)


@pytest.mark.parametrize(
    ("number", "rates"),
    [
        (errno.ENOSPC, "0.5"),
        pytest.param(errno.ENOSPC, "[0.5, 1.0]", marks=pytest.mark.slow),
        pytest.param(errno.EIO, "[0.5, 1.0]", marks=pytest.mark.slow),
    ],
)
def test_whichever_call_fails_what_is_done_is_kept_and_a_rerun_does_the_rest(
    tmp_path, capsys, number, rates
):
    plan = PLAN.replace("[0.5, 1.0]", rates)
    whole = began(tmp_path / "whole", plan)
    assert run(SWEEP, whole) == 0
    for n in itertools.count(1):
        folder = began(tmp_path / str(n), plan)
        there = failed(folder, n, number, capsys)
        check(folder, whole)
        completes(folder, whole)
        if not there:
            break
    assert n > 12


@pytest.mark.slow
def test_whichever_call_of_the_rerun_fails_too_a_third_run_completes(tmp_path, capsys):
    plan, pairs = PLAN.replace("[0.5, 1.0]", "0.5"), 0
    whole = began(tmp_path / "whole", plan)
    assert run(SWEEP, whole) == 0
    for n in itertools.count(1):
        source = began(tmp_path / str(n), plan)
        if not failed(source, n, errno.ENOSPC, capsys):
            break
        for m in itertools.count(1):
            folder = shutil.copytree(source, tmp_path / f"{n}-{m}")
            there = failed(folder, m, errno.ENOSPC, capsys)
            check(folder, whole)
            if not there:
                break
            completes(folder, whole)
            pairs += 1
            shutil.rmtree(folder)
    print(f"{pairs} pairs of calls failed")
    assert pairs > 50


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_sweep_killed_again_and_again_goes_on_each_time(tmp_path, kills):
    """Two processes and their parent: the parent is killed, they end with it."""
    undisturbed, folder = began(tmp_path / "whole", LONGER), began(tmp_path / "killed", LONGER)
    command = [*COMMAND, *SWEEP.arguments[:2], "--threads", "2", "--quiet"]

    def start(where):
        cache = {"GROKCRIT_CACHE_DIR": str(where / "cache")}
        return subprocess.Popen(command, cwd=where, env={**ENVIRONMENT, **cache})

    before = time.monotonic()
    assert start(undisturbed).wait() == 0
    took = time.monotonic() - before
    rng, died = random.Random(1), 0
    for k in range(kills):
        process = start(folder)
        time.sleep(took * (k + rng.random()) / kills)
        process.kill()
        died += process.wait() < 0
        time.sleep(0.3)  # its processes see that it has died
        for stray in strays(folder / "sweep"):  # killed between its naming and its moving
            stray.unlink()
        if (folder / "sweep/parts").exists():
            check(folder, undisturbed)
        if len(list((folder / "sweep/parts").glob("*"))) == 10:
            shutil.rmtree(folder / "sweep")
    assert died >= kills // 3
    assert start(folder).wait() == 0
    assert columns(folder / SWEEP.output).equals(columns(undisturbed / SWEEP.output))


def test_a_disk_that_fills_up_stops_a_sweep_which_goes_on_when_there_is_room(
    tmp_path, whole, capsys
):
    folder = began(tmp_path / "full")
    with small_disk(folder) as disk:
        began(folder)
        for more in range(0, 200, 3):
            disk.leave(more)
            capsys.readouterr()
            if disk.run(SWEEP) == 0:
                break
            said = capsys.readouterr().err
            assert "No space left on device" in said
            assert said.count("\n") == 1
            if (folder / "sweep/parts").exists():
                assert strays(folder) == []
        assert more > 6
        disk.leave(400)  # the old table stays until the new one is whole
        completes(folder, whole)


def test_a_folder_that_became_read_only_is_named_and_its_parts_stay(tmp_path, whole, capsys):
    folder = began(tmp_path / "read-only")
    shutil.copytree(whole / "sweep", tmp_path / "kept")
    with small_disk(folder) as disk:
        began(folder)
        shutil.copytree(whole / "sweep", folder / "sweep")
        next((folder / "sweep/parts").iterdir()).unlink()
        with disk.read_only() as reason:
            capsys.readouterr()
            assert run(SWEEP, folder) == 1
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert reason in said
        completes(folder, whole)


@pytest.mark.parametrize("seconds", [0, 4e9], ids=["1970", "2096"])
def test_what_the_clock_says_of_the_parts_does_not_matter(tmp_path, whole, seconds):
    folder = began(tmp_path / "clock")
    shutil.copytree(whole / "sweep", folder / "sweep")
    for path in (folder / "sweep").rglob("*.parquet"):
        os.utime(path, (seconds, seconds))
    before = {p: p.stat().st_ino for p in (folder / "sweep/parts").iterdir()}
    completes(folder, whole)
    assert {p: p.stat().st_ino for p in (folder / "sweep/parts").iterdir()} == before
