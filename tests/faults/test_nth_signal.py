"""Processes that end at their n-th call to the system, for n = 1, 2, ..."""

import os
import signal
from pathlib import Path

import pytest

from tests.faults.system import (
    COMMANDS,
    OLD,
    check,
    columns,
    in_forks,
    prepare,
    run,
    strays,
)

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


def remove_what_had_its_name_already(folder, calls, wanted):
    """Between its naming and its moving a file is there, whole, under its temporary name."""
    for stray in strays(folder):
        done = calls.split()[:-1]  # killed at the last, before it was made
        named = len(done) - done[::-1].index("link")
        assert "replace" not in done[named:], calls
        if stray.parent == folder:
            assert columns(stray).equals(wanted)
        stray.unlink()


@needs_unnamed
@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("without", ["", "O_TMPFILE"])
@pytest.mark.parametrize("name", COMMANDS)
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
