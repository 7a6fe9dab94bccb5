"""The verdict: what each question answers from the numbers, and how the source's claims fare.

Every answer is about D of the mean avalanche size. A question whose numbers are not there is not
asked; the decisions are those of ``questions/judge.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import DISAGREE, INTERVAL, MINUS_GAUSSIAN
from grokcrit.questions import questions
from grokcrit.questions.judge import FAMILY
from grokcrit.questions.question import Answer


def cases(rows: Sequence[Row]) -> list[Row]:
    """Return the cases of the data that rows of exponents are of."""
    found = {
        tuple(row[name] for name in FAMILY)
        for row in rows
        if row["quantity"] == "exponent" and row["surrogate"] == "none"
    }
    ordered = sorted(found, key=lambda case: [(value is None, value) for value in case])
    return [dict(zip(FAMILY, each, strict=True)) for each in ordered]


def from_bootstrap(table: pa.Table | None) -> list[Row]:
    """Turn the intervals of a bootstrap table into rows as `diagnose` makes them."""
    if table is None:
        return []
    few = table.filter(
        pc.and_(pc.equal(table["kind"], "interval"), pc.equal(table["method"], INTERVAL))
    ).to_pylist()
    rows = []
    for row in few:
        if row["part"] not in (None, MINUS_GAUSSIAN):
            continue
        against = row["part"] is not None
        rows.append(
            {
                **row,
                "quantity": "data-minus-null" if against else "exponent",
                "surrogate": "gaussian" if against else row["surrogate"],
                "part": None,
                "time": None,
                "n_params": None,
                "value": row["exponent"],
            }
        )
    return rows


def verdict(rows: Sequence[Row], claims: Sequence[Row] | None) -> list[Answer]:
    """Answer what the numbers answer.

    Parameters
    ----------
    rows
        Of a diagnostics table, of one case.
    claims
        Rows of claims.json.
    """
    mine = [r for r in rows if r["observable"] in ("size", "excess") and r["statistic"] == "mean"]
    asked = [each.answers for each in questions().values() if each.answers]
    found = [answer for answers in asked for answer in answers(mine)]
    return found + source(claims or ())


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
