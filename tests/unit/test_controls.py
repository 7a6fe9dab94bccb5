"""Runs that grok beside controls that do not: which are paired, and since when D(t) differs."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grokcrit
from grokcrit.base.errors import EmptyError
from grokcrit.questions.separation import LASTING, since_when
from grokcrit.tables.schemas import AVALANCHE

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
    asked = {"only": "separation", "observable": "size", "resamples": 400, **options}
    return grokcrit.diagnose(pa.concat_tables(tables), **asked).to_pylist()


def the(rows, quantity, window, statistic="mean"):
    wanted = {"quantity": quantity, "window": window, "statistic": statistic}
    return [r for r in rows if all(r[k] == v for k, v in wanted.items())]


def test_a_step_common_to_all_runs_is_found_at_its_epoch():
    rows = found(avalanches("grokking", steps_at(-20), common), avalanches("control", flat, common))
    (row,) = the(rows, "separation", "epoch")
    # A rise that began before cannot be excluded; none that began at the first time.
    assert (row["value"], row["ci_high"], row["n"]) == (40, 40, 400)
    assert 0 <= row["ci_low"] <= 30
    assert (row["case"], row["part"]) == ("grokking", "control")
    (row,) = the(rows, "separation", "aligned")
    assert row["value"] == -20
    (row,) = the(rows, "separation", "relative")
    assert row["value"] == 60  # 40 / 60 lies in the bin that starts at 60 %


def test_a_step_at_each_runs_own_grokking_is_sharp_only_where_time_is_counted_from_it():
    rows = found(avalanches("grokking", steps_at(0), own), avalanches("control", flat, own))
    (row,) = the(rows, "separation", "aligned")
    assert row["value"] == 0
    d = {r["time"]: r["value"] for r in the(rows, "D-grokking", "aligned")}
    assert d[-10] == pytest.approx(1.0, abs=0.02)
    assert d[0] == pytest.approx(1.2, abs=0.02)
    d = {r["time"]: r["value"] for r in the(rows, "D-control", "aligned")}
    assert all(value == pytest.approx(1.0, abs=0.02) for value in d.values())


def test_the_difference_is_that_of_the_two_courses():
    rows = found(avalanches("grokking", steps_at(0), own), avalanches("control", flat, own))
    for window in ("epoch", "aligned", "relative"):
        d = [
            {r["time"]: r["value"] for r in the(rows, f"D-{name}", window)}
            for name in ("grokking", "control", "difference")
        ]
        assert d[2]
        for time, value in d[2].items():
            assert value == pytest.approx(d[0][time] - d[1][time], abs=1e-12)


def test_null_models_stand_beside_both_on_every_way_to_count_time():
    tables = [avalanches("grokking", steps_at(0), own), avalanches("control", flat, own)]
    names = tables[0].column_names
    nulls = [
        table.set_column(names.index("surrogate"), "surrogate", pa.array(["gaussian"] * len(table)))
        for table in tables
    ]
    rows = found(*tables, *nulls)
    for window in ("epoch", "aligned", "relative"):
        for quantity in ("D-grokking", "D-control"):
            mine = the(rows, quantity, window)
            by = {
                name: {r["time"]: r["value"] for r in mine if r["surrogate"] == name}
                for name in ("none", "gaussian")
            }
            # These null models have the sizes of the data, and so must their courses.
            assert by["none"] == by["gaussian"] != {}


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
