"""The verdict of a report says what made-up numbers say, and nothing where there are none."""

import pyarrow as pa
import pytest

from grokcrit.report.inputs import Material
from grokcrit.report.verdict import of_case, verdict
from grokcrit.tables.schemas import BOOTSTRAP
from tests.unit.made_claims import ROWS as CLAIMS

LARGER = "change"
NULL = "against-null"
WHEN = "crossing"
WHERE = "arrangement"
OWN = "own-epoch"
STRAIGHT = "straight"
SOURCE = "source"


def row(quantity, window, value, low=None, high=None, p=None, **more):
    return {
        "quantity": quantity,
        "window": window,
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "p": p,
        "surrogate": "none",
        "observable": "size",
        "statistic": "mean",
        "part": None,
        "time": None,
        "method": None,
        **more,
    }


def change(before, after, p, **more):
    step = after - before
    return [
        row("exponent", "pre", before, before - 0.01, before + 0.02, **more),
        row("exponent", "post", after, after - 0.01, after + 0.02, **more),
        row("exponent", "post - pre", step, step - 0.05, step + 0.05, p, **more),
    ]


def gap(window, value, p, name="gaussian"):
    return row("data-minus-null", window, value, value - 0.1, value + 0.1, p, surrogate=name)


def kept(name, value, low, high):
    return row("fraction-kept", "post", value, low, high, 0.001, surrogate=name)


def permuted(value, low, high, p):
    return row("placebo-permuted", "post - pre", value, low, high, p)


def split(time, own_minus_this, p):
    value = own_minus_this
    return row("own-minus-split", "post - pre", value, value - 0.1, value + 0.1, p, time=time)


def answers(rows, claims=None):
    return {a.id: a for a in verdict(rows, claims)}


def test_no_numbers_no_verdict():
    assert verdict([], None) == []


@pytest.mark.parametrize(
    ("before", "after", "p", "word", "words"),
    [
        (0.9, 1.2, 0.003, "Yes", "rises by 0.300"),
        (1.2, 0.9, 0.003, "No, it is smaller", "falls by 0.300"),
        (0.9, 1.2, 0.05, "Not shown", "changes by 0.300"),
        (1.2, 0.9, 0.4, "Not shown", "changes by −0.300"),
        (0.9, 1.2, None, "Not shown", "no p"),
    ],
)
def test_a_rise_is_one_whose_p_is_below_a_twentieth(before, after, p, word, words):
    found = answers(change(before, after, p))[LARGER]
    assert found.word == word
    assert words in found.because[0]


def test_the_excess_stands_beside_the_size_and_does_not_decide():
    rows = change(0.9, 1.2, 0.2) + change(0.8, 1.5, 0.001, observable="excess")
    found = answers(rows)[LARGER]
    assert found.word == "Not shown"
    assert "D of the excess is 0.800 before and 1.500 after" in found.because[1]


def test_a_phase_without_a_fit_is_not_judged():
    rows = change(0.9, 1.2, 0.003)
    rows[0]["value"] = rows[2]["value"] = None
    assert answers(rows) == {}


@pytest.mark.parametrize(
    ("before", "p_before", "after", "p_after", "word"),
    [
        (-0.1, 0.01, 0.2, 0.01, "Yes"),
        (-0.1, 0.20, 0.2, 0.01, "Only in part"),
        (-0.1, 0.01, 0.2, 0.30, "Only in part"),
        (0.1, 0.01, 0.2, 0.01, "No"),
        (0.1, 0.01, -0.2, 0.01, "Only in part"),
        (-0.1, 0.60, 0.2, 0.30, "No"),
    ],
)
def test_going_from_below_the_null_to_above_it_takes_both(before, p_before, after, p_after, word):
    rows = [gap("pre", before, p_before), gap("post", after, p_after)]
    assert answers(rows)[NULL].word == word


def test_the_interval_is_told_against_one_as_well():
    rows = [*change(0.9, 1.2, 0.01), gap("pre", -0.1, 0.01), gap("post", 0.2, 0.01)]
    before, after = answers(rows)[NULL].because
    assert before.endswith("lies below 1.")
    assert after.endswith("lies above 1.")
    rows[0]["ci_high"] = 1.0
    assert answers(rows)[NULL].because[0].endswith("contains 1.")


def test_a_crossing_is_told_with_the_grokking_after_or_before_it():
    crossing = row("crossing", "epoch", 40.0, 30.0, 60.0, part="gaussian")
    lead = row("crossing-lead", "epoch", -12.0, -20, 5, part="gaussian", method="median run")
    share = row("share-without-crossing", "epoch", 0.25, part="gaussian")
    found = answers([crossing, lead, share])[WHEN]
    assert found.word == "At epoch 40"
    assert "interval 30 to 60" in found.because[0]
    assert "25 % of the bootstrap draws it never does" in found.because[0]
    assert "groks 12 epochs before that" in found.because[0]
    assert answers([crossing | {"value": None}])[WHEN].word == "Never"


@pytest.mark.parametrize(
    ("permute", "gaussianize", "word"),
    [
        ((0.8, 0.7, 0.9), (0.1, 0.0, 0.2), "Mostly on their distribution"),
        ((0.8, 0.7, 0.9), None, "Mostly on their distribution"),
        ((0.8, 0.4, 0.9), (0.1, 0.0, 0.2), "Not settled"),
        ((0.8, 0.7, 0.9), (0.8, 0.7, 0.9), "Not settled"),
        ((0.8, 0.7, 0.9), (0.3, 0.0, 0.6), "Not settled"),
        ((0.1, 0.0, 0.2), (0.9, 0.8, 1.0), "Mostly on their arrangement"),
        ((0.1, 0.0, 0.2), (0.1, 0.0, 0.2), "Not settled"),
        ((None, None, None), None, "Not defined"),
    ],
)
def test_what_the_null_models_keep_decides_between_place_and_distribution(
    permute, gaussianize, word
):
    rows = [kept("permute", *permute)]
    if gaussianize:
        rows.append(kept("gaussianize", *gaussianize))
    assert answers(rows)[WHERE].word == word


@pytest.mark.parametrize(("p", "smaller_part"), [(0.01, True), (0.2, False)])
def test_a_rest_that_shuffling_loses_is_told(p, smaller_part):
    rows = [kept("permute", 0.8, 0.7, 0.9), gap("post", 0.05, p, "permute")]
    found = answers(rows)[WHERE]
    assert ("in a smaller part" in found.word) == smaller_part
    assert f"p {p}" in found.because[1]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([permuted(0.4, 0.1, 0.2, 0.002), split(20, 0.2, 0.01), split(50, 0.1, 0.01)], "Yes"),
        ([permuted(0.4, 0.1, 0.2, 0.002)], "Yes"),
        ([split(20, 0.2, 0.01)], "Yes"),
        ([permuted(0.15, 0.1, 0.2, 0.5), split(20, 0.2, 0.01)], "Not shown"),
        ([permuted(0.05, 0.1, 0.2, 0.002), split(20, 0.2, 0.01)], "Not shown"),
        ([permuted(0.4, 0.1, 0.2, 0.002), split(20, 0.2, 0.2), split(50, 0.1, 0.01)], "Not shown"),
        ([permuted(0.4, 0.1, 0.2, 0.002), split(20, -0.2, 0.01)], "Not shown"),
    ],
)
def test_a_change_is_tied_to_grokking_where_every_placebo_changes_less(rows, word):
    assert answers(rows)[OWN].word == word


def test_a_split_that_does_better_is_named():
    found = answers([split(20, -0.2, 0.01), split(50, 0.1, 0.4), split(90, 0.3, 0.01)])[OWN]
    told = " ".join(found.because)
    assert "A split at epoch 20 changes D more" in told
    assert "A split at epoch 50 changes D no less" in told
    assert "epoch 90 changes" not in told


@pytest.mark.parametrize(
    ("value", "p", "word"),
    [(0.3, 0.01, "No"), (-0.3, 0.01, "No"), (0.3, 0.1, "No misfit is seen")]
    + [(0.05, 0.001, "No misfit is seen")],
)
def test_a_line_is_bent_where_the_bend_is_both_large_and_significant(value, p, word):
    assert answers([row("bend", "post", value, None, None, p)])[STRAIGHT].word == word


def test_claims_are_counted_and_calibrated_agreement_is_no_evidence():
    found = answers([], CLAIMS)[SOURCE]
    assert found.word == "2 of 5 claims"
    (words,) = found.because
    assert "2 agree or are consistent, 2 disagree or are not seen, 1 could not be judged" in words
    assert "1 of those that agree were used to choose the defaults" in words


def test_a_bootstrap_table_answers_what_it_can():
    common = {
        **dict.fromkeys(BOOTSTRAP.arrow.names),
        **{"task": "xor", "case": "a", "field": "gradient", "topology": "ba", "degree": 6},
        **{"graph_seed": 0, "surrogate": "none", "replicate": 0, "alpha": 0.3, "quantile": 90.0},
        **{"rule": "diffuse", "observable": "size", "statistic": "mean"},
    }
    numbers = [
        ("pre", None, 0.8, None),
        ("post", None, 1.2, None),
        ("post - pre", None, 0.4, 0.001),
        ("pre", "minus gaussian", -0.2, 0.01),
        ("post", "minus gaussian", 0.2, 0.01),
        ("post", "minus permute", 0.1, 0.01),
    ]
    rows = [
        common
        | {"kind": "interval", "method": method, "window": window, "part": part}
        | {"exponent": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "p": p}
        for window, part, value, p in numbers
        for method in ("expanded percentile", "percentile")
    ]
    made = Material(tables={"bootstrap": [pa.Table.from_pylist(rows, BOOTSTRAP.arrow)]})
    found = {answer.id: answer for answer in of_case(made)}
    assert {name: each.word for name, each in found.items()} == {LARGER: "Yes", NULL: "Yes"}
    assert of_case(Material()) == []
