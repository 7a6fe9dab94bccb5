"""Moments, halves, clusters and adjusted p against plain loops and other libraries."""

import itertools
import math

import naive
import numpy as np
import pytest
from scipy import stats

import grokcrit
from grokcrit.questions.adjusting import benjamini_hochberg
from grokcrit.scaling import clusters, moments, resampling
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.lines import Lines
from grokcrit.scaling.reductions import over_runs, over_snapshots

from .synthetic import regular_rows, row, table


def rows_of(made, **wanted):
    return [r for r in made.to_pylist() if all(r[k] == v for k, v in wanted.items())]


def one(made, **wanted):
    (found,) = rows_of(made, **wanted)
    return found


def slope_over(q, sigma, power=1):
    return np.polynomial.Polynomial.fit(q, sigma, power).convert().coef[power]


def naive_moments(rows):
    """sigma(q), D, tau and the bend by plain loops."""
    q = [1, 1.5, 2, 2.5, 3, 3.5, 4]
    sigma = [naive.slope(*naive.points(naive.moment(rows, "size", each))) for each in q]
    d = slope_over(q[2:], sigma[2:])
    return [*sigma, d, 2 - sigma[0] / d, slope_over(q, sigma, 2)]


def uneven(seed, runs=5, sizes=(5, 9, 14, 30)):
    """Runs of heavy-tailed sizes on a line."""
    rng = np.random.default_rng(seed)
    return [
        row(w, run, epoch, [1 + round(20 * w * rng.lognormal(0, 0.8))], 35)
        for w in sizes
        for run in range(runs)
        for epoch in range(0, 100, 10)
    ]


# --- moments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_moments_are_those_of_plain_loops(seed):
    rows = regular_rows(seed)
    made = grokcrit.diagnose(table(rows), only="moments", observable="size")
    for window in ("aggregate", "pre", "post"):
        wanted = naive_moments(naive.in_window(rows, window))
        for part, value in zip(moments.NAMES, wanted, strict=True):
            found = one(made, quantity="moment", part=part, window=window)
            assert found["value"] == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_their_intervals_are_those_of_leaving_each_run_out():
    """Fault: intervals that follow the bias of ln M_4; oracle: refits without each run."""
    rows = uneven(4)
    made = grokcrit.diagnose(table(rows), only="moments", observable="size")
    whole = np.array(naive_moments(rows))
    variance, bias, spread = np.zeros(10), np.zeros(10), np.zeros(10)
    for width in (5, 9, 14, 30):
        without = np.array(
            [
                naive_moments([r for r in rows if (r["width"], r["seed"]) != (width, run)])
                for run in range(5)
            ]
        )
        part = 4 / 5 * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
        variance += part
        spread += part**2 / 4
        bias += 4 * (without.mean(axis=0) - whole)
    t = stats.t.ppf(0.975, variance**2 / spread)
    for i, part in enumerate(moments.NAMES):
        found = one(made, quantity="moment", part=part, window="aggregate")
        half = (found["ci_high"] - found["ci_low"]) / 2
        # tau is not linear in ln M: its derivative gives it to first order.
        close = 0.15 if part == "tau" else 1e-8
        assert half == pytest.approx(t[i] * math.sqrt(variance[i]), rel=close)
        middle = (found["ci_high"] + found["ci_low"]) / 2
        assert middle == pytest.approx(whole[i] - bias[i], abs=close * half + 1e-9)


def test_the_change_and_the_difference_to_the_null_are_paired():
    rows, null = regular_rows(1), regular_rows(2, surrogate="gaussian")
    made = grokcrit.diagnose(table(rows + null), only="moments", observable="size")

    def value(quantity, surrogate, window, part):
        kind = {"quantity": quantity, "surrogate": surrogate, "window": window, "part": part}
        return one(made, **kind)["value"]

    for part in ("D", "tau", "bend"):
        for who in ("none", "gaussian"):
            change = value("moment", who, "post", part) - value("moment", who, "pre", part)
            assert value("moment", who, "post - pre", part) == pytest.approx(change, abs=1e-10)
        gap = value("moment", "none", "post", part) - value("moment", "gaussian", "post", part)
        assert value("moment-minus-null", "gaussian", "post", part) == pytest.approx(gap, abs=1e-10)


def test_a_null_equal_to_the_data_differs_by_nothing():
    rows = regular_rows(3)
    null = [{**r, "surrogate": "gaussian"} for r in rows]
    made = grokcrit.diagnose(table(rows + null), only=["moments", "halves"], observable="size")
    same = rows_of(made, quantity="moment-minus-null") + rows_of(made, quantity="half-minus-null")
    assert len(same) > 40
    assert all(r["value"] == 0 and r["p"] == 1 for r in same)


# --- halves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(3, 5, 9, 14, 30), (3, 5, 9, 14, 30, 44)])
def test_halves_are_fits_of_half_the_sizes(widths):
    rows = regular_rows(2, widths=widths)
    made = grokcrit.diagnose(table(rows), only="halves", observable="size", resamples=50)
    for part, kept in (("smaller half", widths[:3]), ("larger half", widths[-3:])):
        few = [r for r in rows if r["width"] in kept]
        for statistic in ("mean", "run-max", "cutoff"):
            fits = {
                w: naive.exponent(naive.in_window(few, w), "size", statistic)
                for w in ("aggregate", "pre", "post")
            }
            fits["post - pre"] = fits["post"] - fits["pre"]
            for window, wanted in fits.items():
                place = {"part": part, "window": window, "statistic": statistic}
                found = one(made, quantity="half-exponent", **place)
                assert found["value"] == pytest.approx(wanted, rel=1e-9)


# --- adjusted p, clusters -----------------------------------------------------------------------


def test_adjusted_p_are_those_of_scipy_and_missing_ones_do_not_count():
    p = np.random.default_rng(2).uniform(0, 0.2, 40)
    p[::7] = np.nan
    known = ~np.isnan(p)
    found = benjamini_hochberg(p)
    np.testing.assert_allclose(found[known], stats.false_discovery_control(p[known]), rtol=1e-12)
    assert np.isnan(found[~known]).all()


def curve(signal, runs=4, times=20, seed=0):
    """The difference of two curves as an Estimate, and its swaps."""
    rng = np.random.default_rng(seed)
    x, size_of = np.log([10.0, 30, 100]), np.repeat(np.arange(3), runs)
    noise = 0.1 * rng.standard_normal((len(size_of), times))
    mean = np.array([noise[size_of == k].mean(axis=0) for k in range(3)])
    heights = mean + (x - x.mean())[:, None] * signal
    lines = Lines(x, heights.T, noise - mean[size_of], size_of)
    none = np.empty((0, times))
    gap = resampling.Estimate(moments.slopes(lines), none, lines.influences(), size_of, lines)
    return gap, rng.random((len(size_of), 400)) < 0.5


def test_a_stretch_that_differs_is_found_and_times_outside_are_not():
    signal = np.where((np.arange(20) >= 8) & (np.arange(20) < 14), 0.5, 0.0)
    p = clusters.cluster_p(*curve(signal))
    assert (p[8:14] < 0.02).all()
    assert (np.delete(p, range(8, 14)) > 0.05).all()


def test_curves_of_one_law_differ_somewhere_in_5_of_100_tables():
    """Fault: 20 tests of single times find something in half of such tables."""
    alone, together = 0, 0
    for seed in range(300):
        gap, swaps = curve(np.zeros(20), seed=seed)
        alone += bool((gap.p() < 0.05).any())
        together += bool((clusters.cluster_p(gap, swaps) < 0.05).any())
    low, high = stats.binom.ppf([0.0005, 0.9995], 300, 0.05)
    assert low <= together <= high
    assert alone > 2 * high


def test_the_mass_of_a_cluster_is_the_sum_over_its_times():
    rng = np.random.default_rng(5)
    t, limit = rng.normal(0, 2, (30, 12)), np.full(12, 1.5)
    for values, found in zip(t, clusters.masses(t, limit), strict=True):
        side = [0 if abs(v) <= 1.5 else math.copysign(1, v) for v in values]
        groups = itertools.groupby(range(12), key=side.__getitem__)
        sums = [sum(abs(values[i]) for i in members) for sign, members in groups if sign]
        assert found == pytest.approx(max(sums, default=0.0))


def test_rows_in_time_carry_the_p_of_their_cluster_and_others_that_of_their_question():
    rows, null = regular_rows(1), regular_rows(2, surrogate="gaussian")
    made = grokcrit.diagnose(table(rows + null), only="nulls", observable="size", resamples=50)
    tested = [r for r in made.to_pylist() if r["p"] is not None]
    timed = [r for r in tested if r["time"] is not None]
    assert timed
    assert all(r["p_adjusted"] is not None for r in timed)
    rest = [r for r in tested if r["time"] is None]
    (primary,) = [r for r in rest if r["p_adjusted"] is None]
    chosen = ("quantity", "statistic", "window", "surrogate")
    assert [primary[k] for k in chosen] == ["data-minus-null", "mean", "post - pre", "gaussian"]
    others = [r for r in rest if r is not primary]
    wanted = stats.false_discovery_control([r["p"] for r in others])
    assert [r["p_adjusted"] for r in others] == pytest.approx(list(wanted), rel=1e-12)


def test_the_cutoff_is_that_of_the_distribution_whatever_the_number_of_avalanches():
    """Fault: the largest of a run grows with the length of the run."""
    rng = np.random.default_rng(8)
    found = {}
    for count in (400, 4000):
        rows = []
        for width in (16, 32, 64, 128):
            for run in range(4):
                power = rng.random(count) ** -2.0
                sizes = np.minimum(power, float(width) ** 1.5 * rng.exponential(size=count))
                rows += [row(width, run, e, [int(s)]) for e, s in enumerate(sizes)]
        (data,) = scaling.ensembles(table(rows))
        bins, values = windows(data, "aggregate"), data.observe("size")
        found[count] = [
            over_runs(data, over_snapshots(data, values, bins, s), s)[0]
            for s in ("cutoff", "run-max")
        ]
    cutoff, largest = (found[4000][i] / found[400][i] for i in range(2))
    assert np.abs(np.log(cutoff)).max() < 0.25
    assert (largest > 1.3).all()
