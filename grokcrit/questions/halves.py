"""Halves: is the exponent the same on the smaller and on the larger half of the sizes?"""

from __future__ import annotations

from collections.abc import Sequence

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.questions import judge
from grokcrit.questions.family import phases
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer, Asked, Question
from grokcrit.questions.rows import (
    PHASE_NAMES,
    ends,
    groups,
    in_phases,
    index,
    interval,
    known,
    labelled,
    of,
    of_bins,
    p_of,
    shown,
)

HALVES = ("smaller half", "larger half")


def of_curves(asked: Asked) -> list[Row]:
    """Fit every phase and the change on either half of the sizes, of the data and minus the null.

    Of an odd number of sizes the middle one belongs to both halves; a half needs three sizes.
    """
    sizes = asked.family.data.sizes
    half = -(-len(sizes) // 2)
    confidence = asked.options.confidence
    places = in_phases()[: len(asked.own.phases.value)]
    change = [place["window"] == DIFFERENCE for place in places]
    null = asked.family.nulls.get("gaussian")
    made = []
    for part, kept in zip(HALVES, (sizes[:half], sizes[-half:]), strict=True):
        what = (asked.observable, asked.statistic, asked.draws, kept)
        own = phases([asked.family.data], *what)
        found = of_bins("half-exponent", own, confidence, places, change)
        if null:
            gap = own - phases(null, *what)
            rows = of_bins("half-minus-null", gap, confidence, places)
            found += labelled(rows, surrogate="gaussian")
        made += labelled(found, part=part, method=f"N = {kept[0]} to {kept[-1]}", n=len(kept))
    return made


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up the exponents of both halves."""
    out = []
    keys = (*shown, "observable", "statistic", "window")
    for key, mine in groups(of(rows, "half-exponent"), *keys).items():
        place = index(mine, "part")
        if not known(mine, "half-exponent"):
            continue
        row = dict(zip(keys, key, strict=True))
        for part in HALVES:
            row |= {part: place[part,]["value"], f"interval of {part}": ends(place[part,])}
        out.append(row)
    return Summary("halves: the exponent on the smaller and on the larger half of the sizes", out)


def opposed(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return both halves of each change at grokking, of the data, where their signs differ."""
    found = of(rows, "half-exponent", window=DIFFERENCE, surrogate="none")
    pairs = groups(found, *judge.FAMILY, "observable", "statistic").values()
    return [(a, b) for a, b in (pair for pair in pairs if len(pair) == 2) if judge.opposite(a, b)]


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn where D changes up on one half and down on the other, or where halves have no fit."""
    made = of(rows, "half-exponent")
    few = (
        warn("few-sizes", max(row["n"] for row in made))
        if made and not known(made, "half-exponent")
        else []
    )
    return few + warn(
        "halves-disagree",
        [
            f"{a['observable']} {a['statistic']} {shown(a['value'])} and {shown(b['value'])}"
            for a, b in opposed(rows)
        ],
    )


def stated(rows: Sequence[Row], window: str) -> str | None:
    """Say the exponent of both halves in one window."""
    place = index(of(rows, "half-exponent", window=window), "part")
    small, large = (place[part,] for part in HALVES)
    if small["value"] is None or large["value"] is None:
        return None
    name = PHASE_NAMES.get(window, "the change")
    tests = [f", {p_of(row)}" if window == DIFFERENCE else "" for row in (small, large)]
    return (
        f"{name}: {shown(small['value'])} ({interval(small)}{tests[0]}) on the smaller half, "
        f"{shown(large['value'])} ({interval(large)}{tests[1]}) on the larger half"
    )


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say no where the change at grokking has opposite signs on the two halves.

    Without phases, where the intervals of the two halves are apart.
    """
    mine = of(rows, "half-exponent", observable="size", statistic="mean", surrogate="none")
    told = [each for window in (*PHASES, DIFFERENCE) if (each := stated(mine, window))]
    if not told:
        return []
    window = mine[-1]["window"]
    place = index(of(mine, "half-exponent", window=window), "part")
    small, large = (place[part,] for part in HALVES)
    if window == DIFFERENCE:
        question = "Does D change the same way on small and on large sizes?"
        word = "No difference of sign is shown"
        if judge.opposite(small, large):
            both = judge.opposite(small, large, both=True)
            word = "No: opposite" if both else "The signs differ, one of them within its error"
    else:
        question = "Is D the same on small and on large sizes?"
        word = "No" if judge.disjoint(small, large) else "No difference is seen"
    return [Answer("halves", question, word, tuple(f"{each}." for each in told))]


QUESTION = Question(
    quantities={
        "half-exponent": "exponent on the smaller and on the larger half of the sizes, per phase; "
        "of the change with the p of zero",
        "half-minus-null": "the same, data minus Gaussian null",
    },
    primary={"quantity": "half-exponent", "part": "larger half", "observable": "size"}
    | {"statistic": "mean", "surrogate": "none", "window": DIFFERENCE},
    of_curves=of_curves,
    section=section,
    about="A line through all sizes can hide two regimes. Here each phase and the change at "
    "grokking are fitted on either half of the sizes.",
    cautions=cautions,
    answers=answers,
)
