"""Tests of the kernels, and how they call what otherwise compiled code alone calls."""

from types import SimpleNamespace

import numba


def from_python(module):
    """Return a module's functions for Python: without an entry of its own a call would crash."""
    functions = dict(vars(module))
    for name, function in functions.items():
        if getattr(function, "targetoptions", {}).get("no_cpython_wrapper"):
            functions[name] = with_entry(function)
    return SimpleNamespace(**functions)


def with_entry(inner):
    """Return a compiled function that hands its arguments on."""
    return numba.njit(lambda *arguments: inner(*arguments))
