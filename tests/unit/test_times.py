"""Intervals of times: against known steps, a plain loop, and the coverage that they claim."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grokcrit.scaling.resampling import Estimate
from grokcrit.scaling.times import (
    change_interval,
    leaders,
    minus,
    onset_interval,
    rise_interval,
)

TIMES = np.arange(0.0, 200.0, 10.0)
RUNS, DRAWS = 24, 300


def estimate(truth, noise, seed=0, offset=0.0):
    """A curve that is the mean of runs of three sizes, with the draws of its runs."""
    rng = np.random.default_rng(seed)
    shares = noise * rng.standard_normal((RUNS, len(truth)))
    shares += offset * rng.standard_normal((RUNS, 1))
    size_of = np.repeat(np.arange(3), RUNS // 3)
    parts = [shares[size_of == k] for k in range(3)]
    value = truth + np.mean([part.mean(axis=0) for part in parts], axis=0)
    draws = [
        truth + np.mean([p[rng.integers(len(p), size=len(p))].mean(axis=0) for p in parts], axis=0)
        for _ in range(DRAWS)
    ]
    return Estimate(value, np.array(draws), shares / 3, size_of)


def step(height, at=95.0, level=0.0):
    return level + height * (at < TIMES)


def around(time):
    """The snapshots before and after a time between two."""
    return float(TIMES[time > TIMES].max()), float(TIMES[time < TIMES].min())


@pytest.mark.parametrize("at", [35.0, 95.0, 165.0])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_clear_step_lies_between_its_two_snapshots(at, noise):
    assert change_interval(TIMES, estimate(step(1.0, at), noise), 0.95) == around(at)
    assert change_interval(TIMES, estimate(step(-1.0, at), noise), 0.95) == around(at)
    gap = estimate(step(1.0, at, level=-0.5), noise)
    assert rise_interval(TIMES, gap, 0.95) == around(at)
    low, high = onset_interval(TIMES, estimate(step(1.0, at), noise), around(at)[1], 3, 0.95)
    assert high == around(at)[1]
    assert low <= around(at)[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_no_interval_is_narrower_than_a_snapshot_or_leaves_out_its_time(seed, height, offset):
    gap = estimate(step(height, level=-height / 2), 0.3, seed, offset)
    found = [change_interval(TIMES, gap, 0.95), rise_interval(TIMES, gap, 0.95)]
    found.append(onset_interval(TIMES, gap, 120.0, 3, 0.95))
    for low, high in found:
        assert np.isnan(low) == np.isnan(high)
        assert np.isnan(low) or (high - low >= 10 and {low, high} <= set(TIMES))
    low, high = found[2]
    assert np.isnan(low) or low < 120 <= high


def test_a_curve_without_a_change_has_no_time_in_19_of_20_tables():
    tables = 100
    flat = [estimate(np.zeros(len(TIMES)), 0.3, seed, 0.3) for seed in range(tables)]
    for made in (
        sum(not np.isnan(change_interval(TIMES, each, 0.95)[0]) for each in flat),
        sum(not np.isnan(rise_interval(TIMES, each, 0.95)[0]) for each in flat),
        sum(not np.isnan(onset_interval(TIMES, each, 100.0, 3, 0.95)[0]) for each in flat),
    ):
        assert made <= stats.binom.ppf(0.9999, tables, 0.05)


def test_one_run_of_a_size_or_no_draws_give_no_interval():
    whole = estimate(step(1.0, level=-0.5), 0.1)
    single = Estimate(whole.value, whole.draws, whole.influences[:17], whole.size_of[:17])
    undrawn = Estimate(whole.value, whole.draws[:0], whole.influences, whole.size_of)
    for each in (single, undrawn):
        assert np.isnan(change_interval(TIMES, each, 0.95)).all()
        assert np.isnan(rise_interval(TIMES, each, 0.95)).all()
        assert np.isnan(onset_interval(TIMES, each, 100.0, 3, 0.95)).all()


def test_what_was_so_from_the_start_has_no_time():
    """Above from the first snapshot but for one that noise took below, apart from the first on."""
    curve = np.full(len(TIMES), 0.3)
    curve[4] = -0.01
    assert np.isnan(rise_interval(TIMES, estimate(curve, 0.3), 0.95)).all()
    apart = estimate(np.ones(len(TIMES)), 0.1)
    assert np.isnan(onset_interval(TIMES, apart, 0.0, 3, 0.95)).all()


def test_a_difference_that_grows_began_before_it_is_seen():
    growing = estimate(np.maximum(0.0, TIMES - 65) / 100, 0.25, 3)
    low, high = onset_interval(TIMES, growing, 110.0, 3, 0.95)
    assert low < 65 < high


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 3.0))
def test_the_leaders_are_those_that_a_plain_loop_keeps(seed, spread):
    rng = np.random.default_rng(seed)
    score, noise = spread * rng.standard_normal(5), rng.standard_normal((50, 5))
    wanted = []
    for s in range(5):
        others = [u for u in range(5) if u != s]
        sd = {u: np.std([row[u] - row[s] for row in noise]) for u in others}
        found = max([0.0, *((score[u] - score[s]) / sd[u] for u in others)])
        drawn = [
            max([0.0, *((row[u] - row[s] + score[u] - max(score)) / sd[u] for u in others)])
            for row in noise
        ]
        if found <= np.quantile(drawn, 0.9) + 1e-12:
            wanted.append(s)
    assert leaders(score, noise, 0.9).tolist() == wanted
    assert int(np.argmax(score)) in wanted


def test_a_difference_of_two_times_adds_their_distances_in_quadrature():
    assert minus(10.0, (7.0, 14.0), 4.0, (1.0, 7.0)) == pytest.approx((6 - 18**0.5, 11.0))
    assert minus(10.0, (10.0, 10.0), 4.0, (1.0, 6.0)) == pytest.approx((4.0, 9.0))
    assert np.isnan(minus(10.0, (7.0, 14.0), 4.0, (np.nan, np.nan))).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantity", "name"),
    [
        ("crossing", "linear, 0.4 in 100 epochs"),
        ("change-point", "step of 0.1"),
        ("change-point", "logistic, 0.2, 30 epochs"),
        ("separation", "linear, 0.4 in 50 epochs"),
    ],
)
def test_95_percent_intervals_cover(quantity, name, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import times_coverage

    (kind,) = (k for k in times_coverage.tables() if (k.quantity, k.name) == (quantity, name))
    found = times_coverage.coverage(kind, 6, 60, root_seed=1)
    assert found.none <= 30
    assert found.held >= stats.binom.ppf(0.001, len(found.ends), 0.95)
    # Wider than needed: the whole training would hold every time.
    assert np.median(np.diff(found.ends)) < 400
