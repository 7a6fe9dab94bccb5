"""Root obeys permissions: tests of files that may not be written run as root too.

On Linux root may write everywhere because of the capability CAP_DAC_OVERRIDE, which it can give up.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CAP_DAC_OVERRIDE = 1
PR_CAPBSET_DROP = 24
VERSION_3 = 0x20080522


class Set(ctypes.Structure):
    """The lower or upper 32 capabilities of a thread."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library, raise what it reports."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


@contextmanager
def obeyed() -> Iterator[None]:
    """Obey the permissions of files in this thread, as any user does."""
    if os.geteuid():
        yield
        return
    header, sets = (ctypes.c_uint32 * 2)(VERSION_3, 0), (Set * 2)()
    call("capget", header, sets)
    before = sets[0].effective
    sets[0].effective &= ~(1 << CAP_DAC_OVERRIDE)
    call("capset", header, sets)
    try:
        yield
    finally:
        sets[0].effective = before
        call("capset", header, sets)


def obey_from_exec_on() -> None:
    """Obey the permissions of files in the program that this process starts (``preexec_fn``)."""
    if os.geteuid() == 0:
        call("prctl", PR_CAPBSET_DROP, ctypes.c_ulong(CAP_DAC_OVERRIDE))
