"""tau of one size and of all: against plain sums, brute-force likelihoods, trees of known law."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from grokcrit.scaling import plateau, tails


def trees(cutoff, n, rng, runs=6):
    """Counts of critical trees, P(s) = s^(s-1) e^-s / s!, thinned by exp(-s / cutoff)."""
    s = np.arange(1, 20 * cutoff + 1, dtype=float)
    weight = np.exp((s - 1) * np.log(s) - s - special.gammaln(s + 1) - s / cutoff)
    counts = rng.multinomial(n, weight / weight.sum(), size=runs)
    seen = counts.any(axis=0)
    return s[seen], counts[:, seen]


def likelihood(values, counts, lower, upper, tau, rate):
    """Mean log-likelihood, its norm summed term by term."""
    norm = math.fsum(k**-tau * math.exp(-rate * k) for k in range(lower, upper + 1))
    inside = (values >= lower) & (values <= upper)
    s, n = values[inside], counts[inside]
    return float(n @ (-tau * np.log(s) - rate * s)) / n.sum() - math.log(norm)


@pytest.mark.parametrize(("lower", "upper"), [(10, 50), (10, 9000), (300, 20_000)])
def test_a_sum_by_quadrature_is_that_of_its_terms(lower, upper):
    places, weights = plateau.terms(lower, upper)
    for tau, rate in ((1.5, 0.0), (1.2, 2 / upper), (2.5, -1 / upper)):
        plain = math.fsum(k**-tau * math.exp(-rate * k) for k in range(lower, upper + 1))
        assert weights @ (places**-tau * np.exp(-rate * places)) == pytest.approx(plain, rel=1e-4)


def test_the_exponent_and_rate_are_most_likely_and_their_error_is_the_curvature():
    values, counts = trees(3000, 20_000, np.random.default_rng(1))
    total = counts.sum(axis=0)
    found = plateau.lower_part(tails.counted(values, total), 10, 3000)
    assert (found.lower, found.upper) == (10, 1000)
    assert found.n == total[(values >= 10) & (values <= 1000)].sum()
    h, g = 1e-2, 1e-4

    def at(i, j):
        return likelihood(values, total, 10, 1000, found.exponent + i * h, found.rate + j * g)

    top = at(0, 0)
    assert all(at(i, j) < top for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)))
    second = np.array(
        [
            [(at(1, 0) - 2 * top + at(-1, 0)) / h**2, 0],
            [0, (at(0, 1) - 2 * top + at(0, -1)) / g**2],
        ]
    )
    mixed = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * h * g)
    second[0, 1] = second[1, 0] = mixed
    error = math.sqrt(np.linalg.inv(-second * found.n)[0, 0])
    assert found.stderr == pytest.approx(error, rel=1e-2)


def test_the_influence_of_a_run_is_what_its_weight_changes():
    values, counts = trees(3000, 20_000, np.random.default_rng(2))
    pairs = tails.counted(values, counts.sum(axis=0))
    found = plateau.lower_part(pairs, 10, 3000)
    inside = (values >= 10) & (values <= 1000)
    each = plateau.features(values[inside], 10, 1000)
    shares = plateau.influences(counts[:, inside], each, found.covariance)
    for r in range(len(counts)):
        # A run counted a thousandth more.
        total = 1000 * counts.sum(axis=0) + counts[r]
        more = plateau.lower_part(tails.counted(values, total), 10, 3000)
        assert (more.exponent - found.exponent) * 6e3 == pytest.approx(shares[r], abs=2e-3)


def test_intervals_of_one_size_and_of_all_hold_the_exponent_of_trees():
    held, held_by_all = [], []
    for number in range(25):
        rng = np.random.default_rng(number)
        sizes = []
        size_of = np.repeat(np.arange(3), 6)
        for k, cutoff in enumerate((1000, 4000, 16_000)):
            values, counts = trees(cutoff, 5000, rng)
            drawn = rng.integers(6, size=(60, 6))
            sizes.append(plateau.of_size(values, counts, np.flatnonzero(size_of == k), drawn))
        low, high = plateau.joint(sizes[-1:], size_of).interval(0.95)
        held.append(low[0] <= 1.5 <= high[0])
        low, high = plateau.joint(sizes, size_of).interval(0.95)
        held_by_all.append(low[0] <= 1.5 <= high[0])
    # Of 25 intervals that hold with 95 %, fewer than 20 hold once in 1,000.
    assert min(sum(held), sum(held_by_all)) >= 20


def test_one_tau_of_all_is_that_of_the_joint_likelihood():
    rng = np.random.default_rng(5)
    size_of = np.repeat(np.arange(2), 6)
    sizes = []
    for k, cutoff in enumerate((2000, 9000)):
        values, counts = trees(cutoff, 8000, rng)
        runs = np.flatnonzero(size_of == k)
        sizes.append(plateau.of_size(values, counts, runs, rng.integers(6, size=(5, 6))))
    estimate = plateau.joint(sizes, size_of)

    def loss(theta):
        return -sum(
            s.found.n
            * likelihood(s.values, s.counts.sum(0), s.found.lower, s.found.upper, theta[0], rate)
            for s, rate in zip(sizes, theta[1:] / [s.found.upper for s in sizes], strict=True)
        )

    best = optimize.minimize(loss, [1.5, 0, 0], method="Nelder-Mead", options={"xatol": 1e-5})
    error = min(s.found.stderr for s in sizes)
    assert abs(estimate.value[0] - best.x[0]) < 0.1 * error
    assert plateau.joint([], size_of) is None


@pytest.mark.parametrize("seed", range(3))
def test_no_range_is_trusted_where_there_is_no_power_law(seed):
    rng = np.random.default_rng(seed)
    values, counts = np.unique(rng.geometric(0.01, 20_000), return_counts=True)
    drawn = rng.integers(4, size=(20, 4))
    size = plateau.of_size(values.astype(float), np.stack([counts] * 4), np.arange(4), drawn)
    assert not size.sure
