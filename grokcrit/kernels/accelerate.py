"""The one place that decides how functions are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a plain Python function with numba, without the GIL.

    The compiled code is cached on disk: the first call of a process then costs about a second
    instead of several. No fast-math: sums keep their order, so results are equal bit for bit
    whatever the number of threads.

    Parameters
    ----------
    function
        Body written in the subset of Python that numba compiles. It also runs uncompiled
        (``NUMBA_DISABLE_JIT=1``), which is how the tests measure its coverage.

    Returns
    -------
    F
        The compiled function.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder can be written: neither the package's nor the user's cache
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
