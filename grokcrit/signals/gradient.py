"""Signals of the gradient's entries: their length and their distribution."""

from __future__ import annotations

import numpy as np

from grokcrit.signals.registry import signal
from grokcrit.signals.state import State, UndefinedError, Values


def quantile(ordered: Values, share: float) -> float:
    """Return a quantile of ascending values: the entry at the place rounded down."""
    return float(ordered[int(share * (len(ordered) - 1))])


def gini(ordered: Values) -> float:
    """Return the Gini coefficient of ascending values from 0 on."""
    n, total = len(ordered), ordered.sum()
    if total == 0:
        raise UndefinedError
    return float(2 * (np.arange(1, n + 1) @ ordered) / (n * total) - (n + 1) / n)


def scaled(state: State) -> Values:
    """Return the magnitudes in units of the largest, so that no square vanishes."""
    largest = state.magnitudes[-1]
    if largest == 0:
        raise UndefinedError
    values: Values = state.magnitudes / largest
    return values


@signal("gradient-norm", about="||g||, the length of the gradient")
def gradient_norm(state: State) -> float:
    """Return the Euclidean norm of the gradient."""
    return float(np.linalg.norm(scaled(state)) * state.magnitudes[-1])


@signal("gradient-gini", about="Gini coefficient of abs(g)")
def gradient_gini(state: State) -> float:
    """Return the Gini coefficient of the magnitudes."""
    return gini(scaled(state))


@signal("quantile-ratio", about="99th over 90th percentile of abs(g)")
def quantile_ratio(state: State) -> float:
    """Return q99 / q90 of the magnitudes."""
    low = quantile(state.magnitudes, 0.90)
    if low == 0:
        raise UndefinedError
    return quantile(state.magnitudes, 0.99) / low


@signal("kurtosis", about="fourth moment of g over its squared second moment")
def kurtosis(state: State) -> float:
    """Return sum g^4 n / (sum g^2)^2, 3 for a Gaussian vector: the mean of g is near 0."""
    squares = scaled(state) ** 2
    return float(len(squares) * (squares**2).sum() / squares.sum() ** 2)


@signal("max-over-threshold", about="largest abs(g) over theta of the cascade")
def max_over_threshold(state: State) -> float:
    """Return max abs(g) / theta."""
    theta = state.avalanche.threshold
    if theta == 0:
        raise UndefinedError
    return float(state.magnitudes[-1] / theta)


@signal(
    "participation-ratio", about="(sum abs(g))^2 / (n sum g^2): share of entries that take part"
)
def participation_ratio(state: State) -> float:
    """Return the participation ratio of the magnitudes, 1 for equal ones."""
    values = scaled(state)
    return float(values.sum() ** 2 / (len(values) * (values**2).sum()))


@signal("step-cosine", about="cosine of the gradients of successive measured epochs")
def step_cosine(state: State) -> float:
    """Return the cosine of this gradient and the one measured before it."""
    now, before = state.gradient, state.memory.previous
    if before is None:
        raise UndefinedError
    return cosine(now.astype(np.float64), before.astype(np.float64))


def cosine(a: Values, b: Values) -> float:
    """Return the cosine of two vectors."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if lengths == 0:
        raise UndefinedError
    return float(a @ b / lengths)
