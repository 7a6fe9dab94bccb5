from grokcrit.signals import State, signal


@signal("largest-weight", about="largest absolute weight")
def largest_weight(state: State) -> float:
    return float(abs(state.weights).max())
