"""TDU-OFC: the threshold-driven cascade of a gradient on a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from grokcrit.kernels.accelerate import inner, jit
from grokcrit.kernels.machine import lowest_bit, prefetch
from grokcrit.kernels.neighbours import (
    AHEAD,
    LONG,
    STORED,
    degree,
    gather_computed,
    gather_stored,
)
from grokcrit.kernels.threshold import first_frontier
from grokcrit.kernels.types import CHUNK, Array, Counts, Int, Network, Rule, Work

ONE = np.uint64(1)
SIX = np.uint64(6)
LOW = np.uint64(63)


@inner
def mark(bits: Array, place: np.uint64) -> None:
    """Set the bit of a node."""
    bits[place >> SIX] |= ONE << (place & LOW)


@inner
def marked_nodes(marked: Array, frontier: Array) -> Int:
    """List the marked nodes, ascending; clear the marks; return how many."""
    count = np.uint64(0)
    for word in range(len(marked)):
        bits = marked[word]
        if bits == 0:
            continue
        marked[word] = 0
        first = np.uint64(word) << SIX
        while bits != 0:
            frontier[count] = first + np.uint64(lowest_bit(bits))
            bits &= bits - ONE
            count += ONE
    return np.int64(count)


@inner
def count_and_clear(bits: Array) -> Int:
    """Return how many bits are set; clear them."""
    count = 0
    for word in range(len(bits)):
        left = bits[word]
        while left != 0:
            left &= left - ONE
            count += 1
        bits[word] = 0
    return count


@inner
def topple(
    gradient: Array, network: Network, rule: Rule, theta: float, count: Int, work: Work
) -> tuple[Int, float]:
    """Take from every node of the frontier that is above theta what it sends, and mark it.

    All is taken before anything is delivered: nodes send what they held at the start of the step.
    The frontier keeps those that topple; ``work.sent`` is alpha times what each held. Return how
    many topple, and what they send in all.

    Nothing branches on ``above``, which the processor cannot predict: ``above & linked`` instead of
    ``above and linked``, and no ``above`` in the mark, as who does not topple is not above theta.
    Measured: 0.87, 0.93 and 0.96 of the time of a cascade at N = 1e4, 1e5 and 1e6.
    """
    frontier, sent = work.frontier, work.sent
    zero = gradient.dtype.type(0)
    active, transported = np.uint64(0), 0.0
    for f in range(count):
        if f + 2 * AHEAD < count:
            prefetch(gradient, frontier[np.uint64(f + 2 * AHEAD)])
        i = np.uint64(frontier[f])
        value = gradient[i]
        above = abs(value) > theta
        linked = not network.isolated or degree(network, frontier[f], work.target) > 0
        amount = rule.alpha * value
        frontier[active] = i
        sent[active] = amount
        active += np.uint64(above)
        transported += abs(amount) if above & linked else 0.0
        kept = zero if rule.reset else rule.keep * value if linked else value
        value = kept if above else value
        gradient[i] = value
        place, bit = i >> SIX, i & LOW
        work.toppled[place] |= np.uint64(above) << bit
        work.marked[place] |= np.uint64(abs(value) > theta) << bit
    return np.int64(active), transported


@inner
def push(gradient: Array, theta: float, work: Work, pushes: Int) -> None:
    """Deliver a chunk, in its order; mark who is then above theta.

    Receivers above theta are first listed, without a branch, in the part of ``work.target`` that
    has been read: the processor cannot predict which they are. Measured on gradients that change
    from call to call: 0.85 of the time of a cascade at N = 1e4 and 1e5, 0.9 at 2,001 and 1e6. On
    one gradient repeated, whose branches the processor learns, 1.05 at 2,001 and 1e4.
    """
    target, amount = work.target, work.amount
    count = np.uint64(0)
    for p in range(pushes):
        prefetch(gradient, target[np.uint64(p + 2 * AHEAD)])
        j = target[np.uint64(p)]
        value = gradient[np.uint64(j)] + amount[p]
        gradient[np.uint64(j)] = value
        target[count] = j
        count += np.uint64(abs(value) > theta)
    for k in range(count):
        mark(work.marked, np.uint64(target[k]))


@inner
def push_long(
    gradient: Array, network: Network, theta: float, node: Int, share: Any, work: Work
) -> None:
    """Deliver what one node sends along a long row, chunk by chunk."""
    i = np.uint64(node)
    row = network.indices[np.int64(network.indptr[i]) : np.int64(network.indptr[i + ONE])]
    for first in range(0, len(row), CHUNK):
        part = row[first : first + CHUNK]
        for k in range(len(part)):
            work.target[k] = part[k]
            work.amount[k] = share
        push(gradient, theta, work, len(part))


@inner
def deliver(gradient: Array, network: Network, theta: float, active: Int, work: Work) -> None:
    """Deliver what the toppling nodes send, in ascending order of the senders.

    A node above theta at the end of the step was either delivered to, and its last delivery marked
    it, or it toppled and stayed above: the marks miss nothing.

    Pushes are gathered in chunks before they are made: rows are then read in one loop and far
    places updated in another, each with its memory asked for in advance. Measured at N = 1e7 (ba,
    degree 4): 0.27 instead of 0.68 s a cascade; 20 instead of 58 ms at 1e6. Sorting the pushes
    into bins of nodes that fit a cache gains nothing (10 to 50 % slower at 1e7).
    """
    f: Int = np.int64(0)  # a plain 0 is another type to numba, for which it would compile all again
    while f < active:
        if network.kind == STORED:
            f, pushes = gather_stored(network, f, active, work)
        else:
            f, pushes = gather_computed(network, f, active, work)
        push(gradient, theta, work, pushes)
        if f < active and network.kind == STORED:
            long = degree(network, work.frontier[f], work.target)
            if long > LONG:
                share = work.sent[f] / gradient.dtype.type(long)
                push_long(gradient, network, theta, work.frontier[f], share, work)
                f += 1


@inner
def cascade(
    source: Array, gradient: Array, network: Network, rule: Rule, work: Work, hint: float
) -> Counts:
    """Run the cascade of ``source`` until it is quiet or ``rule.max_steps`` have passed.

    Theta is the quantile of abs(source). Each step topples A = {i : abs(g_i) > theta} in parallel:
    i sends alpha g_i / k_i to each of its k_i neighbours and keeps (1 - alpha) g_i (diffuse) or
    nothing (reset); arXiv 2604.04655 and METHOD, section 2. A node without neighbours sends
    nothing; under ``diffuse`` it keeps all.

    ``gradient`` is overwritten with the redistributed values and may be ``source`` itself;
    ``work.activity[:duration]`` holds the topplings of each step. ``hint`` is a guess of theta from
    below, or below 0; it decides nothing. ``transported`` is the sum of alpha abs(g_i) over every
    toppling that sent something.
    """
    theta, count, finite = first_frontier(source, gradient, rule, work, hint)
    size: Int = 0
    peak: Int = 0
    duration, transported = 0, 0.0
    truncated = False
    while count > 0:
        if duration == rule.max_steps:
            for f in range(count):
                truncated |= abs(gradient[np.uint64(work.frontier[f])]) > theta
            break
        active, moved = topple(gradient, network, rule, theta, count, work)
        if active == 0:
            break
        deliver(gradient, network, theta, active, work)
        work.activity[duration] = active
        transported += moved
        size += active
        duration += 1
        if active > peak:
            peak = active
        count = marked_nodes(work.marked, work.frontier)
    area = count_and_clear(work.toppled)
    return Counts(finite, theta, size, area, duration, peak, truncated, transported)


@jit
def counted(
    source: Array, gradient: Array, network: Network, rule: Rule, work: Work
) -> tuple[bool, Any, Int, Int, Int, Int, bool, float]:
    """Run one cascade for Python: ``cascade``, its counts as a plain tuple.

    To make a NamedTuple numba runs Python code, and crashes where a signal's handler raises in it.
    """
    c = cascade(source, gradient, network, rule, work, -1.0)
    counts = c.size, c.area, c.duration, c.peak
    return (c.finite, c.threshold, *counts, c.truncated, c.transported)


@jit
def cascades(
    sources: Array,
    gradient: Array,
    network: Network,
    rule: Rule,
    work: Work,
    theta: Array,
    counts: Array,
    truncated: Array,
    transported: Array,
    activity: Array,
) -> bool:
    """Run the cascade of every row of ``sources`` (m, n), each with its own threshold.

    Fill ``theta``, ``truncated`` and ``transported`` (m,), ``counts`` (m, 4) with size, area,
    duration and peak, and ``activity`` (m, max_steps) with the topplings of each step up to the
    duration. ``gradient`` (n,) is scratch. Return whether all values are finite; if not, nothing
    else means anything.
    """
    for m in range(len(sources)):
        hint = 0.85 * theta[m - 1] if m > 0 else -1.0
        c = cascade(sources[m], gradient, network, rule, work, hint)
        if not c.finite:
            return False
        theta[m], truncated[m], transported[m] = c.threshold, c.truncated, c.transported
        counts[m, 0], counts[m, 1], counts[m, 2], counts[m, 3] = c.size, c.area, c.duration, c.peak
        for step in range(c.duration):  # to copy a slice, numba compiles what it says on errors
            activity[m, step] = work.activity[step]
    return True
