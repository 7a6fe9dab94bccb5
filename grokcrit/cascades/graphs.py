"""Diffusion graphs: a topology, a degree, a seed and a number of nodes give one simple graph."""

from __future__ import annotations

import functools
import itertools
import math
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from grokcrit.base.errors import OptionError
from grokcrit.base.imports import without
from grokcrit.base.options import CascadeOptions, check_choice, check_integer
from grokcrit.base.rng import stream
from grokcrit.base.vocabulary import TOPOLOGIES
from grokcrit.cascades import graph_cache
from grokcrit.cascades.graph_cache import Recent, Rows
from grokcrit.kernels import edges
from grokcrit.kernels.machine import BLOCK
from grokcrit.kernels.neighbours import AFFINE, LATTICE, RING, STORED
from grokcrit.kernels.types import Network

REWIRING = 0.1
# Above this many nodes Barabasi-Albert graphs are grown by our own loops.
LARGE = 100_000
# The product of two node numbers must fit into 63 bits.
MOST_NODES = 3_000_000_000
# Nodes at which two maps of an affine graph may agree, and how often others are drawn for it.
FEW = 4
HOPE = 1000
_igraph_lock = threading.Lock()
_recent: Recent[Graph] = Recent(graph_cache.MEMORY_LIMIT)


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected simple graph, shared by threads and never changed.

    Ring, lattice and affine graphs are not stored: a cascade computes their neighbours where it
    needs them, and ``indptr`` and ``indices`` are written down when first asked for.

    Attributes
    ----------
    n : int
        Number of nodes.
    network : Network
        The graph as the kernels see it.
    """

    n: int
    network: Network

    @functools.cached_property
    def indptr(self) -> npt.NDArray[np.integer]:
        """Compressed sparse rows, shape (n + 1,): where the row of each node starts in indices."""
        return self._rows[0]

    @functools.cached_property
    def indices(self) -> npt.NDArray[np.integer]:
        """Compressed sparse rows, shape (2 * edges,): neighbours, ascending within a row."""
        return self._rows[1][: int(self.indptr[-1])]

    @functools.cached_property
    def _rows(self) -> Rows:
        """Both arrays, the second with its BLOCK entries more."""
        network = self.network
        if network.kind == STORED:
            return network.indptr, network.indices
        indptr, indices = empty_rows(self.n, self.n * network.most)
        edges.computed_rows(network, indptr, indices)
        read_only(indptr, indices)
        return indptr, indices


def empty_rows(n: int, entries: int) -> Rows:
    """Allocate rows over ``n`` nodes with room for that many neighbours; in 32 bits if they fit."""
    kind = np.int32 if max(n, entries) < 2**31 else np.int64
    return np.zeros(n + 1, kind), np.zeros(entries + BLOCK, kind)


def read_only(*arrays: npt.NDArray[Any]) -> Any:
    """Protect arrays from being written to."""
    for each in arrays:
        each.setflags(write=False)
    return arrays


def stored(indptr: npt.NDArray[np.integer], indices: npt.NDArray[np.integer]) -> Graph:
    """Make a graph of its rows; ``indices`` carry BLOCK entries more, which mean nothing."""
    read_only(indptr, indices)
    isolated = bool((indptr[1:] == indptr[:-1]).any())
    network = Network(STORED, indptr, indices, read_only(np.zeros(1, np.int64))[0], 0, isolated)
    return Graph(len(indptr) - 1, network)


def computed(kind: int, settings: list[int], most: int, isolated: bool) -> Graph:
    """Make a graph whose neighbours are computed (``kernels.neighbours.neighbours``)."""
    indptr, indices = read_only(*empty_rows(0, 0))
    parameters = read_only(np.array(settings, np.int64))[0]
    return Graph(settings[0], Network(kind, indptr, indices, parameters, most, isolated))


def from_edges(pairs: npt.NDArray[np.integer], n: int) -> Graph:
    """Build a graph over ``n`` nodes from its edges (edges, 2), each listed once, without loops."""
    indptr, indices = empty_rows(n, 2 * len(pairs))
    source, target = (np.ascontiguousarray(pairs[:, k], indices.dtype) for k in (0, 1))
    edges.starts(source, target, indptr)
    edges.rows(source, target, indptr, indices, indptr.copy(), np.empty_like(indices))
    return stored(indptr, indices)


def _affine(n: int, degree: int, seed: int) -> Graph:
    """Draw maps i -> (a i + b) mod n, a prime to n, degree / 2 of them, and add their inverses.

    Maps that meet at many nodes are drawn again a while: on a prime n every two meet at one node.
    """
    rng = stream("graph", TOPOLOGIES.index("affine"), degree, seed, n)
    maps = [(1, 0)]  # where every node is
    hope = HOPE
    while len(maps) < degree + 1:
        a, b = int(rng.integers(1, n)), int(rng.integers(n))
        if math.gcd(a, n) > 1:
            continue
        back = pow(a, -1, n)
        pair = [(a, b), (back, -back * b % n)]
        hope -= 1
        if hope < 0 or all(
            _meetings(f, g, n) <= FEW for f in pair for g in [*maps, pair[0]] if f != g
        ):
            maps += pair
    first, *others = maps[1:]
    # A node without neighbours is one that every map leaves where it is.
    alone = _meetings(first, (1, 0), n) > 0 and all(_meetings(f, (1, 0), n) > 0 for f in others)
    if alone and n > 64:
        alone = any(all((a * i + b) % n == i for a, b in maps) for i in _fixed(*first, n))
    settings = [n, *itertools.chain.from_iterable(maps[1:])]
    return computed(AFFINE, settings, degree, isolated=alone)


def _meetings(f: tuple[int, int], g: tuple[int, int], n: int) -> int:
    """Return at how many nodes two affine maps agree."""
    step = math.gcd(f[0] - g[0], n)
    return step if (f[1] - g[1]) % step == 0 else 0


def _fixed(a: int, b: int, n: int) -> Iterable[int]:
    """Return the nodes that an affine map, which has some, leaves where they are."""
    step = math.gcd(a - 1, n)
    size = n // step
    one = -b // step * pow((a - 1) // step, -1, size) % size if size > 1 else 0
    return range(one, n, size)


def _barabasi_albert(n: int, m: int, rng: np.random.Generator) -> Graph:
    """Grow a large graph with our own loops: igraph needs 2 s and 1 GB a million nodes."""
    links = m * (m - 1) // 2 + (n - m) * m
    indptr, indices = empty_rows(n, 2 * links)
    target = np.empty(links, indices.dtype)
    edges.attach(target, m, rng)
    edges.grown_rows(target, m, indptr, indices, np.empty_like(indptr))
    return stored(indptr, indices)


def _random(topology: str, n: int, degree: int, seed: int) -> Graph:
    """Draw a random graph: with igraph, whose generator is global: one at a time."""
    rng = stream("graph", TOPOLOGIES.index(topology), degree, seed, n)
    if topology == "ba" and n > LARGE:
        return _barabasi_albert(n, degree // 2, rng)
    state = random.Random(int(rng.integers(2**63)))
    with _igraph_lock:
        with without("matplotlib"):  # igraph loads it to draw: 0.4 of the 1.4 s of a small training
            import igraph
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
    ends = itertools.chain.from_iterable(made.get_edgelist())
    return from_edges(np.fromiter(ends, np.int64, 2 * made.ecount()).reshape(-1, 2), n)


def _kept(topology: str, n: int, degree: int, seed: int) -> Graph:
    """Take a random graph from disk; make and keep it where it is not there."""
    version = "" if topology == "ba" and n > LARGE else f"-igraph{metadata.version('igraph')}"
    name = f"{topology}-{n}-{degree}-{seed}{version}"
    rows = graph_cache.load(name)
    if rows is not None:
        return stored(*rows)
    made = _random(topology, n, degree, seed)
    graph_cache.save(name, made._rows)
    return made


def graph(
    topology: str = "ba", n: int = 2001, degree: int = 6, seed: int = 0, *, cache: bool = True
) -> Graph:
    """Make the diffusion graph of a network with ``n`` parameters.

    The same arguments give the same graph; nothing else does.

    Parameters
    ----------
    topology
        ``ba`` (Barabasi-Albert, m = degree / 2, attachment in proportion to degree),
        ``ring`` (degree / 2 neighbours each side),
        ``lattice`` (open square grid, the first n sites row by row of the smallest square that
        holds them, degree up to 4), ``small-world`` (Watts-Strogatz, a tenth of the edges rewired),
        ``erdos-renyi`` (n * degree / 2 edges), ``random-regular``, or ``affine`` (degree / 2 random
        maps i -> a i + b mod n and their inverses: nearly random-regular and never stored; where
        maps meet, or leave a node where it is, it has fewer neighbours).
    n
        Number of nodes. Random graphs but ``affine`` are stored: 28 bytes a node at degree 6.
    degree
        Mean degree; not used by ``lattice``.
    seed
        Graph seed; not used by ``ring`` and ``lattice``.
    cache
        Whether to keep random graphs on disk, and take them from there (``graph_cache``). Changes
        nothing but the time.

    Raises
    ------
    OptionError
        An unknown topology; a degree the topology cannot have on n nodes.
    """
    check_graph(topology, n, degree, seed)
    n, degree, seed = int(n), int(degree), int(seed)
    if topology == "lattice":
        return computed(LATTICE, [n, math.isqrt(n - 1) + 1], 4, isolated=n == 1)
    if topology == "ring":
        return computed(RING, [n, degree // 2], degree // 2 * 2, isolated=degree < 2)
    if topology == "affine":
        return _affine(n, degree, seed)
    draw = _kept if cache else _random
    named = topology, n, degree, seed
    return _recent.get(named, lambda: _sized(draw(*named)))


def check_graph(topology: str, n: int, degree: int, seed: int = 0) -> None:
    """Raise OptionError where a topology cannot have a degree on n nodes; make nothing."""
    check_choice("topology", topology, TOPOLOGIES)
    check_integer("n", n, 1, MOST_NODES)
    check_integer("degree", degree, 1)
    check_integer("seed", seed, 0)
    if topology == "lattice":
        return
    if degree >= n:
        raise OptionError("degree", f"must lie in 1 to N - 1 = {n - 1} on {n} nodes, got {degree}")
    if topology in ("ba", "ring", "small-world", "affine") and degree % 2:
        raise OptionError("degree", f"must be even for topology {topology}, got {degree}")
    if topology == "random-regular" and n * degree % 2:
        raise OptionError("degree", f"must be even for random-regular on {n} nodes, got {degree}")


def _sized(made: Graph) -> tuple[Graph, int]:
    return made, made.network.indptr.nbytes + made.network.indices.nbytes


def shuffled(plain: Graph, seed: int) -> Graph:
    """Relabel the nodes of a graph at random: the parameters lie on it in shuffled order."""
    place = stream("order", seed, plain.n).permutation(plain.n)
    source = np.repeat(np.arange(plain.n), np.diff(plain.indptr))
    pairs = np.stack([place[source], place[plain.indices]], axis=1)
    return from_edges(pairs[source < plain.indices], plain.n)


def graph_of(options: CascadeOptions, n: int, *, cache: bool = True) -> Graph:
    """Make the graph that the options of a cascade name, for ``n`` parameters."""
    named = options.topology, n, options.degree, options.graph_seed
    plain = graph(*named, cache=cache)
    if options.parameter_order == "as-is":
        return plain
    return _recent.get(("shuffled", *named), lambda: _sized(shuffled(plain, options.graph_seed)))
