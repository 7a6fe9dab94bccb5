"""Sparse parity: its samples, its cells, its runs and their tables."""

import itertools
from dataclasses import asdict

import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import OptionError, RunError
from grokcrit.tasks import run_options
from grokcrit.tasks.parity import ParityOptions
from grokcrit.tasks.parity.samples import samples_of

SMALL = {"task": "parity", "bits": 12, "relevant": 1, "samples": 200, "hidden": (8, 16)}
SMALL |= {"seeds": 2, "epochs": 25, "lr": 0.1, "snapshot_every": 5}


# --- the samples --------------------------------------------------------------------------------


def agreeing(samples, bits, relevant):
    """The sets of bits whose product is every label."""
    found = []
    for chosen in itertools.combinations(range(bits), relevant):
        product = np.ones(len(samples.labels))
        for bit in chosen:
            product = product * samples.inputs[:, bit]
        if (product == samples.labels).all():
            found.append(chosen)
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_are_the_product_of_the_same_few_bits_on_both_sides(seed):
    options = ParityOptions(bits=12, relevant=3, samples=300)
    train, test = samples_of(options, seed)
    (bits,) = agreeing(train, 12, 3)
    assert agreeing(test, 12, 3) == [bits]


def test_no_input_is_drawn_twice_and_few_samples_are_the_first_of_more():
    """Fault: a test input trains; cells with few samples have others, or another test set."""
    train, test = samples_of(ParityOptions(bits=12, samples=1000), 0)
    assert len(np.unique(np.concatenate([train.inputs, test.inputs]), axis=0)) == 2000
    assert set(np.unique(train.inputs)) == {-1.0, 1.0}
    few, same = samples_of(ParityOptions(bits=12, samples=40), 0)
    for fewer, more in ((few, train), (same, test)):
        assert (more.inputs[: len(fewer.inputs)] == fewer.inputs).all()
        assert (more.labels[: len(fewer.labels)] == fewer.labels).all()


def test_shuffled_labels_are_those_of_their_side_in_another_order():
    options = {"bits": 12, "relevant": 3, "samples": 300}
    shuffled = samples_of(ParityOptions(**options, labels="shuffled"), 0)
    for side, true in zip(shuffled, samples_of(ParityOptions(**options), 0), strict=True):
        assert (side.inputs == true.inputs).all()
        assert side.labels.sum() == true.labels.sum()
        # Half agree by chance: 0.5 +- 0.03 for 300.
        assert 0.35 < (side.labels == true.labels).mean() < 0.65


# --- the cells ----------------------------------------------------------------------------------


def test_cells_differ_in_one_option_and_in_decay():
    cells = ParityOptions(controls=True).cells()
    first, *others = map(asdict, cells)
    changed = [{k for k in first if k != "label" and first[k] != each[k]} for each in others]
    decay = {"weight_decay"}
    assert changed == [{"labels"}, {"samples"}, decay, {"labels"} | decay, {"samples"} | decay]
    assert len({each.case for each in cells}) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"relevant": 41}, "relevant must be at most 40"),
        ({"relevant": 0}, "relevant must be a whole number, at least 1"),
        ({"bits": 11}, "bits must be at least 12"),
        ({"samples": 0}, "samples must be a whole number"),
        ({"batch": -1}, "batch must be a whole number"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"labels": "shufled"}, "did you mean 'shuffled'"),
        ({"prime": 59}, "prime is not an option of --task parity"),
        ({"activation": "relu"}, "activation is not an option of --task parity"),
    ],
)
def test_a_wrong_option_is_named(options, words):
    with pytest.raises(OptionError, match=words):
        run_options(task="parity", **options)


@pytest.mark.parametrize("given", [{"labels": "shuffled"}, {"weight_decay": 0}, {"samples": 500}])
def test_controls_of_what_is_a_control_are_refused(given):
    (name,) = given
    with pytest.raises(OptionError, match=f"changes --{name.replace('_', '-')} in"):
        run_options(task="parity", controls=True, **given).cells()


# --- the runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return grokcrit.train(**SMALL, threads=2)


def test_one_relevant_bit_is_learnt_and_shuffled_labels_leave_the_test_set_at_chance(table):
    """Fault: labels are shuffled on one side only, or the same way on both."""
    last = [r for r in table.to_pylist() if r["epoch"] == 25]
    assert all(r["test_accuracy"] > 0.99 for r in last)
    shuffled = grokcrit.train(**SMALL, labels="shuffled").to_pylist()
    # 1,000 test samples: 0.5 +- 0.016.
    assert all(0.42 < r["test_accuracy"] < 0.58 for r in shuffled if r["epoch"] == 25)
    assert {r["grok_epoch"] for r in shuffled} == {None}


def test_a_run_is_the_same_whatever_the_threads_and_what_else_is_trained(table):
    alone = grokcrit.train(**SMALL | {"hidden": (16,)}, threads=1)
    assert [r for r in table.to_pylist() if r["width"] == 16] == alone.to_pylist()


def test_a_run_groks_at_its_first_test_accuracy_above_99_percent(table):
    for width, seed in itertools.product((8, 16), (0, 1)):
        rows = [r for r in table.to_pylist() if (r["width"], r["seed"]) == (width, seed)]
        grok = min(r["epoch"] for r in rows if r["test_accuracy"] > 0.99)
        assert 0 < grok < 25
        assert {r["grok_epoch"] for r in rows} == {r["grok_epoch_first"] for r in rows} == {grok}


@pytest.mark.parametrize("probe", ["shadow", "inline"])
def test_the_stage_avalanche_repeats_the_numbers_of_training(probe):
    table = grokcrit.train(**SMALL, probe=probe)
    offline = {
        (r["width"], r["seed"], r["epoch"]): r for r in grokcrit.avalanche(table).to_pylist()
    }
    rows = [r for r in table.to_pylist() if r["epoch"] % 5 == 0]
    assert len(rows) == len(offline) == 24
    for row in rows:
        other = offline[row["width"], row["seed"], row["epoch"]]
        for name in ("threshold", "size", "area", "duration", "peak", "truncated"):
            assert row[name] == other[name]
    between = [r for r in table.to_pylist() if r["epoch"] % 5]
    assert {r[name] for r in between for name in ("gradient", "size", "threshold")} == {None}


def test_a_run_that_diverges_is_named():
    with pytest.raises(RunError, match=r"width 8, seed 0 diverged.*lower --lr"):
        grokcrit.train(**SMALL | {"lr": 1e200, "hidden": (8,), "seeds": 1})
