"""One cascade from Python: a gradient, a graph, the avalanche."""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from grokcrit.base.degenerate import first_broken
from grokcrit.base.errors import (
    DamagedError,
    OptionError,
    ShapeError,
    TableError,
    UnreadableError,
    ValuesError,
)
from grokcrit.base.options import CascadeOptions
from grokcrit.cascades.graphs import Graph
from grokcrit.kernels import cascade as kernel
from grokcrit.kernels import types as kt

Values: TypeAlias = npt.NDArray[Any]
# Nodes up to which a thread keeps the scratch of its last cascade, 1.5 MB: at N = 2,001 that spares
# 20 of 50 microseconds a call.
SMALL = 100_001
_held = threading.local()


@dataclass(frozen=True)
class CascadeResult:
    """The result of a cascade.

    Attributes
    ----------
    size, area, duration, peak : int
        Topplings with repetition; distinct nodes that toppled; steps; most topplings in a step.
    activity : ndarray of int64, shape (duration,)
        Topplings of each step.
    threshold : float
        Theta, in the unit of the gradient.
    transported : float
        Sum of alpha abs(g_i) over all topplings of nodes with neighbours, in the unit of the
        gradient.
    truncated : bool
        Whether nodes were still above theta after the last step allowed.
    gradient : ndarray
        The redistributed gradient.
    """

    size: int
    area: int
    duration: int
    peak: int
    activity: npt.NDArray[np.int64]
    threshold: float
    transported: float
    truncated: bool
    gradient: npt.NDArray[Any]


def cascade(
    gradient: npt.ArrayLike | str | os.PathLike[str],
    graph: Graph,
    *,
    alpha: float = 0.3,
    quantile: float = 90.0,
    rule: str = "diffuse",
    max_steps: int = 20,
    threshold_of: str = "all",
    overwrite: bool = False,
) -> CascadeResult:
    """Push a gradient through the TDU-OFC cascade (METHOD, section 2; arXiv 2604.04655).

    Theta is the ``quantile``-th percentile of abs(gradient), taken once. In every step all nodes
    with abs(g_i) > theta topple in parallel: each sends alpha g_i / k_i to its k_i neighbours.

    Parameters
    ----------
    gradient
        Shape (n,), finite; or the name of a .npy file that holds it, or a memory-mapped array: the
        file is then read once, from front to back. float32 stays float32, anything else becomes
        float64.
    graph
        Diffusion graph over n nodes, from :func:`grokcrit.graph`.
    alpha
        Diffusion strength, 0 < alpha <= 1.
    quantile
        Percentile that is the threshold, 0 <= quantile < 100.
    rule
        ``diffuse``: a toppling node keeps (1 - alpha) g_i; ``reset``: it keeps nothing.
    max_steps
        Steps after which the cascade is cut off.
    threshold_of
        ``all``: theta is the percentile of all entries; ``nonzero``: of those that are not exactly
        0. Where more than ``quantile`` per cent are 0, theta is otherwise 0 and no cascade ends.
    overwrite
        Whether to redistribute the gradient in its own memory, which spares a copy: it must be a
        contiguous, writable array of float32 or float64. Without, it is never changed.

    Raises
    ------
    OptionError
        An option out of its range; ``overwrite`` of an array that cannot be.
    TableError
        A gradient that is not a vector of the graph's length, or is not finite (with
        ``overwrite`` too it is then as it was); a file that is not a readable .npy.
    """
    if not isinstance(graph, Graph):
        raise OptionError("graph", f"must come from grokcrit.graph, got {graph!r}")
    try:
        options = _options(alpha, quantile, rule, max_steps, threshold_of)
    except TypeError:  # a list cannot be looked up; the check says which it is
        options = _options.__wrapped__(alpha, quantile, rule, max_steps, threshold_of)
    source, values = source_and_values(gradient, graph.n, overwrite)
    network, n = graph.network, graph.n
    wanted = options, n, values.dtype, network.most
    # Taken out while it is used: a signal's handler may run a cascade of its own meanwhile.
    held = _held.__dict__.pop("scratch", None)
    if held and held[0] == wanted:
        settled, work = held[1:]
    else:
        settled = kt.rule(n, values.dtype, options)
        work = kt.work(n, values.dtype, max_steps, network.most)
    counts = kt.Counts(*kernel.counted(source, values, network, settled, work))
    activity = work.activity[: counts.duration].copy()
    if n <= SMALL:
        _held.scratch = wanted, settled, work
    if not counts.finite:
        entry = first_broken(source)
        raise ValuesError(f"the gradient is {source[entry]} at entry {entry}; it must be finite")
    return CascadeResult(
        int(counts.size),
        int(counts.area),
        int(counts.duration),
        int(counts.peak),
        activity,
        float(counts.threshold),
        float(counts.transported),
        bool(counts.truncated),
        values,
    )


def of_one(options: CascadeOptions) -> dict[str, Any]:
    """Return the options that :func:`cascade` takes, by name."""
    names = ("alpha", "quantile", "rule", "max_steps", "threshold_of")
    return {name: getattr(options, name) for name in names}


@functools.lru_cache(maxsize=64, typed=True)
def _options(
    alpha: float, quantile: float, rule: str, max_steps: int, threshold_of: str
) -> CascadeOptions:
    """Check the options; those checked before are not checked again."""
    return CascadeOptions(
        alpha=alpha,
        quantile=quantile,
        rule=rule,
        max_steps=max_steps,
        threshold_of=threshold_of,
    )


def source_and_values(
    gradient: npt.ArrayLike | str | os.PathLike[str], n: int, overwrite: bool
) -> tuple[Values, Values]:
    """Return what a cascade reads, read-only, and what it writes: one memory or two."""
    if isinstance(gradient, np.ma.MaskedArray):
        raise TableError("the gradient is a masked array; fill it, nothing is done with masks")
    try:
        given = (
            mapped(gradient) if isinstance(gradient, str | os.PathLike) else np.asarray(gradient)
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise TableError(f"the gradient is not a vector of numbers: {error}") from None
    if overwrite and not isinstance(gradient, np.ndarray):
        raise OptionError("overwrite", f"needs an array of numpy, got {type(gradient).__name__}")
    if given.dtype.kind not in "iuf":
        raise TableError(f"the gradient holds {given.dtype}, not real numbers; pass a real vector")
    if given.shape != (n,):
        raise ShapeError(
            f"the gradient has shape {given.shape}, the graph has {n} nodes; "
            f"pass a vector of {n} numbers"
        )
    real = np.float32 if given.dtype.newbyteorder("=") == np.float32 else np.float64
    if overwrite and not (given.dtype == real and given.flags.carray):
        raise OptionError(
            "overwrite", "needs a contiguous, writable array of float32 or float64; pass a copy"
        )
    # A view of its own, read-only: of one type for the kernel, whatever array the caller has.
    source: Any = np.ascontiguousarray(given, real).view(np.ndarray)
    values = source if overwrite else np.empty(n, real)
    source = source.view()
    source.setflags(write=False)
    return source, values


def mapped(path: str | os.PathLike[str]) -> Values:
    """Map a .npy file into memory; it is read when the cascade reads it, and need not fit."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UnreadableError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from None
    except MemoryError:
        raise
    except Exception:  # numpy parses the header as Python: what a damaged one raises varies
        raise DamagedError(
            f"{os.fspath(path)} is not a readable .npy file of numbers, or is cut short"
        ) from None
    if not isinstance(found, np.ndarray):
        raise TableError(f"{os.fspath(path)} holds several arrays; pass a .npy file of one")
    return found
