"""The network of sparse parity: loss, accuracy and gradient, and the updates of an epoch."""

import naive
import numpy as np
import pytest

from grokcrit.base.options import CascadeOptions
from grokcrit.cascades.graphs import graph
from grokcrit.kernels import parity
from grokcrit.kernels import types as kt


def some(bits, width, count, seed=0):
    """Weights, samples, and scratch that holds something."""
    rng = np.random.default_rng([bits, width, count, seed])
    inputs = rng.choice([-1.0, 1.0], (count, bits))
    samples = kt.Samples(inputs, rng.choice([-1.0, 1.0], count))
    return (
        rng.normal(0, 0.7, width * (bits + 2) + 1),
        samples,
        np.full((parity.TOGETHER, width), 7.0),
    )


def plain(weights, samples, chosen):
    """Mean logistic loss and accuracy, with matrices."""
    bits = samples.inputs.shape[1]
    h = (len(weights) - 1) // (bits + 2)
    first, biases = weights[: bits * h].reshape(bits, h), weights[bits * h : (bits + 1) * h]
    hidden = np.maximum(samples.inputs[chosen] @ first + biases, 0)
    margins = samples.labels[chosen] * (hidden @ weights[(bits + 1) * h : -1] + weights[-1])
    return np.logaddexp(0, -margins).mean(), (margins > 0).mean()


def slopes(weights, samples, chosen, step=1e-6):
    """Gradient of the plain loss by central differences."""
    found = []
    for i in range(len(weights)):
        up, down = weights.copy(), weights.copy()
        up[i] += step
        down[i] -= step
        loss = plain(up, samples, chosen)[0] - plain(down, samples, chosen)[0]
        found.append(loss / (2 * step))
    return np.array(found)


@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize(("bits", "width"), [(3, 1), (4, 6), (9, 5)])
def test_loss_accuracy_and_gradient_are_those_of_matrices(bits, width, count):
    """Fault: a remainder is left out or counted twice: bits, units and samples mod 4."""
    weights, samples, rows = some(bits, width, count + 3)
    chosen = np.random.default_rng(1).permutation(count + 3)[:count]
    gradient = np.full(len(weights), 7.0)
    found = parity.mean_gradient(gradient, weights, samples, chosen, rows)
    assert found == pytest.approx(plain(weights, samples, chosen), rel=1e-12)
    np.testing.assert_allclose(gradient, slopes(weights, samples, chosen), rtol=1e-6, atol=1e-9)
    everything = np.arange(count + 3)
    wanted = plain(weights, samples, everything)
    assert parity.measured(weights, samples, rows[0]) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("inline", [False, True])
def test_an_epoch_updates_once_for_every_minibatch_with_decay(inline):
    """Fault: the last, smaller minibatch is dropped; decay is redistributed, or left out."""
    weights, samples, rows = some(5, 4, 11)
    n, settings = len(weights), CascadeOptions(topology="ring", degree=2)
    ring = graph("ring", n, 2)
    wanted, order = weights.copy(), np.random.default_rng(2).permutation(11)
    for chosen in (order[:4], order[4:8], order[8:]):
        gradient = slopes(wanted, samples, chosen)
        if inline:
            gradient = np.array(naive.cascade(gradient, naive.adjacency(ring))["gradient"])
        wanted = wanted - 0.3 * (gradient + 0.1 * wanted)
    descent = kt.Descent(0.3, 0.1, 4, inline)
    rule, work = kt.rule(n, np.float64, settings), kt.work(n, np.float64, 20, ring.network.most)
    parity.train_epoch(weights, samples, order, descent, ring.network, rule, work, rows)
    np.testing.assert_allclose(weights, wanted, rtol=1e-6, atol=1e-8)
