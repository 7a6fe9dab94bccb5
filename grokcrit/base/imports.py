"""Libraries that others would import and no command uses: they stay out of a command's process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

# pyarrow imports it, where it is installed, to ask whether an array is one of its: 0.25 s.
NEVER = ("pandas",)


class Refusal(threading.local):
    """A finder of modules that finds none, and says of some that they are not installed.

    ``names`` are each thread's own: while one imports a library without scipy.linalg, another may
    need it.
    """

    names: tuple[str, ...] = NEVER

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Return None; raise ModuleNotFoundError for a name that is refused."""
        if name in self.names:
            raise ModuleNotFoundError(f"{name} is not used by this command", name=name)


refusal = Refusal()


def begin_command() -> None:
    """Refuse from here on what no command uses; programs that import grokcrit never call this."""
    sys.meta_path.insert(0, refusal)


def everything() -> AbstractContextManager[None]:
    """Refuse nothing, while a library is imported that needs what no command uses otherwise."""
    return refusing()


def without(*names: str) -> AbstractContextManager[None]:
    """Refuse more, in a command alone, while something is imported that can do without."""
    return refusing(*NEVER, *names)


@contextmanager
def refusing(*names: str) -> Iterator[None]:
    """Refuse these names alone."""
    refusal.names = names
    try:
        yield
    finally:
        refusal.names = NEVER
