"""Signals of the cascade: avalanche size, density, branching. D is made of sizes by ``warn``."""

from __future__ import annotations

from grokcrit.signals.registry import signal
from grokcrit.signals.state import State, UndefinedError

SOURCE = "arXiv 2604.04655"


@signal("size", about="avalanche size s; D is made of it", source=SOURCE, kind="ingredient")
def size(state: State) -> float:
    """Return the avalanche size."""
    return state.avalanche.size


@signal("density", about="avalanche size over that of a Gaussian null model")
def density(state: State) -> float:
    """Return s / s_null: the density s / N relative to that of a Gaussian vector."""
    if state.null_size == 0:
        raise UndefinedError
    return state.avalanche.size / state.null_size


@signal("branching", about="topplings of step 2 over those of step 1")
def branching(state: State) -> float:
    """Return the branching ratio of the first step."""
    activity = state.avalanche.activity
    if len(activity) == 0:
        raise UndefinedError
    return float(activity[1] / activity[0]) if len(activity) > 1 else 0.0
