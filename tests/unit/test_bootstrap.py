"""Stage 4: draws, intervals, paired differences and leave-one-out, against loops."""

import itertools
import math
from collections import Counter

import naive
import numpy as np
import pytest
from scipy import stats

import grokcrit
from grokcrit.base.errors import FitError, OptionError
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.stages.bootstrap import bootstrap_summary
from grokcrit.stages.fss import fss_summary
from grokcrit.tables.schemas import BOOTSTRAP

from .synthetic import random_rows, regular_rows, row, table

PHASES = ("aggregate", "pre", "post")


def bare(made):
    return made.replace_schema_metadata(None)


def rows_of(made, **wanted):
    return [r for r in made.to_pylist() if all(r[k] == v for k, v in wanted.items())]


def one(made, **wanted):
    (found,) = rows_of(made, **wanted)
    return found


def draws_of(made, **wanted):
    return one(made, kind="draws", **wanted)["draws"]


def naive_exponents(rows, observable, statistic):
    """Exponent of each phase, and their difference; None where there is no fit."""
    out = {w: naive.exponent(naive.in_window(rows, w), observable, statistic) for w in PHASES}
    both = out["pre"] is not None and out["post"] is not None
    return {**out, "post - pre": out["post"] - out["pre"] if both else None}


def agrees(found, wanted):
    if wanted is None:
        assert found is None
    else:
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-10)


def drawn_rows(rows, resamples, seed):
    """The rows of every resample, by the indices that the package drew."""
    (ensemble,) = scaling.ensembles(table(rows))
    draws = resampling.draw_runs(ensemble, resamples, seed)
    sizes = ensemble.sizes.tolist()
    for k in range(resamples):
        drawn = {n: d[k].tolist() for n, d in zip(sizes, draws, strict=True)}
        yield naive.resampled(rows, drawn)


@pytest.mark.parametrize("statistic", ["mean", "run-max", "cutoff", "max"])
@pytest.mark.parametrize("observable", ["size", "branching"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_estimates_are_those_of_plain_loops(statistic, observable, seed):
    rows = random_rows(seed)
    made = grokcrit.bootstrap(table(rows), resamples=3, observable=observable)
    for window, wanted in naive_exponents(rows, observable, statistic).items():
        found = one(made, kind="estimate", statistic=statistic, window=window)
        agrees(found["exponent"], wanted)
        assert found["method"] == "least squares"


@pytest.mark.parametrize("statistic", ["mean", "run-max", "cutoff"])
@pytest.mark.parametrize("maker", [random_rows, regular_rows])
def test_draws_are_those_of_plain_loops_over_the_same_runs(statistic, maker):
    rows = maker(4)
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=25, seed=6)
    windows = (*PHASES, "post - pre")
    draws = {window: draws_of(made, statistic=statistic, window=window) for window in windows}
    assert {len(each) for each in draws.values()} == {25}
    for k, resample in enumerate(drawn_rows(rows, 25, 6)):
        for window, wanted in naive_exponents(resample, "size", statistic).items():
            agrees(draws[window][k], wanted)
    assert len(set(draws["aggregate"])) > 10


def test_draws_of_a_difference_are_differences_of_draws():
    made = grokcrit.bootstrap(table(regular_rows(4)), observable="size", resamples=30)
    by_window = {w: draws_of(made, statistic="mean", window=w) for w in (*PHASES, "post - pre")}
    differences = np.subtract(by_window["post"], by_window["pre"])
    np.testing.assert_array_equal(by_window["post - pre"], differences)


# --- intervals --------------------------------------------------------------------------------


def naive_interval(rows, draws, statistic, confidence):
    """Hesterberg's expanded percentile interval, for several samples, in plain loops.

    The exponent is a weighted sum of logarithms of means; a run moves its size's by w v / mean.
    """
    reduce = (lambda v: sum(v) / len(v)) if statistic == "mean" else max
    runs = {}
    for (n, _), values in naive.by_run(rows, "size").items():
        runs.setdefault(n, []).append(reduce(values))
    centre = sum(math.log(n) for n in runs) / len(runs)
    scale = sum((math.log(n) - centre) ** 2 for n in runs)
    unbiased, resampled, freedom = 0.0, 0.0, 0.0
    for n, values in runs.items():
        mean = sum(values) / len(values)
        moves = [(math.log(n) - centre) / scale * v / mean for v in values]
        square = sum((m - sum(moves) / len(moves)) ** 2 for m in moves)
        count = len(moves)
        unbiased += square / (count * (count - 1))
        resampled += square / count**2
        freedom += (square / (count * (count - 1))) ** 2 / (count - 1)
    t = stats.t.ppf(0.5 + confidence / 2, unbiased**2 / freedom)
    tail = stats.norm.cdf(-math.sqrt(unbiased / resampled) * t)
    low, high = np.quantile(draws, [tail, 1 - tail])
    # Where the line does not fit, the interval contains the misfit.
    log_n, logs = np.log(list(runs)), np.log([np.mean(v) for v in runs.values()])
    spread = [np.var(v, ddof=1) / len(v) / np.mean(v) ** 2 for v in runs.values()]
    _, free, p = naive.lack_of_fit(log_n, logs, spread, [len(v) for v in runs.values()])
    if p >= 0.05:
        return low, high
    more = stats.t.ppf(0.5 + confidence / 2, free) * math.sqrt(naive.misfit(log_n, logs, spread))
    value = naive.slope(log_n.tolist(), logs.tolist())
    return [
        value - math.hypot(value - low, more),
        value + math.hypot(high - value, more),
    ]


@pytest.mark.parametrize("confidence", [0.68, 0.95])
@pytest.mark.parametrize("statistic", ["mean", "run-max"])
@pytest.mark.parametrize("runs", [2, 3, 6])
def test_the_intervals_are_quantiles_of_the_draws(confidence, statistic, runs):
    rows = regular_rows(5, runs=runs)
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=400, confidence=confidence)
    for window in PHASES:
        chosen = {"statistic": statistic, "window": window}
        draws = draws_of(made, **chosen)
        plain = one(made, kind="interval", method="percentile", **chosen)
        wider = one(made, kind="interval", method="expanded percentile", **chosen)
        outer = [0.5 - confidence / 2, 0.5 + confidence / 2]
        assert (plain["ci_low"], plain["ci_high"]) == pytest.approx(np.quantile(draws, outer))
        assert wider["ci_low"] <= plain["ci_low"] < plain["ci_high"] <= wider["ci_high"]
        wanted = naive_interval(naive.in_window(rows, window), draws, statistic, confidence)
        assert (wider["ci_low"], wider["ci_high"]) == pytest.approx(wanted, rel=1e-9)
        estimate = one(made, kind="estimate", **chosen)["exponent"]
        assert plain["exponent"] == wider["exponent"] == estimate


def test_the_correction_fades_with_many_runs():
    rng, ratios = np.random.default_rng(3), []
    for runs in (3, 6, 40):
        rows = [  # on a line, so that nothing but the number of runs widens an interval
            row(w, run, 0, [round(1e4 * w * rng.lognormal(0, 0.2))], 35)
            for w in (3, 5, 9, 14, 30)
            for run in range(runs)
        ]
        made = grokcrit.bootstrap(table(rows), observable="size", resamples=3000)
        ends = {
            r["method"]: r["ci_high"] - r["ci_low"]
            for r in rows_of(made, kind="interval", statistic="mean", window="aggregate")
        }
        ratios.append(ends["expanded percentile"] / ends["percentile"])
    assert ratios[0] > ratios[1] > ratios[2] > 1
    assert ratios[0] > 1.2
    assert ratios[2] < 1.05


def test_p_is_of_differences_alone_and_the_same_for_any_number_of_draws():
    """Fault: a p that counts draws falls with their number."""
    few, many = (
        grokcrit.bootstrap(table(regular_rows(4)), observable="size", resamples=count)
        for count in (20, 400)
    )
    for found in rows_of(few, kind="interval"):
        tested = found["window"] == "post - pre" and found["method"] == "expanded percentile"
        assert (found["p"] is not None) == tested
        if tested:
            other = one(
                many, **{k: found[k] for k in ("kind", "statistic", "window", "part", "method")}
            )
            assert found["p"] == pytest.approx(other["p"], rel=1e-12)
    kinds = ("interval", "permutation")
    assert all(r["p"] is None for r in few.to_pylist() if r["kind"] not in kinds)


def test_all_tests_but_the_primary_one_are_adjusted_for_their_number():
    rows = regular_rows(5) + regular_rows(6, surrogate="gaussian")
    made = grokcrit.bootstrap(table(rows), observable=["size", "excess"], resamples=40)
    tested = [r for r in made.to_pylist() if r["p"] is not None]
    primary = [r for r in tested if r["p_adjusted"] is None]
    (one_test,) = primary
    chosen = ("observable", "statistic", "window", "part", "kind")
    assert [one_test[k] for k in chosen] == [
        "size",
        "mean",
        "post - pre",
        "minus gaussian",
        "interval",
    ]
    others = [r for r in tested if r["p_adjusted"] is not None]
    wanted = stats.false_discovery_control([r["p"] for r in others])
    assert [r["p_adjusted"] for r in others] == pytest.approx(list(wanted), rel=1e-12)


def test_the_largest_size_has_neither_interval_nor_draws():
    made = grokcrit.bootstrap(table(regular_rows(4)), observable="size", resamples=5)
    kinds = {r["kind"] for r in rows_of(made, statistic="max")}
    assert kinds == {"estimate", "leave-one-out"}


def test_one_run_a_size_gives_a_null_interval():
    rows = [r for r in regular_rows(1) if r["seed"] == 0]
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=10)
    found = rows_of(made, kind="interval")
    assert len(found) == 4 * 4 * 3
    for each in found:
        assert each["ci_low"] is each["ci_high"] is each["p"] is None
    assert one(made, kind="estimate", statistic="mean", window="aggregate")["exponent"] is not None


@pytest.mark.parametrize("grok", [None, 0, 1000])
def test_phases_without_data_are_null_rows_and_no_warning(grok):
    rows = [{**r, "grok_epoch": grok} for r in regular_rows(1)]
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=10)
    empty = {None: ("pre", "post"), 0: ("pre",), 1000: ("post",)}[grok]
    for window in (*empty, "post - pre"):
        for each in rows_of(made, window=window):
            assert each["exponent"] is each["ci_low"] is each["ci_high"] is each["p"] is None
    interval = one(made, kind="interval", method="percentile", statistic="mean", window="aggregate")
    assert interval["ci_low"] < interval["ci_high"]


# --- pairing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("maker", [random_rows, regular_rows])
def test_equal_data_under_two_labels_differ_by_exactly_zero(maker):
    rows = maker(5)
    null = [{**r, "surrogate": "gaussian"} for r in rows]
    made = grokcrit.bootstrap(table(rows + null), observable="size", resamples=40)
    differences = rows_of(made, part="minus gaussian")
    assert {d["surrogate"] for d in differences} == {"none"}
    assert {d["kind"] for d in differences} == {"estimate", "interval", "permutation"}
    for d in differences:
        if d["exponent"] is not None:
            assert d["exponent"] == 0
            if d["kind"] == "interval" and d["ci_low"] is not None:
                assert d["ci_low"] == d["ci_high"] == 0
                assert d["p"] == (1 if d["method"] == "expanded percentile" else None)
    if maker is regular_rows:
        assert all(d["ci_low"] == 0 for d in differences if d["kind"] == "interval")


def test_draws_are_the_same_for_data_and_null_and_for_every_case():
    rows = regular_rows(5)
    null = [{**r, "surrogate": "gaussian"} for r in rows]
    other = [{**r, "alpha": 0.5} for r in rows]
    made = grokcrit.bootstrap(table(rows + null + other), observable="size", resamples=20)
    parts = [
        [d["draws"] for d in rows_of(made, kind="draws", **case)]
        for case in ({"surrogate": "gaussian"}, {"alpha": 0.5}, {"surrogate": "none", "alpha": 0.3})
    ]
    assert parts[0] == parts[1] == parts[2]


def test_the_difference_to_the_null_is_paired_draw_by_draw():
    rows, null = regular_rows(5), regular_rows(6, surrogate="gaussian")
    made = grokcrit.bootstrap(table(rows + null), observable="size", resamples=60)
    for window in (*PHASES, "post - pre"):
        chosen = {"statistic": "mean", "window": window}
        draws = [np.array(draws_of(made, surrogate=s, **chosen)) for s in ("none", "gaussian")]
        found = one(made, part="minus gaussian", kind="interval", method="percentile", **chosen)
        wanted = np.quantile(draws[0] - draws[1], [0.025, 0.975])
        assert (found["ci_low"], found["ci_high"]) == pytest.approx(wanted)
        estimates = [
            one(made, part=None, kind="estimate", surrogate=s, **chosen)["exponent"]
            for s in ("none", "gaussian")
        ]
        assert found["exponent"] == pytest.approx(estimates[0] - estimates[1], abs=1e-12)


def test_every_case_is_held_against_the_null_of_its_own_settings():
    rows = [
        *regular_rows(1),
        *regular_rows(2, surrogate="gaussian"),
        *regular_rows(3, surrogate="gaussian", replicate=1),
        *regular_rows(4, topology="ring"),
    ]
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=5)
    found = {
        (d["topology"], d["surrogate"], d["replicate"])
        for d in rows_of(made, part="minus gaussian")
    }
    assert found == {("ba", "none", 0)}


def test_the_baseline_of_several_replicates_is_their_mean_as_in_diagnose():
    """Fault: the same difference differs between the stages under --replicates 2."""
    rows = table(
        [
            *regular_rows(1),
            *regular_rows(2, surrogate="gaussian"),
            *regular_rows(3, surrogate="gaussian", replicate=1),
        ]
    )
    made = grokcrit.bootstrap(rows, observable="size", resamples=50)
    asked = grokcrit.diagnose(rows, only="nulls", observable="size", resamples=50)
    wanted = {
        (d["statistic"], d["window"]): (d["value"], d["ci_low"], d["ci_high"], d["p"])
        for d in asked.to_pylist()
        if d["quantity"] == "data-minus-null" and d["time"] is None
    }
    assert len(wanted) == 12
    columns = ("exponent", "ci_low", "ci_high", "p")
    found = {
        (d["statistic"], d["window"]): tuple(d[name] for name in columns)
        for d in rows_of(made, part="minus gaussian", method="expanded percentile")
    }
    for key, numbers in wanted.items():
        assert found[key] == pytest.approx(numbers, rel=1e-12), key


def test_a_replicate_of_other_runs_is_left_out_and_warned_of_in_both_stages():
    """Fault: one of two replicates lacks a run; fss averages it in silence, bootstrap does not."""
    whole = [*regular_rows(1), *regular_rows(2, surrogate="gaussian")]
    short = [r for r in regular_rows(3, surrogate="gaussian", replicate=1) if r["seed"] != 1]
    alone, both = table(whole), table(whole + short)
    chosen = {"observable": "size", "resamples": 5}
    for make, sum_up, column in (
        (grokcrit.fss, fss_summary, "null"),
        (grokcrit.bootstrap, bootstrap_summary, "minus null"),
    ):
        one, two = sum_up(make(alone, **chosen)), sum_up(make(both, **chosen))
        assert [row[column] for row in one.rows] == [row[column] for row in two.rows]
        assert "null-of-other-runs" not in {w.id for w in one.warnings}
        assert "null-of-other-runs" in {w.id for w in two.warnings}


def test_a_null_of_other_runs_is_no_baseline():
    rows = regular_rows(1)
    null = [r for r in regular_rows(2, surrogate="gaussian") if r["seed"] != 1]
    made = grokcrit.bootstrap(table(rows + null), observable="size", resamples=5)
    assert rows_of(made, part="minus gaussian") == []


# --- leave-one-out ----------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["mean", "run-max", "cutoff", "max"])
@pytest.mark.parametrize("maker", [random_rows, regular_rows])
def test_leaving_one_out_is_refitting_without_it(statistic, maker):
    rows = maker(6)
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=3)
    found = rows_of(made, kind="leave-one-out", statistic=statistic)
    # Ten epochs in all: a tenth of the training is one of them.
    values = {name: {r[name] for r in rows} for name in ("n_params", "seed", "epoch")}
    assert {(f["part"], f["index"]) for f in found} == {
        (name, value) for name, known in values.items() for value in known
    }
    assert len(found) == 4 * sum(map(len, values.values()))
    for f in found:
        others = [r for r in rows if r[f["part"]] != f["index"]]
        agrees(f["exponent"], naive_exponents(others, "size", statistic)[f["window"]])


def test_the_training_is_left_out_in_tenths():
    rows = [{**r, "epoch": r["epoch"] + k} for r in regular_rows(3) for k in range(5)]
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=2)
    found = rows_of(made, kind="leave-one-out", part="epoch", statistic="mean", window="post")
    assert [f["index"] for f in found] == list(range(0, 100, 10))
    for f in found:
        others = [r for r in rows if not f["index"] <= r["epoch"] < f["index"] + 10]
        agrees(f["exponent"], naive_exponents(others, "size", "mean")["post"])


# --- BCa, permutation -------------------------------------------------------------------------


def log_log_slope(*samples, axis):
    """Slope of ln(mean over runs) on ln N, over the last axis of each size's runs."""
    x = np.log([4 * w + 1 for w in (3, 5, 9, 14, 30)])
    y = np.array(np.broadcast_arrays(*(np.log(np.mean(s, axis=axis)) for s in samples)))
    return np.tensordot(x - x.mean(), y, 1) / ((x - x.mean()) ** 2).sum()


def test_bca_is_that_of_scipy():
    rng = np.random.default_rng(4)
    rows = [
        {**row(w, run, 10 * e, [s], 35)}
        for w in (3, 5, 9, 14, 30)
        for run in range(8)
        for s in [100 * w * rng.lognormal(0, 0.8) ** 1.5]
        for e in range(2)
    ]
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=20_000)
    found = one(made, kind="interval", method="BCa", statistic="mean", window="aggregate")
    samples = [
        np.array([r["size"] for r in rows if r["width"] == w and r["epoch"] == 0])
        for w in (3, 5, 9, 14, 30)
    ]
    wanted = stats.bootstrap(
        samples, log_log_slope, n_resamples=20_000, method="BCa", rng=rng
    ).confidence_interval
    width = wanted.high - wanted.low
    assert found["ci_low"] == pytest.approx(wanted.low, abs=0.04 * width)
    assert found["ci_high"] == pytest.approx(wanted.high, abs=0.04 * width)
    plain = one(made, kind="interval", method="percentile", statistic="mean", window="aggregate")
    assert abs(plain["ci_low"] - found["ci_low"]) > 1e-4  # else this shows nothing


def test_the_permutation_test_is_that_of_every_possible_swap():
    rows = [
        {**r, "size": r["size"] * (1 if r["epoch"] < 35 else 2)}
        for r in regular_rows(7, widths=(3, 9, 30), runs=3)
    ]
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=20_000)
    found = one(made, kind="permutation", part=None, statistic="mean")
    runs = sorted({(r["width"], r["seed"]) for r in rows})
    values = []
    for swaps in itertools.product((False, True), repeat=len(runs)):
        swapped = dict(zip(runs, swaps, strict=True))
        fits = {}
        for window in ("pre", "post"):
            sizes = {}
            for run in runs:
                wants_pre = (window == "pre") != swapped[run]
                mine = [
                    r["size"]
                    for r in rows
                    if (r["width"], r["seed"]) == run and (r["epoch"] < 35) == wants_pre
                ]
                sizes.setdefault(4 * run[0] + 1, []).append(sum(mine) / len(mine))
            x, y = zip(
                *((math.log(n), math.log(np.mean(v))) for n, v in sizes.items()), strict=True
            )
            fits[window] = naive.slope(x, y)
        values.append(fits["post"] - fits["pre"])
    assert found["exponent"] == pytest.approx(values[0])
    exact = np.mean(np.abs(values) >= abs(values[0]) * (1 - 1e-9))
    assert 0.01 < exact < 0.99
    assert found["p"] == pytest.approx(exact, abs=0.015)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(
        np.quantile(values, [0.025, 0.975]), abs=0.02
    )


def test_the_permutation_test_is_not_made_where_the_windows_length_alone_would_show():
    rows = regular_rows(7)
    made = grokcrit.bootstrap(
        table(rows + regular_rows(8, surrogate="gaussian")), observable="size", resamples=20
    )
    found = {(r["statistic"], r["part"]) for r in rows_of(made, kind="permutation")}
    assert found == {
        (statistic, part)
        for statistic in ("mean", "run-max", "cutoff")
        for part in (None, "minus gaussian")
    } - {("run-max", None)}


def test_leaving_one_of_three_sizes_out_leaves_no_fit():
    made = grokcrit.bootstrap(
        table(regular_rows(1, widths=(3, 5, 9))), observable="size", resamples=3
    )
    found = rows_of(made, kind="leave-one-out", part="n_params")
    assert found
    assert all(f["exponent"] is None for f in found)


# --- order, bad input -------------------------------------------------------------------------


def test_threads_pieces_and_repetition_change_no_bit():
    rows = regular_rows(1) + random_rows(2, alpha=0.5) + random_rows(2, surrogate="gaussian")
    wanted = bare(grokcrit.bootstrap(table(rows), observable="size", resamples=30, threads=1))
    assert bare(grokcrit.bootstrap(table(rows), observable="size", resamples=30, threads=2)).equals(
        wanted
    )
    assert bare(grokcrit.bootstrap(table(rows[::-1]), observable="size", resamples=30)).equals(
        wanted
    )
    pieces = [table([r for r in rows if r["width"] == w]) for w in (30, 3, 9, 5, 14)]
    assert bare(grokcrit.bootstrap(pieces, observable="size", resamples=30)).equals(wanted)
    assert wanted.schema.equals(BOOTSTRAP.arrow)
    keys = [tuple(r[k] for k in BOOTSTRAP.key) for r in wanted.to_pylist()]
    assert len(set(keys)) == len(keys)


def test_another_root_seed_gives_other_draws_and_the_same_estimates():
    rows = table(regular_rows(1))
    a, b = (grokcrit.bootstrap(rows, observable="size", resamples=20, seed=s) for s in (0, 1))
    for kind, same in (("estimate", True), ("leave-one-out", True), ("draws", False)):
        column = "draws" if kind == "draws" else "exponent"
        first, second = ([r[column] for r in rows_of(m, kind=kind)] for m in (a, b))
        assert (first == second) is same


def test_a_table_with_too_few_sizes_is_refused():
    with pytest.raises(FitError):
        grokcrit.bootstrap(table(regular_rows(1, widths=(3, 5))))


@pytest.mark.parametrize("bad", [{"resamples": -1}, {"confidence": 0}, {"observable": "sise"}])
def test_an_option_out_of_its_range_is_refused(bad):
    with pytest.raises(OptionError) as caught:
        grokcrit.bootstrap(table(regular_rows(1)), **bad)
    assert caught.value.name in bad


# --- coverage ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_corrected_interval_of_the_whole_stage_covers_what_it_says():
    """400 tables of six runs at eight sizes, lognormal from run to run, exponent 1.1."""
    widths = (20, 30, 50, 75, 100, 200, 300, 500)
    hits: Counter[str] = Counter()
    for number in range(400):
        rng = np.random.default_rng([6, number])
        rows = [
            row(w, s, 0, [round(1e6 * (4 * w + 1) ** 1.1 * math.exp(0.5 * rng.normal()))])
            for w in widths
            for s in range(6)
        ]
        made = grokcrit.bootstrap(
            table(rows), observable="size", resamples=500, seed=number, threads=1
        )
        for found in rows_of(made, kind="interval", statistic="mean", window="aggregate"):
            hits[found["method"]] += found["ci_low"] <= 1.1 <= found["ci_high"]
    print(f"coverage at 95 %, 6 runs, 400 tables: {hits}")
    assert 0.93 <= hits["expanded percentile"] / 400 <= 0.975
    assert hits["percentile"] < hits["expanded percentile"]
