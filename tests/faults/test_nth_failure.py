"""In SQLite's spirit: the n-th call to the system fails, for n = 1, 2, ... until all succeed."""

import errno
import itertools
import os
import signal
from pathlib import Path

import pytest

from grokcrit.tables import provenance
from tests.faults.system import (
    COMMANDS,
    OLD,
    System,
    columns,
    failing,
    listing,
    prepare,
    run,
    strays,
)

SYSTEMS = {"unnamed": (), "named": ("O_TMPFILE",)}
SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What a command line changes in its process is put back."""
    monkeypatch.setattr(provenance, "command_line", None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def open_in(folder):
    """What this process holds open there, the files that threads of Arrow have read aside."""
    links = [os.path.realpath(path) for path in Path("/proc/self/fd").glob("*")]
    return [link for link in links if link.startswith(str(folder)) and ".parquet" not in link]


CASES = [
    pytest.param(
        *(name, system, number, for_good),
        marks=() if (system, number, for_good) == ("unnamed", errno.ENOSPC, False) else SLOW,
        id=f"{name}-{system}-{errno.errorcode[number]}-{'for-good' if for_good else 'once'}",
    )
    for name in COMMANDS
    for system in SYSTEMS
    for number in (errno.ENOSPC, errno.EIO)
    for for_good in (False, True)
]


@pytest.mark.parametrize(("name", "system", "number", "for_good"), CASES)
def test_whichever_call_fails_the_old_output_stays_and_a_rerun_completes(
    tmp_path, capsys, name, system, number, for_good
):
    command, out = COMMANDS[name], tmp_path / COMMANDS[name].output
    prepare(command, tmp_path)
    assert run(command, tmp_path) == 0
    wanted, there = columns(out), listing(tmp_path)
    kinds = set()
    for n in itertools.count(1):
        out.write_bytes(OLD)
        for kept in (tmp_path / "cache").glob("*"):
            kept.unlink()
        faulty = System(n, failing(number), for_good=for_good, without=SYSTEMS[system])
        capsys.readouterr()
        code, said = run(command, tmp_path, faulty), capsys.readouterr()
        assert listing(tmp_path) == there
        assert strays(tmp_path) == []
        assert not open_in(tmp_path)
        if not faulty.failed:
            break
        kinds.add(faulty.failed[0])
        if code == 0:  # a graph that could not be kept; a folder that could not be closed
            assert said.err == ""
            assert columns(out).equals(wanted)
            continue
        assert code == 1
        assert said.out == ""
        assert said.err == f"grokcrit: cannot write {out.name}: {os.strerror(number)}\n"
        if out.name in faulty.moved:
            assert columns(out).equals(wanted), "whole, where only its folder was not synced"
        else:
            assert out.read_bytes() == OLD
        assert run(command, tmp_path) == 0
        assert columns(out).equals(wanted)
    assert code == 0
    assert columns(out).equals(wanted)
    assert kinds == {*System.CALLS} - ({"link"} if system == "named" else set())
