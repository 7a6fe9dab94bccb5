"""Finite-size scaling, piece by piece: windows, statistics, slopes, draws."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from grokcrit.base.errors import FitError
from grokcrit.base.vocabulary import OBSERVABLES
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.fits import fit
from grokcrit.scaling.reductions import over_runs, over_snapshots

from .synthetic import random_rows, regular_rows, row, table

SIZES = np.array([81, 121, 201, 301, 401, 801, 1201, 2001])
WINDOWS = ("aggregate", "pre", "post", "ungrokked", "epoch", "aligned")


def ensemble_of(rows):
    (found,) = scaling.ensembles(table(rows))
    return found


# --- slopes -----------------------------------------------------------------------------------


@given(st.floats(-2, 2), st.floats(1e-3, 1e6), st.integers(3, 8))
def test_an_exact_power_law_gives_its_exponent(exponent, scale, count):
    sizes = SIZES[:count]
    found = fit(sizes, scale * sizes.astype(float) ** exponent)
    assert found.exponent == pytest.approx(exponent, rel=1e-12, abs=1e-12)
    assert found.intercept == pytest.approx(math.log(scale), rel=1e-10, abs=1e-10)
    assert found.stderr < 1e-12
    assert found.n_sizes == count
    if abs(exponent) > 0.01:
        assert found.r_squared == pytest.approx(1, abs=1e-12)
    if count > 3:
        assert abs(found.curvature) < 1e-10
    else:
        assert np.isnan(found.curvature)


@given(st.integers(3, 8), st.integers(0, 2**32), st.sampled_from([0.01, 0.3, 2.0]))
def test_a_slope_is_that_of_linregress_and_a_curvature_that_of_polyfit(count, seed, noise):
    sizes = SIZES[:count]
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0, noise, count)) * sizes**1.1
    found = fit(sizes, values)
    x, y = np.log(sizes), np.log(values)
    wanted = stats.linregress(x, y)
    assert found.exponent == pytest.approx(wanted.slope, rel=1e-9, abs=1e-12)
    assert found.intercept == pytest.approx(wanted.intercept, rel=1e-9, abs=1e-9)
    assert found.stderr == pytest.approx(wanted.stderr, rel=1e-5, abs=1e-9)  # theirs cancels
    assert found.r_squared == pytest.approx(wanted.rvalue**2, rel=1e-9, abs=1e-9)
    if count > 3:
        bend = np.polynomial.Polynomial.fit(x, y, 2).convert().coef[2]
        assert found.curvature == pytest.approx(bend, rel=1e-6, abs=1e-9)


def test_a_parabola_in_the_logarithms_gives_its_curvature():
    x = np.log(SIZES)
    found = fit(SIZES, np.exp(0.25 * x**2 - 1.5 * x + 2))
    assert found.curvature == pytest.approx(0.25, rel=1e-9)


@pytest.mark.parametrize("absent", [0.0, np.nan, -1.0])
def test_sizes_without_a_positive_statistic_are_left_out(absent):
    values = SIZES**1.3
    spoilt = values.copy()
    spoilt[[0, 4]] = absent
    others = [1, 2, 3, 5, 6, 7]
    found, wanted = fit(SIZES, spoilt), fit(SIZES[others], values[others])
    assert found.n_sizes == 6
    for name in ("exponent", "intercept", "curvature"):
        assert getattr(found, name) == pytest.approx(float(getattr(wanted, name)), abs=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_sizes_give_no_fit(count):
    values = np.full(8, np.nan)
    values[:count] = SIZES[:count] ** 1.3
    found = fit(SIZES, values)
    assert found.n_sizes == count
    for name in ("exponent", "intercept", "stderr", "r_squared", "curvature"):
        assert np.isnan(getattr(found, name)), name


def test_many_fits_at_once_are_each_alone():
    rng = np.random.default_rng(4)
    values = np.exp(rng.normal(0, 1, (5, 3, 8)))
    values[rng.random(values.shape) < 0.3] = np.nan
    together = fit(SIZES, values)
    for i in range(5):
        for j in range(3):
            alone = fit(SIZES, values[i, j])
            for name in ("exponent", "intercept", "stderr", "r_squared", "curvature", "n_sizes"):
                np.testing.assert_allclose(
                    getattr(together, name)[i, j], getattr(alone, name), rtol=1e-12
                )


@pytest.mark.parametrize("count", range(3, 9))
@pytest.mark.parametrize("level", [1.0, 20.0, 0.3, 7.7])
def test_a_flat_line_has_exponent_zero_and_no_r_squared(count, level):
    """Duration reads 20 at every size where every cascade is cut off: nothing is explained."""
    found = fit(SIZES[:count], np.full(count, level))
    assert found.exponent == pytest.approx(0, abs=1e-14)
    assert np.isnan(found.r_squared)


# --- ensembles and observables ----------------------------------------------------------------


def test_a_table_is_split_into_its_cases_whatever_its_order():
    rows = random_rows(1) + random_rows(2, alpha=0.5) + random_rows(3, surrogate="gaussian")
    np.random.default_rng(0).shuffle(rows)
    found = scaling.ensembles(table(rows))
    cases = [(e.case["alpha"], e.case["surrogate"]) for e in found]
    assert sorted(cases) == [(0.3, "gaussian"), (0.3, "none"), (0.5, "none")]
    for each in found:
        mine = [
            r
            for r in rows
            if (r["alpha"], r["surrogate"]) == (each.case["alpha"], each.case["surrogate"])
        ]
        assert len(each.epoch) == len(mine)
        assert each.sizes.tolist() == sorted({r["n_params"] for r in mine})
        runs = sorted({(r["n_params"], r["seed"], r["grok_epoch"]) for r in mine}, key=str)
        groks = [None if math.isnan(g) else int(g) for g in each.grok]
        held = zip(each.sizes[each.size_of].tolist(), each.seed.tolist(), groks, strict=True)
        assert sorted(held, key=str) == runs


@pytest.mark.parametrize("observable", OBSERVABLES)
def test_an_observable_is_the_oracles_for_every_avalanche(observable):
    rows = random_rows(7)
    assert any(not r["activity"] for r in rows)
    assert any(len(r["activity"]) == 1 for r in rows)
    found = ensemble_of(rows).observe(observable)
    ordered = sorted(rows, key=lambda r: (r["width"], r["seed"], r["epoch"]))
    for value, each in zip(found, ordered, strict=True):
        wanted = naive.observe(each, observable)
        assert math.isnan(value) if wanted is None else value == wanted


def test_observables_of_a_known_avalanche():
    rows = [row(w, 0, 0, [4, 6, 1]) for w in (3, 5, 9)]
    rows[1] = row(5, 0, 0, [5])
    rows[2] = row(9, 0, 0, [])
    found = ensemble_of(rows)
    assert found.observe("excess").tolist() == [7, 0, 0]
    assert found.observe("branching")[:2].tolist() == [1.5, 0]
    assert np.isnan(found.observe("branching")[2])
    assert found.observe("peak").tolist() == [6, 5, 0]


# --- windows and statistics -------------------------------------------------------------------


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("seed", range(4))
def test_every_avalanche_falls_into_the_bin_of_the_oracle(name, seed):
    rows = random_rows(seed)
    found = ensemble_of(rows)
    bins = windows(found, name)
    ordered = sorted(rows, key=lambda r: (r["width"], r["seed"], r["epoch"]))
    for place, each in zip(bins.bin_of.tolist(), ordered, strict=True):
        mine = [time for window, time in naive.windows_of(each) if window == name]
        assert mine == ([] if place < 0 else [bins.times[place]])
    if name in ("epoch", "aligned"):
        assert bins.times == sorted({t for r in rows for w, t in naive.windows_of(r) if w == name})
    else:
        assert bins.times == [None]


def test_an_aligned_bin_starts_at_the_multiple_of_ten_below():
    epochs = [0, 4, 5, 14, 15, 24, 25, 26, 35]
    rows = [row(w, 0, e, [1], grok=15) for w in (3, 5, 9) for e in epochs]
    bins = windows(ensemble_of(rows), "aligned")
    starts = [bins.times[b] for b in bins.bin_of[: len(epochs)]]
    assert starts == [-20, -20, -10, -10, 0, 0, 10, 10, 20]


def test_the_grokking_epoch_itself_is_post():
    rows = [row(w, 0, e, [1], grok=30) for w in (3, 5, 9) for e in (20, 30, 40)]
    found = ensemble_of(rows)
    assert windows(found, "pre").bin_of[:3].tolist() == [0, -1, -1]
    assert windows(found, "post").bin_of[:3].tolist() == [-1, 0, 0]


@pytest.mark.parametrize("statistic", ["mean", "run-max", "max"])
@pytest.mark.parametrize("observable", OBSERVABLES)
@pytest.mark.parametrize("seed", range(3))
def test_a_statistic_over_a_window_is_that_of_plain_loops(statistic, observable, seed):
    rows = random_rows(seed)
    found = ensemble_of(rows)
    values = found.observe(observable)
    for name in WINDOWS:
        bins = windows(found, name)
        by_run = over_snapshots(found, values, bins, statistic)
        by_size = over_runs(found, by_run, statistic)
        assert by_size.shape == (len(bins.times), len(found.sizes))
        for place, time in enumerate(bins.times):
            wanted = naive.statistic(naive.in_window(rows, name, time), observable, statistic)
            for k, n in enumerate(found.sizes.tolist()):
                value = by_size[place, k]
                if n in wanted:
                    assert value == pytest.approx(wanted[n], rel=1e-13)
                else:
                    assert np.isnan(value)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_sizes_are_refused_with_how_many_there_are_and_are_needed(count):
    rows = random_rows(1, widths=(3, 5)[:count])
    with pytest.raises(FitError, match=f"at least 3 sizes, the table has {count}") as caught:
        scaling.ensembles(table(rows))
    assert "13" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_thin_case_beside_a_good_one_is_no_error():
    rows = random_rows(1) + random_rows(2, widths=(3, 5), alpha=0.5)
    assert len(scaling.ensembles(table(rows))) == 2


# --- draws ------------------------------------------------------------------------------------


def test_a_draw_takes_runs_with_replacement_inside_each_size():
    found = ensemble_of(regular_rows(1, runs=6))
    draws = resampling.draw_runs(found, 4000, 3)
    assert len(draws) == 5
    for drawn in draws:
        assert drawn.shape == (4000, 6)
        assert set(np.unique(drawn)) == set(range(6))
        share = np.mean(drawn == 2)
        assert abs(share - 1 / 6) < 5 * math.sqrt(5 / 36 / drawn.size)
        distinct = np.mean([len(set(d)) for d in drawn[:1000].tolist()])
        assert distinct == pytest.approx(6 * (1 - (5 / 6) ** 6), rel=0.05)
    assert not np.array_equal(draws[0], draws[1])


def test_draws_depend_on_the_root_seed_the_size_and_the_number_of_runs_alone():
    one = resampling.draw_runs(ensemble_of(regular_rows(1)), 50, 3)
    other = resampling.draw_runs(ensemble_of(regular_rows(8, widths=(2, 5, 30, 40))), 50, 3)
    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(one[4], other[2])
    changed = resampling.draw_runs(ensemble_of(regular_rows(1)), 50, 4)
    assert not np.array_equal(one[0], changed[0])


def test_fewer_resamples_are_the_first_of_more():
    found = ensemble_of(regular_rows(1))
    for few, many in zip(
        resampling.draw_runs(found, 10, 0), resampling.draw_runs(found, 100, 0), strict=True
    ):
        np.testing.assert_array_equal(few, many[:10])


@pytest.mark.parametrize("runs", [3, 6])
def test_p_is_what_students_interval_of_that_confidence_says(runs):
    rng = np.random.default_rng(runs)
    found = ensemble_of(regular_rows(1, runs=runs))
    influences = rng.standard_normal((found.runs, 40))
    value = rng.uniform(-3, 3, 40)
    estimate = resampling.Estimate(value, np.empty((0, 40)), influences, found.size_of)
    for confidence in (0.8, 0.95):
        low, high = estimate.student(confidence)
        outside = (low > 0) | (high < 0)
        assert (outside == (estimate.p() < 1 - confidence)).all()
    # Welch and Satterthwaite, in loops.
    sizes = [influences[found.size_of == k, 0] for k in range(len(found.sizes))]
    parts = [np.var(v, ddof=1) / len(v) for v in sizes]
    freedom = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, sizes, strict=True))
    t = abs(value[0]) / np.sqrt(sum(parts))
    assert estimate.p()[0] == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-10)


def test_a_fit_over_no_size_at_all_is_no_fit():
    found = fit(np.array([], np.int64), np.empty((4, 0)))
    assert np.isnan(found.exponent).all()
    assert (found.n_sizes == 0).all()


# --- coverage ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "plain"), [(3, 0.85), (6, 0.90), (12, 0.93)])
def test_the_corrected_interval_covers_what_it_says_and_the_plain_one_less(runs, plain):
    """5000 tables at eight sizes, lognormal from run to run, exponent 1.1; error 0.3 %."""
    widths, tables, together = (20, 30, 50, 75, 100, 200, 300, 500), 5000, 20
    found = ensemble_of([row(w, s, 0, [10]) for w in widths for s in range(runs)])
    n = found.sizes[found.size_of].astype(float)
    rng = np.random.default_rng(runs)
    hits = np.zeros(2)
    for number in range(tables // together):
        values = n[:, None] ** 1.1 * np.exp(0.5 * rng.normal(size=(len(n), together)))
        draws = resampling.draw_runs(found, 500, number)
        estimate = resampling.exponents(found, values, "mean", draws)
        drawn, ends = estimate.draws, estimate.interval(0.95)
        for k, (low, high) in enumerate((ends, np.quantile(drawn, [0.025, 0.975], axis=0))):
            hits[k] += ((low <= 1.1) & (high >= 1.1)).sum()
    corrected, uncorrected = hits / tables
    print(f"coverage at 95 %, {runs} runs: {corrected:.4f} corrected, {uncorrected:.4f} plain")
    assert 0.93 <= corrected <= 0.97
    assert uncorrected == pytest.approx(plain, abs=0.015)
    assert uncorrected < corrected


@pytest.mark.parametrize("resamples", [1, 2, 40])
def test_percentiles_of_all_bins_are_those_of_numpy_to_the_bit(resamples):
    # Catches another interpolation, a level of another bin, and a draw that is NaN and counts.
    rng = np.random.default_rng(resamples)
    draws = rng.normal(size=(resamples, 9))
    draws[:, 5] = np.round(draws[:, 5])
    draws[0, 6], draws[:, 7] = np.nan, np.nan
    low, high, wanted = rng.random(9) / 2, 1 - rng.random(9) / 2, np.arange(9) != 3
    low[:2], high[:2] = (0, 0.5), (1, 0.5)
    found = np.array(resampling.percentiles(draws, low, high, wanted))
    for b in range(9):
        valid = draws[~np.isnan(draws[:, b]), b]
        there = wanted[b] and len(valid)
        levels = np.quantile(valid, [low[b], high[b]]) if there else [np.nan, np.nan]
        np.testing.assert_array_equal(found[:, b], levels)
