"""The XOR network 2-h-1 and its training, with the cascade in line."""

from __future__ import annotations

import math

import numpy as np

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.cascade import cascade, threshold
from grokcrit.kernels.types import Array, Network, Record, Rule, Training, Work

TANH, RELU, SIGMOID = 0, 1, 2
OUTPUT, FIRST, ALL, GRADIENT = 0, 1, 2, 3


@jit
def sigmoid(z: float) -> float:
    """Logistic function, without overflow for any finite z."""
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    e = math.exp(z)
    return e / (1 + e)


@jit
def activate(z: float, activation: int) -> float:
    """Activation of a hidden unit."""
    if activation == TANH:
        return math.tanh(z)
    if activation == RELU:
        return max(z, 0.0)
    return sigmoid(z)


@jit
def slope(a: float, activation: int) -> float:
    """Derivative of the activation, from its value a."""
    if activation == TANH:
        return 1 - a * a
    if activation == RELU:
        return 1.0 if a > 0 else 0.0
    return a * (1 - a)


@jit
def gini(values: Array) -> float:
    """Gini coefficient of abs(values): 0 all equal, (n - 1) / n one holds all; NaN where all are 0.

    G = sum_i (2 i - n - 1) x_i / (n sum_i x_i), x ascending, i = 1 .. n.
    """
    x = np.sort(np.abs(values))
    n = len(x)
    weighted, total = 0.0, 0.0
    for i in range(n):
        weighted += (2 * i + 1 - n) * x[i]
        total += x[i]
    return weighted / (n * total) if total > 0 else math.nan


@jit
def forward_backward(
    weights: Array, training: Training, hidden: Array, gradient: Array
) -> tuple[float, float]:
    """Loss, accuracy and gradient of the network 2-h-1 on all patterns.

    Mean binary cross-entropy on the logit z: log(1 + e^z) - y z. A pattern counts as right when
    (z > 0) equals its target.

    Parameters
    ----------
    weights
        4 h + 1 parameters: W1 row-major (h, 2), b1 (h), W2 (h), b2.
    training
        Patterns and activation.
    hidden
        Scratch, h.
    gradient
        Overwritten with d loss / d weights, in the order of ``weights``.

    Returns
    -------
    tuple of float
        Loss (nats) and accuracy (share of patterns).
    """
    h = len(hidden)
    patterns = len(training.targets)
    b1, w2, b2 = 2 * h, 3 * h, 4 * h
    loss, right = 0.0, 0
    gradient[:] = 0
    for p in range(patterns):
        x0, x1, y = training.inputs[p, 0], training.inputs[p, 1], training.targets[p]
        z = weights[b2]
        for k in range(h):
            pre = weights[2 * k] * x0 + weights[2 * k + 1] * x1 + weights[b1 + k]
            hidden[k] = activate(pre, training.activation)
            z += weights[w2 + k] * hidden[k]
        loss += max(z, 0.0) + math.log1p(math.exp(-abs(z))) - y * z
        right += (z > 0) == (y > 0.5)
        delta = (sigmoid(z) - y) / patterns
        gradient[b2] += delta
        for k in range(h):
            gradient[w2 + k] += delta * hidden[k]
            back = delta * weights[w2 + k] * slope(hidden[k], training.activation)
            gradient[2 * k] += back * x0
            gradient[2 * k + 1] += back * x1
            gradient[b1 + k] += back
    return loss / patterns, right / patterns


@jit
def inequality(weights: Array, gradient: Array, gini_of: int) -> float:
    """Gini coefficient of the part of the run that ``gini_of`` names."""
    h = len(weights) // 4
    if gini_of == OUTPUT:
        return gini(weights[3 * h : 4 * h])
    if gini_of == FIRST:
        return gini(weights[: 2 * h])
    if gini_of == ALL:
        return gini(weights)
    return gini(gradient)


@jit
def distance(a: Array, b: Array) -> float:
    """||a - b|| / ||b||; 0 where a equals b, b = 0 included."""
    difference, norm = 0.0, 0.0
    for i in range(len(a)):
        difference += (a[i] - b[i]) ** 2
        norm += b[i] ** 2
    return math.sqrt(difference / norm) if difference > 0 else 0.0


@jit
def train_block(
    weights: Array,
    network: Network,
    rule: Rule,
    training: Training,
    record: Record,
    work: Work,
    first: int,
    last: int,
) -> int:
    """Train a run from epoch ``first`` up to, not including, epoch ``last``.

    Entry t of the record is the state after t updates, with the cascade of its raw gradient g.
    Then w <- w - lr g', g' being g redistributed by that cascade (in line) or g itself (shadow).
    A run is trained in blocks so that it can be interrupted; the blocks change no bit of it.

    Parameters
    ----------
    weights
        4 h + 1 parameters, updated in place; on return the state at epoch ``last``.
    network, rule, training, work
        Graph, cascade and training settings, scratch.
    record
        Filled from ``first`` to ``last - 1``; gradients at multiples of ``snapshot_every``.

    Returns
    -------
    int
        -1, or the first epoch whose loss or gradient is not finite; nothing is recorded of it.
    """
    n = len(weights)
    hidden = np.empty(n // 4)
    gradient, redistributed = np.empty(n), np.empty(n)
    for t in range(first, last):
        loss, accuracy = forward_backward(weights, training, hidden, gradient)
        if not (math.isfinite(loss) and np.all(np.isfinite(gradient))):
            return t
        record.loss[t] = loss
        record.accuracy[t] = accuracy
        record.gini[t] = inequality(weights, gradient, training.gini_of)
        if t % training.snapshot_every == 0 and len(record.gradients) > 0:
            record.gradients[t // training.snapshot_every] = gradient
        theta = threshold(gradient, rule, work)
        redistributed[:] = gradient
        counts = cascade(redistributed, network, rule, theta, work)
        record.threshold[t] = theta
        record.deviation[t] = distance(redistributed, gradient)
        record.size[t] = counts.size
        record.area[t] = counts.area
        record.duration[t] = counts.duration
        record.peak[t] = counts.peak
        record.truncated[t] = counts.truncated
        step = redistributed if training.inline else gradient
        for i in range(n):
            weights[i] -= training.learning_rate * step[i]
    return -1
