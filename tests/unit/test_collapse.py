"""Data collapse: its quality against plain loops, its exponent against what is known."""

import os
from pathlib import Path

import naive
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from grokcrit.scaling import collapse as stage
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.collapse import collapse

from .synthetic import random_rows, row, table

# Uncompiled, an exponent takes milliseconds: fewer sizes and resamples then, the same questions.
INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
SIZES = np.array([81, 301, 2001] if INTERPRETED else [81, 121, 201, 401, 801, 2001])
RESAMPLES = 4 if INTERPRETED else 30
EXAMPLES = 2 if INTERPRETED else 8


def ensemble_of(rows):
    (found,) = scaling.ensembles(table(rows))
    return found


def made(by_run):
    """An ensemble out of (N, values of a run), runs of a size side by side; and all values."""
    sizes, size_of = np.unique([n for n, _ in by_run], return_inverse=True)
    lengths = [len(values) for _, values in by_run]
    seed = np.concatenate([np.arange(c) for c in np.bincount(size_of)])
    ensemble = scaling.Ensemble(
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


def noisy(seed, exponent=1.1, runs=3, snapshots=15, whole=False):
    """Runs of log-normal avalanches, each run with a factor of its own."""
    rng = np.random.default_rng(seed)
    by_run = []
    for n in SIZES:
        for _ in range(runs):
            level = exponent * np.log(n) + 0.1 * rng.standard_normal()
            values = np.exp(level + 0.3 * rng.standard_normal(snapshots + rng.integers(5)))
            by_run.append((n, np.rint(values) if whole else values))
    return made(by_run)


def found(ensemble, values, direct=(), resamples=RESAMPLES, window="aggregate"):
    draws = resampling.draw_runs(ensemble, resamples, 0)
    return collapse(ensemble, values, scaling.windows(ensemble, window), draws, 0.95, direct)


# --- the quality ------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.floats(-1, 3), st.sampled_from(["size", "duration", "branching"]))
def test_the_quality_is_that_of_plain_loops(seed, exponent, observable):
    rows = random_rows(seed, widths=(3, 9, 30))
    ensemble = ensemble_of(rows)
    values = ensemble.observe(observable)
    result = found(ensemble, values, [exponent], resamples=2)
    assume(result.n_points)
    grid = stage.grid(values).tolist()
    quality, points = naive.collapse_quality(rows, observable, exponent, grid)
    assert result.n_points == points
    assert result.at[0] == pytest.approx(quality, rel=1e-8)


def test_phases_are_judged_by_their_own_avalanches():
    rng = np.random.default_rng(5)
    rows = [
        row(width, seed, epoch, rng.integers(1, 5 + width, size=2 if epoch < 50 else 4), 50)
        for width in (3, 9, 30)
        for seed in range(3)
        for epoch in range(0, 100, 10)
    ]
    ensemble = ensemble_of(rows)
    values = ensemble.observe("size")
    grid = stage.grid(values).tolist()
    for window in ("pre", "post"):
        mine = naive.in_window(rows, window)
        quality, points = naive.collapse_quality(mine, "size", 1.0, grid)
        result = found(ensemble, values, [1.0], resamples=2, window=window)
        assert (result.n_points, result.at[0]) == (points, pytest.approx(quality, rel=1e-8))


def test_a_point_stands_in_the_middle_of_the_gap_between_two_values():
    values = np.array([0, 3, 3, 4, 7, 30, np.nan])
    grid = stage.grid(values)
    assert {3.5, 5.5, 18.5} <= set(grid)
    assert grid[0] < 3
    assert grid[-1] > 30
    assert len(grid) == 5  # no two points in one gap: their P would be the same


# --- the exponent -----------------------------------------------------------------------------


@settings(max_examples=EXAMPLES)
@given(st.floats(-0.5, 2.5))
def test_curves_that_collapse_without_noise_give_their_exponent_and_no_misfit(exponent):
    shape = np.exp(0.4 * stats.norm.ppf((np.arange(100) + 0.5) / 100))
    by_run = [(n, factor * shape * float(n) ** exponent) for n in SIZES for factor in (0.9, 1.1)]
    result = found(*made(by_run))
    assert result.exponent == pytest.approx(exponent, abs=2e-3)
    assert result.quality < 0.02
    assert found(*made(by_run), [exponent + 0.1]).at[0] > 5 * result.quality


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_the_unit_of_the_avalanche_does_not_matter(seed, factor):
    ensemble, values = noisy(seed)
    first, second = (found(ensemble, each, [1.0]) for each in (values, factor * values))
    assert second.n_points == first.n_points
    for name in ("exponent", "ci_low", "ci_high", "quality"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-6)
    assert second.at == pytest.approx(first.at, rel=1e-6)


def test_another_power_of_n_shifts_the_exponent_by_it():
    ensemble, values = noisy(3)
    scaled = values * ensemble.sizes[ensemble.size_of[ensemble.run]] ** 0.25
    first, second = (found(ensemble, each) for each in (values, scaled))
    assert second.exponent - first.exponent == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("whole", [False, True])
def test_a_resample_is_the_collapse_of_the_table_that_it_stands_for(whole):
    ensemble, values = noisy(11, whole=whole)
    bins = scaling.windows(ensemble, "aggregate")
    s = stage.grid(values)
    runs = stage.runs_of(ensemble, s, *stage.exceedances(ensemble, values, bins, s))
    draws = resampling.draw_runs(ensemble, 3 * EXAMPLES // 2, 4)
    around = (1.1, 0.1)
    together = stage.vertices(runs.points, runs.curves(draws), *around)
    for i in range(len(together)):
        by_run = []
        for k, n in enumerate(ensemble.sizes):
            mine = np.flatnonzero(ensemble.size_of == k)
            by_run += [(n, values[ensemble.run == mine[r]]) for r in draws[k][i]]
        other, theirs = made(by_run)
        bins = scaling.windows(other, "aggregate")
        alone = stage.runs_of(other, s, *stage.exceedances(other, theirs, bins, s))
        everyone = [np.arange(len(each))[None] for each in alone.counts]
        vertex = stage.vertices(alone.points, alone.curves(everyone), *around)
        assert together[i] == pytest.approx(vertex[0], abs=1e-9)


def test_the_vertex_of_a_parabola_is_found_and_without_one_the_least():
    offset = np.arange(-8, 9)
    rows = np.array([2 + 0.1 * (offset - 1.7) ** 2, -((offset - 1.0) ** 2), 3.0 * offset])
    assert stage.lowest(rows) == pytest.approx([1.7, -8, -8])


def test_the_interval_holds_the_exponent_and_grows_with_confidence():
    ensemble, values = noisy(2)
    bins, draws = (
        scaling.windows(ensemble, "aggregate"),
        resampling.draw_runs(ensemble, 20 * EXAMPLES, 0),
    )
    narrow, wide = (collapse(ensemble, values, bins, draws, c) for c in (0.5, 0.95))
    assert wide.ci_low < narrow.ci_low < narrow.exponent < narrow.ci_high < wide.ci_high
    assert narrow.n_draws == 20 * EXAMPLES


# --- what cannot be estimated -------------------------------------------------------------------


def test_curves_farther_apart_than_the_search_goes_have_no_exponent():
    result = found(*noisy(1, exponent=4.0))
    assert result.exponent is None
    assert result.quality is None
    assert "search range" in result.reason
    assert "search range, -1 to 3" in result.reason


def test_two_sizes_do_not_make_a_collapse():
    ensemble, values = made([(n, [1.0, 2.0, 3.0 + r]) for n in (5, 9) for r in range(2)])
    assert "at least 3 sizes with data, there are 2" in found(ensemble, values).reason


def test_equal_runs_have_no_error_to_judge_by():
    ensemble, values = made([(n, [1.0 * n, 2.0 * n]) for n in (5, 9, 17) for _ in range(2)])
    result = found(ensemble, values, [1.0])
    assert (result.exponent, result.at) == (None, (None,))
    assert "no error" in result.reason


def test_a_size_without_any_avalanche_is_named():
    ensemble, values = made([(n, [0.0, n - 5.0, n - 5.0 + r]) for n in (5, 9, 17) for r in (0, 0)])
    assert "N = 5 " in found(ensemble, values).reason


def test_a_size_with_one_run_leaves_the_exponent_without_an_interval():
    ensemble, values = noisy(6)
    kept = ensemble.run > 1  # of the first size, runs 0 and 1 lose their data
    result = found(ensemble, np.where(kept, values, np.nan))
    assert 0.8 < result.exponent < 1.4
    assert (result.ci_low, result.ci_high) == (None, None)
    assert result.n_draws < RESAMPLES  # those that did not draw its one run


def test_a_window_without_avalanches_has_no_exponent():
    ensemble, values = noisy(6)
    result = found(ensemble, values, window="post")
    assert (result.exponent, result.n_points, result.n_draws) == (None, 0, 0)


# --- coverage -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("noise", [(0.3, 0.3), (0.4, 0.15)])
def test_95_percent_intervals_of_12_runs_cover_95_percent(noise, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import collapse_coverage

    tables = 120
    world = collapse_coverage.World(noise=noise)
    results = collapse_coverage.collapses(world, 12, tables, resamples=400, root_seed=1)
    hits = round(tables * collapse_coverage.covered(results, world.exponent))
    low, high = stats.binom.ppf([0.0005, 0.9995], tables, 0.95)
    assert low <= hits <= high
