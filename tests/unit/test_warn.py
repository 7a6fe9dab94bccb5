"""warn: known answers, oracles in plain loops, what is locked, and what an exchange must leave."""

import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import stats

import grokcrit
from grokcrit.base.errors import FitError
from grokcrit.base.stage_options import WarnOptions
from grokcrit.protocol import concordance, intervals
from grokcrit.protocol.account import cases_in
from grokcrit.protocol.courses import Course, course_of
from grokcrit.protocol.designs import designs_of, kind_of, watched
from grokcrit.protocol.detectors import DETECTORS, SIGNS, statistic
from grokcrit.protocol.locking import lock, threshold
from grokcrit.protocol.runs import cases_of, families_of
from grokcrit.protocol.scores import Held, scores_of
from grokcrit.signals import registry
from grokcrit.stages.warn import warn_summary
from grokcrit.tables.schemas import WARN
from grokcrit.tasks.draws import drawn
from tests import naive_warn as naive
from tests.unit.signals import G, M, binormal, jump, run, table

QUICK = {"resamples": 200, "threads": 1}


def rows(made, **wanted):
    """Rows of a warn table whose columns have those values."""
    return [r for r in made.to_pylist() if all(r[k] == v for k, v in wanted.items())]


def one(made, **wanted):
    """The only row whose columns have those values."""
    (found,) = rows(made, **{"source": None} | wanted)
    return found


def case_runs(made, options=None):
    """Runs of each case of a signals table."""
    record = json.loads(made.schema.metadata[b"grokcrit"])
    return cases_of(made, record["cases"] if options is None else options, 0)


def watch_of(made, parity=None):
    """Watch of the only design of a signals table, of all seeds or of even or odd ones."""
    if parity is not None:
        mine = pc.equal(pc.bit_wise_and(made["seed"], 1), parity)
        made = made.filter(mine)
    cases = case_runs(made)
    (design,) = designs_of(cases)
    return watched(design, {each.name: each for each in cases})


def course(values, step=1.0):
    """A course of some values, whose watch nobody asks for."""
    epoch = np.tile(np.arange(values.shape[1]) * step, (len(values), 1))
    full = np.full(len(values), values.shape[1])
    return Course(None, values, epoch, 0 * full, step, full, full)


def plain(values):
    """An array as a list, None for NaN."""
    return [None if math.isnan(x) else x for x in values.tolist()]


def drifting(rng, case):
    """Signals of every sort: noise about a drift, rarely undefined, and one that ties often."""

    def noise(at):
        values = rng.standard_normal(len(at)).cumsum() + (case == "base") * 0.02 * at
        return np.where(rng.random(len(at)) < 0.05, np.nan, values)

    return {"noise": noise, "coarse": lambda at: np.round(noise(at) / 3)}


# --- detectors --------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("detector", DETECTORS)
def test_a_detector_is_what_its_definition_says(detector, sign, step):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 50)).cumsum(axis=1)
    values[rng.random(values.shape) < 0.15] = np.nan
    values[4], values[5, :30] = 7.0, 0.0  # constant; constant at first
    values[5, 30:] = 1e-3
    found = statistic(course(values, step), detector, sign)
    for mine, x in zip(found, values, strict=True):
        wanted = naive.detect(plain(x), detector, sign, step)
        assert np.allclose(mine, np.array(wanted, float), rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_detector_uses_no_later_sample(detector):
    values = np.random.default_rng(1).standard_normal((3, 40))
    changed = values.copy()
    changed[:, 25:] *= 100
    before, after = (statistic(course(v), detector, 1)[:, :25] for v in (values, changed))
    assert np.array_equal(before, after, equal_nan=True)


def test_a_constant_that_moves_at_last_has_a_finite_statistic_in_any_unit():
    values = np.zeros((1, 30))
    values[0, 20:] = 1.0
    for unit in (1e-12, 1.0, 1e12):
        for detector in ("z", "cusum"):
            found = statistic(course(7.0 + unit * 0 + unit * values), detector, 1)
            assert np.nanmax(np.abs(found)) < np.inf


def test_a_threshold_is_the_lowest_that_the_rate_allows():
    rng = np.random.default_rng(2)
    for n in (3, 19, 20, 21, 60):
        scores = np.round(rng.standard_normal(n), 1)
        for rate in (0.05, 0.1):
            assert threshold(scores, rate) == naive.threshold(scores.tolist(), rate)


# --- known answers ----------------------------------------------------------------------------


def test_the_auroc_of_normal_scores_is_the_one_that_theory_has():
    """Constant levels of unit variance, d apart: Phi(d / sqrt 2)."""
    made = grokcrit.warn(binormal(seeds=600, m=2, g=16, end=20, size=1.0), **QUICK)
    found = one(made, signal="level", score="auroc", control="all")
    assert (found["detector"], found["sign"]) == ("level", 1)
    assert found["value"] == pytest.approx(stats.norm.cdf(1 / math.sqrt(2)), abs=0.06)
    assert found["ci_low"] < stats.norm.cdf(1 / math.sqrt(2)) < found["ci_high"]
    assert one(made, signal="level", score="tauc", control="all")["value"] == found["value"]


def test_auroc_and_tauc_are_those_of_plain_loops():
    rng = np.random.default_rng(3)
    parts, lengths = [], {}
    for seed in range(24):
        m, length, late = (int(rng.integers(*ends)) for ends in ((5, 30), (30, 90), (0, 20)))
        lengths[seed] = length
        for case, start, g in (("base", m, m + length), ("k", m + late, None)):
            parts += run(case, seed, drifting(rng, case), m=start, g=g, end=m + length + 25)
    made = table(parts, {"base": None, "k": "base"})
    scored = grokcrit.warn(made, **QUICK)
    values = {}
    for row in made.to_pylist():
        values.setdefault((row["signal"], row["case"], row["seed"]), []).append(row["value"])
    for name in ("noise", "coarse"):
        found = one(scored, signal=name, score="auroc", control="all")
        pairs = []
        for seed in range(1, 24, 2):
            mine = []
            for case in ("base", "k"):
                train = values["train_accuracy", case, seed]
                first = next(t for t, accuracy in enumerate(train) if accuracy > 0.99)
                since = values[name, case, seed][first:]
                mine.append(naive.detect(since, found["detector"], found["sign"]))
            pairs.append((*mine, lengths[seed]))
        scores = [[naive.largest(p[k], p[2] - 9) for p in pairs] for k in (0, 1)]
        assert found["value"] == pytest.approx(naive.auroc(*scores), abs=1e-12)
        assert found["n_runs"] == found["n_controls"] == 12
        timed = one(scored, signal=name, score="tauc", control="all")
        assert timed["value"] == pytest.approx(naive.tauc(pairs), abs=1e-12)


def test_white_noise_tells_nothing_matched_and_much_in_calendar_time():
    """Controls memorise later: in calendar time base runs are watched longer, and alarm more."""
    parts = []
    for seed in range(48):
        for case, m, g in (("base", 10, 100), ("k", 80, None)):
            parts += run(case, seed, {"x": lambda at: 0.0 * at}, m=m, g=g, end=175)
    made = table(parts, {"base": None, "k": "base"})
    found = one(grokcrit.warn(made, **QUICK), signal="white-noise", score="auroc", control="all")
    assert found["ci_low"] < 0.5 < found["ci_high"]
    watch, _ = watch_of(made)
    noise = course_of(watch, "white-noise")
    calendar = noise.epoch <= G + 10
    scores = np.where(calendar, noise.values, -np.inf).max(axis=1)
    assert naive.auroc(scores[watch.base], scores[~watch.base]) > 0.7


def test_clocks_score_a_half_exactly():
    rng = np.random.default_rng(4)
    parts = []
    for seed in range(40):
        m, length = int(rng.integers(5, 30)), int(rng.integers(30, 120))
        end = m + length + 60
        parts += run("base", seed, drifting(rng, "base"), m=m, g=m + length, end=end)
        parts += run("near", seed, drifting(rng, "near"), m=m + 20, g=m + length + 40, end=end)
    scored = grokcrit.warn(table(parts, {"base": None, "near": "base"}), **QUICK)
    clock = rows(scored, signal="since-memorising", source=None)
    assert {r["value"] for r in clock if r["score"] in ("auroc", "tauc", "explored")} == {0.5}
    assert {r["control"] for r in clock if r["score"] == "auroc"} == {"late", "all"}
    timed = one(scored, signal="epoch", score="timing")
    assert timed["value"] == 0.5
    assert min(timed["n_runs"], timed["n_controls"]) > 20


def test_a_signal_that_is_never_defined_is_not_scored():
    nothing = {"empty": lambda at: np.full(len(at), np.nan)}
    scored = grokcrit.warn(binormal(more=lambda *_: nothing), **QUICK)
    assert {r["score"] for r in rows(scored, signal="empty")} == {"cost"}
    assert rows(scored, signal="level", score="auroc")


def test_a_detector_that_most_controls_leave_undefined_is_not_chosen():
    """Fault: runs are told apart by how early a window of the signal begins."""

    def late(rng, case):
        noise = rng.standard_normal(141)
        return {"late": np.where((case != "base") & (np.arange(141) < M + 8), np.nan, noise)}

    scored = grokcrit.warn(binormal(more=late), **QUICK)
    found = one(scored, signal="late", score="auroc", control="all")
    assert found["detector"] != "cusum"
    assert found["ci_low"] < 0.5 < found["ci_high"]


def test_controls_measured_at_other_epochs_are_refused():
    """Fault: the largest of many values is larger than that of few, in noise as well."""
    parts = []
    for seed in range(20):
        noise = {"x": np.random.default_rng(seed).standard_normal}
        parts += run("base", seed, {"x": lambda at, n=noise: n["x"](len(at))})
        parts += run("k", seed, {"x": lambda at, n=noise: n["x"](len(at))}, g=None, every=6)
    with pytest.raises(FitError, match="every 1 epochs on base and every 6 on its control k"):
        grokcrit.warn(table(parts, {"base": None, "k": "base"}), **QUICK)


def test_tables_of_two_tasks_with_networks_of_one_width_are_scored_together():
    """Fault: records of tensors contradict one another, though nothing here reads them."""
    parts = []
    for k, task in enumerate(("one", "two")):
        made = binormal(seeds=12)
        text = made.schema.metadata[b"grokcrit"].decode()
        record = json.loads(text) | {
            "widths": {"8": [{"name": task, "shape": [k + 1], "offset": 0}]}
        }
        record["cases"] = {f"{name}-{task}": v for name, v in record["cases"].items()}
        record["cases"][f"shuffled-{task}"]["control"] = f"base-{task}"
        names = pa.array([f"{name}-{task}" for name in made["case"].to_pylist()])
        made = made.set_column(made.schema.get_field_index("case"), "case", names)
        parts.append(made.replace_schema_metadata({"grokcrit": json.dumps(record)}))
    scored = grokcrit.warn(parts, **QUICK)
    assert {r["case"] for r in rows(scored, score="auroc")} == {"base-one", "base-two"}


def test_alarms_before_c_are_counted_where_c_comes_after_memorising():
    """Fault: runs in which nothing can warn count as runs in which nothing did."""
    parts = []
    for seed in range(40):
        for case in ("base", "k"):
            g = None if case == "k" else (G if seed % 4 > 1 else M + 10)
            step = {"x": lambda at, up=case == "base": up * (at >= M + 2.0)}
            parts += run(case, seed, step, g=g)
    scored = grokcrit.warn(table(parts, {"base": None, "k": "base"}), **QUICK)
    found = one(scored, signal="x", score="coverage-c", rate=0.1)
    assert (found["value"], found["n_runs"]) == (1.0, 10)
    assert one(scored, signal="x", score="coverage", rate=0.1)["n_runs"] == 20


def test_thresholds_hold_for_each_kind_of_control():
    """Fault: a rate over all controls, which one kind exhausts."""

    def shifted(rng, case):
        return {"s": jump(rng, {"base": 4.0, "shuffled": 2.0, "few": 0.0}[case])}

    made = binormal(kinds=("shuffled", "few"), more=shifted)
    course = course_of(watch_of(made, 0)[0], "s")
    found = lock(course)
    scores = statistic(course, found.detector, found.sign)[:, 0]
    for rate, level in found.thresholds.items():
        for kind in (0, 1):
            mine = scores[course.watch.kind == kind]
            assert len(mine) == 24
            assert (mine > level).mean() <= rate


def test_a_signal_that_is_reversed_on_one_kind_does_not_separate():
    def reversed_on_few(rng, case):
        return {"r": jump(rng, {"base": 0.0, "shuffled": -9.0, "few": 2.0}[case])}

    made = binormal(kinds=("shuffled", "few"), size=5.0, more=reversed_on_few)
    (case,) = cases_in(grokcrit.warn(made, **QUICK).to_pylist(), 0.95)
    assert "level" in case.separating()
    assert "r" not in case.separating()


def test_alarms_leads_and_cost_are_those_of_a_step():
    """Base runs step up 30 epochs before they grok, controls never."""

    def step(rng, case):
        noise = rng.standard_normal(141)
        return {"step": noise + 100 * (case == "base") * (np.arange(141) >= G - 30)}

    scored = grokcrit.warn(binormal(more=step), **QUICK)
    for rate in (0.05, 0.1):
        found = {s: one(scored, signal="step", score=s, rate=rate) for s in ("coverage", "lead-g")}
        assert found["coverage"]["value"] == 1.0
        assert found["coverage"]["ci_low"] == pytest.approx(24 / (24 + 1.96**2), abs=1e-3)
        assert found["lead-g"]["value"] == pytest.approx(30, abs=1)
        assert one(scored, signal="step", score="lead-c", rate=rate)["value"] == pytest.approx(20)
    assert one(scored, signal="step", score="coverage-c", rate=0.05)["value"] == 1.0
    assert one(scored, signal="step", score="cost")["value"] == pytest.approx(0.1)
    assert one(scored, signal="step", score="auroc", control="all")["value"] == 1.0


# --- what is locked ---------------------------------------------------------------------------


def test_a_lock_depends_on_no_held_out_row():
    made = binormal(more=drifting)
    odd = np.array(made["seed"]) % 2 == 1
    rng = np.random.default_rng(5)
    known = [name.endswith("accuracy") for name in made["signal"].to_pylist()]
    value = np.where(odd & ~np.array(known), rng.standard_normal(len(odd)), np.array(made["value"]))
    place = made.schema.get_field_index("value")
    other = made.set_column(place, "value", pa.array(value, from_pandas=True))
    other = other.filter(pa.array(~odd | (np.array(made["epoch"]) % 2 == 0)))
    first, second = (grokcrit.warn(each, **QUICK) for each in (made, other))
    names = ("detector", "sign", "threshold")
    scored = rows(first, score="coverage", source=None)
    assert len(scored) > 10
    for row in scored:
        same = one(second, signal=row["signal"], score="coverage", rate=row["rate"])
        assert [row[n] for n in names] == [same[n] for n in names]
    explored = [[r["value"] for r in rows(t, score="explored")] for t in (first, second)]
    assert explored[0] == explored[1]
    noise = [one(t, signal="noise", score="auroc", control="all") for t in (first, second)]
    assert noise[0]["value"] != noise[1]["value"]


def exchanged(found, rng):
    """A course with the labels of a run that groks and of its controls exchanged at random."""
    watch = found.watch
    kind = watch.kind.copy()
    for group in np.unique(watch.group):
        mine = np.flatnonzero(watch.group == group)
        kind[mine] = kind[rng.permutation(mine)]
    return dataclasses.replace(found, watch=dataclasses.replace(watch, kind=kind))


def excluded(made, names, times, resamples):
    """Share of exchanges after which the interval of a primary score excludes 0.5."""
    rng = np.random.default_rng(6)
    options = WarnOptions(resamples=resamples)
    watches = [watch_of(made, parity)[0] for parity in (0, 1)]
    missed = {}
    for name in names:
        explore, held = (course_of(watch, name) for watch in watches)
        for _ in range(times):
            under = lock(exchanged(explore, rng))
            for row in scores_of(Held(exchanged(held, rng), under, options, (24, 24))):
                if row["score"] in ("auroc", "tauc") and row["control"] == "all":
                    out = not row["ci_low"] <= 0.5 <= row["ci_high"]
                    missed.setdefault(row["score"], []).append(out)
    return {score: np.mean(each) for score, each in missed.items()}


def test_exchanged_labels_are_told_apart_no_more_often_than_asked():
    found = excluded(binormal(size=1.5, more=drifting), ("level", "noise"), 40, 200)
    assert max(found.values()) < 0.13  # 95 % of 80 trials of 5 %


@pytest.mark.slow
def test_exchanged_labels_are_told_apart_in_3_to_8_percent():
    made = binormal(size=1.5, kinds=("shuffled", "few"), more=drifting)
    found = excluded(made, ("level", "noise", "coarse", "white-noise"), 200, 1000)
    assert all(0.03 <= share <= 0.08 for share in found.values()), found


def test_base_runs_whose_control_was_left_out_are_not_compared():
    """Fault: controls of runs that take long are trained too short, and what is left is biased."""
    parts = []
    for seed in range(40):
        long = seed % 4 > 1
        g = 120 if long else 60
        parts += run("base", seed, {"x": lambda at: 0.0 * at}, m=10, g=g, end=150)
        parts += run("k", seed, {"x": lambda at: 0.0 * at}, m=60, g=None, end=150)
    for seed in range(40, 50):  # no control was trained of these: they are like the others
        parts += run("base", seed, {"x": lambda at: 0.0 * at}, m=10, g=60, end=150)
    scored = grokcrit.warn(table(parts, {"base": None, "k": "base"}), **QUICK)
    found = one(scored, signal="white-noise", score="auroc", control="all")
    assert (found["n_runs"], found["n_controls"]) == (15, 10)
    assert one(scored, signal="white-noise", score="coverage", rate=0.05)["n_runs"] == 25


# --- intervals --------------------------------------------------------------------------------


def test_intervals_neither_collapse_at_the_ends_nor_leave_them():
    assert intervals.of_share(1.0, np.ones(100), (24, 24), 0.95) == pytest.approx(
        (0.923, 1), abs=1e-3
    )
    low, high = intervals.of_share(
        0.99, np.random.default_rng(7).normal(0.99, 0.01, 999), (24, 24), 0.95
    )
    assert 0.9 < low < 0.99 < high < 1
    assert intervals.of_rate(np.zeros(36), np.arange(36), 0.95) == pytest.approx(
        (0, 0.0964), abs=1e-3
    )


def test_runs_of_one_seed_that_alarm_together_count_as_one():
    alarms = np.repeat([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 10)
    alone = intervals.of_rate(alarms, np.arange(60), 0.95)
    together = intervals.of_rate(alarms, np.repeat(np.arange(6), 10), 0.95)
    assert together == pytest.approx(intervals.wilson(1 / 3, 6, 1.96), abs=1e-3)
    assert together[0] < alone[0] < alone[1] < together[1]


def test_a_drawn_median_is_that_of_the_values_drawn():
    rng = np.random.default_rng(8)
    values, weights = np.round(rng.standard_normal(9), 1), rng.integers(0, 3, (50, 9))
    wanted = [np.median(np.repeat(values, w)) for w in weights]
    assert intervals.drawn_medians(values, weights.astype(float)).tolist() == wanted


def test_a_concordance_is_drawn_as_the_runs_of_the_drawn_seeds_have_it():
    rng = np.random.default_rng(9)
    first, second, seed = rng.standard_normal(8), rng.standard_normal(8), np.arange(8) % 5
    found = concordance.by_seeds(concordance.won(first, second), np.ones((8, 8)), seed, seed, 5)
    assert found.value == naive.auroc(first, second)
    counts = intervals.draw_seeds(5, 20, 0)
    for count, value in zip(counts, found.drawn(counts), strict=True):
        chosen = np.repeat(np.arange(8), count[seed].astype(int))
        assert value == pytest.approx(naive.auroc(first[chosen], second[chosen]), abs=1e-12)


def test_few_runs_have_no_interval_and_a_warning():
    scored = grokcrit.warn(binormal(seeds=8), **QUICK)
    found = one(scored, signal="level", score="auroc", control="all")
    assert (found["ci_low"], found["ci_high"]) == (None, None)
    assert "fewer" in found["method"]
    assert "few-runs" in {each.id for each in warn_summary(scored).warnings}


# --- runs and controls ------------------------------------------------------------------------


def test_every_run_that_does_not_count_is_counted_with_its_reason():
    flat = {"x": lambda at: 0.0 * at}
    parts = []
    for seed in range(20):
        parts += run("base", seed, flat)
        parts += run("k", seed, flat, g=None)
    for seed, times in enumerate([(None, G), (M, None), (M, M + 9)], 20):
        parts += run("base", seed, flat, m=times[0], g=times[1])
        parts += run("k", seed, flat, g=None)
    for seed, more in enumerate(
        [{"m": None, "g": None}, {"g": G}, {"g": None, "m": 95}, {"g": None, "end": G - 11}], 23
    ):
        parts += run("base", seed, flat)
        parts += run("k", seed, flat, **more)
    scored = grokcrit.warn(table(parts, {"base": None, "k": "base"}), **QUICK)
    found = {(r["control"], r["method"]): r["value"] for r in rows(scored, score="left-out")}
    assert found == {
        (None, "never memorises"): 1,
        (None, "never groks"): 1,
        (None, "groks within 10 epochs of memorising"): 1,
        ("k", "no base run of its width and seed counts"): 3,
        ("k", "never memorises"): 1,
        ("k", "groks within the watch"): 1,
        ("k", "trained too short"): 2,
    }
    assert "left-out" in {each.id for each in warn_summary(scored).warnings}


def test_controls_are_found_by_the_options_of_the_training():
    base = {"task": "modadd", "prime": 59, "seed": 0, "weight_decay": 1.0, "train_fraction": 0.8}
    cases = {
        "base": base | {"draw": ["lr=0.001..0.01", "train_fraction=0.6..0.9"]},
        "labels": base | {"labels": "shuffled", "draw": ["lr=0.001..0.01"]},
        "data": base | {"train_fraction": 0.2, "draw": ["lr=0.001..0.01"]},
        "decay": base | {"weight_decay": 0.0, "draw": ["lr=0.001..0.01"]},
        "both": base | {"weight_decay": 0.0, "labels": "shuffled", "draw": ["lr=0.001..0.01"]},
        "fewer-labels": base
        | {"labels": "shuffled", "train_fraction": 0.5, "draw": ["lr=0.001..0.01"]},
        "slow": base | {"weight_decay": 0.3, "control": "base"},
        "nearly": base | {"train_fraction": 0.4, "draw": ["lr=0.001..0.01"]},
        "mine": {"control": "base"},
        "other": base | {"prime": 61},
    }
    parts = []
    for case in cases:
        g = {"base": G, "other": G, "nearly": G + 40}.get(case)
        parts += run(case, 0, {"x": lambda at: 0.0 * at}, g=g, task="modadd")
    found = {each.base[1]: each for each in designs_of(case_runs(table(parts, {}), cases))}
    assert set(found) == {"base", "other"}
    assert {name[1]: kind for name, kind in found["base"].controls.items()} == {
        "labels": "shuffled",
        "data": "few",
        "decay": "no-decay",
        "both": "shuffled-no-decay",
        "nearly": "late",
        "slow": "late",
        "fewer-labels": "shuffled",
        "mine": "mine",
    }


def test_without_a_record_cases_that_never_grok_are_controls():
    parts = [*run("a", 0, {}), *run("b", 0, {}, g=None)]
    (found,) = designs_of(case_runs(table(parts, {}), {}))
    assert (found.base[1], [*found.controls.values()]) == ("a", ["b"])


def test_chance_is_that_of_the_task_or_of_the_record():
    """Test accuracy leaves chance a tenth of the way to 1."""
    parts = [*run("a", 0, {}), *run("a", 1, {})]
    for row in parts:
        if row["signal"] == "test_accuracy" and 30 <= row["epoch"] < 70:
            row["value"] = 0.15
    told = {"configuration": {"chance": 0.1}}  # as a recorder was told: left above 0.19
    for options, first in (({"chance": 0.01}, 30), (told, 70), ({}, 70)):
        (found,) = case_runs(table(parts, {}), {"a": options})
        assert found.left.tolist() == [first, first]


def test_deciding_controls_are_shuffled_labels_and_too_little_data():
    base = {"task": "parity", "seed": 0, "samples": 1000, "weight_decay": 0.1}
    cases = {
        "base": base,
        "labels": base | {"labels": "shuffled"},
        "data": base | {"samples": 500},
        "decay": base | {"weight_decay": 0.0},
    }
    rng = np.random.default_rng(10)
    parts = []
    for seed in range(24):
        for k, case in enumerate(cases):
            signals = {"x": np.full(141, rng.standard_normal() - k)}
            parts += run(case, seed, signals, g=None if k else G, task="parity")
    record = table(parts, cases)
    scored = grokcrit.warn(record, **QUICK)
    found = {r["control"]: r["value"] for r in rows(scored, signal="x", score="auroc")}
    assert found["deciding"] == pytest.approx((found["shuffled"] + found["few"]) / 2)
    assert found["all"] == pytest.approx((found["shuffled"] + found["few"] + found["no-decay"]) / 3)


# --- families, hyperparameters, transfer ------------------------------------------------------


def families(seeds=14, widths=range(1, 9), dead=()):
    """Families whose D rises from 1.0 to 1.2 before base runs grok, and stays 1.0 in controls."""
    parts = []
    for seed in range(seeds):
        for case in ("base", "k"):
            for width in widths:
                slope = np.where((case == "base") & (np.arange(141) >= G - 30), 1.2, 1.0)
                size = np.round(1e6 * (10 * width) ** slope)
                size = np.where(np.isin(np.arange(141), dead) & (width > 4), 0, size)
                parts += run(
                    case, seed, {"size": size}, width=width, g=G + width if case == "base" else None
                )
    return table(parts, {"base": None, "k": "base"})


def test_a_family_has_the_exponent_of_its_sizes_and_alarms_as_one():
    made = families(dead=(3, 4))
    scored = grokcrit.warn(made, **QUICK)
    assert one(scored, signal="D", score="auroc", control="all")["value"] == 1.0
    assert one(scored, signal="D", score="auroc", control="all")["n_runs"] == 7
    assert one(scored, signal="D", score="lead-g", rate=0.05)["value"] == pytest.approx(34.5)
    assert {r["kind"] for r in rows(scored, signal="D")} == {"family"}
    assert one(scored, signal="D", score="cost")["value"] == pytest.approx(0.1)
    assert not rows(scored, signal="size")
    base = case_runs(made)[0]
    d = families_of(base, 8).signals["D"]
    assert d.values[0][[0, -1]] == pytest.approx([1.0, 1.2], abs=1e-6)
    assert np.isnan(d.values[:, 3:5]).all()  # four of eight widths are not more than half
    assert families_of(base, 9) is None


def test_a_family_has_no_exponent_once_a_member_has_ended():
    """Fault: D of a control changes because its wide members end first."""
    made = families()
    wide = pc.and_(pc.equal(made["case"], "k"), pc.equal(made["width"], 8))
    made = made.filter(pc.invert(pc.and_(wide, pc.greater(made["epoch"], 60))))
    control = {each.case: each for each in case_runs(made)}["k"]
    d = families_of(control, 8).signals["D"].values
    assert (~np.isnan(d)).sum(axis=1).tolist() == [61] * 14
    left = one(grokcrit.warn(families(), **QUICK), signal="D", score="auroc", control="all")
    assert left["n_runs"] == 7
    scored = grokcrit.warn(made, **QUICK)
    assert not rows(scored, signal="D", score="auroc")
    (short,) = rows(scored, signal="D", score="left-out")
    assert (short["control"], short["method"], short["value"]) == ("k", "trained too short", 14)
    assert "no-controls" in {each.id for each in warn_summary(scored).warnings}


def test_a_family_of_which_half_groks_does_not_count():
    parts = []
    for width in range(1, 9):
        g = G if width > 4 else None
        parts += run("base", 0, {"size": lambda at: at + 1.0}, width=width, g=g)
    (base,) = case_runs(table(parts, {"base": None}))
    found = families_of(base, 8)
    assert math.isnan(found.grokked[0])
    assert found.memorised[0] == M


def mix(seeds=48):
    """Parity with a learning rate drawn per seed, which and a hidden trait fix when it groks."""
    options = {
        "task": "parity",
        "seed": 0,
        "samples": 1000,
        "draw": ["lr=0.01..0.1:log"],
        "lr": 0.05,
    }
    cases = {"base": options, "few": options | {"samples": 500}}
    rng = np.random.default_rng(11)
    parts = []
    for seed in range(seeds):
        trait = rng.normal(0, 0.3)
        g = M + round(60 * (drawn(options, seed)["lr"] / 0.03) ** -0.5 * math.exp(trait))
        for case in cases:
            signals = {"trait": np.full(400, trait), "dice": rng.standard_normal(400)}
            more = {"m": M, "g": g if case == "base" else None, "end": 399, "task": "parity"}
            parts += run(case, seed, signals, **more)
    return table(parts, cases)


def test_gain_is_what_a_signal_adds_to_the_hyperparameters():
    scored = grokcrit.warn(mix(), **QUICK)
    trait, dice = (one(scored, signal=name, score="gain") for name in ("trait", "dice"))
    assert trait["ci_low"] > 0.7
    assert dice["ci_low"] < 0 < dice["ci_high"] < trait["ci_low"]
    assert one(scored, signal="hyperparameters", score="timing")["value"] > 0.6
    assert one(scored, signal="hyperparameters", score="auroc", control="few")["value"] == 0.5
    without = grokcrit.warn(binormal(), **QUICK)
    assert not rows(without, score="gain")
    assert not rows(without, signal="hyperparameters")


def test_a_lock_is_transferred_to_the_other_case():
    one_task, other = binormal(size=3.0), binormal(size=3.0, start=1)
    renamed = other.to_pylist()
    for row in renamed:
        row["case"] = {"base": "second", "shuffled": "second-k"}[row["case"]]
        if row["signal"] == "level":
            row["value"] += 100
    second = table(renamed, {"second": None, "second-k": "second"})
    scored = grokcrit.warn([one_task, second], **QUICK)
    mine = one(scored, case="base", signal="level", score="coverage", rate=0.1)
    moved = one(scored, case="second", source="base", signal="level", score="coverage", rate=0.1)
    assert mine["threshold"] == moved["threshold"]
    wanted = {"case": "second", "source": "base", "signal": "level", "rate": 0.1}
    false = one(scored, score="false-alarms", **wanted)
    assert (moved["value"], false["value"], false["control"]) == (1.0, 1.0, "all")


# --- tables -----------------------------------------------------------------------------------


def test_neither_order_nor_parts_nor_threads_change_a_number(tmp_path):
    made = binormal(seeds=16, more=drifting)
    first = grokcrit.warn(made, **QUICK)
    rng = np.random.default_rng(12)
    shuffled = made.take(pa.array(rng.permutation(made.num_rows)))
    for k, part in enumerate((shuffled.slice(20_000), shuffled.slice(0, 20_000))):
        pq.write_table(part, tmp_path / f"{k}.parquet")
    second = grokcrit.warn(tmp_path, **QUICK | {"threads": 3})
    assert first.replace_schema_metadata(None).equals(second.replace_schema_metadata(None))
    assert first.schema.equals(WARN.arrow)
    again = grokcrit.warn(made, **QUICK | {"threads": 2})
    assert again.equals(first)
    other = grokcrit.warn(made, **QUICK, seed=1)
    noise = [one(t, signal="white-noise", score="auroc", control="all") for t in (first, other)]
    assert noise[0]["value"] != noise[1]["value"]


def test_a_signal_has_the_kind_of_its_registry_and_ingredients_are_not_scored(monkeypatch):
    kinds = {"told": "ceiling", "part": "ingredient"}
    monkeypatch.setattr("grokcrit.stages.warn.kind_of", lambda name: kinds.get(name, "signal"))
    flat = {name: np.zeros(141) for name in kinds}
    scored = grokcrit.warn(binormal(seeds=16, more=lambda *_: flat), **QUICK)
    found = {r["signal"]: r["kind"] for r in rows(scored)}
    placebos = dict.fromkeys(("white-noise", "random-walk", "epoch", "since-memorising"), "placebo")
    assert found == {"told": "ceiling", "level": "signal"} | placebos
    ceilings = [each.name for each in registry.every().values() if each.kind == "ceiling"]
    assert {registry.kind_of(name) for name in ceilings} == {"ceiling"}


def test_signals_every_few_epochs_are_scored_on_their_own_samples():
    scored = grokcrit.warn(binormal(every=4, m=18), **QUICK)
    assert one(scored, signal="since-memorising", score="tauc", control="all")["value"] == 0.5
    assert one(scored, signal="level", score="auroc", control="all")["value"] > 0.6


def test_runs_that_never_grok_are_no_table_of_scores():
    made = binormal(seeds=8, g=None)
    with pytest.raises(FitError, match="grok"):
        grokcrit.warn(made, **QUICK)


def test_the_summary_fits_a_terminal_and_names_the_best_signal():
    def more(rng, case):
        apart = {"good": 2.0, "poor": 0.3}
        return {n: jump(rng, d if case == "base" else 0.0) for n, d in apart.items()}

    made = warn_summary(grokcrit.warn(binormal(size=0.0, more=more), **QUICK))
    assert made.title.startswith("On base the best signal is good: AUROC 0.")
    assert "white-noise, 0." in made.title
    assert len(made.rows) <= 12
    assert made.rows[0]["signal"] == "good"
    assert len(made.details) > 50


def test_kind_of_a_case_that_no_record_knows_is_its_name():
    parts = [*run("a", 0, {}), *run("b", 0, {}, g=None)]
    a, b = case_runs(table(parts, {}), {})
    assert kind_of(a, b) == "b"
