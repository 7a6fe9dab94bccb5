"""Stage 1: the rows of the train table, and what a run depends on."""

import itertools
import json
import math
import os

import naive
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import grokcrit
from grokcrit.base.errors import OptionError, RunError
from grokcrit.base.parallel import Stop, StoppedError
from grokcrit.tables.schemas import TRAIN
from grokcrit.tasks.xor import TrainOptions, training

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"


def bare(table):
    return table.replace_schema_metadata(None)


def of_run(table, width, seed):
    return [r for r in table.to_pylist() if r["width"] == width and r["seed"] == seed]


def initial(width, number, **options):
    """Weights a run starts from; ``number`` is its seed, ``seed`` the root seed."""
    return training.initial_weights(training.Run(TrainOptions(**options), width, number))


# --- rows -------------------------------------------------------------------------------------


def test_a_run_of_the_paper_has_501_rows_and_51_snapshots():
    table = grokcrit.train(hidden=(4, 6), seeds=2)
    assert table.num_rows == 4 * 501
    for width, seed in itertools.product((4, 6), (0, 1)):
        rows = of_run(table, width, seed)
        assert [r["epoch"] for r in rows] == list(range(501))
        kept = [r["epoch"] for r in rows if r["gradient"] is not None]
        assert kept == list(range(0, 501, 10))
        assert {len(r["gradient"]) for r in rows if r["gradient"]} == {4 * width + 1}
        assert {r["n_params"] for r in rows} == {4 * width + 1}


def test_the_default_sizes_are_those_of_the_paper():
    table = grokcrit.train(seeds=1, epochs=0)
    assert table["width"].to_pylist() == [20, 30, 50, 75, 100, 200, 300, 500]
    assert table["n_params"].to_pylist() == [81, 121, 201, 301, 401, 801, 1201, 2001]


@pytest.mark.parametrize(("epochs", "every"), [(0, 1), (1, 1), (7, 3), (20, 10), (21, 50)])
def test_snapshots_are_taken_at_multiples_from_epoch_zero(epochs, every):
    table = grokcrit.train(hidden=(2,), seeds=1, epochs=epochs, snapshot_every=every)
    assert table["epoch"].to_pylist() == list(range(epochs + 1))
    kept = [r["epoch"] for r in table.to_pylist() if r["gradient"] is not None]
    assert kept == list(range(0, epochs + 1, every))


def test_the_table_is_of_its_schema_and_sorted(trained):
    assert trained.schema.equals(TRAIN.arrow)
    keys = [tuple(r[k] for k in ("width", "seed", "epoch")) for r in trained.to_pylist()]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys) == 5 * 3 * 121
    table = grokcrit.train(hidden=(8, 3, 5), seeds=1, epochs=1)
    assert table["width"].to_pylist() == [3, 3, 5, 5, 8, 8]


def test_constant_columns_and_counts_hold_what_they_should(trained):
    rows = trained.to_pylist()
    assert {(r["task"], r["field"]) for r in rows} == {("xor", "gradient")}
    assert {r["case"] for r in rows} == {TrainOptions(epochs=120).case}
    for r in rows:
        assert r["train_accuracy"] == r["test_accuracy"]
        assert r["train_accuracy"] * 4 in range(5)
        assert r["size"] >= r["area"] >= r["peak"] > 0
        assert 0 < r["duration"] <= 20
        assert r["deviation"] > 0
        assert r["threshold"] > 0
        assert 0 <= r["weight_gini"] < 1
    assert all(r["truncated"] is False or r["duration"] == 20 for r in rows)


def test_a_label_names_the_case():
    table = grokcrit.train(hidden=(3,), seeds=1, epochs=2, label="mine")
    assert set(table["case"].to_pylist()) == {"mine"}
    assert json.loads(table.schema.metadata[b"grokcrit"])["cases"]["mine"]["epochs"] == 2


# --- independence -----------------------------------------------------------------------------


def test_threads_change_no_bit(trained):
    options = {"hidden": (3, 5, 8, 12, 20), "seeds": 3, "epochs": 120}
    for threads in (1, 4, None):
        assert bare(grokcrit.train(threads=threads, **options)).equals(bare(trained))


def test_a_run_is_the_same_alone_and_among_others(trained):
    alone = bare(grokcrit.train(hidden=(8,), seeds=3, epochs=120))
    among = bare(trained).filter(pa.compute.equal(trained["width"], 8))
    assert alone.equals(among.combine_chunks())
    fewer = bare(grokcrit.train(hidden=(8, 30), seeds=1, epochs=120))
    assert fewer.slice(0, 121).equals(alone.slice(0, 121))


def test_a_shorter_run_is_the_beginning_of_a_longer_one(trained):
    short = grokcrit.train(hidden=(8,), seeds=1, epochs=40)
    long = bare(trained).filter(pa.compute.equal(trained["width"], 8)).slice(0, 41)
    for name in ("loss", "train_accuracy", "size", "deviation", "gradient", "weight_gini"):
        assert short[name].to_pylist() == long[name].to_pylist()


def test_every_run_starts_from_weights_of_its_own():
    starts = {
        key: initial(key[0], key[1], seed=key[2]).tobytes()
        for key in itertools.product((3, 4), (0, 1, 2), (0, 1, 12))
    }
    assert len(set(starts.values())) == len(starts)
    # Not the same numbers cut to another length either.
    assert len({initial(w, 0, init="normal")[0] for w in range(3, 30)}) == 27
    assert initial(3, 0).tobytes() == initial(3, 0, hidden=(3, 9), seeds=1, lr=0.1).tobytes()


@pytest.mark.parametrize("number", [np.int64, np.int32])
def test_numbers_of_numpy_give_the_runs_of_plain_ones(number):
    plain = grokcrit.train(hidden=(3, 5), seeds=1, epochs=3, seed=2)
    given_so = grokcrit.train(
        hidden=(number(3), number(5)), seeds=number(1), epochs=number(3), seed=number(2)
    )
    assert bare(given_so).equals(bare(plain))


@pytest.mark.parametrize("block", [1, 7, 50])
def test_the_size_of_the_blocks_changes_no_bit(monkeypatch, block):
    options = {"hidden": (3, 5), "seeds": 2, "epochs": 60}
    whole = grokcrit.train(**options)
    monkeypatch.setattr(training, "BLOCK", block * 3)
    assert bare(grokcrit.train(**options)).equals(bare(whole))


def test_a_run_that_is_told_to_stop_stops():
    stop = Stop()
    stop.set()
    run = training.Run(TrainOptions(hidden=(3,)), 3, 0)
    with pytest.raises(StoppedError):
        training.train_run(run, grokcrit.graph("ba", 13), stop)


# --- initialisation ---------------------------------------------------------------------------

WIDE = 4000


def layers(init, seed=0):
    weights = initial(WIDE, seed, init=init)
    assert len(weights) == 4 * WIDE + 1
    return np.split(weights, [2 * WIDE, 3 * WIDE, 4 * WIDE])


def is_uniform(values, bound):
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound
    n = len(values)
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * n)
    assert values.var() == pytest.approx(bound**2 / 3, rel=5 * math.sqrt(0.8 / n))


def is_normal(values, sigma):
    n = len(values)
    assert abs(values.mean()) < 5 * sigma / math.sqrt(n)
    assert values.var() == pytest.approx(sigma**2, rel=5 * math.sqrt(2 / n))
    assert np.abs(values).max() > 2.5 * sigma


def test_uniform_weights_and_biases_lie_within_one_over_the_root_of_fan_in():
    w1, b1, w2, b2 = layers("uniform")
    is_uniform(w1, 1 / math.sqrt(2))
    is_uniform(b1, 1 / math.sqrt(2))
    is_uniform(w2, 1 / math.sqrt(WIDE))
    last = [initial(16, s)[64] for s in range(400)]
    is_uniform(np.array(last), 1 / 4)
    assert b2.shape == (1,)


def test_xavier_weights_lie_within_the_root_of_six_over_both_fans_and_biases_are_zero():
    w1, b1, w2, b2 = layers("xavier")
    is_uniform(w1, math.sqrt(6 / (2 + WIDE)))
    is_uniform(w2, math.sqrt(6 / (WIDE + 1)))
    assert not b1.any()
    assert not b2.any()


def test_he_weights_have_variance_two_over_fan_in_and_biases_are_zero():
    w1, b1, w2, b2 = layers("he")
    is_normal(w1, 1.0)
    is_normal(w2, math.sqrt(2 / WIDE))
    assert not b1.any()
    assert not b2.any()


@pytest.mark.parametrize(("init", "sigma"), [("normal:0.25", 0.25), ("normal", 1.0)])
def test_normal_weights_and_biases_have_the_sigma_asked_for(init, sigma):
    w1, b1, w2, _ = layers(init)
    for part in (w1, b1, w2):
        is_normal(part, sigma)
    is_normal(np.array([initial(3, s, init=init)[12] for s in range(400)]), sigma)


# --- what a run computes ----------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("init", ["uniform", "xavier", "he", "normal:0.7"])
def test_the_first_snapshot_is_the_oracles_gradient_of_the_initial_weights(activation, init):
    options = {"activation": activation, "init": init, "seed": 5}
    table = grokcrit.train(hidden=(3, 7), seeds=2, epochs=0, **options)
    for row in table.to_pylist():
        weights = initial(row["width"], row["seed"], **options)
        wanted = naive.gradient(weights, activation)
        np.testing.assert_allclose(row["gradient"], wanted, rtol=1e-12, atol=1e-15)
        assert row["loss"] == pytest.approx(naive.loss(weights, activation), rel=1e-13)
        assert row["train_accuracy"] == naive.accuracy(weights, activation)
        middle = weights[3 * row["width"] : 4 * row["width"]]
        assert row["weight_gini"] == pytest.approx(naive.gini(middle), rel=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"topology": "small-world", "rule": "reset", "graph_seed": 3},
        {"topology": "lattice", "alpha": 1.0, "max_steps": 3, "lr": 0.2},
        {"topology": "random-regular", "degree": 4, "quantile": 70.0, "activation": "sigmoid"},
        {"probe": "shadow", "quantile": 95.0},
        {"parameter_order": "shuffled", "topology": "ring"},
    ],
)
def test_a_run_is_that_of_the_oracle_for_its_first_updates(options):
    table = grokcrit.train(hidden=(6,), seeds=1, epochs=20, snapshot_every=1, **options)
    chosen = TrainOptions(**options)
    weights = initial(6, 0, **options)
    from grokcrit.cascades.graphs import graph_of

    neighbours = naive.adjacency(graph_of(chosen.cascade, 25))
    for row in table.to_pylist():
        g = naive.gradient(weights, chosen.activation)
        np.testing.assert_allclose(row["gradient"], g, rtol=1e-8, atol=1e-11)
        # The cascade of the very numbers recorded: exact.
        wanted = naive.cascade(
            np.array(row["gradient"]),
            neighbours,
            chosen.alpha,
            chosen.quantile,
            chosen.rule,
            chosen.max_steps,
        )
        for name in ("threshold", "size", "area", "duration", "peak", "truncated"):
            assert row[name] == wanted[name], (row["epoch"], name)
        assert row["deviation"] == pytest.approx(
            naive.deviation(wanted["gradient"], row["gradient"]), rel=1e-12
        )
        step = wanted["gradient"] if chosen.probe == "inline" else np.array(row["gradient"])
        weights = weights - chosen.lr * step


def test_the_shadow_probe_measures_the_same_first_cascade_and_then_trains_otherwise():
    inline = of_run(grokcrit.train(hidden=(8,), seeds=1, epochs=5), 8, 0)
    shadow = of_run(grokcrit.train(hidden=(8,), seeds=1, epochs=5, probe="shadow"), 8, 0)
    assert inline[0]["size"] == shadow[0]["size"]
    assert inline[0]["loss"] == shadow[0]["loss"]
    assert inline[1]["loss"] != shadow[1]["loss"]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_the_network_learns_xor(activation):
    rows = grokcrit.train(hidden=(20,), seeds=1, epochs=3000, activation=activation, lr=1.0)
    assert rows["train_accuracy"][3000].as_py() == 1.0
    assert rows["loss"][3000].as_py() < 0.1


def test_a_deviation_is_never_zero_where_the_cascade_moved_something():
    # Logits of a few hundred: gradients of 1e-170, whose squares are no numbers any more.
    table = grokcrit.train(hidden=(8, 20), seeds=4, epochs=60, activation="relu", init="normal:25")
    lost = [
        (r["width"], r["seed"], r["epoch"])
        for r in table.to_pylist()
        if r["size"] > 0 and not 0 < r["deviation"] < 2
    ]
    assert lost == []


# --- grokking epochs --------------------------------------------------------------------------


@given(st.lists(st.sampled_from([0.5, 0.75, 1.0, 1.0, 1.0]), min_size=1, max_size=30))
def test_the_grokking_epochs_are_the_first_right_one_and_the_first_that_stays(accuracies):
    assert training.grok_epochs(np.array(accuracies)) == naive.grok_epochs(accuracies)


def test_the_grokking_epochs_of_known_runs():
    assert training.grok_epochs(np.array([0.5, 1.0, 0.75, 1.0, 1.0])) == (1, 3)
    assert training.grok_epochs(np.array([1.0, 1.0])) == (0, 0)
    assert training.grok_epochs(np.array([0.5, 1.0, 0.75])) == (1, None)
    assert training.grok_epochs(np.array([0.5])) == (None, None)


def test_the_table_holds_the_grokking_epochs_of_its_own_accuracies(trained):
    seen = set()
    for width, seed in itertools.product((3, 5, 8, 12, 20), range(3)):
        rows = of_run(trained, width, seed)
        wanted = naive.grok_epochs([r["train_accuracy"] for r in rows])
        assert {(r["grok_epoch_first"], r["grok_epoch"]) for r in rows} == {wanted}
        seen.add(wanted[1] is None)
    assert seen == {True, False}, "runs that grok and runs that do not"


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.skipif(INTERPRETED, reason="numpy warns of the overflow that compiled code passes by")
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1e300, "activation": "relu"},
        {"lr": 1e300, "activation": "relu", "init": "normal:100"},
        {"lr": 1e200, "activation": "relu", "probe": "shadow"},
    ],
)
def test_a_run_that_diverges_is_named_with_its_epoch(options):
    with pytest.raises(RunError, match=r"width 4, seed 0 diverged: .* at epoch [1-9]") as caught:
        grokcrit.train(hidden=(4,), seeds=1, epochs=50, **options)
    assert "--lr" in str(caught.value)


def test_the_gini_of_weights_that_are_all_zero_is_null():
    run = training.Run(TrainOptions(hidden=(2,), epochs=0), 2, 0)
    kept = training.empty_record(1, 1, 9)
    for name in ("loss", "accuracy", "threshold", "deviation", "size", "area", "duration", "peak"):
        getattr(kept, name)[:] = 1
    kept.truncated[:] = False
    kept.gradients[:] = 0
    kept.gini[:] = np.nan
    table = training.table(run, kept, TRAIN.arrow)
    assert table["weight_gini"].to_pylist() == [None]
    assert table["gradient"].to_pylist() == [[0.0] * 9]


@pytest.mark.parametrize(
    "bad", [{"hidden": (0,)}, {"seeds": 0}, {"epochs": -1}, {"alpha": 0}, {"topology": "rign"}]
)
def test_an_option_out_of_its_range_is_refused_before_anything_is_trained(bad):
    with pytest.raises(OptionError) as caught:
        grokcrit.train(**bad)
    assert caught.value.name in bad


def test_a_degree_too_high_for_the_smallest_width_is_an_option_error():
    with pytest.raises(OptionError) as caught:
        grokcrit.train(hidden=(1, 50), seeds=1, epochs=1, topology="ring", degree=6)
    assert caught.value.name == "degree"


def test_threads_that_are_no_positive_number_are_refused():
    with pytest.raises(OptionError, match="threads"):
        grokcrit.train(hidden=(2,), seeds=1, epochs=1, threads=0)


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="widht"):
        grokcrit.train(widht=(3,))


def test_progress_counts_the_runs():
    told = []
    grokcrit.train(hidden=(2, 3), seeds=2, epochs=1, progress=lambda *done: told.append(done))
    assert told == [(k, 4) for k in range(1, 5)]
