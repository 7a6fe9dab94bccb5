"""The verdict: what each question answers from the numbers, and how the source's claims fare.

Every answer is about D of the mean avalanche size. A question whose numbers are not there is not
asked; the decisions are those of ``questions/judge.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import DISAGREE, INTERVAL, MINUS_GAUSSIAN
from grokcrit.questions import questions
from grokcrit.questions.judge import FAMILY, of_training
from grokcrit.questions.question import Answer
from grokcrit.questions.rows import groups, interval, of, one, shown
from grokcrit.report.inputs import Material


def of_case(made: Material) -> list[Answer]:
    """Answer what the numbers answer; where there are several cases, none of them alone."""
    rows = made.rows
    if not of(rows, "exponent"):
        rows = [*rows, *from_bootstrap(made.select("bootstrap", kind="interval", method=INTERVAL))]
    found = cases(rows)
    if len(found) < 2:
        return verdict(rows, made.claims)
    apart = [k for k in found[0] if len({case[k] for case in found}) > 1]
    held = "; ".join(
        f"{k} {', '.join(dict.fromkeys(str(case[k]) for case in found))}" for k in apart
    )
    first = " ".join(f"--where {k}={found[0][k]}" for k in apart)
    words = (
        f"The tables hold {len(found)} cases ({held}). A verdict is of one case: choose it, for "
        f"example with {first}."
    )
    none = Answer("cases", "What is D?", f"{len(found)} cases, no single answer", (words,))
    return [none, *source(made.claims or ())]


def cases(rows: Sequence[Row]) -> list[Row]:
    """Return the cases of the data that rows of exponents are of."""
    found = groups(of(rows, "exponent", surrogate="none"), *FAMILY)
    ordered = sorted(found, key=lambda case: [(value is None, value) for value in case])
    return [dict(zip(FAMILY, each, strict=True)) for each in ordered]


def from_bootstrap(intervals: Sequence[Row]) -> list[Row]:
    """Turn the intervals of a bootstrap table into rows as `diagnose` makes them."""
    gap = {"quantity": "data-minus-null", "surrogate": "gaussian"}
    kinds: dict[str | None, Row] = {None: {"quantity": "exponent"}, MINUS_GAUSSIAN: gap}
    unset = dict.fromkeys(("part", "time", "n_params"))
    return [
        {**row, **kinds[row["part"]], **unset, "value": row["exponent"]}
        for row in intervals
        if row["part"] in kinds
    ]


def verdict(rows: Sequence[Row], claims: Sequence[Row] | None) -> list[Answer]:
    """Return the answers of one case, from its diagnostics rows and the rows of claims.json."""
    kept = {"observable": ("size", "excess"), "statistic": ("mean", None)}
    mine = [r for r in rows if all(r[name] in values for name, values in kept.items())]
    asked = [each.answers for each in questions().values() if each.answers]
    answers = [answer for answers in asked for answer in answers(mine)]
    return [*growth(rows), *answers, *source(claims or ())]


def growth(rows: Sequence[Row]) -> list[Answer]:
    """Say how avalanches grow with the system, where there is no training to ask about."""
    place = {"observable": "size", "surrogate": "none"}
    names = {"mean": "The mean size", "cutoff": "The cutoff <s^2> / <s>"}
    found = {
        name: row
        for name in names
        if (row := one(rows, "exponent", "aggregate", statistic=name, **place))
        and not of_training(row)
    }
    if not found:
        return []
    words = tuple(
        f"{names[name]} grows as N to the power {shown(row['value'])} ({interval(row)})."
        for name, row in found.items()
    )
    word = ", ".join(f"{name}: N to the power {shown(row['value'])}" for name, row in found.items())
    return [Answer("growth", "How do avalanches grow with the size N of the system?", word, words)]


def source(claims: Sequence[Row]) -> list[Answer]:
    """Count the claims by verdict; agreement with calibrated ones is counted apart."""
    if not claims:
        return []
    agree = [c for c in claims if c["agrees"] in ("yes", "consistent")]
    differ = [c for c in claims if c["agrees"] in DISAGREE]
    tuned = sum("calibrated" in c["basis"] for c in agree)
    rest = len(claims) - len(agree) - len(differ)
    words = (
        f"Of {len(claims)} claims {len(agree)} agree or are consistent, {len(differ)} disagree or "
        f"are not seen{f', {rest} could not be judged' if rest else ''}."
    )
    if tuned:
        words += f" {tuned} of those that agree were used to choose the defaults: no evidence."
    word = f"{len(agree)} of {len(claims)} claims"
    return [Answer("source", "Does it agree with the source?", word, (words,))]
