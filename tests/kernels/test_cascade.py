"""The cascade kernel, against the loops of tests/naive.py to the bit, and its properties."""

from dataclasses import dataclass

import naive
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grokcrit.base.options import CascadeOptions
from grokcrit.cascades.graphs import from_edges, stored
from grokcrit.cascades.graphs import graph as make_graph
from grokcrit.kernels import cascade as kernel
from grokcrit.kernels import types as kt
from grokcrit.kernels.neighbours import LONG
from tests.kernels import from_python

kernel = from_python(kernel)


@dataclass
class Problem:
    """A gradient, a graph and the settings of a cascade."""

    gradient: np.ndarray
    edges: list
    alpha: float
    q: float
    rule: str
    max_steps: int
    hint: float = -1.0

    @property
    def graph(self):
        return from_edges(np.array(self.edges, np.int64).reshape(-1, 2), len(self.gradient))

    @property
    def options(self):
        return CascadeOptions(
            alpha=self.alpha, quantile=self.q, rule=self.rule, max_steps=self.max_steps
        )

    def compiled(self):
        """What the kernel makes of it, one gradient at a time."""
        g = self.gradient.copy()
        rule = kt.rule(len(g), g.dtype, self.options)
        network = self.graph.network
        work = kt.work(len(g), g.dtype, self.max_steps, network.most)
        counts = kernel.cascade(g.copy(), g, network, rule, work, self.hint)
        assert counts.finite
        assert not work.marked.any()
        assert not work.toppled.any()
        return {
            "threshold": float(counts.threshold),
            "size": counts.size,
            "area": counts.area,
            "duration": counts.duration,
            "peak": counts.peak,
            "activity": work.activity[: counts.duration].tolist(),
            "truncated": bool(counts.truncated),
            "transported": counts.transported,
            "gradient": g,
        }

    def oracle(self):
        neighbours = naive.neighbours_of(self.edges, len(self.gradient))
        return naive.cascade(
            self.gradient, neighbours, self.alpha, self.q, self.rule, self.max_steps
        )

    def changed(self, **new):
        return Problem(**{**self.__dict__, **new})


def assert_same(found, wanted):
    found, wanted = dict(found), dict(wanted)
    g, h = found.pop("gradient"), wanted.pop("gradient")
    assert found == wanted
    assert g.dtype == h.dtype
    assert g.tobytes() == h.tobytes()


def random_edges(rng, n, density):
    """Simple graph; the last node and a few others stay isolated."""
    loners = {n - 1, *rng.integers(n, size=n // 10).tolist()} if n > 2 else set()
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n) if not {a, b} & loners]
    return [pair for pair in pairs if rng.random() < density]


def random_values(rng, n, kind):
    if kind == "ties":
        return rng.integers(-3, 4, n).astype(float)
    values = rng.standard_normal(n)
    if kind == "heavy":
        return np.sign(values) * np.exp(3 * values)
    if kind == "sparse":
        values[rng.random(n) < 0.7] = 0
    return values


@st.composite
def problems(draw, max_nodes=150, rules=("diffuse", "reset"), kinds=None, dtypes=None):
    n = draw(st.integers(1, max_nodes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    edges = random_edges(rng, n, draw(st.sampled_from([0.0, 2 / n, 6 / n, 0.5, 1.0])))
    kind = draw(st.sampled_from(kinds or ["normal", "ties", "heavy", "sparse"]))
    dtype = draw(st.sampled_from(dtypes or [np.float64, np.float32]))
    return Problem(
        random_values(rng, n, kind).astype(dtype),
        edges,
        draw(st.sampled_from([0.1, 0.3, 0.5, 0.9, 1.0])),
        draw(st.sampled_from([0.0, 30.0, 50.0, 70.5, 90.0, 99.0])),
        draw(st.sampled_from(rules)),
        draw(st.sampled_from([1, 2, 3, 20, 40])),
    )


@settings(max_examples=300)
@given(problems())
def test_every_count_and_value_is_the_oracles_to_the_bit(problem):
    found = problem.compiled()
    assert_same(found, problem.oracle())
    assert sum(found["activity"]) == found["size"]
    assert len(found["activity"]) == found["duration"]


@st.composite
def tiny_problems(draw):
    """Every small graph and small numbers: hypothesis shrinks these to what a person can follow."""
    n = draw(st.integers(1, 6))
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.75, 1e-300, -1e300])
    gradient = np.array(draw(st.lists(numbers, min_size=n, max_size=n)))
    return Problem(
        gradient,
        sorted(edges),
        draw(st.sampled_from([0.25, 0.3, 1.0])),
        draw(st.sampled_from([0.0, 50.0, 75.0, 90.0])),
        draw(st.sampled_from(["diffuse", "reset"])),
        draw(st.integers(1, 5)),
    )


@settings(max_examples=500)
@given(tiny_problems())
def test_small_cascades_are_the_oracles_to_the_bit(problem):
    assert_same(problem.compiled(), problem.oracle())


def by_hand(rule, alpha=0.5, max_steps=20):
    """A chain 0 - 1 - 2 and a loner 3; theta is the median of 1, 2, 4, 8 = 3."""
    return Problem(np.array([1.0, -4.0, 2.0, 8.0]), [(0, 1), (1, 2)], alpha, 50.0, rule, max_steps)


def test_a_cascade_worked_by_hand_under_diffuse():
    # Nodes 1 and 3 are above 3. Node 1 keeps -2 and sends -1 to 0 and 2; node 3 has nobody to
    # send to, keeps its 8, and so topples in every step to come.
    found = by_hand("diffuse", max_steps=4).compiled()
    assert found["threshold"] == 3
    assert found["activity"] == [2, 1, 1, 1]
    assert (found["size"], found["area"], found["duration"], found["peak"]) == (5, 2, 4, 2)
    assert found["truncated"]
    assert found["gradient"].tolist() == [0.0, -2.0, 1.0, 8.0]


def test_a_cascade_worked_by_hand_under_reset():
    # Node 1 sends -1 each way and is emptied; node 3 has no neighbour and is emptied as well.
    found = by_hand("reset").compiled()
    assert found["activity"] == [2]
    assert (found["size"], found["area"], found["duration"], found["peak"]) == (2, 2, 1, 2)
    assert not found["truncated"]
    assert found["gradient"].tolist() == [0.0, 0.0, 1.0, 0.0]


def test_neighbours_above_the_threshold_topple_from_their_values_at_the_start_of_the_step():
    # 0 - 1, both above: each sends what it held before the other's delivery arrived.
    problem = Problem(np.array([8.0, 4.0, 0.0, 0.0, 0.0]), [(0, 1)], 0.5, 50.0, "reset", 1)
    found = problem.compiled()
    assert found["gradient"].tolist() == [2.0, 4.0, 0.0, 0.0, 0.0]
    assert found["activity"] == [2]
    assert found["truncated"]


def test_a_node_exactly_at_the_threshold_stays():
    gradient = np.array([1.0, 3.0, -3.0, 3.0, 0.5])
    found = Problem(gradient, [(0, 1), (2, 3)], 0.3, 50.0, "diffuse", 20).compiled()
    assert found["threshold"] == 3.0
    assert found["size"] == 0
    np.testing.assert_array_equal(found["gradient"], gradient)


def test_a_cascade_that_ends_at_the_last_step_allowed_is_not_truncated():
    whole = by_hand("reset", max_steps=1).compiled()
    assert whole["duration"] == 1
    assert not whole["truncated"]
    cut = by_hand("diffuse", max_steps=1).compiled()
    assert cut["duration"] == 1
    assert cut["truncated"]


def test_all_zeros_are_a_quiet_avalanche_with_threshold_zero():
    found = Problem(np.zeros(9), [(0, 1)], 0.3, 90.0, "diffuse", 20).compiled()
    assert found["threshold"] == 0
    assert found["size"] == found["area"] == found["duration"] == found["peak"] == 0
    assert not found["truncated"]


@given(problems(rules=["diffuse"]))
def test_the_sum_of_the_gradient_is_conserved_under_diffuse(problem):
    before = problem.gradient.astype(np.float64)
    after = problem.compiled()["gradient"].astype(np.float64)
    rounding = np.finfo(problem.gradient.dtype).eps * 4 * problem.max_steps
    assert abs(after.sum() - before.sum()) <= rounding * np.abs(before).sum() * len(before) ** 0.5


@given(problems(rules=["reset"], kinds=["normal"]))
def test_magnitude_is_never_made_by_reset(problem):
    after = np.abs(problem.compiled()["gradient"].astype(float)).sum()
    assert after <= np.abs(problem.gradient.astype(float)).sum() * (1 + 1e-5)


@given(problems())
def test_the_counts_are_ordered_as_their_meanings_are(problem):
    n, found = len(problem.gradient), problem.compiled()
    assert n >= found["area"] >= found["peak"]
    assert found["size"] >= found["area"]
    assert found["peak"] * found["duration"] >= found["size"] >= found["duration"]
    assert found["duration"] <= problem.max_steps
    assert (found["size"] == 0) == (found["duration"] == 0) == (found["peak"] == 0)
    assert found["truncated"] == (np.abs(found["gradient"]) > found["threshold"]).any()
    if found["truncated"]:
        assert found["duration"] == problem.max_steps


def in_range(problem):
    """Whether no value can come near the subnormal numbers, which scale by no power of two."""
    return problem.gradient.dtype == np.float64 or problem.max_steps <= 3


@given(problems().filter(in_range), st.integers(-40, 40), st.booleans())
def test_a_power_of_two_or_a_change_of_all_signs_changes_no_count(problem, power, flip):
    factor = problem.gradient.dtype.type(2.0**power * (-1 if flip else 1))
    plain = problem.compiled()
    scaled = problem.changed(gradient=problem.gradient * factor).compiled()
    assert scaled["threshold"] == plain["threshold"] * abs(float(factor))
    for name in ("activity", "size", "area", "duration", "peak", "truncated"):
        assert scaled[name] == plain[name]
    np.testing.assert_array_equal(scaled["gradient"], plain["gradient"] * factor)


@given(problems(kinds=["normal"], dtypes=[np.float64]), st.integers(0, 2**32))
def test_relabelling_the_nodes_changes_no_count(problem, seed):
    place = np.random.default_rng(seed).permutation(len(problem.gradient))
    gradient = np.empty_like(problem.gradient)
    gradient[place] = problem.gradient
    edges = [(int(place[a]), int(place[b])) for a, b in problem.edges]
    plain, moved = problem.compiled(), problem.changed(gradient=gradient, edges=edges).compiled()
    # Deliveries are then added up in another order: leave out the rare case where rounding decides.
    distance = np.abs(np.abs(plain["gradient"]) - plain["threshold"])
    assume(plain["duration"] == 0 or distance[distance > 0].min(initial=1) > 1e-12)
    for name in ("threshold", "activity", "size", "area", "duration", "peak", "truncated"):
        assert moved[name] == plain[name]
    np.testing.assert_allclose(moved["gradient"][place], plain["gradient"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rule", ["diffuse", "reset"])
def test_many_rows_at_once_equal_each_alone(dtype, rule):
    rng = np.random.default_rng(11)
    edges = random_edges(rng, 130, 0.05)
    kinds = ["normal", "ties", "heavy", "sparse"] * 5
    rows = np.array([random_values(rng, 130, kind) for kind in kinds]).astype(dtype)
    rows[7] = 0
    problem = Problem(rows[0], edges, 0.3, 80.0, rule, 6)
    alone = [problem.changed(gradient=row).compiled() for row in rows]
    m = len(rows)
    theta, truncated, transported = np.empty(m), np.empty(m, np.bool_), np.empty(m)
    counts, activity = np.empty((m, 4), np.int64), np.full((m, 6), -1)
    last = np.empty_like(rows[0])
    before = rows.copy()
    assert kernel.cascades(
        rows,
        last,
        problem.graph.network,
        kt.rule(130, dtype, problem.options),
        kt.work(130, dtype, 6),
        theta,
        counts,
        truncated,
        transported,
        activity,
    )
    for k, one in enumerate(alone):
        assert theta[k] == one["threshold"]
        assert counts[k].tolist() == [one["size"], one["area"], one["duration"], one["peak"]]
        assert truncated[k] == one["truncated"]
        assert transported[k] == one["transported"]
        assert activity[k, : counts[k, 2]].tolist() == one["activity"]
    assert last.tobytes() == alone[-1]["gradient"].tobytes()
    assert rows.tobytes() == before.tobytes()


def test_a_pulse_on_a_ring_spreads_as_pascals_triangle():
    # A single 1 on a ring of 9, theta = 0, alpha = 1: every step moves half of each pulse each way.
    n = 9
    gradient = np.zeros(n)
    gradient[4] = 1.0
    ring = [(i, (i + 1) % n) for i in range(n)]
    found = Problem(gradient, ring, 1.0, 50.0, "reset", 4).compiled()
    assert found["activity"] == [1, 2, 3, 4]
    assert found["transported"] == 4.0  # alpha = 1 sends all there is, in each of four steps
    assert found["area"] == 7
    pascal = [0.0] * n
    for k, ways in enumerate([1, 4, 6, 4, 1]):
        pascal[2 * k] = ways / 16
    assert found["gradient"].tolist() == pascal


# --- graphs of every kind -------------------------------------------------------------------


def on_graph(graph, gradient, options):
    """The kernel's cascade on a graph, beside the oracle's on the lists read from its rows."""
    rule = kt.rule(graph.n, gradient.dtype, options)
    work = kt.work(graph.n, gradient.dtype, options.max_steps, graph.network.most)
    g = np.empty_like(gradient)
    counts = kernel.cascade(gradient, g, graph.network, rule, work, -1.0)
    found = {
        **{k: v for k, v in counts._asdict().items() if k != "finite"},
        "threshold": float(counts.threshold),
        "activity": work.activity[: counts.duration].tolist(),
        "gradient": g,
    }
    neighbours = naive.adjacency(graph)
    settings = options.alpha, options.quantile, options.rule, options.max_steps
    return found, naive.cascade(gradient, neighbours, *settings)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rule", ["diffuse", "reset"])
@pytest.mark.parametrize(
    ("topology", "n", "degree"),
    [
        ("ring", 3, 2),
        ("ring", 81, 6),
        ("ring", 300, 280),
        ("lattice", 1, 4),
        ("lattice", 2, 4),
        ("lattice", 90, 4),
        ("affine", 3, 2),
        ("affine", 5, 4),
        ("affine", 81, 6),
        ("affine", 1024, 6),
        ("affine", 997, 10),
    ],
)
def test_neighbours_computed_on_the_way_give_the_oracles_cascade(topology, n, degree, rule, dtype):
    for seed in range(4):
        graph = make_graph(topology, n, degree, seed)
        gradient = random_values(np.random.default_rng(seed), n, "heavy").astype(dtype)
        for q in (50.0, 90.0):
            options = CascadeOptions(quantile=q, rule=rule, max_steps=7)
            assert_same(*on_graph(graph, gradient, options))


def wheel(n, hubs):
    """A few hubs linked to everybody, on a ring."""
    pairs = {(i, (i + 1) % n) for i in range(n)}
    pairs |= {(hub, i) for hub in hubs for i in range(n) if i != hub}
    return np.array(sorted({(min(p), max(p)) for p in pairs}), np.int64)


@pytest.mark.parametrize("n", [LONG, LONG + 1, LONG + 2, 2 * LONG, kt.CHUNK + 300])
def test_rows_longer_than_a_chunk_give_the_oracles_cascade(n):
    graph = from_edges(wheel(n, (0, n // 2, n - 1)), n)
    gradient = np.random.default_rng(n).standard_normal(n)
    gradient[[0, n // 2, n - 1]] = 50.0, -40.0, 30.0
    assert_same(*on_graph(graph, gradient, CascadeOptions(max_steps=4)))


def test_64_bit_rows_give_the_cascade_of_32_bit_rows():
    narrow = make_graph("ba", 301, 6, 1)
    wide = stored(*(np.array(part, np.int64) for part in narrow._rows))
    assert wide.indices.dtype == np.int64
    gradient = np.random.default_rng(2).standard_t(3, 301)
    options = CascadeOptions()
    assert_same(on_graph(wide, gradient, options)[0], on_graph(narrow, gradient, options)[0])


@given(problems(), st.floats(0, 5))
def test_a_hint_changes_nothing(problem, hint):
    assert_same(problem.changed(hint=hint).compiled(), problem.compiled())


def test_a_cascade_may_overwrite_what_it_reads():
    problem = by_hand("diffuse", max_steps=4)
    g = problem.gradient.copy()
    rule, work = kt.rule(4, g.dtype, problem.options), kt.work(4, g.dtype, 4)
    kernel.cascade(g, g, problem.graph.network, rule, work, -1.0)
    assert g.tobytes() == problem.compiled()["gradient"].tobytes()


def test_nothing_is_compiled_after_the_first_call_of_each_precision():
    """Nor does a read-only, a mapped or a strided array bring another variant."""
    import grokcrit

    graph = grokcrit.graph("ba", 61, 4)
    ring = grokcrit.graph("ring", 61, 4)
    values = np.random.default_rng(0).standard_normal(122)
    for dtype in (np.float32, np.float64):
        grokcrit.cascade(values[:61].astype(dtype), graph)
    variants = len(getattr(kernel.counted, "signatures", ()))
    frozen = values[:61].copy()
    frozen.setflags(write=False)
    for gradient in (frozen, values[::2], values[:61].tolist(), values[:61].astype(np.float32)):
        for each in (graph, ring):
            grokcrit.cascade(gradient, each, alpha=0.2, rule="reset", max_steps=3)
    assert len(getattr(kernel.counted, "signatures", ())) == variants
