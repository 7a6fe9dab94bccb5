"""The exact quantile, against numpy.percentile to the bit."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from grokcrit.base.options import CascadeOptions
from grokcrit.kernels import quantile as kernel
from grokcrit.kernels import types as kt
from tests.kernels import from_python

kernel = from_python(kernel)


def percentile(values, q):
    """The kernel's quantile, its settings settled as the cascade settles them."""
    rule = kt.rule(len(values), values.dtype, CascadeOptions(quantile=q))
    return kernel.quantile(values.copy(), rule.rank, rule.weight)


def same(values, q):
    found, wanted = percentile(values, q), np.percentile(values, float(q))
    assert values.dtype.type(found).tobytes() == wanted.tobytes(), (len(values), q, found, wanted)


QUANTILES = st.one_of(
    st.sampled_from([0.0, 10.0, 25.0, 50.0, 90.0, 99.0, 99.99999999999999]),
    st.floats(0, 100, exclude_max=True),
)
TIES = st.sampled_from([0.0, 0.25, 1.0, 1.5, 3.0])
MAGNITUDES = st.floats(0, 1e6)


@given(arrays(np.float64, st.integers(1, 70), elements=st.one_of(TIES, MAGNITUDES)), QUANTILES)
@example(np.zeros(1), 90.0)
@example(np.zeros(17), 90.0)
@example(np.array([5e-324, 1e-320, 0.0]), 50.0)
@example(np.array([1e308, 1.7e308, 0.0, 1e-308]), 77.7)
def test_the_quantile_is_numpys_to_the_bit_in_double_precision(values, q):
    same(values, q)


@given(
    arrays(np.float32, st.integers(1, 70), elements=st.one_of(TIES, st.floats(0, 1e6, width=32))),
    QUANTILES,
)
@example(np.float32([0.1, 0.7, 0.3]), 90.0)
def test_the_quantile_is_numpys_to_the_bit_in_single_precision(values, q):
    same(values, q)


@pytest.mark.parametrize(("n", "q"), [(46, 70.0), (26, 58.0), (91, 35.0)])
def test_a_rank_a_hair_below_the_middle_is_interpolated_from_below_in_single_precision(n, q):
    # 45 * 0.7 = 31.499999999999996: below a half in double precision, a half once in single.
    assert 0.5 - 1e-14 < (n - 1) * (q / 100) % 1 < 0.5
    rng = np.random.default_rng(n)
    for _ in range(200):
        same(np.exp(8 * rng.standard_normal(n)).astype(np.float32), q)


@pytest.mark.parametrize(("n", "q"), [(2, 50.0), (16, 50.0), (16, 30.0), (6, 90.0), (5, 12.5)])
def test_a_rank_exactly_between_two_is_interpolated_from_above(n, q):
    assert (n - 1) * (q / 100) % 1 == 0.5
    rng = np.random.default_rng(n)
    for _ in range(200):
        same(np.exp(8 * rng.standard_normal(n)), q)
        same(np.exp(8 * rng.standard_normal(n)).astype(np.float32), q)


@pytest.mark.parametrize("n", [2, 81, 1001, 2001, 120_001])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("q", [0, 33.3, 50, 90, 97.5, 99.9])
def test_the_quantile_of_long_vectors_is_numpys_to_the_bit(n, dtype, q):
    same(np.abs(np.random.default_rng(n).standard_normal(n)).astype(dtype), q)


def organ_pipe(n):
    half = np.arange(n // 2)
    return np.concatenate([half, half[::-1], np.arange(n % 2)]).astype(float)


def adversary(n, rounds):
    """Values on which each median-of-three pivot is the second smallest left (after McIlroy).

    Runs the partition over values that are undetermined (NaN, taken as large) until a pivot must
    be named, and then makes them the smallest possible. What is undetermined after some rounds
    gets the largest values, in random order.
    """
    values, place = np.full(n, np.nan), np.arange(n)
    frozen, left = 0, 0

    def at(position):
        value = values[place[position]]
        return np.inf if np.isnan(value) else value

    for _ in range(rounds):
        three = [left, (left + n) // 2, n - 1]
        for position in [p for p in three if at(p) == np.inf][:2]:
            values[place[position]] = frozen
            frozen += 1
        pivot = sorted(at(p) for p in three)[1]
        end = left
        for i in range(left, n):
            below = at(i) < pivot
            place[i], place[end] = place[end], place[i]
            end += below
        left = end
    loose = np.flatnonzero(np.isnan(values))
    values[np.random.default_rng(n).permutation(loose)] = frozen + np.arange(len(loose))
    return values


SHAPES = {
    "ascending": lambda n: np.arange(n, dtype=float),
    "descending": lambda n: np.arange(n, dtype=float)[::-1].copy(),
    "all equal": lambda n: np.full(n, 2.5),
    "organ pipe": organ_pipe,
    "sawtooth": lambda n: (np.arange(n) % 7).astype(float),
    "two values": lambda n: (np.arange(n) % 2).astype(float),
    "one high": lambda n: np.append(np.zeros(n - 1), 1.0),
    "adversary": lambda n: adversary(n, n // 3),
    "random": lambda n: np.random.default_rng(n).random(n),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 999, 1000])
def test_selection_puts_the_rank_where_sorting_would(shape, n):
    plain = SHAPES[shape](n)
    ordered = np.sort(plain)
    for rank in {0, 1, n // 3, n // 2, n - 2, n - 1} & set(range(n)):
        values = plain.copy()
        kernel.select(values, rank)
        assert values[rank] == ordered[rank]
        assert (values[:rank] <= values[rank]).all()
        assert (values[rank:] >= values[rank]).all()
        np.testing.assert_array_equal(np.sort(values), ordered)


@pytest.mark.parametrize("from_above", [False, True])
def test_a_range_that_refuses_to_shrink_is_sorted_outright(from_above):
    plain = adversary(1000, 200)  # far beyond the selection's patience
    if from_above:
        plain = -plain[::-1]
    for rank in [*range(100), *range(900, 1000)]:
        values = plain.copy()
        kernel.select(values, rank)
        assert values[rank] == np.sort(plain)[rank]
        assert values[:rank].max(initial=-np.inf) <= values[rank] <= values[rank:].min()
