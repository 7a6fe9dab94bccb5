"""A signal of one's own."""

from grokcrit.signals import State, signal


@signal("largest-weight", about="largest absolute weight")
def largest_weight(state: State) -> float:
    """Return the largest absolute weight."""
    return float(abs(state.weights).max())
