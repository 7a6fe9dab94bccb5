"""Disks that fill up and folders that cannot be written, for real."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.faults.system import COMMANDS, OLD, columns, in_forks, listing, prepare, run, strays

root = os.geteuid() == 0


@contextlib.contextmanager
def mounted(folder, options):
    """Mount a file system in memory over a folder; skip where that is not allowed."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this system has no mount")
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily: a thread of Arrow may not have closed yet what has been read.
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def refused(command, folder, capsys):
    """Run a command that cannot write; return the reason it gives, all else being as it was."""
    before = listing(folder)
    capsys.readouterr()
    assert run(command, folder) == 1
    said = capsys.readouterr()
    assert said.out == ""
    start, end = f"grokcrit: cannot write {command.output}: ", "\n"
    assert said.err.startswith(start)
    assert said.err.count("\n") == 1
    assert listing(folder) == before
    assert strays(folder) == []
    return said.err.removeprefix(start).removesuffix(end)


@pytest.mark.slow
@pytest.mark.parametrize("without", ["", "O_TMPFILE"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_limit_on_the_length_of_files_is_named_and_leaves_the_old_output(tmp_path, name, without):
    command = COMMANDS[name]
    (tmp_path / "whole").mkdir()
    prepare(command, tmp_path / "whole")
    assert run(command, tmp_path / "whole") == 0
    wanted = columns(tmp_path / "whole" / command.output)
    length = (tmp_path / "whole" / command.output).stat().st_size
    # The record holds the command line and the time: the length may differ by some bytes.
    too_small = [0, 1, 2, 4, 100, 1000, 4095, 4096, 4097, *range(5000, length - 200, 2999)]
    sizes = [*too_small, length + 200, 10 * length]
    options = {"sizes": ",".join(map(str, sizes)), "without": without}
    for k, each in enumerate(in_forks(name, tmp_path / "forks", "limit", **options)):
        folder = Path(each["folder"])
        out = folder / command.output
        assert strays(folder) == []
        if k >= len(too_small):
            assert each["status"] == 0, each["said"]
            assert columns(out).equals(wanted)
            continue
        assert each["status"] == 1
        assert each["said"] == f"grokcrit: cannot write {out.name}: File too large\n"
        assert (out.read_bytes() == OLD) if k % 2 else not out.exists()
        assert run(command, folder) == 0
        assert columns(out).equals(wanted)


@pytest.mark.skipif(not root, reason="only the superuser may mount a small disk")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_named_whatever_its_size_and_then_a_rerun_completes(tmp_path, name, capsys):
    command, out = COMMANDS[name], tmp_path / COMMANDS[name].output
    with mounted(tmp_path, "size=1m"):
        prepare(command, tmp_path)
        assert run(command, tmp_path) == 0
        wanted = columns(out)
        out.write_bytes(OLD)
        # A page more at a time, from what is taken to what is enough.
        page, disk = os.sysconf("SC_PAGESIZE"), os.statvfs(tmp_path)
        for more in range(100):
            remount(tmp_path, f"size={(disk.f_blocks - disk.f_bfree + more) * page}")
            if run(command, tmp_path) == 0:
                break
            assert refused(command, tmp_path, capsys) == "No space left on device"
            assert out.read_bytes() == OLD
        assert more > 2
        assert columns(out).equals(wanted)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_read_only_is_named_before_the_work_is_done(tmp_path, name, capsys):
    command, out = COMMANDS[name], tmp_path / COMMANDS[name].output
    with mounted(tmp_path, "size=1m") if root else contextlib.nullcontext():
        prepare(command, tmp_path)
        out.write_bytes(OLD)
        if root:
            remount(tmp_path, "ro")
        else:
            tmp_path.chmod(0o555)
        reason = refused(command, tmp_path, capsys)
        assert out.read_bytes() == OLD
        if root:
            remount(tmp_path, "rw")
        else:
            tmp_path.chmod(0o755)
        assert reason == ("Read-only file system" if root else "Permission denied")
        assert run(command, tmp_path) == 0
