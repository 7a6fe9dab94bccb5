"""The verdict: questions that the numbers answer, each by a rule that its function states.

Every answer is about D of the mean avalanche size. A question whose numbers are not there is not
asked; p below 0.05 tells two numbers apart, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import DIFFERENCE, DISAGREE, INTERVAL, MINUS_GAUSSIAN, PHASES
from grokcrit.report.html import shown
from grokcrit.summaries.diagnose import ALPHA, BEND, of
from grokcrit.tables.schemas import CASE_COLUMNS

# A null model keeps most of the distance where its interval lies above this, loses most below it.
HALF = 0.5
GAUSSIAN = "the Gaussian null (random numbers on the same graph)"


@dataclass(frozen=True)
class Answer:
    """A question, the answer in a few words, and the numbers behind it."""

    question: str
    word: str
    because: tuple[str, ...]


def cases(rows: Sequence[Row]) -> list[Row]:
    """Return the cases of the data that rows of exponents are of."""
    names = [name for name in CASE_COLUMNS if name not in ("surrogate", "replicate")]
    found = {
        tuple(row[name] for name in names)
        for row in rows
        if row["quantity"] == "exponent" and row["surrogate"] == "none"
    }
    ordered = sorted(found, key=lambda case: [(value is None, value) for value in case])
    return [dict(zip(names, each, strict=True)) for each in ordered]


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
    size = [r for r in mine if r["observable"] == "size"]
    asked = (
        change(mine),
        against_null(size),
        moment(size),
        arrangement(size),
        own_epoch(size),
        straight(size),
        source(claims or ()),
    )
    return [answer for answer in asked if answer]


def one(rows: Sequence[Row], quantity: str, window: str | None, **wanted: Any) -> Row | None:
    """Return the row of a quantity in a window, where it is there and has a value."""
    found = of(list(rows), quantity, window=window, **wanted)
    return found[0] if found and found[0]["value"] is not None else None


def apart(row: Row) -> bool:
    """Whether a difference is told apart from zero."""
    return bool(row["p"] is not None and row["p"] < ALPHA)


def interval(row: Row, form: str = ".3f") -> str:
    """Write an interval, or that there is none."""
    if row["ci_low"] is None:
        return "no interval"
    return "interval " + shown((row["ci_low"], row["ci_high"]), form)


def p_of(row: Row) -> str:
    """Write a p."""
    return "no p" if row["p"] is None else f"p {row['p']:.2g}"


def change(rows: Sequence[Row]) -> Answer | None:
    """Yes where post - pre is above zero with p < 0.05; the excess stands beside the size."""
    words, word = [], ""
    for observable, name in (("size", "D"), ("excess", "D of the excess")):
        mine = of(list(rows), "exponent", observable=observable, surrogate="none")
        before, after, step = (one(mine, "exponent", w) for w in ("pre", "post", DIFFERENCE))
        if not (before and after and step):
            continue
        there = apart(step)
        amount = shown(abs(step["value"]) if there else step["value"])
        way = ("rises" if step["value"] > 0 else "falls") if there else "changes"
        words.append(
            f"{name} is {shown(before['value'])} before and {shown(after['value'])} after the "
            f"grokking epoch of each run: it {way} by {amount} "
            f"(change: {interval(step)}, {p_of(step)})"
            f"{'' if there else ', which is not told apart from no change'}."
        )
        if observable == "size":
            word = {"rises": "Yes", "falls": "No, it is smaller", "changes": "Not shown"}[way]
    if not word:
        return None
    if len(words) > 1:
        words[1] += (
            " The excess leaves out the first step, whose share of all entries the threshold fixes."
        )
    return Answer("Is D larger after grokking than before?", word, tuple(words))


def against_null(rows: Sequence[Row]) -> Answer | None:
    """Yes where D is below the Gaussian null before and above it after, both with p < 0.05."""
    sides, words = {}, []
    for window, name in (("pre", "Before"), ("post", "After")):
        gap = one(rows, "data-minus-null", window, surrogate="gaussian")
        own = one(rows, "exponent", window, surrogate="none")
        if gap is None:
            continue
        sides[window] = (1 if gap["value"] > 0 else -1) if apart(gap) else 0
        where = {1: "above", -1: "below", 0: "not told apart from"}[sides[window]]
        sentence = (
            f"{name} grokking D is {where} that of {GAUSSIAN}: data minus null "
            f"{shown(gap['value'])} ({interval(gap)}, {p_of(gap)})."
        )
        if own is not None and own["ci_low"] is not None:
            low, high = own["ci_low"], own["ci_high"]
            place = "lies above" if low > 1 else "lies below" if high < 1 else "contains"
            sentence += f" Its own {interval(own)} {place} 1."
        words.append(sentence)
    if len(sides) < 2:
        return None
    crossing = sides["pre"] == -1 and sides["post"] == 1
    partly = sides["pre"] != sides["post"]
    word = "Yes" if crossing else "Only in part" if partly else "No"
    question = "Does D go from below what random numbers give to above it?"
    return Answer(question, word, tuple(words))


def moment(rows: Sequence[Row]) -> Answer | None:
    """Say when D(t) rises for good above its null, and the median run's grokking epoch after it."""
    found = of(list(rows), "crossing", window="epoch", part="gaussian")
    if not found:
        return None
    question = "When does D(t) rise above that of random numbers for good?"
    (crossing,) = found[:1]
    share = one(rows, "share-without-crossing", "epoch", part="gaussian")
    without = ""
    if share is not None and share["value"] > 0:
        without = f" In {100 * share['value']:.0f} % of the bootstrap draws it never does."
    if crossing["value"] is None:
        return Answer(question, "Never", (f"D(t) does not end above its null.{without}",))
    words = f"Of the time of the crossing: {interval(crossing, '.0f')}.{without}"
    lead = one(rows, "crossing-lead", "epoch", part="gaussian", method="median run")
    if lead is not None:
        side = "after" if lead["value"] > 0 else "before"
        words += (
            f" The median run groks {abs(lead['value']):.0f} epochs {side} that "
            f"(grokking minus crossing: {interval(lead, '.0f')})."
        )
    return Answer(question, f"At epoch {crossing['value']:.0f}", (words,))


def kept(rows: Sequence[Row], name: str) -> tuple[str, Row | None]:
    """Whether a null model keeps most of the distance after grokking, loses most, or neither."""
    row = one(rows, "fraction-kept", "post", surrogate=name)
    if row is None or row["ci_low"] is None:
        return "undefined", row
    if row["ci_low"] > HALF:
        return "most", row
    return ("little" if row["ci_high"] < HALF else "unsettled"), row


def arrangement(rows: Sequence[Row]) -> Answer | None:
    """Judge by what `permute` and `gaussianize` keep of D(data) - D(gaussian) after grokking.

    Mostly the distribution, where `permute` keeps most (interval above one half) and `gaussianize`
    keeps little (interval below) or is not there; mostly the arrangement, where `permute` keeps
    little and `gaussianize` does not.
    A smaller part is left to the arrangement where the data are told apart from `permute` as well.
    """
    chosen = of(list(rows), "fraction-kept", window="post")
    names = [r["surrogate"] for r in chosen]
    if "permute" not in names:
        return None
    question = "Does D answer to where the gradient's entries lie, or only to their distribution?"
    (moved, row), (reshaped, other) = kept(rows, "permute"), kept(rows, "gaussianize")
    if row is None:
        none = "The data are not told apart from the Gaussian null: there is no distance to share."
        return Answer(question, "Not defined", (none,))
    distribution = moved == "most" and reshaped not in ("most", "unsettled")
    place = moved == "little" and reshaped != "little"
    word = "Not settled"
    if distribution:
        word = "Mostly to their distribution"
    elif place:
        word = "Mostly to where they lie"
    words = [
        "Of the distance between data and Gaussian null after grokking, shuffling the values over "
        f"all parameters keeps {shown(row['value'], '.2f')} ({interval(row, '.2f')})"
        + (
            "."
            if other is None
            else "; making their distribution normal, every value's rank, place and sign left as "
            f"they are, keeps {shown(other['value'], '.2f')} ({interval(other, '.2f')})."
        )
    ]
    gap = one(rows, "data-minus-null", "post", surrogate="permute")
    if gap is not None:
        if distribution and apart(gap):
            word += ", in a smaller part to where they lie"
        words.append(
            f"What is left to the arrangement: data minus shuffled {shown(gap['value'])} "
            f"({interval(gap)}, {p_of(gap)}), "
            + ("told apart from zero." if apart(gap) else "not told apart from zero.")
        )
    rest = [
        f"{r['surrogate']} {shown(r['value'], '.2f')} ({interval(r, '.2f')})"
        for r in chosen
        if r["surrogate"] not in ("permute", "gaussianize") and r["value"] is not None
    ]
    if rest:
        words.append(f"The other null models keep: {'; '.join(rest)}.")
    return Answer(question, word, tuple(words))


def own_epoch(rows: Sequence[Row]) -> Answer | None:
    """Yes where own epochs change D more than permuted ones and than every common split do.

    Each with p < 0.05.
    """
    permuted = one(rows, "placebo-permuted", DIFFERENCE)
    common = [
        r
        for r in of(list(rows), "own-minus-split", window=DIFFERENCE)
        if r["value"] is not None and r["p"] is not None
    ]
    if permuted is None and not common:
        return None
    words, tied = [], True
    if permuted is not None and permuted["p"] is not None and permuted["ci_low"] is not None:
        more = apart(permuted) and permuted["value"] > permuted["ci_high"]
        tied = more
        words.append(
            "With the grokking epochs dealt out anew among the runs of a size, D changes by "
            f"{shown((permuted['ci_low'], permuted['ci_high']))}; with their own, by "
            f"{shown(permuted['value'])} ({p_of(permuted)}): " + ("more." if more else "not more.")
        )
    equal = [r for r in common if r["value"] <= 0 or not apart(r)]
    if common:
        tied = tied and not equal
        times = ", ".join(str(r["time"]) for r in common)
        words.append(f"One split for all runs was tried at epoch {times}.")
        for r in equal:
            more = "more" if r["value"] < 0 and apart(r) else "no less, as far as can be told"
            words.append(
                f"A split at epoch {r['time']} changes D {more}: own epochs minus this split "
                f"{shown(r['value'])} ({interval(r)}, {p_of(r)})."
            )
        if not equal:
            words.append("Each of them changes D less than the runs' own grokking epochs do.")
    if not words:
        return None
    word = "Yes" if tied else "Not shown"
    return Answer("Is the change tied to each run's own grokking epoch?", word, tuple(words))


def straight(rows: Sequence[Row]) -> Answer | None:
    """No where the slope changes by 0.1 or more over the sizes, with p < 0.05."""
    found = [r for w in PHASES if (r := one(rows, "bend", w))]
    if not found:
        return None
    bent = [r for r in found if apart(r) and abs(r["value"]) >= BEND]
    names = {"aggregate": "all epochs", "pre": "before grokking", "post": "after grokking"}
    amounts = "; ".join(f"{names[r['window']]} {shown(r['value'])} ({p_of(r)})" for r in found)
    words = f"From the smallest size to the largest the slope changes by: {amounts}."
    if bent:
        words += " One exponent sums up a curve there, and depends on which sizes are taken."
    question = "Is it a power law: is ln(size) against ln(N) a straight line?"
    return Answer(question, "No" if bent else "No bend is seen", (words,))


def source(claims: Sequence[Row]) -> Answer | None:
    """Count the claims by verdict; agreement with calibrated ones is counted apart."""
    if not claims:
        return None
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
    return Answer("Does it agree with the source?", word, (words,))
