"""Data collapse: its curves against plain loops, its exponents against what is known."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate, stats

from grokcrit.scaling import collapse as stage
from grokcrit.scaling import resampling, splines
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.collapse import collapse
from grokcrit.scaling.ensembles import Ensemble

# Uncompiled, an exponent takes milliseconds: fewer sizes and resamples then, the same questions.
INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
SIZES = np.array([81, 301, 2001] if INTERPRETED else [81, 121, 201, 401, 801, 2001])
RESAMPLES = 4 if INTERPRETED else 30
EXAMPLES = 2 if INTERPRETED else 8


def made(by_run):
    """An ensemble out of (N, values of a run), runs of a size side by side; and all values."""
    sizes, size_of = np.unique([n for n, _ in by_run], return_inverse=True)
    lengths = [len(values) for _, values in by_run]
    seed = np.concatenate([np.arange(c) for c in np.bincount(size_of)])
    ensemble = Ensemble(
        case={},
        sizes=sizes,
        size_of=size_of,
        seed=seed,
        grok=np.full(len(by_run), np.nan),
        run=np.repeat(np.arange(len(by_run)), lengths),
        epoch=np.concatenate([np.arange(length) for length in lengths]),
        truncated=np.zeros(sum(lengths), bool),
        table=pa.table({}),
    )
    return ensemble, np.concatenate([values for _, values in by_run]).astype(float)


def noisy(seed, exponent=1.1, runs=6, snapshots=40):
    """Runs of log-normal avalanches, each run with a factor of its own."""
    rng = np.random.default_rng(seed)
    by_run = []
    for n in SIZES:
        for _ in range(runs):
            level = exponent * np.log(n) + 0.1 * rng.standard_normal()
            values = np.exp(level + 0.3 * rng.standard_normal(snapshots + rng.integers(5)))
            by_run.append((n, values))
    return made(by_run)


def cut_off(seed, d=2.0, tau=1.5, runs=6, avalanches=2000, sizes=(16, 32, 64, 128)):
    """P(S > s) = s^-(tau - 1) exp(-s / N^D) from s = 1: exact scaling, drawn by inversion."""
    rng = np.random.default_rng(seed)
    by_run = []
    for n in sizes:
        for _ in range(runs):
            power = rng.random(avalanches) ** (-1 / (tau - 1))
            end = float(n) ** d * rng.exponential(size=avalanches)
            by_run.append((n, np.minimum(power, end)))
    return made(by_run)


def found(ensemble, values, free=False, resamples=RESAMPLES, window="aggregate", **more):
    draws = resampling.draw_runs(ensemble, resamples, 0)
    bins = windows(ensemble, window)
    return collapse(ensemble, values, bins, draws, 0.95, free=free, **more)


# --- the curves -------------------------------------------------------------------------------


def test_a_curve_is_the_mean_over_runs_of_each_runs_share_above_s():
    rng = np.random.default_rng(4)
    runs = [np.sort(rng.integers(0, 300, size).astype(float)) for size in (25, 60, 0, 40)]
    log_s, log_p, weight, shares = stage.curve(runs, 10.0)
    assert len(log_s) > 10
    for i, s in enumerate(np.exp(log_s)):
        assert s % 1 == pytest.approx(0.5)  # between whole numbers
        each = [sum(v > s for v in run) / len(run) for run in runs if len(run)]
        p = sum(each) / 3
        assert np.exp(log_p[i]) == pytest.approx(p, rel=1e-12)
        independent = (1 - p) / p * (1 / 25 + 1 / 60 + 1 / 40) / 9
        assert weight[i] == pytest.approx(1 / independent, rel=1e-12)
        wanted = [*(share / p - 1 for share in each[:2]), np.nan, each[2] / p - 1]
        np.testing.assert_allclose(shares[:, i], wanted, atol=1e-12)
        assert sum(v > s for run in runs for v in run) >= stage.LEAST
        assert sum(v < s for run in runs for v in run) >= stage.LEAST


def test_the_common_curve_is_the_least_squares_spline_of_another_routine():
    ensemble, values = noisy(5)
    curves = stage.curves_of(ensemble, values, windows(ensemble, "aggregate"), 0)
    x = curves.log_s - 1.05 * curves.log_n[curves.size_of]
    order = np.argsort(x, kind="stable")
    spline = interpolate.make_lsq_spline(
        x[order], curves.log_p[order], stage.knots(x[None])[0], 3, w=np.sqrt(curves.weight[order])
    )
    chi2 = float(curves.weight @ (curves.log_p - spline(x)) ** 2)
    assert stage.profile(curves, 1.05, False).chi2 == pytest.approx(chi2, rel=1e-8)


# --- the exponents ----------------------------------------------------------------------------


@settings(max_examples=EXAMPLES)
@given(st.floats(-0.5, 2.5))
def test_curves_that_collapse_without_noise_give_their_exponent_and_no_misfit(exponent):
    shape = np.exp(0.4 * stats.norm.ppf((np.arange(400) + 0.5) / 400))
    by_run = [(n, factor * shape * float(n) ** exponent) for n in SIZES for factor in (0.9, 1.1)]
    result = found(*made(by_run), direct=[exponent + 0.1])
    assert result.exponent.value == pytest.approx(exponent, abs=2e-3)
    assert result.quality < 0.05
    assert result.at[0] > 5 * result.quality


@pytest.mark.parametrize("seed", range(3))
def test_a_power_law_with_a_cutoff_gives_both_exponents_and_tau(seed):
    """The fault this catches: with beta = 0, D of tau > 1 is drawn to 0."""
    made_of = cut_off(seed)
    both, alone = found(*made_of, free=True, smallest=1.0), found(*made_of)
    for exponent, known in ((both.exponent, 2.0), (both.beta, 1.0), (both.tau, 1.5)):
        # About four standard errors.
        assert abs(exponent.value - known) < 2 * (exponent.ci_high - exponent.ci_low) / 2
    assert both.p > 0.01
    assert alone.p == 1 / (RESAMPLES + 1)
    assert alone.quality > 10 * both.quality


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32), st.floats(1e-2, 1e2))
def test_the_unit_of_the_avalanche_does_not_matter(seed, factor):
    ensemble, values = noisy(seed)
    first, second = (found(ensemble, each, direct=[1.0]) for each in (values, factor * values))
    assert second.n_points == first.n_points
    assert second.exponent == pytest.approx(first.exponent, rel=1e-5)
    assert (*second.at, second.quality) == pytest.approx((*first.at, first.quality), rel=1e-5)


@pytest.mark.parametrize("free", [False, True])
def test_another_power_of_n_shifts_the_exponent_by_it(free):
    ensemble, values = noisy(3)
    scaled = values * ensemble.sizes[ensemble.size_of[ensemble.run]] ** 0.25
    first, second = (found(ensemble, each, free=free) for each in (values, scaled))
    assert second.exponent.value - first.exponent.value == pytest.approx(0.25, abs=1e-3)


def test_an_interval_is_that_of_refits_without_one_run_each():
    """To first order: a jackknife over whole runs, by plain refits, has the same width."""
    ensemble, values = noisy(2, runs=8)
    result = found(ensemble, values)
    variance = 0.0
    for k in range(len(ensemble.sizes)):
        each = []
        for run in np.flatnonzero(ensemble.size_of == k):
            rest = np.where(ensemble.run == run, np.nan, values)
            each.append(found(ensemble, rest, resamples=1).exponent.value)
        n = len(each)
        variance += (n - 1) / n * float(((np.array(each) - np.mean(each)) ** 2).sum())
    half = (result.exponent.ci_high - result.exponent.ci_low) / 2
    assert half / np.sqrt(variance) == pytest.approx(2.0, abs=0.35)  # Student's t is 1.97 to 2.2


# --- what cannot be estimated -------------------------------------------------------------------


def test_shapes_that_differ_are_rejected():
    ensemble, values = noisy(8, runs=12)
    size = ensemble.size_of[ensemble.run]
    level = np.array([np.median(values[size == k]) for k in range(len(ensemble.sizes))])[size]
    wider = level * (values / level) ** (0.5 + 0.3 * size)
    assert found(ensemble, values, resamples=200).p > 0.05
    assert found(ensemble, wider, resamples=200).p < 0.05


def test_curves_farther_apart_than_the_search_goes_have_no_exponent():
    result = found(*noisy(1, exponent=5.0))
    assert result.exponent is None
    assert "-1 to 4" in result.reason


def test_curves_that_agree_until_they_end_do_not_collapse_at_d_0():
    """Fault: a power law that stops at s = N collapsed with D 0.01, and a narrow interval."""
    rng = np.random.default_rng(3)
    by_run = [
        (n, np.floor(np.minimum(rng.random(2000) ** -1.25, n)))
        for n in (64, 256, 1024, 4096)
        for _ in range(6)
    ]
    for free in (False, True):
        result = found(*made(by_run), free=free, smallest=5.0)
        assert result.exponent is None or abs(result.exponent.value - 1) < 0.1


def test_two_sizes_do_not_make_a_collapse():
    ensemble, values = made([(n, [1.0, 2.0, 3.0 + r]) for n in (5, 9) for r in range(2)])
    assert "at least 3 sizes with data, there are 2" in found(ensemble, values).reason


def test_equal_runs_have_no_error_to_judge_by():
    values = np.arange(1.0, 40.0)
    ensemble, values = made([(n, n * values) for n in (5, 9, 17) for _ in range(2)])
    result = found(ensemble, values, direct=[1.0])
    assert (result.exponent, result.at) == (None, (None,))
    assert "no error" in result.reason


def test_a_size_without_any_avalanche_is_named():
    run = np.arange(30.0)
    ensemble, values = made([(n, (n > 5) * (run + r)) for n in (5, 9, 17) for r in (0, 1)])
    assert "N = 5 " in found(ensemble, values).reason


def test_a_size_with_one_run_leaves_the_exponent_without_an_interval():
    ensemble, values = noisy(6)
    kept = (ensemble.size_of[ensemble.run] > 0) | (ensemble.run == 0)
    result = found(ensemble, np.where(kept, values, np.nan))
    assert 0.8 < result.exponent.value < 1.4
    assert result.exponent[1:] == (None, None)


def test_a_window_without_avalanches_has_no_exponent():
    ensemble, values = noisy(6)
    result = found(ensemble, values, window="post")
    assert (result.exponent, result.n_points, result.n_draws) == (None, 0, 0)


# --- coverage -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("free", [False, True])
def test_95_percent_intervals_of_12_runs_cover_and_5_percent_are_rejected(free, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import collapse_coverage

    tables, world = 200, collapse_coverage.World()
    results = collapse_coverage.collapses(world, 12, tables, free=free, resamples=400, root_seed=1)
    hits = round(tables * collapse_coverage.covered(results, world.exponent))
    low, high = stats.binom.ppf([0.0005, 0.9995], tables, 0.95)
    assert low <= hits <= high
    assert tables * collapse_coverage.rejected(results) <= stats.binom.ppf(0.9995, tables, 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_splines_are_those_of_scipy_to_the_bit(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 3, (2, 90))
    places, coefficients = stage.knots(x), rng.normal(size=(2, 13))
    at = np.append(x, places[:, -1:], axis=1)
    found = splines.basis(places, at, 3)
    for i in range(2):
        theirs = interpolate.BSpline(places[i], coefficients[i], 3)
        wanted = interpolate.BSpline.design_matrix(at[i], places[i], 3).toarray()
        np.testing.assert_array_equal(found.dense(13)[i], wanted)
        np.testing.assert_array_equal(found.sum(coefficients)[i], theirs(at[i]))
        slope = splines.derivative(places[i], coefficients[i], x[i], 3)
        np.testing.assert_array_equal(slope, theirs.derivative()(x[i]))
