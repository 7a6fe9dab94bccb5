"""Threshold and first frontier: one pass, numpy's percentile to the bit, whatever is guessed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from grokcrit.base.options import CascadeOptions
from grokcrit.kernels import quantile, threshold
from grokcrit.kernels import types as kt
from grokcrit.kernels.threshold import SAMPLED, first_frontier
from tests.kernels import from_python

kernel = from_python(threshold)

QUANTILES = st.one_of(
    st.sampled_from([0.0, 50.0, 90.0, 99.0, 99.99999999999999]),
    st.floats(0, 100, exclude_max=True),
)
TIES = st.sampled_from([0.0, -0.0, 0.25, -1.0, 1.5, 3.0])


def found(gradient, q, hint=-1.0):
    """Theta, the frontier and the copy, as the kernel makes them."""
    rule = kt.rule(len(gradient), gradient.dtype, CascadeOptions(quantile=q))
    work = kt.work(len(gradient), gradient.dtype, 5)
    copy = np.full_like(gradient, 7)
    theta, count, finite = kernel.first_frontier(gradient, copy, rule, work, hint)
    return theta, work.frontier[:count].tolist(), finite, copy


def check(gradient, q, hint=-1.0):
    theta, frontier, finite, copy = found(gradient, q, hint)
    wanted = np.percentile(np.abs(gradient), float(q))
    assert finite
    assert gradient.dtype.type(theta).tobytes() == wanted.tobytes()
    assert frontier == sorted(set(frontier)), "ascending"
    assert set(np.flatnonzero(np.abs(gradient) > wanted).tolist()) <= set(frontier)
    assert copy.tobytes() == gradient.tobytes()


@given(
    arrays(np.float64, st.integers(1, 70), elements=st.one_of(TIES, st.floats(-1e3, 1e3))),
    QUANTILES,
    st.one_of(st.just(-1.0), TIES.map(abs), st.floats(0, 2e3)),
)
def test_theta_is_numpys_percentile_and_does_not_depend_on_the_hint(gradient, q, hint):
    check(gradient, q, hint)


def heavy(rng, n):
    return np.exp(4 * rng.standard_normal(n)) * rng.choice([-1, 1], n)


SHAPES = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy": heavy,
    "ascending": lambda rng, n: np.arange(n, dtype=float),
    "descending": lambda rng, n: -np.arange(n, dtype=float)[::-1],
    "all zero": lambda rng, n: np.zeros(n),
    "all equal": lambda rng, n: np.full(n, -2.5),
    "nearly all zero": lambda rng, n: np.where(np.arange(n) == n // 2, 1.0, 0.0),
    "one in twenty": lambda rng, n: rng.standard_normal(n) * (rng.random(n) < 0.05),
    "few values": lambda rng, n: rng.integers(-3, 4, n).astype(float),
    "tensors of other scales": lambda rng, n: (
        rng.standard_normal(n) * 10.0 ** (np.arange(n) * 7 // n)
    ),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [SAMPLED - 1, SAMPLED, 2001, 100_001])
def test_theta_of_long_vectors_is_numpys_percentile_to_the_bit(shape, n, dtype):
    gradient = SHAPES[shape](np.random.default_rng(n), n).astype(dtype)
    for q in (0, 50, 90, 99.9, 99.99999):
        check(gradient, q)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sample_that_is_not_like_the_rest_costs_a_pass_and_changes_nothing(sign):
    """Every value the sample sees lies above, or below, all that it does not see."""
    n = 20_001
    place, seen = 0.5, set()
    for _ in range(int(n ** (2 / 3) / 2)):
        seen.add(int(place * n))
        place = (place + 0.6180339887498949) % 1
    gradient = np.random.default_rng(3).standard_normal(n)
    for i in seen:
        gradient[i] = gradient[i] + 100 if sign > 0 else gradient[i] / 1e6
    for q in (10, 50, 90, 99):
        check(gradient, q)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 2, 300, 3000])
def test_what_is_not_finite_is_seen_wherever_it_stands(bad, n):
    for where in {0, n // 2, n - 1}:
        gradient = np.random.default_rng(n).standard_normal(n)
        gradient[where] = bad
        for hint in (-1.0, 0.0, 1e9):
            assert not found(gradient, 90.0, hint)[2]


@given(arrays(np.float64, st.integers(0, 200), elements=st.one_of(TIES, st.floats(-1e3, 1e3))))
def test_sorting_in_place_is_numpys(values):
    mine = values.copy()
    from_python(quantile).sort(mine)
    np.testing.assert_array_equal(mine, np.sort(values))


class Counting:
    """A vector that counts how often each entry is read."""

    def __init__(self, values):
        self.values, self.reads = values, np.zeros(len(values), int)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, place):
        self.reads[place] += 1
        return self.values[place]


def test_the_source_is_read_once_but_for_the_sample():
    """The uncompiled kernel, on a vector that counts: a second pass would show."""
    n = 4000
    source = Counting(np.random.default_rng(1).standard_normal(n))
    rule = kt.rule(n, np.float64, CascadeOptions())
    work = kt.work(n, np.float64, 5)
    plain = getattr(first_frontier, "py_func", first_frontier)
    names = ("place_of", "bracket", "collect", "keep_up_to")
    pieces = {k: plain.__globals__[k] for k in (*names, "select", "quantile")}
    try:
        for k in names:
            plain.__globals__[k] = getattr(pieces[k], "py_func", pieces[k])
        for k in ("select", "quantile"):
            plain.__globals__[k] = vars(from_python(quantile))[k]
        theta, _, _ = plain(source, np.empty(n), rule, work, -1.0)
    finally:
        plain.__globals__.update(pieces)
    assert theta == np.percentile(np.abs(source.values), 90)
    sampled = int(n ** (2 / 3) / 2)
    assert source.reads.min() == 1
    assert source.reads.sum() == n + sampled
