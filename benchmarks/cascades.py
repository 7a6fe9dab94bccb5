"""One cascade of a heavy-tailed gradient on a Barabasi-Albert graph: ours, peers, machine's bounds.

Every way takes the threshold itself, topples at most 20 steps, and works on a copy of its own, all
within its time; the graph stands ready in the form it likes best, and so does the kernel's scratch
(``grokcrit.cascade`` is the public call, which checks and allocates). Two bounds of the machine are
timed in the same rounds: as many additions at random places as our cascade makes, and a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
from measure import Section, Way, measure, row, torch_or_none
from scipy import sparse

import grokcrit
from grokcrit.base.options import CascadeOptions
from grokcrit.kernels import cascade as kernel
from grokcrit.kernels import types as kt
from grokcrit.kernels.accelerate import jit

ALPHA, QUANTILE, STEPS = 0.3, 90, 20
NETWORKX_UP_TO = 100_000
# Above one push for so many nodes, all nodes are looked through for who is above the threshold;
# below, those that were touched. Found best for numpy and torch from 2,001 to 1e7 nodes.
SPARSE = 8
RANDOM, COPY = "bound: random updates", "bound: streaming copy"
# Sums run in another order: a last bit may decide a toppling.
TOLERANCE = 1e-4


class Rows:
    """A graph in compressed rows of the widest integers, which numpy and torch index with."""

    def __init__(self, graph: grokcrit.Graph) -> None:
        self.n = graph.n
        self.start = graph.indptr[:-1].astype(np.intp)
        self.degree = np.diff(graph.indptr).astype(np.intp)
        self.indices = graph.indices.astype(np.intp)


def networkx_graph(graph: grokcrit.Graph) -> nx.Graph:
    """Make the same graph in networkx."""
    net = nx.Graph()
    net.add_nodes_from(range(graph.n))
    source = np.repeat(np.arange(graph.n), np.diff(graph.indptr))
    net.add_edges_from(zip(source.tolist(), graph.indices.tolist(), strict=True))
    return net


def networkx_cascade(net: nx.Graph, values: dict[int, float]) -> int:
    """Topple with plain loops, in place; return the size."""
    theta = np.percentile(np.abs(list(values.values())), QUANTILE)
    size = 0
    for _ in range(STEPS):
        active = [i for i, g in values.items() if abs(g) > theta]
        if not active:
            break
        size += len(active)
        sent = {i: ALPHA * values[i] / net.degree(i) for i in active}
        for i in active:
            values[i] = (1 - ALPHA) * values[i]
        for i in active:
            for j in net.neighbors(i):
                values[j] += sent[i]
    return size


def scipy_matrix(graph: grokcrit.Graph) -> sparse.csr_array:
    """Return P: column i holds 1 / degree of i at its neighbours; rows as the graph's."""
    share = 1 / np.maximum(np.diff(graph.indptr), 1)
    entries = share[graph.indices], graph.indices, graph.indptr
    return sparse.csr_array(entries, shape=(graph.n, graph.n))


def threshold(values: np.ndarray) -> float:
    """Return the threshold by numpy's selection; its copy is its own to reorder."""
    return np.percentile(np.abs(values), QUANTILE, overwrite_input=True)


def scipy_cascade(values: np.ndarray, matrix: sparse.csr_array) -> int:
    """Topple with a product of the sparse matrix a step, in place; return the size."""
    theta, size = threshold(values), 0
    sent = np.empty_like(values)
    for _ in range(STEPS):
        above = np.abs(values) > theta
        active = np.count_nonzero(above)
        if active == 0:
            break
        size += active
        np.multiply(values, above, out=sent)
        sent *= ALPHA
        values -= sent
        values += matrix @ sent
    return size


def numpy_cascade(values: np.ndarray, rows: Rows) -> tuple[int, int]:
    """Topple the rows of the frontier, in place; return the size and the pushes."""
    theta, size, pushes = threshold(values), 0, 0
    frontier = np.flatnonzero(np.abs(values) > theta)
    for _ in range(STEPS):
        if len(frontier) == 0:
            break
        size += len(frontier)
        degree, held = rows.degree[frontier], values[frontier]
        ends = np.cumsum(degree)
        step = int(ends[-1])
        pushes += step
        place = np.repeat(rows.start[frontier] - ends + degree, degree) + np.arange(step)
        target = rows.indices[place]
        values[frontier] = (1 - ALPHA) * held
        np.add.at(values, target, np.repeat(ALPHA * held / degree, degree))
        if step * SPARSE > rows.n:
            frontier = np.flatnonzero(np.abs(values) > theta)
        else:
            touched = np.concatenate([frontier, target])
            frontier = np.unique(touched[np.abs(values[touched]) > theta])
    return size, pushes


class TorchRows:
    """The rows as tensors that share their memory."""

    def __init__(self, rows: Rows) -> None:
        self.torch, self.n = torch_or_none(), rows.n
        self.start, self.degree, self.indices = map(
            self.torch.from_numpy, (rows.start, rows.degree, rows.indices)
        )


def torch_cascade(values: Any, rows: TorchRows) -> int:
    """Topple the rows of the frontier with index_add_, in place; return the size."""
    torch = rows.torch
    theta, size = threshold(values.numpy()), 0  # a quarter of the time of two torch.kthvalue
    frontier = torch.nonzero(values.abs() > theta).ravel()
    for _ in range(STEPS):
        if len(frontier) == 0:
            break
        size += len(frontier)
        degree, held = rows.degree[frontier], values[frontier]
        ends = torch.cumsum(degree, 0)
        step = int(ends[-1])
        first = torch.repeat_interleave(rows.start[frontier] - ends + degree, degree)
        target = rows.indices[first + torch.arange(step)]
        values[frontier] = (1 - ALPHA) * held
        values.index_add_(0, target, torch.repeat_interleave(ALPHA * held / degree, degree))
        if step * SPARSE > rows.n:
            frontier = torch.nonzero(values.abs() > theta).ravel()
        else:
            touched = torch.cat([frontier, target])
            frontier = torch.unique(touched[values[touched].abs() > theta])
    return size


@jit
def random_updates(values: np.ndarray, places: np.ndarray) -> None:
    """Add 1 at every place; the places are cast so that none can be negative."""
    for k in range(len(places)):
        values[np.uint64(places[k])] += 1.0


@jit
def streaming(source: np.ndarray, target: np.ndarray) -> None:
    """Copy an array."""
    for k in range(len(source)):
        target[k] = source[k]


def bounds(n: int, pushes: int) -> list[Way]:
    """Return the two bounds of the machine."""
    places = np.random.default_rng(1).integers(0, n, pushes, np.uint32)
    values, target = np.zeros(n), np.zeros(n)
    return [
        Way(RANDOM, lambda: random_updates(values, places)),
        Way(COPY, lambda: streaming(values, target)),
    ]


def prepared(gradient: np.ndarray, graph: grokcrit.Graph) -> Callable[[], int]:
    """Return our kernel with its scratch ready, as the stages run it snapshot after snapshot."""
    options = CascadeOptions(alpha=ALPHA, quantile=QUANTILE, max_steps=STEPS)
    rule = kt.rule(graph.n, gradient.dtype, options)
    work = kt.work(graph.n, gradient.dtype, STEPS)
    target = np.empty_like(gradient)
    return lambda: kernel.counted(gradient, target, graph.network, rule, work)[2]


def ways(gradient: np.ndarray, graph: grokcrit.Graph, rows: Rows) -> list[Way]:
    """Return every way to run the cascade; each returns its size."""
    single, matrix, n = gradient.astype(np.float32), scipy_matrix(graph), graph.n
    found = [
        Way("grokcrit", prepared(gradient, graph)),
        Way("grokcrit, float32", prepared(single, graph)),
        Way("grokcrit.cascade", lambda: grokcrit.cascade(gradient, graph).size),
        Way("numpy frontier", lambda: numpy_cascade(gradient.copy(), rows)[0]),
        Way("scipy.sparse", lambda: scipy_cascade(gradient.copy(), matrix)),
    ]
    torch = torch_or_none()
    if torch is not None:
        tensor, tensors = torch.from_numpy(gradient), TorchRows(rows)
        found.append(Way("torch index_add_", lambda: torch_cascade(tensor.clone(), tensors)))
    if n <= NETWORKX_UP_TO:
        net = networkx_graph(graph)
        found.append(
            Way(
                "networkx loops",
                lambda: networkx_cascade(net, dict(enumerate(gradient.tolist()))),
            )
        )
    return found


def add_size(section: Section, n: int, rounds: int) -> None:
    """Time every way at one size."""
    gradient = np.random.default_rng(0).standard_t(3, n)
    kept = gradient.copy()
    graph = grokcrit.graph("ba", n, degree=4, seed=0)
    rows = Rows(graph)
    pushes = numpy_cascade(gradient.copy(), rows)[1]
    timed = measure([*ways(gradient, graph, rows), *bounds(n, pushes)], rounds)
    ours, bound = timed["grokcrit"], timed[RANDOM]
    section.check(np.array_equal(kept, gradient), f"N = {n}: nobody changed the gradient")
    worst = 0.0
    for name, way in timed.items():
        more: dict[str, Any] = {"work": pushes, "unit": "pushes"}
        if name == COPY:
            more = {"work": 16 * n, "unit": "B"}  # read and written
        elif name != RANDOM:
            off = abs(way.result / ours.result - 1)
            worst = max(worst, off)
            if off > TOLERANCE:
                section.wrong.append(f"N = {n}: size of {name} is {way.result}, ours {ours.result}")
        more["bound"] = None if name == COPY else bound
        section.rows.append(row(section.name, n, way, ours, answer=way.result, **more))
    section.notes.append(f"N = {n}: sizes differ from {ours.result} by at most {worst:.1e} of it")


def run(sizes: list[int], rounds: int) -> Section:
    """Time the cascade at every size."""
    section = Section("cascade")
    for n in sizes:
        add_size(section, n, rounds)
    return section
