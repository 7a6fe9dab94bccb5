"""Disks that fill up and folders that cannot be written, for real where they can be mounted."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests import privileges
from tests.faults.system import (
    COMMANDS,
    OLD,
    System,
    columns,
    in_forks,
    listing,
    nothing,
    prepare,
    run,
    strays,
)


class Disk:
    """A disk of 1 MiB at a folder: a file system in memory, which root may mount.

    Where it cannot be mounted, a limit on the bytes written and the permissions of the folders take
    its place.
    """

    def __init__(self, folder):
        self.folder, self.room, self.before = folder, None, None
        self.mounted = self.call("mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs")

    def call(self, *command):
        """Run a command on the folder; return whether it succeeded."""
        with contextlib.suppress(FileNotFoundError):  # a system without mount
            done = subprocess.run([*command, self.folder], capture_output=True, check=False)
            return done.returncode == 0
        return False

    def remount(self, option):
        assert self.call("mount", "-o", f"remount,{option}")

    def taken(self):
        """Return the bytes that are in use."""
        if self.mounted:
            disk = os.statvfs(self.folder)
            return (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def leave(self, pages):
        """Make the disk so many pages larger than what was in use at the first call."""
        self.before = self.taken() if self.before is None else self.before
        size = self.before + pages * os.sysconf("SC_PAGESIZE")
        if self.mounted:
            self.remount(f"size={size}")
        else:
            self.room = max(0, size - self.taken())

    def run(self, command):
        """Run a command in the folder; return its exit code."""
        return run(command, self.folder, System(0, nothing, room=self.room))

    @contextlib.contextmanager
    def read_only(self):
        """Let nobody write; yield the reason that the system gives."""
        if self.mounted:
            self.remount("ro")
            yield "Read-only file system"
            self.remount("rw")
            return
        folders = [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        with privileges.obeyed():
            yield "Permission denied"
        for path in folders:
            path.chmod(0o755)


@contextlib.contextmanager
def small_disk(folder):
    """Make a disk at a folder, and remove it at the end."""
    disk = Disk(folder)
    try:
        yield disk
    finally:
        # Lazily: a thread of Arrow may not have closed yet what has been read.
        assert not disk.mounted or disk.call("umount", "--lazy")


def refused(command, disk, capsys):
    """Run a command that cannot write; return the reason it gives, all else being as it was."""
    folder = disk.folder
    before = listing(folder)
    capsys.readouterr()
    assert disk.run(command) == 1
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


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_named_whatever_its_size_and_then_a_rerun_completes(tmp_path, name, capsys):
    command, out = COMMANDS[name], tmp_path / COMMANDS[name].output
    with small_disk(tmp_path) as disk:
        prepare(command, tmp_path)
        assert run(command, tmp_path) == 0
        wanted = columns(out)
        out.write_bytes(OLD)
        # A page more at a time, from what is taken to what is enough.
        for more in range(100):
            disk.leave(more)
            if disk.run(command) == 0:
                break
            disk.leave(more)
            assert refused(command, disk, capsys) == "No space left on device"
            assert out.read_bytes() == OLD
        assert more > 2
        assert columns(out).equals(wanted)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_read_only_is_named_before_the_work_is_done(tmp_path, name, capsys):
    command, out = COMMANDS[name], tmp_path / COMMANDS[name].output
    with small_disk(tmp_path) as disk:
        prepare(command, tmp_path)
        out.write_bytes(OLD)
        with disk.read_only() as reason:
            assert refused(command, disk, capsys) == reason
            assert out.read_bytes() == OLD
        assert run(command, tmp_path) == 0
