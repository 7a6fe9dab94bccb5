"""Claims judged by matched controls, on made rows: what moves, what does not, what is unknown."""

import pytest

from grokcrit.paper.claim_controls import controls
from grokcrit.paper.claims import COLUMNS
from grokcrit.questions.rows import labelled, to_table

ONLY, ADDED = "D changes only where a network generalises", "generalising changes D"
COMES_DOWN, UNGROKKED = "ModAdd-59: course of D(t)", "ModAdd-59: D of ungrokked runs"
PARTING = "ModAdd-59: separation of the two"


def change(quantity, part, value, p, p_adjusted=None):
    ends = {"ci_low": value - 0.1, "ci_high": value + 0.1}
    return {
        **{"quantity": quantity, "part": part, "window": "post - pre", "value": value},
        **{"p": p, "p_adjusted": p_adjusted, **ends},
    }


def cells(base, *pairs):
    """The change of ``xor`` and of each control with its effect, as (value, p)."""
    rows = [change("cell-exponent", "xor", *base)]
    for name, (control, effect) in zip("ab", pairs, strict=False):
        rows.append(change("cell-exponent", name, *control))
        rows.append(change("effect-generalising", f"xor - {name}", *effect))
    return rows


def judged(rows, task="xor"):
    """The rows of the claims by name, from rows of the mean size of a design whose base is xor."""
    case = {"task": task, "case": "xor", "surrogate": "none"}
    size = case | {"observable": "size", "statistic": "mean"}
    counts = [case | row for row in rows if row["quantity"] == "grokked"]
    others = labelled((row for row in rows if row["quantity"] != "grokked"), **size)
    made = controls({f"{task}-controls-diagnostics": to_table(counts + others)})
    for each in made:
        assert all(isinstance(getattr(each, name), str) for name in COLUMNS)
    return {
        each.claim.partition(" (")[0] if each.claim[0] != "M" else each.claim: each for each in made
    }


MOVES, STILL, UNKNOWN = (0.2, 0.001), (0.01, 0.8), (0.1, None)


@pytest.mark.parametrize(
    ("base", "pairs", "only", "added"),
    [
        (MOVES, [(STILL, MOVES), (STILL, MOVES)], "consistent", "consistent"),
        # Fault: a claim that holds in one control passes for one that holds in all.
        (MOVES, [(STILL, MOVES), (MOVES, STILL)], "not seen", "not seen"),
        # Fault: an effect against the direction of the change counts as its cause.
        (MOVES, [((0.4, 0.001), (-0.2, 0.001))], "not seen", "not seen"),
        ((-0.2, 0.001), [(STILL, (-0.2, 0.001))], "consistent", "consistent"),
        # Fault: where nothing moves at all, nothing moves in controls, and "only" holds.
        (STILL, [(STILL, STILL)], "not seen", "not seen"),
        # Fault: what has no p passes for no movement.
        (MOVES, [(STILL, MOVES), (UNKNOWN, UNKNOWN)], "no fit", "no fit"),
        (MOVES, [(MOVES, STILL), (UNKNOWN, UNKNOWN)], "not seen", "not seen"),
        # Fault: the p before adjusting decides.
        (MOVES, [((0.2, 0.01, 0.2), (0.2, 0.01, 0.2))], "consistent", "not seen"),
        (MOVES, [], "no fit", "no fit"),
    ],
)
def test_d_marks_generalising_where_it_moves_there_and_in_no_control(base, pairs, only, added):
    found = judged(cells(base, *pairs))
    assert {name: each.agrees for name, each in found.items()} == {ONLY: only, ADDED: added}


def test_the_words_name_every_control_with_its_numbers():
    found = judged(cells(MOVES, (STILL, MOVES), ((0.35, 0.001), (-0.15, 0.02))))
    assert "1 of 2" in found[ONLY].ours
    assert "0.350" in found[ONLY].words
    assert "1 of 2" in found[ADDED].ours


def test_a_task_that_was_not_trained_has_no_row():
    assert controls({}) == []


# --- the companion's claims on modular addition -------------------------------------------------


def course(part, values, half=0.02):
    return [
        {
            **{"quantity": "cell-exponent", "part": part, "window": "epoch", "time": 10 * k},
            **{"value": value, "ci_low": value - half, "ci_high": value + half},
        }
        for k, value in enumerate(values)
    ]


def phases(part, before, after):
    return [
        {
            **{"quantity": "cell-exponent", "part": part, "window": window},
            **{"value": value, "ci_low": value - 0.05, "ci_high": value + 0.05},
        }
        for window, value in (("pre", before), ("post", after))
    ]


def grokked(part, runs):
    return [{"quantity": "grokked", "part": part, "value": float(runs), "n": 10}]


def separation(part, value, low=None, high=None):
    row = {"quantity": "separation", "part": part, "window": "aligned", "value": value}
    return [row | {"ci_low": low, "ci_high": high}]


ONE_CONTROL = cells(MOVES, (STILL, MOVES))


@pytest.mark.parametrize(
    ("values", "half", "verdict", "when"),
    [
        ((1.1, 1.1, 1.05, 0.95, 0.9), 0.02, "consistent", "at epoch 25"),
        # Fault: a curve that is up again at its end has come down for good.
        ((1.1, 0.9, 0.9, 1.1), 0.02, "not seen", "never"),
        # Fault: a descent within the intervals is a clear one.
        ((1.1, 1.1, 0.95, 0.9), 0.2, "not seen", "at epoch 17"),
        ((0.9, 0.9, 0.8, 0.8), 0.02, "not seen", "never"),
    ],
)
def test_d_comes_down_through_one_where_it_was_clearly_above_and_ends_below(
    values, half, verdict, when
):
    control = course("a", (1.1, 1.1, 0.9, 0.9))
    rows = ONE_CONTROL + course("xor", values, half) + control
    found = judged(rows, "modadd")[COMES_DOWN]
    assert found.agrees == verdict
    assert found.ours == f"{when}; also clearly in 1 of 1 matched controls"


def test_without_a_curve_its_course_cannot_be_judged():
    assert judged(ONE_CONTROL, "modadd")[COMES_DOWN].agrees == "no fit"


@pytest.mark.parametrize(
    ("before", "after", "runs", "verdict"),
    [
        (1.2, 1.1, 0, "consistent"),
        (1.2, 0.8, 0, "not seen"),
        # Fault: a value above 1 whose interval contains 1 has stayed above.
        (1.2, 1.02, 0, "not seen"),
        # Fault: a control that groks is taken for runs that do not.
        (1.2, 1.1, 3, "no fit"),
    ],
)
def test_runs_that_do_not_grok_are_matched_controls(before, after, runs, verdict):
    rows = ONE_CONTROL + grokked("a", runs) + phases("a", before, after)
    assert judged(rows, "modadd")[UNGROKKED].agrees == verdict


@pytest.mark.parametrize(
    ("parted", "verdict"),
    [
        ([(-150, -190, -120)], "consistent"),
        ([(-70, -120, 10)], "consistent"),
        ([(-70, -90, 10)], "not seen"),
        ([(-150, None, None)], "consistent"),
        ([(None, None, None)], "not seen"),
        # Fault: the first of several controls decides.
        ([(-150, -190, -120), (10, 0, 20)], "not seen"),
        ([], "no fit"),
    ],
)
def test_cells_part_where_every_interval_allows_the_sources_range(parted, verdict):
    rows = cells(MOVES, (STILL, MOVES), (STILL, MOVES))
    for name, times in zip("ab", parted, strict=False):
        rows += separation(f"xor - {name}", *times)
    assert judged(rows, "modadd")[PARTING].agrees == verdict
