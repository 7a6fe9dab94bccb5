"""One cascade from Python: a gradient, a graph, the avalanche."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grokcrit.errors import TableError
from grokcrit.graphs import Graph
from grokcrit.kernels import cascade as kernel
from grokcrit.kernels import types as kt
from grokcrit.options import CascadeOptions


@dataclass(frozen=True)
class CascadeResult:
    """What a cascade did.

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
    gradient: npt.ArrayLike,
    graph: Graph,
    *,
    alpha: float = 0.3,
    quantile: float = 90.0,
    rule: str = "diffuse",
    max_steps: int = 20,
) -> CascadeResult:
    """Push a gradient through the TDU-OFC cascade (METHOD, section 2; arXiv 2604.04655).

    Theta is the ``quantile``-th percentile of abs(gradient), taken once. In every step all nodes
    with abs(g_i) > theta topple in parallel: each sends alpha g_i / k_i to its k_i neighbours.

    Parameters
    ----------
    gradient
        Shape (n,), finite; never changed. float32 stays float32, anything else becomes float64.
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

    Raises
    ------
    OptionError
        An option out of its range.
    TableError
        A gradient that is not a vector of the graph's length, or is not finite.
    """
    options = CascadeOptions(alpha=alpha, quantile=quantile, rule=rule, max_steps=max_steps)
    given = np.asarray(gradient)
    if given.dtype.kind not in "iuf":
        raise TableError(f"the gradient holds {given.dtype}, not real numbers; pass a real vector")
    values = np.array(given, np.float32 if given.dtype == np.float32 else np.float64)
    if values.shape != (graph.n,):
        raise TableError(
            f"the gradient has shape {values.shape}, the graph has {graph.n} nodes; "
            f"pass a vector of {graph.n} numbers"
        )
    if not np.isfinite(values).all():
        where = int(np.argmin(np.isfinite(values)))
        raise TableError(f"the gradient is {values[where]} at entry {where}; it must be finite")
    settled = kt.rule(graph.n, values.dtype, options)
    work = kt.work(graph.n, values.dtype, max_steps)
    theta = kernel.threshold(values, settled, work, 0.0)
    counts = kernel.cascade(values, graph.network, settled, theta, work)
    activity = work.activity[: counts.duration].copy()
    return CascadeResult(
        counts.size,
        counts.area,
        counts.duration,
        counts.peak,
        activity,
        float(theta),
        float(counts.transported),
        bool(counts.truncated),
        values,
    )
