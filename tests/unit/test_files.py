"""Writing files: whole or not at all, with a name only once they are whole."""

import errno
import itertools
import os
import re
import stat
from pathlib import Path

import pytest

from grokcrit.base.errors import TableError
from grokcrit.tables import files
from grokcrit.tables.files import replacing
from tests.faults.system import System, failing, nothing

needs_unnamed = pytest.mark.skipif(
    not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name"
)
SYSTEMS = {"unnamed": (), "named": ("O_TMPFILE",)}


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=SYSTEMS)
def without(request):
    if request.param == "unnamed" and not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without a name")
    return SYSTEMS[request.param]


@pytest.fixture
def system(without, monkeypatch):
    """A system that writes down the calls."""
    made = System(0, nothing, without=without)
    monkeypatch.setattr(files, "os", made)
    return made


def test_a_file_is_written_read_sought_in_and_then_moved_into_place(tmp_path, system):
    path = tmp_path / "figure.svg"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"a new text")
        file.seek(2)
        assert file.read(3) == b"new"
        file.seek(2)
        file.write(b"NEW")
        assert path.read_text() == "old"
        assert len(listing(tmp_path)) == (2 if system.without else 1)
    assert path.read_text() == "a NEW text"
    assert listing(tmp_path) == ["figure.svg"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path, system, error):
    path = tmp_path / "figure.svg"
    path.write_text("old")

    def draw():
        with replacing(path) as file:
            file.write(b"half")
            raise error("drawing")

    with pytest.raises(error, match="drawing"):
        draw()
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["figure.svg"]


def test_the_fault_of_the_block_is_told_and_not_that_of_closing(tmp_path, without, monkeypatch):
    broken = System(3, failing(errno.EIO), for_good=True, without=without)
    monkeypatch.setattr(files, "os", broken)

    def draw():
        with replacing(tmp_path / "x") as file:
            file.write(b"half")
            raise ValueError("drawing")

    with pytest.raises(ValueError, match="drawing"):
        draw()
    assert "write" in broken.failed, "what waited in the buffer"
    assert listing(tmp_path) == []


@needs_unnamed
def test_the_file_is_on_the_disk_before_it_is_moved_and_the_folder_after(tmp_path, monkeypatch):
    events = []
    real = os.fsync

    def fsync(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        events.append(f"{kind} synced")
        real(handle)

    system = System(0, lambda _: None)
    monkeypatch.setattr(system, "call", events.append)
    monkeypatch.setattr(system, "fsync", fsync, raising=False)
    monkeypatch.setattr(files, "os", system)
    with replacing(tmp_path / "x") as file:
        file.write(b"content")
    moved = ["close", "replace", "folder synced", "close"]
    assert events == [*("open", "open", "write", "file synced", "link", "file synced"), *moved]


def test_what_can_be_made_again_is_not_synced(tmp_path, system):
    with replacing(tmp_path / "x", durable=False) as file:
        file.write(b"content")
    assert "fsync" not in system.made
    assert (tmp_path / "x").read_bytes() == b"content"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_where_a_file_system_has_no_unnamed_files_one_with_a_name_is_made(
    tmp_path, monkeypatch, number
):
    system = System(2, failing(number))  # the second that is opened, after the folder
    monkeypatch.setattr(files, "os", system)
    with replacing(tmp_path / "x") as file:
        (name,) = listing(tmp_path)
        assert files.TEMPORARY.fullmatch(name)
        file.write(b"content")
    assert "link" not in system.made
    assert listing(tmp_path) == ["x"]


def test_every_call_may_fail_and_the_file_is_whole_or_the_old_one(tmp_path, without, monkeypatch):
    path = tmp_path / "x"
    for n in itertools.count(1):
        path.write_bytes(b"old")
        system = System(n, failing(errno.ENOSPC), without=without)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", system)
            try:
                with replacing(path) as file:
                    file.write(b"new" * 100_000)
                told = None
            except TableError as error:
                told = str(error)
        assert listing(tmp_path) == ["x"]
        assert told in (None, f"cannot write {path}: No space left on device")
        new = told is None or "x" in system.moved
        assert path.read_bytes() == (b"new" * 100_000 if new else b"old")
        if not system.failed:
            break
    assert n > 8


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_the_mode_of_a_new_file_obeys_the_umask(tmp_path, system, umask, mode):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "x"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


def test_many_files_at_once_into_one_folder_are_all_whole(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def write(k):
        with replacing(tmp_path / str(k % 5)) as file:
            file.write(bytes([k % 5]) * 10_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(100)))
    assert listing(tmp_path) == list("01234")
    for k in range(5):
        assert (tmp_path / str(k)).read_bytes() == bytes([k]) * 10_000


WRITES = re.compile(r"\.write_(text|bytes)\(|tofile|mkstemp|fdopen|open\(.*[\"'][rbt]*[wax+]")


def test_no_other_module_writes_files():
    package = Path(files.__file__).parent
    writers = {
        (path.name, line.strip())
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines()
        if WRITES.search(line) and "devnull" not in line
    }
    assert {name for name, _ in writers} == {"files.py"}, writers
