"""Signals of the weights, and the ceiling: what someone who knows the task would look at."""

from __future__ import annotations

import numpy as np

from grokcrit.signals.gradient import gini
from grokcrit.signals.registry import signal
from grokcrit.signals.state import State


@signal("weight-norm", about="||w||, the length of the weights", source="arXiv 2210.01117")
def weight_norm(state: State) -> float:
    """Return the Euclidean norm of the weights."""
    return float(np.linalg.norm(state.weights))


@signal("weight-gini", about="Gini coefficient of abs(w)", source="arXiv 2604.04655")
def weight_gini(state: State) -> float:
    """Return the Gini coefficient of the magnitudes of the weights."""
    return gini(np.sort(np.abs(state.weights)))


@signal(
    "effective-rank",
    about="exp of the entropy of singular values over the full rank, mean of the matrices",
    source="arXiv 2408.11804",
)
def effective_rank(state: State) -> float:
    """Return the effective rank (Roy and Vetterli 2007) of the weight matrices as a share."""
    shares = []
    for matrix in state.matrices:
        values = np.linalg.svd(matrix, compute_uv=False)
        share = values[values > 0] / values.sum()
        shares.append(np.exp(-(share * np.log(share)).sum()) / len(values))
    return float(np.mean(shares))


@signal(
    "task-structure",
    about="modadd: Gini of the embedding's Fourier powers; parity: coefficient of the parity",
    source="arXiv 2301.05217",
    kind="ceiling",
)
def task_structure(state: State) -> float:
    """Return what the run's task says of its state; undefined for a task that says nothing."""
    return state.source.structure()
