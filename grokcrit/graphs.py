"""Diffusion graphs: a topology, a degree, a seed and a number of nodes give one simple graph."""

from __future__ import annotations

import functools
import importlib
import math
import random
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from grokcrit import provenance
from grokcrit.errors import OptionError
from grokcrit.kernels.types import Network
from grokcrit.options import CascadeOptions, check_choice, check_integer
from grokcrit.rng import stream
from grokcrit.vocabulary import TOPOLOGIES

REWIRING = 0.1
_igraph_lock = threading.Lock()


@dataclass(frozen=True)
class Graph:
    """An undirected simple graph in compressed sparse rows.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n + 1,)
        Row i of ``indices`` is ``indices[indptr[i]:indptr[i + 1]]``.
    indices : ndarray of int64, shape (2 * edges,)
        Neighbours, ascending within a row.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    network: Network = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Freeze the arrays: a graph is shared by threads and cached."""
        self.indptr.setflags(write=False)
        self.indices.setflags(write=False)
        object.__setattr__(self, "network", Network(self.indptr, self.indices))

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.indptr) - 1


def from_edges(edges: npt.NDArray[np.int64], n: int) -> Graph:
    """Build a graph over ``n`` nodes from its edges.

    Parameters
    ----------
    edges
        Shape (edges, 2); every edge once, in either direction, no loops.
    n
        Number of nodes.
    """
    source = np.concatenate([edges[:, 0], edges[:, 1]])
    target = np.concatenate([edges[:, 1], edges[:, 0]])
    order = np.lexsort((target, source))
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=n), out=indptr[1:])
    return Graph(indptr, target[order])


def _ring(n: int, degree: int) -> npt.NDArray[np.int64]:
    node = np.arange(n)
    return np.concatenate(
        [np.stack([node, (node + k) % n], axis=1) for k in range(1, degree // 2 + 1)]
    )


def _lattice(n: int) -> npt.NDArray[np.int64]:
    side = int(np.ceil(np.sqrt(n)))
    node = np.arange(n)
    right = node[(node % side != side - 1) & (node + 1 < n)]
    below = node[node + side < n]
    return np.concatenate(
        [np.stack([right, right + 1], axis=1), np.stack([below, below + side], axis=1)]
    )


def import_igraph() -> Any:
    """Import igraph; on the command line without its drawing.

    Where igraph finds matplotlib it loads it at once, in case somebody draws: 0.6 of the 1.6
    seconds of a small training. A command draws nothing with igraph; a Python program may.
    """
    if provenance.command_line is None or {"igraph", "matplotlib"} & set(sys.modules):
        return importlib.import_module("igraph")
    sys.modules["matplotlib"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("igraph")
    finally:
        del sys.modules["matplotlib"]


def _random(topology: str, n: int, degree: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw the edges of a random graph with igraph, whose generator is global: one at a time."""
    state = random.Random(
        int(stream("graph", TOPOLOGIES.index(topology), degree, seed, n).integers(2**63))
    )
    with _igraph_lock:
        igraph = import_igraph()
        igraph.set_random_number_generator(state)
        try:
            if topology == "ba":
                # Without these two, igraph adds 1 to every degree: not Barabasi and Albert's model.
                pure = {"outpref": True, "zero_appeal": 0, "implementation": "psumtree"}
                made = igraph.Graph.Barabasi(n, degree // 2, **pure)
            elif topology == "small-world":
                # igraph rewires each end of an edge with its probability, Watts and Strogatz one
                # end: this way a tenth of the edges is rewired.
                made = igraph.Graph.Watts_Strogatz(1, n, degree // 2, 1 - math.sqrt(1 - REWIRING))
            elif topology == "erdos-renyi":
                made = igraph.Graph.Erdos_Renyi(n=n, m=round(n * degree / 2))
            else:
                made = igraph.Graph.K_Regular(n, degree)
        finally:
            igraph.set_random_number_generator(random)
    return np.array(made.get_edgelist(), np.int64).reshape(-1, 2)


@functools.lru_cache(maxsize=128)
def graph(topology: str = "ba", n: int = 2001, degree: int = 6, seed: int = 0) -> Graph:
    """Make the diffusion graph of a network with ``n`` parameters.

    The same arguments give the same graph; nothing else does.

    Parameters
    ----------
    topology
        ``ba`` (Barabasi-Albert, m = degree / 2, attachment in proportion to degree),
        ``ring`` (degree / 2 neighbours each side),
        ``lattice`` (open square grid, the first n sites row by row of the smallest square that
        holds them, degree up to 4), ``small-world`` (Watts-Strogatz, a tenth of the edges rewired),
        ``erdos-renyi`` (n * degree / 2 edges) or ``random-regular``.
    n
        Number of nodes.
    degree
        Mean degree; not used by ``lattice``.
    seed
        Graph seed; not used by ``ring`` and ``lattice``.

    Raises
    ------
    OptionError
        An unknown topology; a degree the topology cannot have on n nodes.
    """
    check_choice("topology", topology, TOPOLOGIES)
    check_integer("n", n, 1, 2**62)
    check_integer("degree", degree, 1)
    check_integer("seed", seed, 0)
    n, degree, seed = int(n), int(degree), int(seed)
    if topology == "lattice":
        return from_edges(_lattice(n), n)
    if degree >= n:
        raise OptionError("degree", f"must lie in 1 to N - 1 = {n - 1} on {n} nodes, got {degree}")
    if topology in ("ba", "ring", "small-world") and degree % 2:
        raise OptionError("degree", f"must be even for topology {topology}, got {degree}")
    if topology == "random-regular" and n * degree % 2:
        raise OptionError("degree", f"must be even for random-regular on {n} nodes, got {degree}")
    if topology == "ring":
        return from_edges(_ring(n, degree), n)
    return from_edges(_random(topology, n, degree, seed), n)


def shuffled(plain: Graph, seed: int) -> Graph:
    """Relabel the nodes of a graph at random: the parameters lie on it in shuffled order."""
    place = stream("order", seed, plain.n).permutation(plain.n)
    source = np.repeat(np.arange(plain.n), np.diff(plain.indptr))
    edges = np.stack([place[source], place[plain.indices]], axis=1)
    return from_edges(edges[source < plain.indices], plain.n)


def graph_of(options: CascadeOptions, n: int) -> Graph:
    """Make the graph that the options of a cascade name, for ``n`` parameters."""
    plain = graph(options.topology, n, options.degree, options.graph_seed)
    return plain if options.parameter_order == "as-is" else shuffled(plain, options.graph_seed)
