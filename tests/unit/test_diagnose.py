"""diagnose: nulls, placebos, straightness, crossings, Gini, against loops and known answers."""

import itertools
import math

import naive
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import grokcrit
from grokcrit.base.errors import EmptyError, FitError, OptionError, TableError
from grokcrit.questions import gini, nulls
from grokcrit.scaling import crossings, tails
from grokcrit.scaling.resampling import Estimate
from grokcrit.tables import reading
from grokcrit.tables.schemas import DIAGNOSTICS

from .synthetic import random_rows, regular_rows, row, table

PHASES = ("aggregate", "pre", "post")
QUICK = {"resamples": 40, "permutations": 30, "gof": 2, "observable": "size"}


def diagnosed(rows, only, **options):
    made = grokcrit.diagnose(table(rows), **{**QUICK, "only": only, **options})
    return made.to_pylist()


def rows_of(made, **wanted):
    return [r for r in made if all(r[k] == v for k, v in wanted.items())]


def one(made, **wanted):
    (found,) = rows_of(made, **wanted)
    return found


def agrees(found, wanted, tolerance=1e-9):
    if wanted is None:
        assert found is None
    else:
        assert found == pytest.approx(wanted, rel=tolerance, abs=tolerance)


def exact(exponent, surrogate="none", runs=3, **case):
    """Every avalanche of size 1000 N^exponent: whatever is resampled, the fit is the same."""
    return [
        row(w, run, e, [round(1000 * (4 * w + 1) ** exponent)], 35, surrogate=surrogate, **case)
        for w in (30, 90, 270, 500)
        for run in range(runs)
        for e in range(0, 100, 10)
    ]


# --- null models ------------------------------------------------------------------------------


def test_a_null_halfway_between_gaussian_and_data_keeps_half():
    rows = exact(1.3) + exact(1.0, "gaussian") + exact(1.15, "permute")
    made = diagnosed(rows, "nulls")
    for window in PHASES:
        kept = one(
            made, quantity="fraction-kept", surrogate="permute", window=window, statistic="mean"
        )
        assert kept["value"] == pytest.approx(0.5, abs=1e-4)
        gap = one(
            made, quantity="data-minus-null", surrogate="permute", window=window, statistic="mean"
        )
        assert gap["value"] == pytest.approx(0.15, abs=1e-4)


def test_a_null_equal_to_the_data_keeps_all_and_one_equal_to_the_gaussian_nothing():
    data, gaussian = regular_rows(1), [{**r, "size": r["size"] // 3 + 1} for r in regular_rows(2)]
    rows = [
        *data,
        *({**r, "surrogate": "sign-flip"} for r in data),
        *({**r, "surrogate": "gaussian"} for r in gaussian),
        *({**r, "surrogate": "permute"} for r in gaussian),
    ]
    made = diagnosed(rows, "nulls", resamples=500)
    same = rows_of(made, quantity="data-minus-null", surrogate="sign-flip")
    assert same
    assert all(r["value"] == 0 and r["p"] == 1 for r in same)
    for kept in rows_of(made, quantity="fraction-kept"):
        if kept["value"] is None:
            assert "not told apart" in kept["method"]
            assert kept["ci_low"] is kept["ci_high"] is None
            continue
        assert kept["value"] == pytest.approx(1.0 if kept["surrogate"] == "sign-flip" else 0.0)


def test_exponents_of_phases_and_times_are_those_of_plain_loops():
    data, null = random_rows(3), random_rows(3, surrogate="gaussian")
    for r, s in zip(data, null, strict=True):
        s["size"] = r["size"] + r["epoch"]
    made = diagnosed(data + null, "nulls")
    for statistic in ("mean", "run-max", "cutoff"):
        for found in rows_of(made, quantity="data-minus-null", statistic=statistic):
            window, time = found["window"], found["time"]
            if window == "post - pre":
                continue
            mine, other = (
                naive.exponent(naive.in_window(rows, window, time), "size", statistic)
                for rows in (data, null)
            )
            agrees(found["value"], None if None in (mine, other) else mine - other)
        for found in rows_of(made, quantity="exponent", statistic=statistic):
            rows = data if found["surrogate"] == "none" else null
            if found["window"] in PHASES:
                wanted = naive.exponent(naive.in_window(rows, found["window"]), "size", statistic)
                agrees(found["value"], wanted)


@pytest.mark.parametrize("statistic", ["mean", "run-max"])
def test_replicates_of_a_null_are_averaged_run_by_run(statistic):
    data = regular_rows(1)
    replicates = [regular_rows(k, surrogate="permute", replicate=k) for k in (2, 3)]
    made = diagnosed([*data, *replicates[0], *replicates[1]], "nulls")
    found = one(made, quantity="exponent", surrogate="permute", window="post", statistic=statistic)
    by_size = {}
    for rows in replicates:
        for (n, _), values in naive.by_run(naive.in_window(rows, "post"), "size").items():
            reduced = sum(values) / len(values) if statistic == "mean" else max(values)
            by_size.setdefault(n, []).append(reduced)
    x, y = naive.points({n: sum(v) / len(v) for n, v in by_size.items()})
    assert found["value"] == pytest.approx(naive.slope(x, y))


def estimate(value, spread, seed, runs=40):
    """An estimate of one bin whose draws are normal, from runs of four sizes."""
    rng = np.random.default_rng(seed)
    return Estimate(
        np.array([value]),
        value + spread * rng.standard_normal((4000, 1)),
        rng.standard_normal((4 * runs, 1)),
        np.repeat(np.arange(4), runs),
    )


def test_the_ends_of_a_ratio_are_where_top_minus_f_bottom_is_just_told_apart_from_zero():
    top, bottom = estimate(0.3, 0.05, 1), estimate(0.6, 0.1, 2)
    ratio, low, high = (each[0] for each in nulls.fieller(top, bottom, 0.95))
    assert ratio == pytest.approx(0.5)
    assert low < ratio < high
    reach = []
    for f in (low, high):
        rest = top.draws - f * bottom.draws
        reach.append(abs(0.3 - f * 0.6) / rest.std())
    # Student's quantile at many degrees of freedom, by a factor for the runs: the same at both.
    assert reach[0] == pytest.approx(reach[1], rel=1e-6)
    assert 1.96 < reach[0] < 2.1


def test_a_ratio_to_what_may_be_zero_is_not_defined():
    top, bottom = estimate(0.3, 0.05, 1), estimate(0.1, 0.1, 2)
    assert all(np.isnan(each).all() for each in nulls.fieller(top, bottom, 0.95))


def test_a_null_of_other_snapshots_is_left_out_and_said():
    rows = regular_rows(1) + [r for r in regular_rows(2, surrogate="permute") if r["epoch"] != 20]
    made = diagnosed(rows, ("nulls", "counts"))
    assert not rows_of(made, surrogate="permute", quantity="data-minus-null")
    assert one(made, quantity="null-of-other-runs")["part"] == "permute"


# --- placebos ---------------------------------------------------------------------------------


def test_a_common_split_is_the_split_of_runs_that_all_grok_then():
    rows = random_rows(4)
    made = diagnosed(rows, "placebos", splits=(20, 45, 700))
    for split in (20, 45, 700):
        moved = [{**r, "grok_epoch": None if r["grok_epoch"] is None else split} for r in rows]
        for window in ("pre", "post"):
            found = one(made, quantity="placebo-split", window=window, time=split, statistic="mean")
            agrees(found["value"], naive.exponent(naive.in_window(moved, window), "size", "mean"))


def test_the_own_epoch_beats_a_split_that_cuts_through_the_phases():
    rows = [
        {**r, "size": round(1000 * r["n_params"] ** (1.0 if r["epoch"] < r["grok_epoch"] else 1.3))}
        for r in exact(1.0, runs=4)
    ]
    rows = [{**r, "grok_epoch": g, "size": s} for r in rows for g, s in [own(r)]]
    made = diagnosed(rows, "placebos", splits=(70,), resamples=300)
    found = one(made, quantity="own-minus-split", time=70, statistic="mean")
    assert found["value"] > 0.02
    assert found["p"] < 0.05


def own(r):
    """A run's own grokking epoch, 20 to 50, and the size that goes with it."""
    grok = 20 + 10 * r["seed"]
    return grok, round(1000 * r["n_params"] ** (1.0 if r["epoch"] < grok else 1.3))


def test_permuted_epochs_are_those_of_every_possible_permutation():
    rows = [
        {**r, "grok_epoch": 20 + 10 * (r["seed"] % 5)}
        for r in random_rows(8, widths=(3, 9, 30), runs=3)
    ]
    made = diagnosed(rows, "placebos", permutations=4000)
    found = one(made, quantity="placebo-permuted", statistic="mean", window="post - pre")
    runs = {}
    for r in rows:
        runs.setdefault(r["n_params"], {})[r["seed"]] = r["grok_epoch"]
    values = []
    orders = [list(itertools.permutations(groks.values())) for groks in runs.values()]
    for chosen in itertools.product(*orders):
        new = {
            (n, seed): grok
            for (n, groks), order in zip(runs.items(), chosen, strict=True)
            for seed, grok in zip(groks, order, strict=True)
        }
        moved = [{**r, "grok_epoch": new[r["n_params"], r["seed"]]} for r in rows]
        phases = [
            naive.exponent(naive.in_window(moved, w), "size", "mean") for w in ("pre", "post")
        ]
        values.append(phases[1] - phases[0])
    assert found["value"] == pytest.approx(values[0])
    upper, lower = (np.mean(s * np.array(values) >= s * values[0] - 1e-9) for s in (1, -1))
    assert found["p"] == pytest.approx(min(1, 2 * min(upper, lower)), abs=0.04)
    low, high = np.quantile(values, [0.025, 0.975])
    spread = max(values) - min(values)
    assert found["ci_low"] == pytest.approx(low, abs=0.05 * spread)
    assert found["ci_high"] == pytest.approx(high, abs=0.05 * spread)


def test_without_a_grokked_run_there_are_no_placebos():
    rows = [{**r, "grok_epoch": None} for r in regular_rows(1)]
    assert rows_of(diagnosed(rows, ("placebos", "counts")), quantity="placebo-split") == []


# --- straightness -----------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["mean", "run-max"])
def test_local_exponents_are_slopes_between_neighbours_and_curvature_is_that_of_fss(statistic):
    rows = regular_rows(5)
    made = diagnosed(rows, "straightness", resamples=60)
    fits = grokcrit.fss(table(rows), observable="size", resamples=60).to_pylist()
    for window in PHASES:
        sizes = naive.statistic(naive.in_window(rows, window), "size", statistic)
        x, y = naive.points(sizes)
        for k, n in enumerate(sorted(sizes)[:-1]):
            found = one(
                made,
                quantity="local-exponent",
                statistic=statistic,
                window=window,
                n_params=n,
            )
            assert found["value"] == pytest.approx((y[k + 1] - y[k]) / (x[k + 1] - x[k]))
            assert found["ci_low"] < found["value"] < found["ci_high"]
        curved = one(made, quantity="curvature", statistic=statistic, window=window)
        fitted = one(fits, statistic=statistic, window=window, surrogate="none")
        assert curved["value"] == pytest.approx(fitted["curvature"])
        assert curved["p"] == pytest.approx(fitted["curvature_p"])
        bend = one(made, quantity="bend", statistic=statistic, window=window)
        assert bend["value"] == pytest.approx(2 * curved["value"] * (x[-1] - x[0]))


def test_a_straight_line_has_equal_local_exponents_and_no_bend():
    made = diagnosed(exact(1.25), "straightness")
    for found in rows_of(made, quantity="local-exponent"):
        assert found["value"] == pytest.approx(1.25, abs=1e-4)
    assert all(abs(r["value"]) < 1e-3 for r in rows_of(made, quantity="bend"))


# --- crossings, change points, leads ----------------------------------------------------------

curve = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(curve)
def test_the_lasting_rise_is_where_a_walk_from_the_end_first_meets_zero(values):
    gap = np.array(values, float)
    times = np.arange(len(gap)) * 10.0
    found = float(crossings.lasting_rise(times, gap))
    k = len(gap) - 1
    while k >= 0 and gap[k] > 0:
        k -= 1
    if k < 0 or k == len(gap) - 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(10 * (k - gap[k] / (gap[k + 1] - gap[k])))


@given(curve)
def test_every_sign_change_is_listed_with_its_direction(values):
    gap = np.array(values, float)
    found = crossings.sign_changes(np.arange(len(gap), dtype=float), gap)
    signs = [v > 0 for v in values if v != 0]
    assert [up for _, up in found] == [b for a, b in itertools.pairwise(signs) if a != b]
    assert [t for t, _ in found] == sorted(t for t, _ in found)
    for time, _ in found:
        left, right = int(np.floor(time)), int(np.ceil(time))
        assert min(gap[left], gap[right]) <= 0 <= max(gap[left], gap[right])


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=15))
def test_the_change_point_is_the_best_of_all_splits(values):
    y = np.array(values)
    when, jump, share = (float(v) for v in crossings.change_point(np.arange(len(y)) * 1.0, y))
    left = {}
    for k in range(3, len(y) - 2):
        left[k - 0.5] = ((y[:k] - y[:k].mean()) ** 2).sum() + ((y[k:] - y[k:].mean()) ** 2).sum()
    assert left[when] == pytest.approx(min(left.values()), abs=1e-9)
    k = int(when + 0.5)
    assert jump == pytest.approx(y[k:].mean() - y[:k].mean(), abs=1e-9)
    total = ((y - y.mean()) ** 2).sum()
    if total > 1e-6:
        assert share == pytest.approx(1 - left[when] / total, abs=1e-6)


def test_a_known_crossing_change_point_and_lead_are_found():
    rows = [
        {**r, "grok_epoch": 60 + r["seed"], "size": round(1e6 * r["n_params"] ** d)}
        for r in exact(1.0)
        for d in [0.9 if r["epoch"] < 45 else 1.2]
    ]
    made = diagnosed(rows, "crossings")
    found = one(made, quantity="crossing", part="1", window="epoch", statistic="mean")
    assert found["value"] == pytest.approx(40 + 10 / 3, abs=1e-2)
    assert (found["ci_low"], found["ci_high"]) == (40, 50)
    lead = one(
        made, quantity="crossing-lead", window="epoch", statistic="mean", method="median run"
    )
    assert lead["value"] == pytest.approx(61 - found["value"])
    change = one(made, quantity="change-point", window="epoch", statistic="mean")
    assert (change["ci_low"], change["value"], change["ci_high"]) == (40, 45, 50)
    step = one(made, quantity="change-of-D", window="epoch", statistic="mean")
    assert step["value"] == pytest.approx(0.3, abs=1e-3)


def test_draws_without_a_crossing_are_counted():
    rng = np.random.default_rng(3)
    rows = [
        {**r, "size": max(1, round(1e4 * r["n_params"] ** d * rng.lognormal(0, 0.6)))}
        for r in exact(1.0, runs=4)
        for d in [0.98 if r["epoch"] < 45 else 1.02]
    ]
    made = diagnosed(rows, "crossings", resamples=300)
    share = one(made, quantity="share-without-crossing", part="1", window="epoch", statistic="mean")
    assert 0.05 < share["value"] < 0.95
    found = one(made, quantity="crossing", part="1", window="epoch", statistic="mean")
    assert found["n"] == round(300 * (1 - share["value"]))


# --- counts -----------------------------------------------------------------------------------


def test_counts_are_those_of_the_table():
    rows = random_rows(2)
    made = diagnosed(rows, "counts")
    assert one(made, quantity="truncated")["value"] == sum(r["truncated"] for r in rows)
    assert one(made, quantity="quiet")["value"] == sum(r["size"] == 0 for r in rows)
    runs = {(r["n_params"], r["seed"]): r["grok_epoch"] for r in rows}
    never = one(made, quantity="never-grokked")
    assert (never["value"], never["n"]) == (sum(g is None for g in runs.values()), len(runs))
    sizes = {r["n_params"] for r in rows}
    bins = {t for w, t in naive.all_windows(rows) if w == "aligned"}
    lacking = sum(
        {r["n_params"] for r in naive.in_window(rows, "aligned", t)} != sizes for t in bins
    )
    thin = one(made, quantity="thin", window="aligned")
    assert (thin["value"], thin["n"]) == (lacking, len(bins))


# --- tails ------------------------------------------------------------------------------------


def test_tails_are_fitted_size_by_size_and_short_ranges_are_said_in_words():
    rng = np.random.default_rng(6)
    rows = [
        row(w, run, e, [int(s)], 500)
        for w in (30, 90, 270)
        for run in range(4)
        for e, s in zip(range(0, 1000, 5), rng.zipf(1.8, 200), strict=True)
        if s < 10**6
    ]
    made = diagnosed(rows, "tails")
    for n in (121, 361, 1081):
        mine = [r["size"] for r in rows if r["n_params"] == n]
        wanted = tails.fit(*np.unique(mine, return_counts=True))
        place = {"observable": "size", "window": "aggregate", "n_params": n, "part": "lower cutoff"}
        tau = one(made, quantity="tau", **place)
        assert tau["value"] == pytest.approx(wanted.exponent)
        assert tau["ci_low"] < tau["value"] < tau["ci_high"]
        assert tau["value"] == pytest.approx(1.8, abs=4 * wanted.stderr)
        assert ("too short" in tau["method"]) == (wanted.decades < 2)
        assert one(made, quantity="tau-lower", **place)["value"] == wanted.lower
    # A duration of one step everywhere has no distribution to fit.
    durations = rows_of(made, quantity="tau", observable="duration")
    assert durations
    assert all(r["value"] is None for r in durations)
    assert all(r["value"] is None for r in rows_of(made, quantity="crackling-left"))


# --- Gini -------------------------------------------------------------------------------------


def test_a_triangular_transient_is_measured_as_it_was_made():
    epoch = np.arange(201.0)
    curve = 0.3 + 0.1 * np.clip(1 - np.abs(epoch - 80) / 40, 0, None)
    found = gini.transient(epoch, curve, 90.0)
    assert (found.peak, found.distance, found.passed) == (80, -10.0, True)
    assert found.height == pytest.approx(1 / 3)
    assert found.length == 39  # above half height: 61 to 99


def test_a_rise_that_stays_is_no_transient():
    epoch = np.arange(100.0)
    found = gini.transient(epoch, 0.3 + 0.001 * epoch, np.nan)
    assert not found.passed
    assert math.isnan(found.distance)


def test_weights_that_are_all_zero_have_no_transient():
    found = gini.transient(np.arange(3.0), np.array([np.nan, 0.2, 0.3]), 1.0)
    assert math.isnan(found.height)


@pytest.mark.parametrize(("n", "k"), [(5, None), (6, 1), (20, 6), (100, 40)])
def test_the_interval_of_a_median_is_that_of_the_sign_test(n, k):
    values = np.arange(1.0, n + 1)
    low, high = gini.median_interval(values, 0.95)
    assert (low, high) == ((None, None) if k is None else (k, n + 1 - k))


def test_every_run_of_a_train_table_has_its_gini_rows(trained):
    made = grokcrit.diagnose(trained, only="gini").to_pylist()
    rows = trained.to_pylist()
    runs = {(r["n_params"], r["seed"]) for r in rows}
    for n, seed in runs:
        curve = [r["weight_gini"] for r in rows if (r["n_params"], r["seed"]) == (n, seed)]
        peak = one(made, quantity="gini-peak", n_params=n, seed=seed)
        assert peak["value"] == curve.index(max(curve))
        height = one(made, quantity="gini-height", n_params=n, seed=seed)
        assert height["value"] == pytest.approx(max(curve) / curve[0] - 1)
    every = one(made, quantity="gini-height", n_params=None, seed=None, method="median run")
    heights = [r["value"] for r in rows_of(made, quantity="gini-height") if r["seed"] is not None]
    assert every["value"] == pytest.approx(np.median(heights))
    assert every["n"] == len(runs)


# --- the stage --------------------------------------------------------------------------------


def test_threads_and_order_of_the_rows_change_no_bit():
    rows = regular_rows(1) + regular_rows(2, surrogate="gaussian") + random_rows(3, alpha=0.5)
    options = {**QUICK, "observable": ("size", "branching")}
    wanted = grokcrit.diagnose(table(rows), threads=1, **options).replace_schema_metadata()
    for other in (
        grokcrit.diagnose(table(rows), threads=2, **options),
        grokcrit.diagnose(table(rows[::-1]), **options),
        grokcrit.diagnose([table(rows[:100]), table(rows[100:])], **options),
    ):
        assert other.replace_schema_metadata().equals(wanted)
    assert wanted.schema.equals(DIAGNOSTICS.arrow)
    keys = [tuple(r[k] for k in DIAGNOSTICS.key) for r in wanted.to_pylist()]
    assert len(set(keys)) == len(keys)


def test_another_seed_gives_other_intervals_and_the_same_values():
    rows = regular_rows(1) + regular_rows(2, surrogate="gaussian")
    a, b = (diagnosed(rows, "nulls", seed=s) for s in (0, 1))
    assert [r["value"] for r in a if r["quantity"] == "data-minus-null"] == [
        r["value"] for r in b if r["quantity"] == "data-minus-null"
    ]
    assert [r["ci_low"] for r in a] != [r["ci_low"] for r in b]


def test_a_table_of_another_stage_is_refused(avalanches):
    fits = grokcrit.fss(avalanches, resamples=5)
    with pytest.raises(TableError, match="'fss'"):
        grokcrit.diagnose(fits)


def test_a_question_that_no_table_answers_is_refused(trained, avalanches):
    with pytest.raises(EmptyError):
        grokcrit.diagnose(avalanches, only="gini")
    with pytest.raises(EmptyError):
        grokcrit.diagnose(trained, only="nulls")


def test_two_sizes_are_refused():
    with pytest.raises(FitError):
        grokcrit.diagnose(table(regular_rows(1, widths=(3, 5))))


@pytest.mark.parametrize(
    "bad",
    [
        {"only": "null"},
        {"only": ()},
        {"splits": 0},
        {"splits": (20, 20)},
        {"permutations": 0},
        {"gof": 0},
        {"resamples": 0},
        {"observable": "sise"},
    ],
)
def test_an_option_out_of_its_range_is_refused(bad):
    with pytest.raises(OptionError) as caught:
        grokcrit.diagnose(table(regular_rows(1)), **bad)
    assert caught.value.name in bad


def test_the_gini_of_a_run_is_measured_wherever_its_rows_are(trained, monkeypatch):
    """A run that lay in two blocks, or whose rows were shuffled, was measured in pieces."""
    options = {"only": "gini", "resamples": 20}
    expected = grokcrit.diagnose(trained, **options)
    shuffled = trained.take(np.random.default_rng(0).permutation(trained.num_rows))
    assert grokcrit.diagnose(shuffled, **options).equals(expected)
    monkeypatch.setattr(reading, "BLOCK_ROWS", 100)
    assert grokcrit.diagnose(trained, **options).equals(expected)


def test_a_run_with_two_grokking_epochs_is_refused_before_its_cascades(trained):
    epochs = [3, *trained["grok_epoch"].to_pylist()[1:]]
    place = trained.schema.get_field_index("grok_epoch")
    table = trained.set_column(place, trained.schema.field(place), pa.array(epochs, pa.int32()))
    for stage in (grokcrit.avalanche, lambda t: grokcrit.diagnose(t, only="gini")):
        with pytest.raises(TableError, match="'grok_epoch' of the train inputs has several values"):
            stage(table)
