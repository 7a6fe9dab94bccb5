"""Processes killed at any moment: there is the old output then, or a whole new one."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from tests.faults.system import (
    COMMANDS,
    OLD,
    check,
    columns,
    prepare,
    run,
    strays,
)
from tests.shell import COMMAND, ENVIRONMENT

needs_unnamed = pytest.mark.skipif(
    not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name"
)


# With the two of a sweep, five in all.
KILLS = [pytest.param("train", 2), pytest.param("avalanche", 1)]
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
    assert died >= kills // 2  # the last moments may lie after the end
