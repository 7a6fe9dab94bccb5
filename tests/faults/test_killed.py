"""Processes that are killed: what is there afterwards is the old output or a whole new one."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.system import (
    COMMANDS,
    OLD,
    columns,
    in_forks,
    listing,
    prepare,
    run,
    strays,
)
from tests.shell import COMMAND, ENVIRONMENT

needs_unnamed = pytest.mark.skipif(
    not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name"
)


@pytest.fixture
def whole(tmp_path):
    """The table an undisturbed process makes, by command."""

    def make(name):
        folder = tmp_path / "whole"
        folder.mkdir()
        prepare(COMMANDS[name], folder)
        assert run(COMMANDS[name], folder) == 0
        return columns(folder / COMMANDS[name].output)

    return make


def check(folder, command, before, wanted):
    """The output is as it was or whole, nothing else is there, a rerun completes; is it whole?"""
    out = folder / command.output
    there = out.read_bytes() if out.exists() else None
    new = there != before
    if new:
        assert columns(out).equals(wanted)
    assert {*listing(folder)} - {out.name} == {COMMANDS[need].output for need in command.needs}
    assert run(command, folder) == 0
    assert columns(out).equals(wanted)
    return new


def remove_what_had_its_name_already(folder, calls, wanted):
    """Between its naming and its moving a file is there, whole, under its temporary name."""
    for stray in strays(folder):
        *_, after = "".join(f"{call[0]} " for call in calls.split()).rpartition("l ")
        assert after in ("f ", "f c ", "f c r ", "c ", "c r "), calls
        if stray.parent == folder:
            assert columns(stray).equals(wanted)
        stray.unlink()


@needs_unnamed
@pytest.mark.parametrize("name", COMMANDS)
def test_a_process_killed_at_any_call_leaves_the_old_output_or_a_whole_one(tmp_path, name, whole):
    command, wanted = COMMANDS[name], whole(name)
    *killed, last = in_forks(name, tmp_path / "forks", "signal", signal=signal.SIGKILL.value)
    assert last["status"] == 0, last["said"]
    new = 0
    for k, each in enumerate(killed):
        folder = Path(each["folder"])
        assert each["status"] == -signal.SIGKILL
        remove_what_had_its_name_already(folder, each["said"], wanted)
        new += check(folder, command, OLD if k % 2 else None, wanted)
    assert len(killed) > 20
    assert 0 < new < 5, "killed after the move too"


TOLD = [
    pytest.param(name, without, marks=() if (name, without) == ("train", "") else pytest.mark.slow)
    for name in COMMANDS
    for without in ("", "O_TMPFILE")
]


@pytest.mark.parametrize(("name", "without"), TOLD)
def test_a_process_told_to_end_at_any_call_leaves_nothing_else(tmp_path, name, whole, without):
    command, wanted = COMMANDS[name], whole(name)
    options = {"signal": signal.SIGTERM.value, "without": without}
    *ended, last = in_forks(name, tmp_path / "forks", "signal", **options)
    assert last["status"] == 0, last["said"]
    assert len(ended) > 20
    for k, each in enumerate(ended):
        assert each["status"] == 143
        assert each["said"].endswith("grokcrit: terminated; nothing half-written remains\n")
        # A thread may be keeping a graph, which is not waited for; the cache tidies itself.
        assert {stray.parent.name for stray in strays(Path(each["folder"]))} <= {"cache"}
        check(Path(each["folder"]), command, OLD if k % 2 else None, wanted)


KILLS = [pytest.param("train", 5)]
KILLS += [pytest.param(name, 30, marks=pytest.mark.slow) for name in COMMANDS]


@needs_unnamed
@pytest.mark.parametrize(("name", "kills"), KILLS)
def test_a_process_killed_at_any_moment_leaves_the_old_output_or_a_whole_one(tmp_path, name, kills):
    """Real commands, killed at moments spread over the time that one takes undisturbed."""
    command = COMMANDS[name].lengthened()
    source, first = tmp_path / "source", tmp_path / "first"
    source.mkdir()
    prepare(command, source, longer=True)
    shutil.rmtree(source / "cache", ignore_errors=True)
    shutil.copytree(source, first)
    assert run(command, first) == 0  # compiles what is not yet compiled

    def begun(folder):
        return subprocess.Popen(
            [*COMMAND, *command.arguments, "--quiet"],
            cwd=folder,
            env={**ENVIRONMENT, "GROKCRIT_CACHE_DIR": str(folder / "cache")},
        )

    start = time.monotonic()
    assert begun(first).wait() == 0
    took = time.monotonic() - start
    wanted = columns(first / command.output)
    rng, died = random.Random(0), 0
    for k in range(kills):
        folder = tmp_path / str(k)
        shutil.copytree(source, folder)
        if k % 2:
            (folder / command.output).write_bytes(OLD)
        process = begun(folder)
        time.sleep(took * (k + rng.random()) / kills)
        process.kill()
        died += process.wait() == -signal.SIGKILL
        for stray in strays(folder):  # killed in the instant between its naming and its moving
            assert stray.parent != folder or columns(stray).equals(wanted)
            stray.unlink()
        check(folder, command, OLD if k % 2 else None, wanted)
    assert died >= kills // 2
