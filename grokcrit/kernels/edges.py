"""From edges to rows of neighbours in linear time, and Barabasi-Albert graphs of any size."""

from __future__ import annotations

from typing import Any

import numpy as np

from grokcrit.kernels.accelerate import inner, jit
from grokcrit.kernels.machine import prefetch
from grokcrit.kernels.neighbours import AHEAD, neighbours
from grokcrit.kernels.types import Array, Network

ONE = np.uint64(1)


@jit
def starts(source: Array, target: Array, indptr: Array) -> None:
    """Fill ``indptr`` (n + 1, zeros) with where each node's row starts, from the edges."""
    for e in range(len(source)):
        indptr[np.uint64(source[e]) + ONE] += 1
        indptr[np.uint64(target[e]) + ONE] += 1
    for i in range(1, len(indptr)):
        indptr[i] += indptr[i - 1]


@jit
def rows(
    source: Array, target: Array, indptr: Array, indices: Array, place: Array, unsorted: Array
) -> None:
    """Fill ``indices`` with the neighbours of each node, ascending, by two counting passes.

    The first pass puts every neighbour into its row, in the order of the edges. In the second,
    node i, ascending, is appended to the row of each of its neighbours: the graph is its own
    transpose, so the rows are the same and come out sorted. ``place`` is a copy of ``indptr``,
    ``unsorted`` scratch like ``indices``.
    """
    n = len(indptr) - 1
    for e in range(len(source)):
        a, b = np.uint64(source[e]), np.uint64(target[e])
        unsorted[np.uint64(place[a])] = target[e]
        place[a] += 1
        unsorted[np.uint64(place[b])] = source[e]
        place[b] += 1
    for i in range(n):
        place[i] = indptr[i]
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            j = np.uint64(unsorted[np.uint64(k)])
            indices[np.uint64(place[j])] = i
            place[j] += 1


@jit
def computed_rows(network: Network, indptr: Array, indices: Array) -> None:
    """Write down the neighbours of a graph that is not stored, ascending, row after row."""
    row = np.empty(network.most, np.int64)
    end = np.int64(0)
    for i in range(len(indptr) - 1):
        length = neighbours(network, i, row, np.int64(0))
        indices[end : end + length] = np.sort(row[:length])
        end += length
        indptr[i + 1] = end


@jit
def attach(target: Array, m: int, rng: Any) -> None:
    """Grow a Barabasi-Albert graph: node k links to min(k, m) earlier nodes, by their degrees.

    A node is drawn as the end of an edge drawn uniformly, so with probability in proportion to its
    degree; a node drawn twice is drawn again. Edges stand in the order of their nodes, so their
    younger ends need not be stored: node k's edges start at k (k - 1) / 2 up to k = m and go on by
    m from there. ``target`` has one entry an edge, m (m - 1) / 2 + (n - m) m of them, and is filled
    with the older ends.
    """
    settled = m * (m - 1) // 2
    for k in range(1, m + 1):
        for j in range(k):
            target[k * (k - 1) // 2 + j] = j
    node, first = m + 1, settled + m
    while first < len(target):
        for found in range(m):
            fresh = False
            while not fresh:
                end = np.int64(rng.random() * (2 * first))
                edge = end >> 1
                if end & 1:
                    chosen = np.int64(target[np.uint64(edge)])
                elif edge >= settled:
                    chosen = m + (edge - settled) // m
                else:
                    chosen = np.int64((1 + np.sqrt(1 + 8.0 * edge)) / 2)
                fresh = True
                for earlier in range(found):
                    fresh &= target[np.uint64(first + earlier)] != chosen
            target[np.uint64(first + found)] = chosen
        node += 1
        first += m


@jit
def grown_rows(target: Array, m: int, indptr: Array, indices: Array, place: Array) -> None:
    """Fill the rows of a grown graph, as ``starts`` and ``rows`` do, without its younger ends.

    A node's row starts with its older neighbours, sorted, and goes on with the younger, which
    arrive in ascending order: one pass. Asking for memory ahead halves the time (2 instead of 4 s
    at N = 1e7, m = 3). The older ends of each node are sorted in ``target``; ``place`` is scratch
    like ``indptr``, which is zeros at first.
    """
    n, edges = len(indptr) - 1, len(target)
    for e in range(edges):
        if e + AHEAD < edges:
            prefetch(indptr, target[np.uint64(e + AHEAD)] + 1)
        indptr[np.uint64(target[e]) + ONE] += 1
    for i in range(1, n + 1):
        indptr[i] += indptr[i - 1] + min(i - 1, m)
    for i in range(n):
        place[i] = indptr[i]
    first = 0
    for k in range(1, n):
        last = first + min(k, m)
        insertion_sort(target[first:last])
        for e in range(first, last):
            if e + AHEAD < edges:
                prefetch(place, target[np.uint64(e + AHEAD)])
                prefetch(indices, place[np.uint64(target[np.uint64(e + AHEAD // 2)])])
            j = np.uint64(target[np.uint64(e)])
            indices[np.uint64(place[k])] = j
            place[k] += 1
            indices[np.uint64(place[j])] = k
            place[j] += 1
        first = last


@inner
def insertion_sort(values: Array) -> None:
    """Sort a few values in place."""
    for i in range(1, len(values)):
        value, place = values[i], i
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value
