"""Signals of a run in training: one small function each, of the state at an epoch.

A signal of one's own is a function with a name (docs/early-warning.md)::

    from grokcrit.signals import State, signal

    @signal("largest-weight", about="largest absolute weight")
    def largest_weight(state: State) -> float:
        return float(abs(state.weights).max())
"""

from grokcrit.signals.registry import Signal, signal
from grokcrit.signals.state import Source, State, UndefinedError

__all__ = ["Signal", "Source", "State", "UndefinedError", "signal"]
