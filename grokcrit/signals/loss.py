"""Signals of the training loss."""

from __future__ import annotations

import numpy as np

from grokcrit.signals.registry import signal
from grokcrit.signals.state import WINDOW, State, UndefinedError, Values

# Critical slowing down: variance and autocorrelation rise before a transition. No paper found that
# tests the two on grokking; the nearest, arXiv 2306.13253, uses oscillations of the early loss.
SLOWING = "Scheffer et al., Nature 461, 53 (2009)"


@signal("train-loss", about="loss of all training data")
def train_loss(state: State) -> float:
    """Return the training loss."""
    return float(state.losses[-1])


def logarithms(state: State) -> Values:
    """Return the logarithms of the last losses less their straight line."""
    losses = state.losses
    if len(losses) < WINDOW or (losses <= 0).any():
        raise UndefinedError
    values = np.log(losses)
    times = np.arange(len(values)) - (len(values) - 1) / 2
    rest: Values = values - values.mean() - times * (times @ values) / (times @ times)
    return rest


@signal(
    "loss-variance", about=f"variance of ln(loss) about its line, {WINDOW} epochs", source=SLOWING
)
def loss_variance(state: State) -> float:
    """Return the variance of the detrended logarithm of the training loss."""
    return float((logarithms(state) ** 2).mean())


@signal(
    "loss-autocorrelation",
    about=f"autocorrelation at lag 1 of ln(loss) about its line, {WINDOW} epochs",
    source=SLOWING,
)
def loss_autocorrelation(state: State) -> float:
    """Return the lag-1 autocorrelation of the detrended logarithm of the training loss."""
    values = logarithms(state)
    power = values @ values
    if power == 0:
        raise UndefinedError
    return float(values[1:] @ values[:-1] / power)
