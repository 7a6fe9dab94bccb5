"""The one place that decides how functions are compiled."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from grokcrit.base.imports import without

# numba loads scipy.linalg for products of matrices, which the kernels have none of: 0.1 s.
with without("scipy", "scipy.linalg"):
    import numba
    import numba.np.arraymath


def align_times(folder: Path) -> None:
    """Give all kernel sources the time of the newest.

    numba compiles one kernel into another, but stamps its cached code with the time and size of its
    own file alone: after an edit of a file that it calls, it would run the old code, or crash
    (seen). A cache folder named by a digest of the sources would be a setting for other people's
    functions too.
    """
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.py")}
    shared = max(times.values())
    if min(times.values()) == shared:
        return
    # Several had it before: the edit looks older, so the clock went back, and theirs is no news.
    if list(times.values()).count(shared) > 1:
        shared += 10**9
    for path in times:
        with contextlib.suppress(OSError):  # read-only, so nobody edits it either
            os.utime(path, ns=(shared, shared))


align_times(Path(__file__).parent)

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a plain Python function with numba, without the GIL; cached on disk.

    No fast-math: sums keep their order, so results are equal bit for bit whatever the number of
    threads. Uncompiled (``NUMBA_DISABLE_JIT=1``) the function runs too, which is how the tests
    measure its coverage.
    """
    return compiled(function)


def inner(function: F) -> F:
    """Compile a function that compiled code alone calls: a call from Python would crash.

    Without entries from Python the first training ever takes 7.7 instead of 9.5 s. Without numba's
    runtime such a function allocates no array, and counts no reference of the arrays in its
    bundles, which calls between kernels would otherwise do: half of a cascade's time at N = 81, a
    seventh at 2,001. Nor may it return an array, or call what does: numba refuses, or crashes.
    """
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)


def compiled(function: F, **further: bool) -> F:
    """Compile a function, cached where a cache can be written."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **further}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder can be written: neither the package's nor the user's cache
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
