"""Diffusion graphs: against independent constructions or the properties that define them."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import igraph
import networkx
import numpy as np
import pytest
import scipy.stats

from grokcrit.base.errors import OptionError
from grokcrit.base.options import CascadeOptions
from grokcrit.cascades import graph_cache, graphs
from grokcrit.cascades.graphs import from_edges, graph_of, shuffled

ALL = ("ba", "ring", "lattice", "small-world", "erdos-renyi", "random-regular", "affine")
RANDOM = ("ba", "small-world", "erdos-renyi", "random-regular", "affine")
IGRAPHS = ("ba", "small-world", "erdos-renyi", "random-regular")


def fresh(*args, **kwargs):
    """A graph made now, past what is held in memory and on disk."""
    graphs._recent = graph_cache.Recent(0)
    return graphs.graph(*args, **kwargs, cache=False)


def rows(graph):
    """Neighbours of each node, read from the arrays by hand."""
    return [
        [int(j) for j in graph.indices[graph.indptr[i] : graph.indptr[i + 1]]]
        for i in range(len(graph.indptr) - 1)
    ]


def edges_of(graph):
    return {(i, j) for i, row in enumerate(rows(graph)) for j in row if i < j}


def as_networkx(graph):
    out = networkx.Graph()
    out.add_nodes_from(range(graph.n))
    out.add_edges_from(edges_of(graph))
    return out


def equal(a, b):
    return np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)


@pytest.mark.parametrize("topology", ALL)
@pytest.mark.parametrize("n", [7, 81, 121, 401])
@pytest.mark.parametrize("seed", [0, 1, 5])
def test_every_graph_is_simple_with_sorted_rows(topology, n, seed):
    made = fresh(topology, n, 6, seed)
    assert made.n == n
    assert made.indptr.dtype == made.indices.dtype == np.int32
    assert made.indptr[0] == 0
    assert made.indptr[-1] == len(made.indices)
    neighbours = rows(made)
    for i, row in enumerate(neighbours):
        assert row == sorted(set(row)), "sorted, no duplicates"
        assert i not in row, "no loops"
        assert all(i in neighbours[j] for j in row), "symmetric"
    assert not made.indices.flags.writeable
    assert not made.indptr.flags.writeable


@pytest.mark.parametrize(("n", "degree"), [(7, 6), (7, 2), (10, 4), (81, 6), (82, 8)])
def test_a_ring_links_the_nearest_on_each_side(n, degree):
    wanted = [
        sorted({(i + k) % n for k in range(-(degree // 2), degree // 2 + 1)} - {i})
        for i in range(n)
    ]
    assert rows(fresh("ring", n, degree)) == wanted


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 10, 81, 82, 90, 91, 2001])
def test_a_lattice_is_the_first_sites_row_by_row_of_the_smallest_square(n):
    side = next(s for s in range(1, 100) if s * s >= n)
    grid = networkx.grid_2d_graph(side, side)
    number = {(row, col): row * side + col for row in range(side) for col in range(side)}
    wanted = {
        tuple(sorted((number[a], number[b])))
        for a, b in grid.edges
        if number[a] < n and number[b] < n
    }
    made = fresh("lattice", n)
    assert edges_of(made) == wanted
    assert made.n == n
    assert max(map(len, rows(made))) <= 4


@pytest.mark.parametrize(("n", "degree"), [(9, 6), (81, 6), (82, 5), (401, 2)])
def test_an_erdos_renyi_graph_has_half_n_times_degree_edges(n, degree):
    assert len(edges_of(fresh("erdos-renyi", n, degree, 3))) == round(n * degree / 2)


@pytest.mark.parametrize("seed", range(4))
def test_erdos_renyi_degrees_scatter_as_poisson(seed):
    degrees = np.array([len(row) for row in rows(fresh("erdos-renyi", 4001, 6, seed))])
    assert abs(degrees.var() - 6) < 6 * 5 * np.sqrt(2 / 4001)
    assert 0 < (degrees == 0).mean() < 10 * np.exp(-6)


@pytest.mark.parametrize(("n", "degree"), [(7, 6), (81, 6), (2001, 6), (81, 2), (100, 10)])
@pytest.mark.parametrize("seed", [0, 7])
def test_a_barabasi_albert_graph_grows_by_m_edges_a_node_and_hangs_together(n, degree, seed):
    made, m = fresh("ba", n, degree, seed), degree // 2
    # Node k links to min(k, m) of those before it.
    assert len(edges_of(made)) == sum(min(k, m) for k in range(n))
    before = [sum(j < i for j in row) for i, row in enumerate(rows(made))]
    assert before == [min(k, m) for k in range(n)]
    assert networkx.is_connected(as_networkx(made))


def test_barabasi_albert_degrees_have_the_heavy_tail_of_preferential_attachment():
    # P(k) = 2 m (m + 1) / (k (k + 1) (k + 2)): P(k = 3) = 2/5, P(k = 4) = 1/5 for m = 3.
    degrees = np.array([len(row) for row in rows(fresh("ba", 20_001, 6, 1))])
    for k in (3, 4, 5):
        share = 2 * 3 * 4 / (k * (k + 1) * (k + 2))
        assert abs((degrees == k).mean() - share) < 0.02
    assert degrees.max() > 100


@pytest.mark.parametrize("n", [81, 2001])
def test_a_small_world_is_a_ring_with_a_tenth_of_its_edges_rewired(n):
    made, ring = fresh("small-world", n, 6, 2), edges_of(fresh("ring", n, 6))
    edges = edges_of(made)
    assert len(edges) == 3 * n
    moved = len(ring - edges)
    # A rewired edge rarely lands on the ring again: Binomial(3 n, 0.1), five standard deviations.
    assert abs(moved - 0.3 * n) < 5 * np.sqrt(3 * n * 0.09) + 3
    assert np.mean([len(row) for row in rows(made)]) == 6


@pytest.mark.parametrize(("n", "degree"), [(7, 6), (82, 5), (81, 6), (401, 3 + 1)])
def test_a_random_regular_graph_gives_every_node_its_degree(n, degree):
    assert {len(row) for row in rows(fresh("random-regular", n, degree, 1))} == {degree}


@pytest.mark.parametrize("topology", ALL)
def test_the_same_arguments_give_the_same_graph_whatever_was_drawn_before(topology):
    first = fresh(topology, 101, 6, 4)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    fresh("ba", 50, 4, 9)
    again = fresh(topology, 101, 6, 4)
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert equal(first, again)
    assert equal(first, fresh(topology, 101, 6, 4))
    assert equal(first, graphs.graph(topology, 101, 6, 4))


@pytest.mark.parametrize("topology", IGRAPHS)
def test_making_a_graph_leaves_the_global_random_states_as_they_were(topology):
    random.seed(3)
    before = random.getstate()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    fresh(topology, 61, 4, 1)
    assert random.getstate() == before
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_making_a_graph_leaves_igraph_on_the_generator_it_has_by_default():
    """Python's own: a program that seeds it and draws graphs of its own is not disturbed."""

    def drawn():
        random.seed(8)
        return igraph.Graph.Erdos_Renyi(n=50, m=100).get_edgelist()

    before = drawn()
    fresh("ba", 61, 4, 1)
    assert drawn() == before


@pytest.mark.parametrize("topology", RANDOM)
def test_another_seed_or_size_gives_another_random_graph(topology):
    edges = [edges_of(fresh(topology, 101, 6, seed)) for seed in range(5)]
    for i in range(5):
        for j in range(i):
            assert edges[i] != edges[j]
    # Not the same draws cut short: a graph depends on N as a whole.
    small = edges_of(fresh(topology, 100, 6, 0))
    assert len(small & edges[0]) < len(small)


@pytest.mark.parametrize("topology", ["ring", "lattice"])
def test_the_seed_changes_nothing_of_a_regular_graph(topology):
    assert equal(fresh(topology, 61, 6, 0), fresh(topology, 61, 6, 5))


def test_graphs_made_in_several_threads_at_once_are_those_made_alone():
    asked = [(t, n, 6, s) for t in RANDOM for n in (61, 901) for s in range(6)] * 2
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda a: fresh(*a), asked))
    finally:
        sys.setswitchinterval(interval)
    for arguments, made in zip(asked, together, strict=True):
        assert equal(made, fresh(*arguments)), arguments


@pytest.mark.parametrize("kind", [np.int64, np.int32])
@pytest.mark.parametrize("topology", ["ba", "erdos-renyi"])
def test_numpy_integers_give_the_graph_of_the_plain_ones(topology, kind):
    """Or else the cache, for which 81 and np.int64(81) are one key, answers by who asked first."""
    plain = fresh(topology, 81, 6, 1)
    assert equal(fresh(topology, kind(81), kind(6), kind(1)), plain)


@pytest.mark.parametrize(
    ("topology", "n", "degree"),
    [
        ("ba", 81, 5),
        ("ring", 81, 3),
        ("small-world", 81, 1),
        ("random-regular", 81, 5),
        ("ring", 7, 8),
        ("ba", 7, 7),
        ("erdos-renyi", 7, 7),
        ("random-regular", 7, 0),
        ("erdos-renyi", 7, -1),
        ("ba", 1, 2),
        ("affine", 81, 5),
        ("affine", 6, 6),
    ],
)
def test_a_degree_the_topology_cannot_have_is_an_option_error(topology, n, degree):
    with pytest.raises(OptionError, match="degree") as caught:
        fresh(topology, n, degree)
    assert caught.value.name == "degree"


@pytest.mark.parametrize(("topology", "n"), [("lattice", 0), ("lattice", -4), ("ba", 0)])
def test_a_graph_without_nodes_is_an_option_error(topology, n):
    with pytest.raises(OptionError):
        fresh(topology, n)


@pytest.mark.parametrize(
    ("given", "near"),
    [("rign", "ring"), ("smallworld", "small-world"), ("erdosrenyi", "erdos-renyi")],
)
def test_an_unknown_topology_lists_the_known_and_suggests_the_nearest(given, near):
    with pytest.raises(OptionError, match=f"did you mean '{near}'") as caught:
        graphs.graph(given, 81)
    assert all(name in str(caught.value) for name in ALL)


def test_an_edge_list_becomes_sorted_rows_with_isolated_nodes_empty():
    made = from_edges(np.array([[4, 0], [0, 2], [2, 4]]), 6)
    assert rows(made) == [[2, 4], [], [0, 4], [], [0, 2], []]
    assert rows(from_edges(np.empty((0, 2), np.int64), 3)) == [[], [], []]


def test_shuffling_moves_the_parameters_on_the_same_graph():
    plain = fresh("ba", 201, 6, 3)
    moved = shuffled(plain, 3)
    assert edges_of(moved) != edges_of(plain)
    assert networkx.faster_could_be_isomorphic(as_networkx(plain), as_networkx(moved))
    assert networkx.is_isomorphic(as_networkx(plain), as_networkx(moved))
    assert equal(moved, shuffled(plain, 3))
    assert not equal(moved, shuffled(plain, 4))
    assert all(row == sorted(row) for row in rows(moved))


def test_the_options_of_a_cascade_name_its_graph():
    chosen = CascadeOptions(topology="small-world", degree=4, graph_seed=2)
    assert equal(graph_of(chosen, 101), fresh("small-world", 101, 4, 2))
    chosen = CascadeOptions(topology="ring", degree=4, graph_seed=2, parameter_order="shuffled")
    assert equal(graph_of(chosen, 101), shuffled(fresh("ring", 101, 4, 2), 2))


def test_edges_in_any_order_and_direction_give_the_rows_of_plain_lists():
    rng = np.random.default_rng(5)
    for n in (2, 9, 70):
        pairs = [(a, b) for a in range(n) for b in range(a) if rng.random() < 0.3]
        turned = [pair[::-1] if rng.random() < 0.5 else pair for pair in pairs]
        rng.shuffle(turned)
        wanted = [sorted({a + b - i for a, b in pairs if i in (a, b)}) for i in range(n)]
        assert rows(from_edges(np.array(turned, np.int64).reshape(-1, 2), n)) == wanted


# --- graphs that are not stored -------------------------------------------------------------


def maps_of(graph):
    settings = graph.network.settings.tolist()
    return list(zip(settings[1::2], settings[2::2], strict=True))


@pytest.mark.parametrize(("n", "degree"), [(3, 2), (7, 6), (60, 4), (61, 6), (401, 6), (1000, 10)])
@pytest.mark.parametrize("seed", range(4))
def test_an_affine_graph_links_each_node_with_what_its_maps_make_of_it(n, degree, seed):
    made = fresh("affine", n, degree, seed)
    maps = maps_of(made)
    assert len(maps) == degree
    for (a, b), (back, shift) in zip(maps[::2], maps[1::2], strict=True):
        assert all((back * ((a * i + b) % n) + shift) % n == i for i in range(n)), "an inverse"
    wanted = [sorted({(a * i + b) % n for a, b in maps} - {i}) for i in range(n)]
    assert rows(made) == wanted


@pytest.mark.parametrize("n", [2000, 2003])
def test_an_affine_graph_is_nearly_regular_and_hangs_together(n):
    for seed in range(5):
        made = fresh("affine", n, 6, seed)
        degrees = np.diff(made.indptr)
        assert degrees.max() == 6
        assert (degrees < 6).mean() < 0.05
        assert networkx.is_connected(as_networkx(made))


@pytest.mark.parametrize("topology", ["affine", "ring", "lattice"])
@pytest.mark.parametrize("n", [3, 4, 5, 8, 36, 61, 100])
def test_a_graph_is_never_taken_for_one_without_isolated_nodes_when_it_has_some(topology, n):
    for seed in range(30):
        made = fresh(topology, n, 2, seed)
        if (np.diff(made.indptr) == 0).any():
            assert made.network.isolated


def test_a_graph_that_is_not_stored_takes_no_memory_however_large():
    for topology in ("ring", "lattice", "affine"):
        network = graphs.graph(topology, 3_000_000_000, 6, 1).network
        assert sum(part.nbytes for part in network if hasattr(part, "nbytes")) < 1000


# --- Barabasi-Albert graphs of any size -----------------------------------------------------


def grown(monkeypatch, n, degree, seed):
    """A graph of our own loops, at a size where igraph would be asked."""
    monkeypatch.setattr(graphs, "LARGE", 0)
    return fresh("ba", n, degree, seed)


@pytest.mark.parametrize(("n", "degree"), [(3, 2), (7, 6), (81, 6), (2001, 6), (100, 10)])
def test_a_large_barabasi_albert_graph_grows_as_a_small_one_does(monkeypatch, n, degree):
    made, m = grown(monkeypatch, n, degree, 3), degree // 2
    neighbours = rows(made)
    assert all(row == sorted(set(row)) for row in neighbours)
    assert all(i in neighbours[j] for i, row in enumerate(neighbours) for j in row)
    assert [sum(j < i for j in row) for i, row in enumerate(neighbours)] == [
        min(i, m) for i in range(n)
    ]


def test_our_loops_and_igraph_draw_from_the_same_law(monkeypatch):
    """The degree of the oldest node, and the degrees of all, over independent graphs of both."""
    stats = scipy.stats
    oldest = {"igraph": [], "ours": []}
    degrees = {"igraph": [], "ours": []}
    for who in ("igraph", "ours"):
        if who == "ours":
            monkeypatch.setattr(graphs, "LARGE", 0)
        for seed in range(150):
            made = np.diff(fresh("ba", 301, 6, 1000 + seed).indptr)
            oldest[who].append(made[0])
            degrees[who].append(made)
    assert stats.ks_2samp(oldest["igraph"], oldest["ours"]).pvalue > 0.001
    bins = [3, 4, 5, 6, 7, 9, 12, 20, 400]
    counts = [np.histogram(np.concatenate(degrees[who]), bins)[0] for who in degrees]
    assert stats.chi2_contingency(counts).pvalue > 0.001


def test_large_graphs_are_the_same_each_time_and_differ_by_seed():
    first = fresh("ba", 150_001, 4, 1)
    assert equal(first, fresh("ba", 150_001, 4, 1))
    assert not equal(first, fresh("ba", 150_001, 4, 2))
