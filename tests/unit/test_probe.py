"""grokcrit.cascade: one gradient, one graph, one avalanche."""

import naive
import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import OptionError, TableError


@pytest.mark.parametrize("topology", ["ba", "ring", "lattice", "small-world", "erdos-renyi"])
@pytest.mark.parametrize("rule", ["diffuse", "reset"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_cascade_on_every_topology_is_the_oracles(topology, rule, dtype):
    graph = grokcrit.graph(topology, n=321, degree=6, seed=2)
    gradient = np.random.default_rng(4).standard_normal(321).astype(dtype)
    result = grokcrit.cascade(gradient, graph, alpha=0.4, quantile=85, rule=rule, max_steps=12)
    wanted = naive.cascade(gradient, naive.adjacency(graph), 0.4, 85.0, rule, 12)
    for name in ("size", "area", "duration", "peak", "threshold", "truncated"):
        assert getattr(result, name) == wanted[name], name
    assert result.activity.tolist() == wanted["activity"]
    assert result.gradient.tobytes() == wanted["gradient"].tobytes()
    assert result.gradient.dtype == dtype


def test_the_defaults_are_those_of_the_method():
    graph = grokcrit.graph(n=81)
    gradient = np.random.default_rng(1).standard_normal(81)
    plain = grokcrit.cascade(gradient, graph)
    named = grokcrit.cascade(gradient, graph, alpha=0.3, quantile=90, rule="diffuse", max_steps=20)
    assert plain.gradient.tobytes() == named.gradient.tobytes()
    assert plain.size == named.size > 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.float16])
def test_the_input_is_never_changed(dtype):
    graph = grokcrit.graph("ring", n=50, degree=2)
    gradient = (10 * np.random.default_rng(1).standard_normal(50)).astype(dtype)
    kept = gradient.copy()
    result = grokcrit.cascade(gradient, graph, quantile=50)
    assert result.size > 0
    np.testing.assert_array_equal(gradient, kept)
    assert not np.shares_memory(result.gradient, gradient)
    assert result.gradient.dtype == (np.float32 if dtype == np.float32 else np.float64)
    again = grokcrit.cascade(gradient, graph, quantile=50)
    assert again.gradient.tobytes() == result.gradient.tobytes()


def test_lists_views_and_read_only_arrays_are_taken():
    graph = grokcrit.graph("ring", n=9, degree=2)
    values = np.arange(18.0)[::2]
    wanted = grokcrit.cascade(values.copy(), graph).gradient
    np.testing.assert_array_equal(grokcrit.cascade(values.tolist(), graph).gradient, wanted)
    np.testing.assert_array_equal(grokcrit.cascade(values, graph).gradient, wanted)
    frozen = values.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(grokcrit.cascade(frozen, graph).gradient, wanted)


def test_two_results_share_no_memory():
    graph = grokcrit.graph("ring", n=9, degree=2)
    a = grokcrit.cascade(np.arange(9.0), graph)
    b = grokcrit.cascade(np.arange(9.0)[::-1].copy(), graph)
    assert a.activity.tolist()
    assert not np.shares_memory(a.activity, b.activity)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_refused_with_its_place(bad):
    gradient = np.ones(9)
    gradient[4] = bad
    with pytest.raises(TableError, match="at entry 4"):
        grokcrit.cascade(gradient, grokcrit.graph("ring", n=9, degree=2))


@pytest.mark.parametrize("shape", [(8,), (10,), (9, 1), (1, 9), ()])
def test_a_gradient_of_another_shape_is_refused_with_both_lengths(shape):
    with pytest.raises(TableError, match="9 nodes"):
        grokcrit.cascade(np.ones(shape), grokcrit.graph("ring", n=9, degree=2))


@pytest.mark.parametrize("bad", [np.ones(9) + 1j, ["a"] * 9, [None] * 9])
def test_a_gradient_that_is_no_real_vector_is_refused_in_words(bad):
    with pytest.raises(TableError):
        grokcrit.cascade(bad, grokcrit.graph("ring", n=9, degree=2))


@pytest.mark.parametrize(
    "bad", [{"alpha": 0}, {"alpha": 1.5}, {"quantile": 100}, {"rule": "x"}, {"max_steps": 0}]
)
def test_an_option_out_of_its_range_is_refused(bad):
    with pytest.raises(OptionError) as caught:
        grokcrit.cascade(np.ones(9), grokcrit.graph("ring", n=9, degree=2), **bad)
    assert caught.value.name in bad


def test_a_file_and_a_mapped_array_give_the_cascade_of_the_values(tmp_path):
    values = np.random.default_rng(4).standard_normal(201).astype(np.float32)
    np.save(tmp_path / "g.npy", values)
    graph = grokcrit.graph("affine", 201, 6)
    wanted = grokcrit.cascade(values, graph)
    before = (tmp_path / "g.npy").read_bytes()
    for given in (tmp_path / "g.npy", str(tmp_path / "g.npy"), np.load(tmp_path / "g.npy", "r")):
        found = grokcrit.cascade(given, graph)
        assert found.gradient.dtype == np.float32
        assert found.gradient.tobytes() == wanted.gradient.tobytes()
        assert found.size == wanted.size
    assert (tmp_path / "g.npy").read_bytes() == before


def test_a_file_that_is_no_vector_is_refused_in_words(tmp_path):
    graph = grokcrit.graph("ring", 9, 2)
    for name, content in (("none.npy", None), ("bad.npy", b"no"), ("empty.npy", b"")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(TableError, match=name):
            grokcrit.cascade(tmp_path / name, graph)
    np.save(tmp_path / "cut.npy", np.zeros(9))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-8])
    with pytest.raises(TableError, match=r"cut\.npy"):
        grokcrit.cascade(tmp_path / "cut.npy", graph)
    np.savez(tmp_path / "several.npz", np.zeros(9))
    with pytest.raises(TableError, match="several"):
        grokcrit.cascade(tmp_path / "several.npz", graph)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_overwrite_redistributes_in_the_gradients_own_memory(dtype):
    values = np.random.default_rng(4).standard_normal(61).astype(dtype)
    graph = grokcrit.graph("ba", 61, 4)
    wanted = grokcrit.cascade(values, graph)
    found = grokcrit.cascade(values, graph, overwrite=True)
    assert np.shares_memory(found.gradient, values)
    assert values.tobytes() == wanted.gradient.tobytes()
    assert found.size == wanted.size


def test_overwrite_is_refused_where_it_would_need_a_copy(tmp_path):
    graph = grokcrit.graph("ba", 61, 4)
    frozen = np.ones(61)
    frozen.setflags(write=False)
    np.save(tmp_path / "g.npy", np.ones(61))
    for given in (frozen, np.ones(122)[::2], np.ones(61, int), tmp_path / "g.npy"):
        with pytest.raises(OptionError, match="overwrite"):
            grokcrit.cascade(given, graph, overwrite=True)


def test_overwrite_leaves_a_gradient_that_is_not_finite_as_it_was():
    values = np.ones(61)
    values[40] = np.nan
    before = values.tobytes()
    with pytest.raises(TableError, match="entry 40"):
        grokcrit.cascade(values, grokcrit.graph("ba", 61, 4), overwrite=True)
    assert values.tobytes() == before


def test_a_cascade_allocates_its_result_and_little_more():
    """Bytes of the arrays allocated, counted by tracemalloc: what cannot drift unseen."""
    import tracemalloc

    n = 1_000_001
    values = np.random.default_rng(1).standard_normal(n).astype(np.float32)
    graph = grokcrit.graph("affine", n, 6)
    grokcrit.cascade(values, graph)
    tracemalloc.start()
    try:
        grokcrit.cascade(values, graph)
        copied = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        grokcrit.cascade(values, graph, overwrite=True)
        overwritten = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The result; frontier and sent, of n entries, touched as far as nodes topple; two bitmaps.
    assert copied < (4 + 4 + 4 + 0.25) * n + 200_000
    assert overwritten < (4 + 4 + 0.25) * n + 200_000


def test_a_handler_that_runs_or_raises_at_any_moment_harms_nothing():
    """A timer interrupts a loop of cascades thousands of times, in a process of its own."""
    import subprocess
    import sys

    code = """
import signal, time
import numpy as np
import grokcrit
graphs = [grokcrit.graph("ring", n, 4) for n in (50, 5011)]
values = [np.random.default_rng(n).standard_normal(n) for n in (50, 5011)]
wanted = [grokcrit.cascade(v, g).activity.tolist() for v, g in zip(values, graphs)]
class Rings(Exception): pass
count = 0
armed = False  # whether a raise is caught
def handler(*_):
    global count, armed
    count += 1
    k = count % 2
    assert grokcrit.cascade(values[k], graphs[k]).activity.tolist() == wanted[k]
    if count % 3 == 0 and armed:
        armed = False
        raise Rings
def loop():
    while time.time() < end:
        for v, g, w in zip(values, graphs, wanted):
            assert grokcrit.cascade(v, g).activity.tolist() == w
signal.signal(signal.SIGALRM, handler)
end = time.time() + 3
while time.time() < end:
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
        loop()  # a call: Python 3.12 and 3.13 leave the end of a loop out of its try
        armed = False
    except Rings:
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
print(count)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": [0.3]}, r"alpha must be a number, got \[0.3\]"),
        ({"alpha": True}, "alpha must be a number, got True"),
        ({"quantile": "90"}, "quantile must be a number, got '90'"),
        ({"rule": ["reset"]}, "rule must be one of"),
        ({"max_steps": 2.5}, "max_steps must be a whole number"),
    ],
)
def test_an_option_of_another_kind_is_named(options, words):
    with pytest.raises(OptionError, match=words):
        grokcrit.cascade(np.ones(9), grokcrit.graph("ring", 9, 2), **options)


def test_what_is_not_a_graph_is_named():
    with pytest.raises(OptionError, match="graph must come from grokcrit.graph"):
        grokcrit.cascade(np.ones(9), None)
