"""Sums over the integers and the scan of cutoffs, against sums term by term."""

import math

import numpy as np
import pytest
from scipy import special

from grokcrit.kernels import tails as kernel
from grokcrit.scaling.tails import counted
from tests.kernels import from_python

kernel = from_python(kernel)

INFINITE = math.inf


def summed(a, b, lower, upper):
    """The six sums, term by term."""
    k = np.arange(lower, upper + 1, dtype=float)
    u, v = np.log(k / lower), k - lower
    w = np.exp(-a * u - b * v)
    return [math.fsum(w * g) for g in (np.ones(len(k)), u, u * u, v, u * v, v * v)]


def sums(a, b, lower, upper):
    out = np.full(6, 7.0)
    kernel.sums(a, b, float(lower), float(upper), out)
    return out


@pytest.mark.parametrize("a", [-2.0, 1.0, 1.0000001, 1.5, 25.0])
@pytest.mark.parametrize("b", [0.0, 1e-6, 0.125, 0.13])
def test_sums_over_the_integers_are_those_of_their_terms(a, b):
    for lower in (1, 3, 60, 2000):
        for length in (1, 70, 20_000):
            found, wanted = sums(a, b, lower, lower + length), summed(a, b, lower, lower + length)
            assert found[0] == pytest.approx(wanted[0], rel=1e-12)
            np.testing.assert_allclose(found[1:], wanted[1:], rtol=1e-9)


@pytest.mark.parametrize("a", [1.01, 1.5, 2.0, 3.7, 20.0])
@pytest.mark.parametrize("lower", [1, 4, 50, 3000])
def test_a_power_law_without_end_sums_to_the_hurwitz_zeta_function(a, lower):
    found = sums(a, 0.0, lower, INFINITE)
    zeta = special.zeta(a, lower) * float(lower) ** a
    assert found[0] == pytest.approx(zeta, rel=1e-13)
    step = 1e-5 * (a - 1)
    slope = [
        math.log(special.zeta(a + side * step, lower)) + (a + side * step) * math.log(lower)
        for side in (-1, 1)
    ]
    assert found[1] / found[0] == pytest.approx((slope[0] - slope[1]) / (2 * step), rel=1e-5)


def test_sums_that_diverge_are_infinite_and_the_mean_exists_above_two():
    assert sums(1.0, 0.0, 3, INFINITE)[0] == INFINITE
    assert sums(2.0, 0.0, 3, INFINITE)[3] == INFINITE
    assert math.isfinite(sums(2.0, 0.0, 3, INFINITE)[1])
    mean = sums(3.5, 0.0, 3, INFINITE)
    wanted = special.zeta(2.5, 3) / special.zeta(3.5, 3) - 3
    assert mean[3] / mean[0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("rate", [1e-5, 0.01, 0.2, 4.0])
def test_an_exponential_without_end_sums_to_a_geometric_series(rate):
    found = sums(0.0, rate, 7, INFINITE)
    assert found[0] == pytest.approx(-1 / math.expm1(-rate), rel=1e-12)
    assert found[3] / found[0] == pytest.approx(1 / math.expm1(rate), rel=1e-11)


@pytest.mark.parametrize(
    ("a", "upper"), [(1.5, INFINITE), (2.5, INFINITE), (1.0, 5000), (0.4, 900)]
)
def test_what_lies_beyond_a_value_is_the_rest_of_the_sum(a, upper):
    whole = sums(a, 0.0, 3, upper)[0]
    for x in (60, 61, 200, 899):
        rest = kernel.beyond(float(x), a, 3.0, float(upper))
        assert rest + summed(a, 0.0, 3, x - 1)[0] == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("upper", [INFINITE, 400.0, 21.0])
@pytest.mark.parametrize("mean", [0.02, 0.3, 1.1])
@pytest.mark.parametrize("b", [0.0, 0.01])
def test_the_exponent_is_where_the_law_has_the_mean_of_the_data(mean, b, upper):
    out = np.empty(6)
    for start in (1.2, 2.0, 90.0):
        a = kernel.exponent(mean, b, 4.0, upper, start, out)
        low, high = (sums(a + d, b, 4, upper) for d in (-1e-9, 1e-9))
        assert low[1] / low[0] > mean > high[1] / high[0]


def plain_distance(values, counts, lower, upper, a):
    """Both distribution functions at every integer up to the largest value."""
    top = int(values[-1])
    k = np.arange(lower, top + 1)
    norm = special.zeta(a, lower) - (0 if upper == INFINITE else special.zeta(a, upper + 1))
    theory = np.cumsum(k**-a) / norm
    data = np.cumsum(np.bincount(values - lower, counts, len(k))) / counts.sum()
    return np.abs(theory - data).max()


@pytest.mark.parametrize("upper", [INFINITE, 5000])
@pytest.mark.parametrize("lower", [1, 6, 90])
def test_the_distance_is_the_largest_over_all_integers(lower, upper):
    rng = np.random.default_rng(lower)
    samples = rng.zipf(1.8, 4000)
    samples = samples[(samples >= lower) & (samples <= 5000)]
    values, counts = np.unique(samples, return_counts=True)
    mass = sums(1.7, 0.0, lower, upper)[0]
    pairs, last = counted(values, counts), len(values) - 1
    law = (float(lower), float(upper), 1.7, mass)
    found = kernel.distance(pairs, 0, last, *law, INFINITE)
    wanted = plain_distance(values, counts, lower, upper, 1.7)
    assert found == pytest.approx(wanted, rel=1e-9)
    stopped = kernel.distance(pairs, 0, last, *law, wanted / 2)
    assert wanted / 2 < stopped <= found


def test_the_scan_finds_the_smallest_distance_of_all_lower_cutoffs():
    rng = np.random.default_rng(3)
    samples = np.concatenate([rng.integers(1, 9, 500), 8 + rng.zipf(2.2, 500)])
    values, counts = np.unique(samples, return_counts=True)
    pairs, last = counted(values, counts), len(values) - 1
    firsts = np.arange(last - 5)
    first, a, gap = kernel.scan(pairs, last, INFINITE, 7, 0.0, 1e9)  # seven distinct values, all
    every = [
        kernel.fit_range(pairs, f, last, pairs.values[f], INFINITE, 2.0, INFINITE) for f in firsts
    ]
    assert gap == pytest.approx(min(distance for _, distance in every), abs=1e-9)
    assert first == int(np.argmin([distance for _, distance in every]))
    assert a == pytest.approx(every[first][0], abs=1e-9)


@pytest.mark.parametrize("upper", [INFINITE, 1000.0])
def test_inverting_uniform_numbers_gives_the_law(upper):
    a, start = 1.6, 60.0
    uniforms = (np.arange(20_000) + 0.5) / 20_000
    draws = uniforms.copy()
    kernel.invert(draws, a, 2.0, upper, start)
    whole = kernel.beyond(start, a, 2.0, upper)
    for x in (60, 61, 75, 300, 999):
        share = kernel.beyond(float(x), a, 2.0, upper) / whole
        assert abs((draws >= x).mean() - share) <= 1 / 20_000
    assert draws.min() == start
    assert draws.max() <= upper
    assert (draws == np.floor(draws)).all()
