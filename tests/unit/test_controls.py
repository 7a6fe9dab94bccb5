"""Runs that grok beside controls that do not: which are paired, and what their contrasts are."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import grokcrit
from grokcrit.base.errors import EmptyError, OptionError
from grokcrit.questions import design
from grokcrit.questions.separation import LASTING, since_when
from grokcrit.scaling.clocks import around, clock
from grokcrit.scaling.density import densities
from grokcrit.scaling.ensembles import ensembles
from grokcrit.stages import train
from grokcrit.stages.diagnose import diagnose_summary
from grokcrit.tables import provenance
from grokcrit.tables.schemas import AVALANCHE
from grokcrit.tasks import TASKS, run_options

SIZES = (1000, 2000, 4000, 8000)
EPOCHS = range(0, 101, 10)


def avalanches(case, exponent_at, grok, seeds=4, task="made"):
    """Runs whose sizes are N^D(t) but for a per cent of noise; grokking at ``grok(N, seed)``."""
    rng = np.random.default_rng(sum(map(ord, case)))
    rows = []
    for n in SIZES:
        for seed in range(seeds):
            for epoch in EPOCHS:
                at = exponent_at(epoch, grok(n, seed))
                size = round(100 * n**at * (1 + 0.01 * rng.standard_normal()))
                rows.append(
                    {
                        **{"task": task, "case": case, "field": "gradient", "topology": "ba"},
                        **{"degree": 6, "graph_seed": 0, "surrogate": "none", "replicate": 0},
                        **{"alpha": 0.3, "quantile": 90.0, "rule": "diffuse", "width": n},
                        **{"n_params": n, "seed": seed, "epoch": epoch, "threshold": 1.0},
                        "grok_epoch": grok(n, seed) if case == "grokking" else None,
                        **{"size": size, "area": size, "duration": 1, "peak": size},
                        **{"truncated": False, "activity": [size], "transported": 1.0},
                    }
                )
    return pa.Table.from_pylist(rows, AVALANCHE.arrow)


def common(n, seed):
    return 60


def own(n, seed):
    return 40 + 10 * (seed % 2) + 10 * (n > 2000)


def steps_at(shift):
    """D of 1, and 1.2 from ``shift`` epochs before or after grokking on."""
    return lambda epoch, grok: 1.2 if epoch >= grok + shift else 1.0


def flat(epoch, grok):
    return 1.0


def found(*tables, **options):
    asked = {"only": "controls", "observable": "size", "resamples": 400, **options}
    return grokcrit.diagnose(pa.concat_tables(tables), **asked).to_pylist()


def the(rows, quantity, window, statistic="mean", **more):
    wanted = {"quantity": quantity, "window": window, "statistic": statistic, **more}
    return [r for r in rows if all(r[k] == v for k, v in wanted.items())]


def course(rows, window, **more):
    return {r["time"]: r["value"] for r in the(rows, "cell-exponent", window, **more)}


def test_a_step_common_to_all_runs_is_found_at_its_epoch():
    rows = found(avalanches("grokking", steps_at(-20), common), avalanches("control", flat, common))
    (row,) = the(rows, "separation", "epoch")
    # A rise that began before cannot be excluded; none that began at the first time.
    assert (row["value"], row["ci_high"], row["n"]) == (40, 40, 400)
    assert 0 <= row["ci_low"] <= 30
    assert (row["case"], row["part"]) == ("grokking", "grokking - control")
    (row,) = the(rows, "separation", "aligned")
    assert row["value"] == -20
    (row,) = the(rows, "separation", "relative")
    assert row["value"] == 60  # 40 / 60 lies in the bin that starts at 60 %


def test_a_step_at_each_runs_own_grokking_is_sharp_only_where_time_is_counted_from_it():
    rows = found(avalanches("grokking", steps_at(0), own), avalanches("control", flat, own))
    (row,) = the(rows, "separation", "aligned")
    assert row["value"] == 0
    d = course(rows, "aligned", part="grokking")
    assert d[-10] == pytest.approx(1.0, abs=0.02)
    assert d[0] == pytest.approx(1.2, abs=0.02)
    d = course(rows, "aligned", part="control")
    assert all(value == pytest.approx(1.0, abs=0.02) for value in d.values())


def test_the_difference_is_that_of_the_two_courses():
    rows = found(avalanches("grokking", steps_at(0), own), avalanches("control", flat, own))
    for window in ("epoch", "aligned", "relative"):
        one, other = (course(rows, window, part=name) for name in ("grokking", "control"))
        gaps = {r["time"]: r["value"] for r in the(rows, "effect-generalising", window)}
        assert gaps
        gaps.pop(None)  # the mean over them
        for time, value in gaps.items():
            assert value == pytest.approx(one[time] - other[time], abs=1e-12)


def test_the_density_of_a_cell_is_over_that_of_its_null_model():
    tables = [avalanches("grokking", steps_at(0), own), avalanches("control", flat, own)]
    # Null models that are half as large as the data.
    nulls = [
        pa.Table.from_pylist(
            [
                {**row, "surrogate": "gaussian", "size": row["size"] // 2}
                | {"activity": [row["size"] // 2]}
                for row in table.to_pylist()
            ],
            AVALANCHE.arrow,
        )
        for table in tables
    ]
    rows = found(*tables, *nulls)
    for window in ("pre", "post", "epoch", "aligned", "relative"):
        for cell in ("grokking", "control"):
            mine = the(rows, "cell-density", window, part=cell)
            assert {r["n_params"] for r in mine} == set(SIZES)
            assert [r["value"] for r in mine] == pytest.approx([2.0] * len(mine), rel=1e-3)


def test_curves_that_cross_separate_after_the_crossing():
    def crossing(epoch, grok):
        return 1.2 if epoch < 40 else 1.0 if epoch < 60 else 0.8

    rows = found(avalanches("grokking", crossing, common), avalanches("control", flat, common))
    (row,) = the(rows, "separation", "epoch")
    assert row["value"] == 60


def test_courses_that_never_differ_have_no_separation():
    rows = found(avalanches("grokking", flat, common), avalanches("control", flat, common))
    # One per cent of noise: the intervals may miss 0 now and then, three in a row with one sign
    # they do not.
    assert [r["value"] for r in rows if r["quantity"] == "separation"] == [None] * 9


@pytest.mark.parametrize("change", [{"seeds": 3}, {"task": "other"}])
def test_a_control_of_other_runs_is_not_compared(change):
    control = avalanches("control", flat, common, **change)
    with pytest.raises(EmptyError):
        found(avalanches("grokking", steps_at(0), common), control)


def by_hand(times, apart):
    for k in range(len(times) - LASTING + 1):
        part = apart[k : k + LASTING]
        if all(part) and len(set(part)) == 1:
            return times[k]
    return None


@settings(deadline=None)
@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=12))
def test_the_first_of_three_in_a_row_of_one_sign_is_meant(apart):
    times = np.arange(len(apart)) * 10.0
    when = float(since_when(times, np.array(apart, float)))
    wanted = by_hand(times.tolist(), apart)
    assert np.isnan(when) if wanted is None else when == wanted


# --- designs: which cells differ in what --------------------------------------------------------


def cells_of(**options):
    """Options of every cell of a training with controls, as its record holds them."""
    return train.record(run_options(controls=True, **options))["cases"]


@pytest.mark.parametrize("task", TASKS)
def test_a_matched_control_differs_from_its_partner_in_the_one_option(task):
    """Fault: a control that also differs in the decay, as the one of old, or in the seed."""
    cells = cells_of(task=task)
    made = [
        SimpleNamespace(case={"case": name, "task": task}, trained=options)
        for name, options in cells.items()
    ]
    contrasts = design.contrasts_of(made)
    assert contrasts
    for each in contrasts:
        if each.kind == "interaction":
            continue
        one, other = (cells[name] for name in each.cells)
        keys = one.keys() | other.keys()
        differ = {key for key in keys if one.get(key, "-") != other.get(key, "-")}
        assert len(differ) == 1
        assert (differ == {"weight_decay"}) == (each.kind == "decay")


def test_a_design_of_labels_and_decay_has_its_effects_and_their_interactions():
    cells = cells_of(task="modadd", label="x")
    made = [
        SimpleNamespace(case={"case": name, "task": "modadd"}, trained=options)
        for name, options in cells.items()
    ]
    found = {each.name: each.kind for each in design.contrasts_of(made)}
    assert found == {
        "x-learnable - x-shuffled": "generalising",
        "x-learnable - x-few": "generalising",
        "x-learnable-no-decay - x-shuffled-no-decay": "generalising",
        "x-learnable-no-decay - x-few-no-decay": "generalising",
        "x-learnable - x-learnable-no-decay": "decay",
        "x-shuffled - x-shuffled-no-decay": "decay",
        "x-few - x-few-no-decay": "decay",
        "x-learnable - x-shuffled, with - without decay": "interaction",
        "x-learnable - x-few, with - without decay": "interaction",
    }


def test_a_recorded_case_names_the_one_whose_control_it_is():
    """Fault: any case that groks is paired with any that does not."""
    tables = [
        avalanches("grokking", steps_at(0), own),
        avalanches("named", flat, own),
        avalanches("stranger", flat, own),
    ]
    cases = {"grokking": {"lr": 1}, "named": {"control": "grokking"}, "stranger": {"lr": 2}}
    record = provenance.record("avalanche/1", {}, root_seed=0, cases=cases)
    joint = pa.concat_tables(tables).replace_schema_metadata(provenance.encode(record))
    made = grokcrit.diagnose(joint, only="controls", observable="size", resamples=50).to_pylist()
    matched = {r["part"] for r in made if r["quantity"] == "grokked" and r["method"] == "matched"}
    assert matched == {"grokking", "named"}
    effects = {r["part"] for r in made if r["quantity"] == "effect-generalising"}
    assert effects == {"grokking - named"}


@pytest.mark.parametrize(
    "given",
    [
        {"target": "and"},
        {"task": "modadd", "labels": "shuffled"},
        {"task": "modadd", "weight_decay": 0.0},
        {"task": "modadd", "train_fraction": 0.2},
    ],
)
def test_an_option_that_the_cells_change_cannot_be_given(given):
    with pytest.raises(OptionError, match="controls"):
        cells_of(**given)


# --- the cells, trained -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """All targets of xor, of 3 sizes and 2 seeds."""
    return grokcrit.train(controls=True, hidden=(8, 16, 32), seeds=2, epochs=150)


def test_cells_share_their_first_weights_and_differ_in_what_they_learn(trained):
    """Fault: cells with weights of their own, so that runs are no pairs."""
    at_start = trained.filter(pc.equal(trained["epoch"], 0)).to_pylist()
    losses = {}
    for row in at_start:
        losses.setdefault((row["width"], row["seed"]), {})[row["case"]] = row["loss"]
    for run in losses.values():
        assert set(run) == {"xor", "xnor", "and", "or", "first", "constant"}
        # xor and xnor are each other's complement: with one network z, their mean losses differ
        # by the mean of z over the patterns of one less that over the others.
        assert run["xor"] != run["xnor"]
    plain = grokcrit.train(hidden=(8, 16, 32), seeds=2, epochs=150, label="xor")
    mine = trained.filter(pc.equal(trained["case"], "xor"))
    assert mine.to_pylist() == plain.to_pylist()


def grok_epochs(table, case):
    """Grokking epochs of the runs of a case."""
    mine = table.filter(pc.equal(table["case"], case))
    return [g for g in pc.unique(mine["grok_epoch"]).to_pylist() if g is not None]


def test_contrasts_are_the_differences_of_the_cells(trained):
    cascaded = grokcrit.avalanche(trained, surrogate=("none", "gaussian"))
    rows = grokcrit.diagnose(
        cascaded, only="controls", observable="size", resamples=100
    ).to_pylist()
    kinds = {row["quantity"] for row in rows}
    assert {"cell-exponent", "effect-generalising", "density-generalising", "memorised"} <= kinds
    cells = {
        (r["part"], r["window"], r["time"], r["statistic"]): r["value"]
        for r in rows
        if r["quantity"] == "cell-exponent"
    }
    compared = 0
    for row in rows:
        if row["quantity"] != "effect-generalising" or row["window"] == "loss":
            continue
        place = row["window"], row["time"], row["statistic"]
        one, other = (cells.get((name, *place)) for name in row["part"].split(" - "))
        if one is not None and other is not None and row["window"] in ("pre", "post", "epoch"):
            assert row["value"] == pytest.approx(one - other, abs=1e-9)
            compared += 1
    assert compared > 100
    # The mean over a clock is that of its times, here from the last grokking epoch of xor on.
    grok = max(g for g in grok_epochs(trained, "xor"))
    for row in rows:
        if (row["quantity"], row["window"], row["time"]) == ("effect-generalising", "epoch", None):
            same = ("part", "statistic")
            timed = [
                r["value"]
                for r in rows
                if (r["quantity"], r["window"]) == ("effect-generalising", "epoch")
                and r["time"] is not None
                and r["time"] >= grok
                and all(r[name] == row[name] for name in same)
            ]
            assert row["n"] == len(timed) > 1
            assert row["value"] == pytest.approx(np.mean(timed), abs=1e-9)
            assert row["ci_low"] < row["value"] < row["ci_high"]
    effects = [r for r in rows if r["quantity"] == "effect-generalising" and r["p"] is not None]
    # All but the primary test are adjusted, those in time as a curve.
    assert sum(r["p_adjusted"] is None for r in effects) == 1


# --- clocks -------------------------------------------------------------------------------------


def test_a_phase_holds_as_many_snapshots_of_every_run():
    """Fault: 3 snapshots of one size and 13 of another, which mixes size and time."""
    cascaded = avalanches("grokking", flat, own)
    (data,) = ensembles(cascaded)
    split = around(data, data.grok)
    taken = {}
    for run, epoch, side in zip(data.run, data.epoch, split.windows.bin_of, strict=True):
        if side >= 0:
            taken.setdefault((int(run), int(side)), []).append(int(epoch))
    before = min(sum(e < g for e in EPOCHS) for g in data.grok)
    after = min(sum(e >= g for e in EPOCHS) for g in data.grok)
    assert (split.before, split.after) == (before, after)
    for run, grok in enumerate(data.grok):
        epochs = list(EPOCHS)
        assert taken[run, 0] == [e for e in epochs if e < grok][-before:]
        assert taken[run, 1] == [e for e in epochs if e >= grok][:after]


def test_on_the_clock_of_the_loss_each_run_has_the_snapshot_nearest_to_a_level():
    cascaded = avalanches("grokking", flat, own)
    rng = np.random.default_rng(3)
    losses = np.exp(rng.normal(-2, 2, len(cascaded)))
    losses[::7] = 0.0  # has no logarithm, and no place
    place = cascaded.column_names.index("loss")
    (data,) = ensembles(cascaded.set_column(place, "loss", pa.array(losses)))
    found = clock(data, "loss")
    loss = data.table["loss"].to_numpy()
    for run in range(data.runs):
        mine = [i for i in np.flatnonzero(data.run == run) if loss[i] > 0]
        nearest = {}
        for i in mine:
            level = round(4 * np.log10(loss[i]))
            distance = abs(4 * np.log10(loss[i]) - level)
            if level not in nearest or distance < nearest[level][0]:
                nearest[level] = distance, i
        taken = {25 * level: i for level, (_, i) in nearest.items()}
        got = {found.times[found.bin_of[i]]: i for i in mine if found.bin_of[i] >= 0}
        assert got == taken
    assert (found.bin_of[loss == 0] == -1).all()


def test_a_density_is_the_mean_over_runs_and_its_interval_that_of_the_mean():
    (data,) = ensembles(avalanches("grokking", flat, own))
    rng = np.random.default_rng(0)
    by_run = np.exp(rng.normal(0, 0.02, (data.runs, 1))) * data.sizes[data.size_of][:, None] / 5
    found = densities(data, by_run)
    low, high = found.student(0.95)
    for k, n in enumerate(data.sizes):
        mine = by_run[data.size_of == k, 0]
        assert found.value[k] == pytest.approx(np.log(mine.mean() / n))
        half = stats.t.ppf(0.975, 3) * stats.sem(mine) / mine.mean()
        assert (high[k] - found.value[k], found.value[k] - low[k]) == pytest.approx((half, half))


# --- what is left out, or does not do what it should ----------------------------------------------


def warned(table):
    """Ids of the warnings of a diagnostics table, with their texts."""
    return {w.id: w.text for w in diagnose_summary(table).warnings}


def test_a_cell_that_lost_a_run_is_left_out_and_named(trained):
    """Fault: the cell vanishes, or another becomes the base, without a word."""
    cascaded = grokcrit.avalanche(trained)
    lost = pc.and_(pc.equal(cascaded["case"], "and"), pc.equal(cascaded["seed"], 1))
    kept = cascaded.filter(pc.invert(lost)).replace_schema_metadata(cascaded.schema.metadata)
    made = grokcrit.diagnose(kept, only="controls", observable="size", resamples=50)
    found = warned(made)
    assert "and" in found["unpaired"].split(":")[0].split(", ")
    effects = {r["part"] for r in made.to_pylist() if r["quantity"] == "effect-generalising"}
    assert effects == {"xor - or", "xor - first", "xor - constant"}


def test_controls_that_grok_and_bases_that_do_not_are_warned_of():
    """Fault: a difference to a control that generalises too is called one of generalising."""
    tables = [avalanches(name, flat, own) for name in ("grokking", "control")]
    place = tables[0].column_names.index("grok_epoch")
    groks = tables[0]["grok_epoch"]
    cases = {"grokking": {}, "control": {"control": "grokking"}}
    record = provenance.record("avalanche/1", {}, root_seed=0, cases=cases)

    def asked(base, control):
        parts = [
            table.set_column(place, "grok_epoch", pa.array(epochs, pa.int32()))
            for table, epochs in zip(tables, (base, control), strict=True)
        ]
        joint = pa.concat_tables(parts).replace_schema_metadata(provenance.encode(record))
        return warned(grokcrit.diagnose(joint, only="controls", observable="size", resamples=50))

    never = [None] * len(groks)
    assert {"control-groks", "base-never-groks"} & set(asked(groks.to_pylist(), never)) == set()
    assert "control" in asked(groks.to_pylist(), groks.to_pylist())["control-groks"]
    assert "16 of 16 of grokking" in asked(never, never)["base-never-groks"]


def test_a_run_that_lacks_one_side_of_its_origin_counts_on_neither():
    """Fault: a run that groks at epoch 0 is in the mean after, and not in that before."""
    (data,) = ensembles(avalanches("grokking", flat, lambda n, seed: 0 if seed == 2 else 50))
    split = around(data, data.grok)
    inside = set(data.seed[data.run[split.windows.bin_of >= 0]].tolist())
    assert inside == {0, 1, 3}
    assert (split.before, split.after) == (5, 6)
