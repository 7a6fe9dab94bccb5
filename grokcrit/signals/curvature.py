"""Signals of two sets of data, and of the Hessian of the loss on the first of them."""

from __future__ import annotations

import numpy as np

from grokcrit.base.rng import stream
from grokcrit.signals.gradient import cosine
from grokcrit.signals.registry import signal
from grokcrit.signals.state import State, UndefinedError


@signal(
    "half-cosine",
    about="cosine of the gradients on two disjoint sets of training data",
    source="arXiv 2002.10657",
)
def half_cosine(state: State) -> float:
    """Return the cosine between the gradients of the two halves."""
    return cosine(*state.halves)


@signal(
    "commutator",
    about="change of a step on one set by a step on the other before it, over both steps",
    source="arXiv 2602.16746",
)
def commutator(state: State) -> float:
    """Return ||[g_b(w - h g_a) - g_b(w)] - [g_a(w - h g_b) - g_a(w)]|| / (||g_a|| + ||g_b||).

    That is the difference of the weights after steps of size h on a, then b, and on b, then a, in
    units of the steps themselves: to first order h (H_b g_a - H_a g_b). The longer step is
    a thousandth of the weights' length: the optimizer's own would mix in its learning rate.
    """
    a, b = state.halves
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if max(lengths) == 0:
        raise UndefinedError
    weights, source = state.weights, state.source
    h = 1e-3 * np.linalg.norm(weights) / max(lengths)
    ab = source.on_half(1, weights - h * a)[1] - b
    ba = source.on_half(0, weights - h * b)[1] - a
    return float(np.linalg.norm(ab - ba) / sum(lengths))


@signal(
    "hessian-top",
    about="largest eigenvalue of the Hessian, one step of power iteration an epoch",
    source="arXiv 2103.00065",
)
def hessian_top(state: State) -> float:
    """Return v . H v of the vector v that power iteration has reached by this epoch."""
    n = len(state.weights)

    def start() -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
        return [stream("signals-hessian", *state.source.name).standard_normal(n)]

    held = state.remembered("hessian-top", start)
    vector = held[0] / np.linalg.norm(held[0])
    product = state.source.hessian_product(vector).astype(np.float64)
    if np.isfinite(product).all() and product.any():
        held[0] = product
    return float(vector @ product)


@signal(
    "hessian-trace",
    about="trace of the Hessian by one random vector an epoch (Hutchinson)",
    source="arXiv 1912.07145",
)
def hessian_trace(state: State) -> float:
    """Return v . H v for a vector of random signs: its expectation is the trace."""
    rng = stream("signals-trace", *state.source.name, state.epoch)
    signs = rng.integers(0, 2, len(state.weights)) * 2.0 - 1
    return float(signs @ state.source.hessian_product(signs))
