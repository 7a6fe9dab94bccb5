"""The systems of known exponents, against their rules in plain loops and what is exact."""

from fractions import Fraction

import naive_systems as naive
import numpy as np
import pytest
from scipy import sparse, stats
from scipy.sparse.linalg import spsolve

from grokcrit.kernels.systems import branching, btw, manna, ofc, oslo, reed_frost
from grokcrit.kernels.systems.lattice import inside
from grokcrit.kernels.systems.series import empty_series
from grokcrit.systems import system_options
from grokcrit.systems.exact import mean_exit_time, mean_size


def series_of(kernel, state, rng, avalanches):
    """Size, area, duration and peak of each avalanche, made in two calls."""
    series = empty_series(avalanches)
    for part in (series.part(0, avalanches // 3), series.part(avalanches // 3, avalanches)):
        kernel.advance(state, rng, part)
    columns = (series.size, series.area, series.duration, series.peak)
    return [tuple(map(int, row)) for row in zip(*columns, strict=True)]


def by_site(state):
    return {tuple(map(int, i)): int(held) for i, held in np.ndenumerate(inside(state))}


def twins(seed):
    return np.random.default_rng(seed), np.random.default_rng(seed)


@pytest.mark.parametrize(("length", "avalanches"), [(1, 50), (2, 200), (7, 400), (24, 300)])
def test_oslo_topples_as_a_plain_loop_does(length, avalanches):
    pile = oslo.start(length, np.random.default_rng(length))
    slopes, thresholds = pile.slope[1:-1].tolist(), pile.threshold[1:-1].tolist()
    pile.bits[:] = 0  # what the start has left
    mine, other = twins(1)
    expected = naive.oslo(slopes, thresholds, other, avalanches)
    assert series_of(oslo, pile, mine, avalanches) == expected
    assert pile.slope[1:-1].tolist() == slopes
    assert max(expected)[0] >= length


@pytest.mark.parametrize("kernel", [manna, btw])
@pytest.mark.parametrize(("length", "avalanches"), [(1, 60), (2, 200), (5, 400), (12, 300)])
def test_sandpiles_topple_as_plain_loops_do(kernel, length, avalanches):
    state = kernel.start(length, np.random.default_rng(length))
    held = by_site(state)
    state.bits[:] = 0  # what the start has left
    mine, other = twins(2)
    rule = naive.manna if kernel is manna else naive.btw
    expected = rule(held, other, avalanches)
    before = int(state.held.sum(dtype=np.int64))
    assert series_of(kernel, state, mine, avalanches) == expected
    assert by_site(state) == held
    # No particle is lost but to the places around, where it is still counted.
    assert int(state.held.sum(dtype=np.int64)) == before + avalanches
    assert kernel.held(state) == sum(held.values())


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.25])
@pytest.mark.parametrize(("length", "avalanches"), [(1, 9), (2, 60), (6, 400), (9, 300)])
def test_ofc_topples_as_the_rule_without_rounding_does(alpha, length, avalanches):
    state = ofc.start(length, np.random.default_rng(length), alpha)
    stress = {
        (r, c): Fraction(float(state.value[(r + 1) * (length + 2) + c + 1]))
        for r in range(length)
        for c in range(length)
    }
    expected = naive.ofc(stress, Fraction(alpha), avalanches)
    assert series_of(ofc, state, np.random.default_rng(), avalanches) == expected
    assert ofc.held(state) == pytest.approx(float(sum(stress.values())), abs=1e-9)
    assert length == 1 or max(expected)[2] > 1


@pytest.mark.parametrize("offspring", [0.7, 1.0, 1.2])
def test_trees_are_those_of_a_plain_loop(offspring):
    mine, other = twins(3)
    state = branching.start(30, mine, offspring)
    assert series_of(branching, state, mine, 500) == naive.branching(30, offspring, other, 500)


@pytest.mark.parametrize("individuals", [2, 40, 1000])
def test_epidemics_are_those_of_a_plain_loop(individuals):
    mine, other = twins(4)
    state = reed_frost.start(individuals, mine)
    found = series_of(reed_frost, state, mine, 500)
    assert found == naive.reed_frost(individuals, other, 500)


def test_an_epidemic_of_one_individual_ends_with_it():
    rng = np.random.default_rng(0)
    assert series_of(reed_frost, reed_frost.start(1, rng), rng, 2) == [(1, 1, 1, 1)] * 2


def test_a_tree_that_explodes_is_cut_off_and_marked():
    rng = np.random.default_rng(5)
    series = empty_series(20)
    branching.advance(branching.start(400, rng, 2.0), rng, series)
    assert series.truncated.any()
    assert not series.truncated.all()
    assert (series.size[series.truncated] > 2**50).all()
    assert (series.size[~series.truncated] <= 2**50).all()


def consistent(states, probabilities, expected_rejections=1e-4):
    """Whether drawn states are of given probabilities: chi^2; it errs once in 10,000 seeds."""
    tally = {state: 0 for state, p in probabilities.items() if p > 1e-12}
    for state in states:
        tally[state] += 1
    expected = [probabilities[state] * len(states) for state in tally]
    assert min(expected) > 5
    return stats.chisquare(list(tally.values()), expected).pvalue > expected_rejections


def test_oslo_starts_in_the_stationary_state():
    exact = naive.oslo_stationary(2)
    starts = [oslo.start(2, np.random.default_rng(seed)) for seed in range(4000)]
    places = [zip(s.slope[1:-1].tolist(), s.threshold[1:-1].tolist(), strict=True) for s in starts]
    assert consistent([tuple(each) for each in places], exact)


def test_manna_starts_in_the_stationary_state():
    exact = naive.manna_stationary(2)
    starts = [manna.start(2, np.random.default_rng(seed)) for seed in range(8000)]
    assert consistent([tuple(inside(state).ravel().tolist()) for state in starts], exact)


def test_btw_starts_in_any_recurrent_state_with_equal_probability():
    states = naive.recurrent(2)
    assert len(states) == 192  # spanning trees: the determinant of the lattice's Laplacian
    exact = dict.fromkeys(states, 1 / len(states))
    starts = [btw.start(2, np.random.default_rng(seed)) for seed in range(5000)]
    assert consistent([tuple(inside(state).ravel().tolist()) for state in starts], exact)


@pytest.mark.parametrize("length", [1, 2, 7, 20])
def test_the_mean_exit_time_is_that_of_the_random_walk(length):
    line = sparse.diags_array([1.0, 1.0], offsets=[-1, 1], shape=(length, length))
    one = sparse.eye_array(length)
    step = (sparse.kron(line, one) + sparse.kron(one, line)) / 4
    walk = sparse.csc_array(sparse.eye_array(length**2) - step)
    times = spsolve(walk, np.ones(length**2))
    assert mean_exit_time(length) == pytest.approx(times.mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("system", "size", "options"),
    [
        ("oslo", 24, {}),
        ("manna", 9, {}),
        ("btw", 9, {}),
        ("branching", 20, {}),
        ("branching", 20, {"branching": 0.8}),
        ("branching", 20, {"branching": 1.1}),
        ("reed-frost", 30, {}),
    ],
)
def test_mean_sizes_are_exact_within_four_standard_errors(system, size, options):
    chosen = system_options(system, size=size, **options)
    kernel, means = chosen.kernel(), []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        state = kernel.start(size, rng, *chosen.parameters.values())
        series = empty_series(4000)
        kernel.advance(state, rng, series)
        means.append(series.size.mean())
    exact = naive.reed_frost_mean(size) if system == "reed-frost" else mean_size(chosen, size)
    assert abs(np.mean(means) - exact) < 4 * stats.sem(means)
    assert stats.sem(means) < 0.03 * exact


def test_the_mean_of_trees_is_the_sum_over_their_generations():
    for offspring in (0.5, 0.999, 1.0, 1.2):
        options = system_options("branching", branching=offspring)
        expected = sum(offspring**g for g in range(40))
        assert mean_size(options, 40) == pytest.approx(expected, rel=1e-12)
    assert mean_size(system_options("branching", branching=2.0), 100) is None
