"""Stage 3: every fit of the table, against loops, linregress and polyfit."""

import json
import math

import naive
import numpy as np
import pytest
from scipy import stats

import grokcrit
from grokcrit.base.errors import FitError, OptionError, RepeatedError
from grokcrit.base.vocabulary import OBSERVABLES
from grokcrit.scaling import resampling
from grokcrit.scaling.lines import Lines
from grokcrit.tables.schemas import CASE_COLUMNS, FSS

from .synthetic import CASE, random_rows, regular_rows, row, table

STATISTICS = ("mean", "run-max", "cutoff", "max")
FIXED = [("aggregate", None), ("pre", None), ("post", None), ("ungrokked", None)]


def bare(made):
    return made.replace_schema_metadata(None)


def close(found, wanted, rel=1e-9, abs_=1e-9):
    if wanted is None or math.isnan(wanted):
        assert found is None
    else:
        assert found == pytest.approx(wanted, rel=rel, abs=abs_)


def check_fit(found, rows, every_size, runs):
    """One row of the table against the oracle; ``rows`` are the avalanches of its case."""
    mine = naive.in_window(rows, found["window"], found["time"])
    statistic = naive.statistic(mine, found["observable"], found["statistic"])
    x, y = naive.points(statistic)
    n_runs = len(naive.by_run(mine, found["observable"]))
    assert found["n_sizes"] == len(x)
    assert found["n_sizes_excluded"] == every_size - len(x)
    assert found["n_runs"] == n_runs
    assert found["n_runs_excluded"] == runs - n_runs
    assert found["n_avalanches"] == len(mine)
    assert found["n_truncated"] == sum(r["truncated"] for r in mine)
    assert found["n_quiet"] == sum(r["size"] == 0 for r in mine)
    lacking = found["window"] == "aligned" and len(statistic) < every_size
    if len(x) < 3 or lacking:
        for name in ("exponent", "stderr", "r_squared", "intercept", "curvature", "ci_low"):
            assert found[name] is None
        return
    flat = max(y) - min(y) < 1e-12  # what linregress says of a constant is another convention
    line = stats.linregress(x, y)
    close(found["exponent"], line.slope)
    close(found["intercept"], line.intercept)
    close(found["stderr"], 0.0 if flat else line.stderr, 1e-6)
    close(found["r_squared"], None if flat else line.rvalue**2, 1e-7)
    curved = np.polynomial.Polynomial.fit(x, y, 2).convert().coef if len(x) > 3 else [0, 0, None]
    close(found["curvature"], curved[2] if len(curved) > 2 else 0.0, 1e-6)


@pytest.mark.parametrize(
    ("maker", "seed"), [*((random_rows, seed) for seed in range(5)), (regular_rows, 1)]
)
def test_every_row_is_what_plain_loops_and_linregress_make_of_it(maker, seed):
    rows = maker(seed)
    made = grokcrit.fss(table(rows), observable=OBSERVABLES, resamples=5)
    every_size = len({r["n_params"] for r in rows})
    runs = len({(r["n_params"], r["seed"]) for r in rows})
    found = made.to_pylist()
    for each in found:
        check_fit(each, rows, every_size, runs)
    keys = [(f["observable"], f["statistic"], f["window"], f["time"]) for f in found]
    windows = set(FIXED) | set(naive.all_windows(rows))
    assert sorted(keys, key=str) == sorted(
        ((o, s, *w) for o in OBSERVABLES for s in STATISTICS for w in windows), key=str
    )
    assert any(f["exponent"] is None for f in found)
    if maker is regular_rows:
        assert all(f["exponent"] is not None for f in found if f["window"] == "aligned")


@pytest.mark.parametrize("exponent", [0.9, 1.0, 1.2])
def test_an_exact_power_law_gives_its_exponent_in_every_window(exponent):
    # Sizes of 1e12 and more: rounding them to whole topplings moves an exponent by 1e-12.
    rows = [
        row(width, run, epoch, [round(1e12 * (4 * width + 1) ** exponent)], grok=35)
        for width in (20, 50, 100, 300, 500)
        for run in range(3)
        for epoch in range(0, 100, 10)
    ]
    made = grokcrit.fss(table(rows), observable="size", resamples=20).to_pylist()
    fitted = [f for f in made if f["window"] != "ungrokked"]
    assert len(fitted) == 4 * (3 + 10 + 10)
    for f in fitted:
        assert f["exponent"] == pytest.approx(exponent, rel=1e-11)
        assert f["r_squared"] == pytest.approx(1, abs=1e-12)
        assert f["stderr"] < 1e-10
        assert abs(f["curvature"]) < 1e-9
        if f["statistic"] != "max":
            assert f["ci_low"] == pytest.approx(exponent, rel=1e-9)
            assert f["ci_high"] == pytest.approx(exponent, rel=1e-9)


def test_phases_with_exponents_of_their_own_are_told_apart():
    def size(n, epoch):
        return round(1e9 * n ** (0.9 if epoch < 40 else 1.2))

    rows = [
        row(w, s, e, [size(4 * w + 1, e)], grok=40)
        for w in (20, 50, 100, 300)
        for s in range(2)
        for e in range(0, 100, 10)
    ]
    made = grokcrit.fss(table(rows), observable="size", resamples=10).to_pylist()
    exponents = {f["window"]: f["exponent"] for f in made if f["statistic"] == "mean"}
    assert exponents["pre"] == pytest.approx(0.9, rel=1e-8)
    assert exponents["post"] == pytest.approx(1.2, rel=1e-8)
    assert 0.9 < exponents["aggregate"] < 1.2
    for f in made:
        if f["window"] == "aligned":
            assert f["exponent"] == pytest.approx(0.9 if f["time"] < 0 else 1.2, rel=1e-8)


def test_sizes_with_statistic_zero_are_left_out_and_counted():
    rows = regular_rows(2)
    for r in rows:
        if r["width"] == 9:
            r.update(row(9, r["seed"], r["epoch"], [], 35))
    made = grokcrit.fss(table(rows), observable="size", resamples=5).to_pylist()
    for f in made:
        if f["window"] != "ungrokked":
            assert (f["n_sizes"], f["n_sizes_excluded"]) == (4, 1)
            assert f["exponent"] is not None
            assert f["n_quiet"] > 0


def test_a_thin_window_is_a_null_row_and_no_error():
    rows = [r for r in regular_rows(2) if r["epoch"] >= 35 or r["width"] < 9]
    made = grokcrit.fss(table(rows), observable="size", resamples=5).to_pylist()
    (pre,) = [f for f in made if f["window"] == "pre" and f["statistic"] == "mean"]
    assert pre["n_sizes"] == 2
    for name in ("exponent", "stderr", "r_squared", "intercept", "ci_low", "ci_high", "curvature"):
        assert pre[name] is None
    assert pre["n_avalanches"] > 0


def test_runs_that_never_grok_are_a_window_of_their_own():
    rows = regular_rows(3) + [
        {**r, "grok_epoch": None, "seed": r["seed"] + 10} for r in regular_rows(4)
    ]
    made = grokcrit.fss(table(rows), observable="size", resamples=5).to_pylist()
    by_window = {f["window"]: f for f in made if f["statistic"] == "mean"}
    assert by_window["ungrokked"]["n_runs"] == by_window["pre"]["n_runs"] == 20
    assert by_window["aggregate"]["n_runs"] == 40
    assert by_window["post"]["n_runs_excluded"] == 20


def test_a_table_in_which_nothing_groks_is_fitted_without_a_word():
    rows = [{**r, "grok_epoch": None} for r in regular_rows(3)]
    made = grokcrit.fss(table(rows), observable="size", resamples=5).to_pylist()
    exponents = {f["window"]: f["exponent"] for f in made if f["statistic"] == "mean"}
    assert exponents["pre"] is None
    assert exponents["post"] is None
    assert exponents["ungrokked"] == exponents["aggregate"] is not None
    assert not any(f["window"] == "aligned" for f in made)


def test_an_aligned_bin_is_fitted_only_where_every_size_has_data():
    rows = [r for r in regular_rows(5) if not (r["width"] == 14 and r["epoch"] < 20)]
    made = grokcrit.fss(table(rows), observable="size", resamples=5).to_pylist()
    bins = {f["time"]: f for f in made if f["window"] == "aligned" and f["statistic"] == "mean"}
    assert bins[-40]["exponent"] is None
    assert bins[-40]["ci_low"] is None
    assert bins[-40]["n_sizes"] == 4
    assert bins[-40]["n_sizes_excluded"] == 1
    assert bins[-20]["exponent"] is not None
    assert bins[-20]["n_sizes"] == 5
    epochs = {f["time"]: f for f in made if f["window"] == "epoch" and f["statistic"] == "mean"}
    assert epochs[0]["exponent"] is not None, "an epoch needs three sizes only"


# --- intervals --------------------------------------------------------------------------------


def test_the_largest_size_has_no_interval():
    for f in grokcrit.fss(table(regular_rows(1)), observable="size", resamples=20).to_pylist():
        there = f["ci_low"] is not None
        assert there == (f["statistic"] != "max" and f["window"] != "ungrokked")
        assert (f["ci_high"] is not None) == there
        if there:
            assert f["ci_low"] <= f["exponent"] + 1e-9
            assert f["exponent"] <= f["ci_high"] + 1e-9


def test_the_intervals_are_those_of_the_bootstrap_with_the_same_seed():
    rows = table(regular_rows(1))
    fits = grokcrit.fss(rows, observable="size", resamples=200, seed=4, confidence=0.9).to_pylist()
    draws = grokcrit.bootstrap(
        rows, observable="size", resamples=200, seed=4, confidence=0.9
    ).to_pylist()
    ends = {
        (d["statistic"], d["window"]): (d["ci_low"], d["ci_high"])
        for d in draws
        if d["kind"] == "interval" and d["method"].startswith("expanded")
    }
    for f in fits:
        if f["window"] in ("aggregate", "pre", "post") and f["statistic"] != "max":
            assert (f["ci_low"], f["ci_high"]) == pytest.approx(ends[f["statistic"], f["window"]])


def test_one_run_a_size_gives_no_interval():
    rows = [r for r in regular_rows(1) if r["seed"] == 0]
    for f in grokcrit.fss(table(rows), observable="size", resamples=20).to_pylist():
        if f["window"] in ("aggregate", "pre", "post"):
            assert f["exponent"] is not None
        assert f["ci_low"] is None
        assert f["ci_high"] is None


def test_more_confidence_is_a_wider_interval():
    rows = table(regular_rows(1, runs=8))
    widths = []
    for confidence in (0.5, 0.8, 0.95):
        made = grokcrit.fss(
            rows, observable="size", resamples=500, confidence=confidence
        ).to_pylist()
        (f,) = [f for f in made if f["window"] == "aggregate" and f["statistic"] == "mean"]
        widths.append(f["ci_high"] - f["ci_low"])
    assert widths == sorted(widths)
    assert widths[0] < 0.7 * widths[2]


def run_means(rows, window):
    """N to the mean size of each run in a window."""
    sizes = {}
    for (n, _), values in naive.by_run(naive.in_window(rows, window), "size").items():
        sizes.setdefault(n, []).append(sum(values) / len(values))
    return {n: np.array(values) for n, values in sorted(sizes.items())}


def test_the_p_of_the_curvature_is_students_t_of_its_first_order_variance():
    """Fault: a p counted over draws ends at the number of draws."""
    rows = regular_rows(6)
    sizes = run_means(rows, "aggregate")
    x, y = np.log(list(sizes)), np.log([v.mean() for v in sizes.values()])
    weights = np.linalg.pinv(np.column_stack([np.ones(len(x)), x, x * x]))[2]
    parts = [
        w**2 * v.var(ddof=1) / len(v) / v.mean() ** 2
        for w, v in zip(weights, sizes.values(), strict=True)
    ]
    freedom = sum(parts) ** 2 / sum(
        p**2 / (len(v) - 1) for p, v in zip(parts, sizes.values(), strict=True)
    )
    t = abs(weights @ y) / math.sqrt(sum(parts))
    for resamples in (20, 60):
        made = grokcrit.fss(table(rows), observable="size", resamples=resamples).to_pylist()
        (f,) = [f for f in made if f["window"] == "aggregate" and f["statistic"] == "mean"]
        assert f["curvature_p"] == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_the_lack_of_fit_is_that_of_matrices(seed):
    rows = regular_rows(seed)
    made = grokcrit.fss(table(rows), observable="size", resamples=20).to_pylist()
    for window in ("aggregate", "pre", "post"):
        sizes = run_means(rows, window)
        logs = np.log([v.mean() for v in sizes.values()])
        spread = [v.var(ddof=1) / len(v) / v.mean() ** 2 for v in sizes.values()]
        counts = [len(v) for v in sizes.values()]
        chi2, freedom, p = naive.lack_of_fit(np.log(list(sizes)), logs, spread, counts)
        (f,) = [f for f in made if f["window"] == window and f["statistic"] == "mean"]
        assert f["chi2"] == pytest.approx(chi2, rel=1e-8)
        assert f["chi2_freedom"] == freedom == 3
        assert f["chi2_p"] == pytest.approx(p, rel=1e-8)


def test_lines_that_fit_are_rejected_in_5_of_100_tables_whatever_the_number_of_runs():
    """Fault: chi^2 with variances of three runs taken as exact rejects a third."""
    rng = np.random.default_rng(1)
    x, tables = np.log([81, 201, 401, 801, 2001]), 2000
    for runs in (3, 6):
        size_of = np.repeat(np.arange(5), runs)
        noise = rng.standard_normal((len(size_of), tables)) * 0.1 * (1 + size_of[:, None])
        mean = np.array([noise[size_of == k].mean(axis=0) for k in range(5)])
        made = Lines(x, (mean + 1.1 * x[:, None]).T, noise - mean[size_of], size_of)
        rejected = int((made.lack_of_fit.p < 0.05).sum())
        low, high = stats.binom.ppf([0.0005, 0.9995], tables, 0.05)
        # Johansen's is an approximation: 3.4 % at three runs.
        assert 0.5 * low <= rejected <= 1.2 * high


# --- grouping, order, bad input ---------------------------------------------------------------


def test_cases_are_fitted_apart_and_pooled_over_none():
    changes = [
        {"surrogate": "gaussian"},
        {"surrogate": "gaussian", "replicate": 1},
        {"graph_seed": 1},
        {"topology": "ring"},
        {"alpha": 0.5},
        {"quantile": 80.0},
        {"rule": "reset"},
        {"case": "other"},
        {"field": "update"},
        {"task": "and"},
        {"degree": 4},
    ]
    parts = {json.dumps(c): regular_rows(k, **c) for k, c in enumerate([{}, *changes])}
    joint = grokcrit.fss(
        table([r for rows in parts.values() for r in rows]), observable="size", resamples=5
    )
    found = joint.to_pylist()
    assert len({tuple(f[c] for c in CASE_COLUMNS) for f in found}) == 12
    for text, rows in parts.items():
        alone = grokcrit.fss(table(rows), observable="size", resamples=5).to_pylist()
        case = {**CASE, **json.loads(text)}
        assert [f for f in found if all(f[k] == v for k, v in case.items())] == alone


def test_threads_tables_in_pieces_and_their_order_change_no_bit():
    rows = regular_rows(1) + random_rows(2, alpha=0.5) + random_rows(3, rule="reset")
    wanted = bare(grokcrit.fss(table(rows), observable="size", resamples=30, threads=1))
    assert bare(grokcrit.fss(table(rows), observable="size", resamples=30, threads=2)).equals(
        wanted
    )
    assert bare(grokcrit.fss(table(rows[::-1]), observable="size", resamples=30)).equals(wanted)
    pieces = [table([r for r in rows if r["width"] == w]) for w in (30, 3, 9, 5, 14)]
    assert bare(grokcrit.fss(pieces, observable="size", resamples=30)).equals(wanted)
    assert wanted.schema.equals(FSS.arrow)


def test_how_many_windows_are_held_at_once_changes_no_number(monkeypatch):
    # Catches a window whose numbers are put at the place of another.
    rows = random_rows(4)
    whole = grokcrit.fss(table(rows), resamples=50)
    monkeypatch.setattr(resampling, "CHUNK", 7000)  # three windows of 50 resamples and five sizes
    assert bare(grokcrit.fss(table(rows), resamples=50)).equals(bare(whole))


def test_a_table_with_too_few_sizes_is_refused():
    with pytest.raises(FitError):
        grokcrit.fss(table(regular_rows(1, widths=(3, 5))))


def test_the_same_avalanche_twice_is_refused():
    rows = regular_rows(1)
    with pytest.raises(RepeatedError):
        grokcrit.fss([table(rows), table(rows[:1])])


@pytest.mark.parametrize(
    "bad", [{"observable": "weight"}, {"resamples": 0}, {"confidence": 1.0}, {"seed": -1}]
)
def test_an_option_out_of_its_range_is_refused(bad):
    with pytest.raises(OptionError) as caught:
        grokcrit.fss(table(regular_rows(1)), **bad)
    assert caught.value.name in bad


def test_the_whole_way_from_training_is_the_oracles(avalanches):
    rows = avalanches.to_pylist()
    made = grokcrit.fss(avalanches, resamples=5, observable=("size", "branching")).to_pylist()
    for each in made:
        mine = [r for r in rows if r["surrogate"] == each["surrogate"]]
        check_fit(each, mine, 5, 15)


@pytest.mark.parametrize("stage", [grokcrit.fss, grokcrit.bootstrap])
def test_size_never_stands_without_what_the_cascade_added(avalanches, stage):
    made = stage(avalanches, resamples=5)
    assert set(made["observable"].to_pylist()) == {"size", "excess", "branching"}
