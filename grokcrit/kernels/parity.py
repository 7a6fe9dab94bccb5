"""The network bits-h-1 of the task parity: rectified units, logistic loss, minibatches."""

from __future__ import annotations

import math

import numpy as np

from grokcrit.kernels.accelerate import inner, jit
from grokcrit.kernels.cascade import cascade
from grokcrit.kernels.mlp import sigmoid
from grokcrit.kernels.types import Array, Descent, Network, Rule, Samples, Work

# Samples of which the gradient is added at a time: an entry of it is read and written once for all.
TOGETHER = 4


@jit
def parts(flat: Array, bits: int) -> tuple[Array, Array, Array]:
    """Return W1 (bits, h), b1 (h,) and W2 (h,) of a flat vector, as views; its last entry is b2."""
    h = len(flat) // (bits + 2)
    w1 = flat[: bits * h].reshape((bits, h))
    return w1, flat[bits * h : (bits + 1) * h], flat[(bits + 1) * h : (bits + 2) * h]


@jit
def activate(row: Array, weights: Array, x: Array) -> float:
    """Fill ``row`` (h,) with the activations of the hidden units for an input; return the logit.

    Four inputs at a time: a unit is then read and written once for four products. Four sums: an
    addition then need not wait for the one before. Both orders are fixed.
    """
    bits, h = len(x), len(row)
    w1, b1, w2 = parts(weights, bits)
    for k in range(h):
        row[k] = b1[k]
    fours = bits - bits % 4
    for j in range(0, fours, 4):
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        v0, v1, v2, v3 = w1[j], w1[j + 1], w1[j + 2], w1[j + 3]
        for k in range(h):
            row[k] += x0 * v0[k] + x1 * v1[k] + x2 * v2[k] + x3 * v3[k]
    for j in range(fours, bits):
        x0, v0 = x[j], w1[j]
        for k in range(h):
            row[k] += x0 * v0[k]
    for k in range(h):
        row[k] = max(row[k], 0.0)
    z0, z1, z2, z3 = float(weights[-1]), 0.0, 0.0, 0.0
    fours = h - h % 4
    for k in range(0, fours, 4):
        z0 += w2[k] * row[k]
        z1 += w2[k + 1] * row[k + 1]
        z2 += w2[k + 2] * row[k + 2]
        z3 += w2[k + 3] * row[k + 3]
    for k in range(fours, h):
        z0 += w2[k] * row[k]
    return (z0 + z1) + (z2 + z3)


@inner
def loss_of(margin: float) -> float:
    """Return log(1 + e^-margin), without overflow; NaN of NaN."""
    return max(-margin, 0.0) + math.log1p(math.exp(-abs(margin)))


@jit
def mean_gradient(
    gradient: Array, weights: Array, samples: Samples, chosen: Array, rows: Array
) -> tuple[float, float]:
    """Fill ``gradient`` with that of the mean loss of chosen samples; return loss and accuracy.

    The loss of a sample is log(1 + e^(-y z)) with label y = -1 or 1 and logit z; it is right where
    y z > 0. ``rows`` (TOGETHER, h) is scratch and holds finite numbers.
    """
    n, bits = len(chosen), samples.inputs.shape[1]
    _, _, w2 = parts(weights, bits)
    gradient[:] = 0.0
    to_w1, to_b1, to_w2 = parts(gradient, bits)
    h, loss, right = len(w2), 0.0, 0
    for first in range(0, n, TOGETHER):
        # Rows beyond the last sample hold anything finite, and count as nothing: their delta is 0.
        delta, x = np.zeros(TOGETHER), np.zeros((TOGETHER, bits))
        for s in range(min(TOGETHER, n - first)):
            i = chosen[first + s]
            x[s], y = samples.inputs[i], samples.labels[i]
            margin = y * activate(rows[s], weights, x[s])
            right += margin > 0
            loss += loss_of(margin)
            delta[s] = -y * sigmoid(-margin) / n
            gradient[-1] += delta[s]
        for s in range(TOGETHER):
            row = rows[s]
            for k in range(h):
                to_w2[k] += delta[s] * row[k]
                row[k] = delta[s] * w2[k] if row[k] > 0 else 0.0
                to_b1[k] += row[k]
        d0, d1, d2, d3 = rows[0], rows[1], rows[2], rows[3]
        for j in range(bits):
            out, x0, x1, x2, x3 = to_w1[j], x[0, j], x[1, j], x[2, j], x[3, j]
            for k in range(h):
                out[k] += x0 * d0[k] + x1 * d1[k] + x2 * d2[k] + x3 * d3[k]
    return loss / n, right / n


@jit
def measured(weights: Array, samples: Samples, row: Array) -> tuple[float, float]:
    """Return the mean loss and the accuracy over all samples; ``row`` (h,) is scratch."""
    n, loss, right = len(samples.labels), 0.0, 0
    for i in range(n):
        margin = samples.labels[i] * activate(row, weights, samples.inputs[i])
        right += margin > 0
        loss += loss_of(margin)
    return loss / n, right / n


@jit
def train_epoch(
    weights: Array,
    samples: Samples,
    order: Array,
    descent: Descent,
    network: Network,
    rule: Rule,
    work: Work,
    rows: Array,
) -> None:
    """Update ``weights`` once for every minibatch of ``order``, the samples in some order.

    w <- w - lr (g + decay w), all parameters alike, g being the mean gradient of the minibatch, in
    line redistributed by its cascade. One that is not finite is taken as it is. ``rows``: as in
    ``mean_gradient``.
    """
    gradient, hint = np.empty(len(weights)), -1.0
    for first in range(0, len(order), descent.batch):
        chosen = order[first : first + descent.batch]
        mean_gradient(gradient, weights, samples, chosen, rows)
        if descent.inline:
            hint = 0.85 * cascade(gradient, gradient, network, rule, work, hint).threshold
        for i in range(len(weights)):
            weights[i] -= descent.learning_rate * (gradient[i] + descent.decay * weights[i])
