"""Blocks of one long run: autocorrelation times that are known, and blocks that equal runs."""

import numpy as np
import pyarrow as pa
import pytest

from grokcrit.scaling import resampling
from grokcrit.scaling.blocks import FEWEST, LENGTH, MOST, correlation_time, cut_runs, in_blocks
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.ensembles import Ensemble
from grokcrit.scaling.reductions import over_snapshots
from grokcrit.stages.bootstrap import bootstrap
from grokcrit.stages.diagnose import diagnose, diagnose_summary
from grokcrit.stages.fss import fss, fss_summary
from grokcrit.tables import provenance

SIZES = (10, 100, 1000)


def autoregressive(rho, n, rng):
    """x_t = rho x_(t-1) + noise, of variance 1 from the start."""
    noise = rng.normal(size=n) * np.sqrt(1 - rho**2)
    x = np.empty(n)
    x[0] = rng.normal()
    for t in range(1, n):
        x[t] = rho * x[t - 1] + noise[t]
    return x


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.98])
def test_the_time_of_an_autoregressive_series_is_known(rho):
    known = (1 + rho) / (1 - rho)
    rng = np.random.default_rng(int(100 * rho))
    times = [correlation_time(autoregressive(rho, 20_000, rng)) for _ in range(8)]
    assert np.mean(times) == pytest.approx(known, rel=0.1)


def test_a_constant_and_a_short_series_have_a_time_of_one():
    assert correlation_time(np.full(100, 3.0)) == correlation_time(np.array([2.0])) == 1
    assert correlation_time(np.tile([1.0, 5.0], 500)) == 1


def test_runs_are_cut_into_blocks_of_many_times():
    rng = np.random.default_rng(3)
    long, short = autoregressive(0.9, 10_000, rng), autoregressive(0.9, 3000, rng)
    pair = rng.normal(size=200)
    run = np.repeat([0, 1, 2, 3], [10_000, 3000, 100, 100])
    series = np.concatenate([long, short, pair])
    size_of = np.array([0, 1, 2, 2])
    block, parent, cuts = cut_runs(np.array(SIZES), size_of, run, series, None)
    assert [c.n_params for c in cuts] == [10, 100]
    assert FEWEST <= cuts[0].blocks <= MOST
    assert cuts[0].avalanches >= LENGTH * cuts[0].time
    assert cuts[1].blocks == 0
    assert np.bincount(parent).tolist() == [cuts[0].blocks, 1, 1, 1]
    assert (np.diff(block) >= 0).all()
    assert (parent[block] == run).all()
    counts = np.bincount(block)[: cuts[0].blocks]
    assert counts.min() >= cuts[0].avalanches >= counts.max() - 1
    _, parent, cuts = cut_runs(np.array(SIZES), size_of, run, series, 7)
    assert np.bincount(parent).tolist() == [7] * 4
    assert [c.blocks for c in cuts] == [7] * 3


def table(sizes, runs):
    """Avalanches of one time step as other programs write them; (K, runs * n) in equal parts."""
    n = sizes.shape[1] // runs
    seed = np.repeat(np.arange(runs), n)
    return pa.concat_tables(
        [
            pa.table({"n_params": np.full(len(each), k), "seed": seed, "size": each})
            for k, each in zip(SIZES, sizes, strict=True)
        ]
    )


def test_blocks_of_one_run_of_independent_avalanches_equal_runs():
    rng = np.random.default_rng(4)
    sizes = np.array([rng.geometric(1 / k, 8 * 250) for k in SIZES])
    for stage in (fss, bootstrap):
        runs, blocks = stage(table(sizes, 8)), stage(table(sizes, 1), blocks=8)
        assert blocks.equals(runs)
    recorded = provenance.decode(blocks.schema.metadata, "blocks")["blocks"]
    assert [(each["blocks"], each["avalanches"]) for each in recorded] == [(8, 250)] * 3


def ids(summary):
    return [notice.id for notice in summary.warnings]


def test_one_run_a_size_is_cut_and_said_to_be():
    rng = np.random.default_rng(5)
    sizes = np.array([rng.geometric(1 / k, 4000) for k in SIZES])
    made = fss(table(sizes, 1))
    assert "blocks" in ids(fss_summary(made))
    row = made.to_pylist()[0]
    assert row["ci_low"] < row["exponent"] < row["ci_high"]
    asked = diagnose(table(sizes, 1), only="counts")
    assert "blocks" in ids(diagnose_summary(asked))
    assert "single-run" not in ids(diagnose_summary(asked))
    made = fss(table(sizes[:, :200], 1))
    assert "too-few-blocks" in ids(fss_summary(made))
    assert made["ci_low"].null_count == made.num_rows
    assert "blocks" not in ids(fss_summary(fss(table(sizes, 4))))


def series_of(rng, n):
    """One run of each size: N times a factor that is remembered, of mean 1; D = 1 exactly."""
    factor = np.exp(0.5 * np.stack([autoregressive(0.9, n, rng) for _ in SIZES]) - 0.125)
    run = np.repeat(np.arange(3), n)
    return Ensemble(
        case={"field": "avalanche"},
        sizes=np.array(SIZES),
        size_of=np.arange(3),
        seed=np.zeros(3, np.int64),
        grok=np.full(3, np.nan),
        run=run,
        epoch=np.tile(np.arange(n), 3),
        truncated=np.zeros(3 * n, bool),
        table=pa.table({"size": np.array(SIZES)[run] * factor.ravel()}),
    )


def test_intervals_over_blocks_hold_the_exponent():
    held = []
    for number in range(60):
        cut = in_blocks(series_of(np.random.default_rng(number), 12_000), None)
        draws = resampling.draw_runs(cut, 300, number)
        by_run = over_snapshots(cut, cut.observe("size"), windows(cut, "aggregate"), "mean")
        low, high = resampling.exponents(cut, by_run, "mean", draws).interval(0.95)
        held.append(low[0] <= 1 <= high[0])
    # Of 60 that hold with 95 %, fewer than 51 hold once in 1,000.
    assert sum(held) >= 51
