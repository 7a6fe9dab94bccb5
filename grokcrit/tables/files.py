"""Writing files, each whole or not at all. The only module that writes any."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from grokcrit.base.errors import UnwritableError, reason

# A short name of its own: the longest name allowed for an output leaves no room for more.
TEMPORARY = re.compile(r"\.grokcrit-[0-9a-f]{16}\.tmp")
# Seconds after which such a file is one of a process that died.
STALE = 3600
# Mode under the umask: mkstemp's 0600 would lock colleagues out.
MODE = 0o666


@contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """Hand out an open binary file; it becomes ``path`` when the block ends well.

    An existing file stays until then, and if the block fails. On Linux a process that is killed
    leaves nothing behind. ``durable`` syncs the file and its folder.
    """
    final = Path(os.path.realpath(path))
    temporary = temporary_name()
    try:
        if final.exists() and not final.is_file():
            raise UnwritableError(f"cannot write {path}: it is there and is not a regular file")
        with opened_folder(final.parent) as folder, opened(folder, temporary) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if named(file, folder, temporary) and durable:
                # btrfs puts the inode of a file on the disk only once it has a name.
                os.fsync(file.fileno())
            file.close()
            os.replace(temporary, final.name, src_dir_fd=folder, dst_dir_fd=folder)
            if durable:
                os.fsync(folder)
    except OSError as error:
        raise UnwritableError(f"cannot write {path}: {reason(error)}") from None


def temporary_name() -> str:
    """Return a new name for a file that is not there for long."""
    return f".grokcrit-{secrets.token_hex(8)}.tmp"


def remove_stale(folder: Path) -> None:
    """Remove files half-written by processes that died, where they could not be without a name."""
    for path in folder.iterdir():
        with suppress(OSError):  # another process may remove it first
            if TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > STALE:
                path.unlink()


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Open a folder, to name files in it and to sync it."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        with suppress(OSError):  # nothing is written through it
            os.close(folder)


@contextmanager
def opened(folder: int, temporary: str) -> Iterator[BinaryIO]:
    """Make a file in a folder, without a name where the system can; close and remove it after."""
    handle = unnamed(folder)
    if handle is None:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, MODE, dir_fd=folder)
    file = cast(BinaryIO, os.fdopen(handle, "r+b"))
    try:
        yield file
    finally:
        with suppress(OSError):  # what waits in the buffer of a file that failed
            file.close()
        with suppress(OSError):  # moved into place, or never named
            os.unlink(temporary, dir_fd=folder)


def unnamed(folder: int) -> int | None:
    """Make a file that has no name yet; None where the system cannot, or cannot name it later."""
    if not hasattr(os, "O_TMPFILE") or not Path(f"/proc/self/fd/{folder}").exists():
        return None
    with suppress(OSError):  # NFS has none
        return os.open(".", os.O_TMPFILE | os.O_RDWR, MODE, dir_fd=folder)
    return None


def named(file: BinaryIO, folder: int, temporary: str) -> bool:
    """Give a file its temporary name; False where it has one."""
    if os.fstat(file.fileno()).st_nlink:
        return False
    # With a folder's descriptor Python calls linkat, which follows the link in /proc.
    os.link(f"/proc/self/fd/{file.fileno()}", temporary, dst_dir_fd=folder)
    return True
