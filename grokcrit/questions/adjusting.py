"""Adjusted p values: each question has one primary test, the others share its error rate."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from grokcrit.base.summary import Row
from grokcrit.questions.judge import FAMILY
from grokcrit.questions.question import Question
from grokcrit.scaling.ensembles import Reals


def benjamini_hochberg(p: Reals) -> Reals:
    """Return the p values adjusted for their number, (tests,); NaN stays and does not count.

    The smallest false discovery rate at which each is found (Y. Benjamini and Y. Hochberg,
    J. R. Stat. Soc. B 57, 289, 1995): min over larger p_j of p_j m / rank_j, at most 1.
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def adjusted(
    rows: Sequence[Row], keys: Sequence[Hashable], primary: Callable[[Any], Mapping[str, Any]]
) -> Reals:
    """Return the adjusted p of each row, (rows,); NaN where it keeps its own.

    Rows of equal key are tests of one family, but for the one that ``primary`` of the key names; a
    row whose key is None belongs to none.
    """
    groups: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        if key is not None:
            groups.setdefault(key, []).append(i)
    found = np.full(len(rows), np.nan)
    for key, members in groups.items():
        kept = first(primary(key), [rows[i] for i in members])
        others = [i for i in members if rows[i] is not kept]
        found[others] = benjamini_hochberg(np.array([rows[i]["p"] for i in others], np.float64))
    return found


def adjust(rows: Sequence[Row], asked: Iterable[Question]) -> list[Row]:
    """Give the tests of each question their ``p_adjusted``, case by case.

    The primary test and checks of an assumption keep their p alone; rows of curves in time have
    been adjusted as curves.
    """
    questions = list(asked)
    owner = {name: q for q in questions for key in q.quantities for name in key.split(", ")}

    def key_of(row: Row) -> Hashable:
        question = owner.get(row["quantity"])
        if question is None or row["quantity"] in question.checks:
            return None
        if row.get("p") is None or row.get("p_adjusted") is not None:
            return None
        return questions.index(question), *(row.get(name) for name in FAMILY)

    found = adjusted(rows, list(map(key_of, rows)), lambda key: questions[key[0]].primary)
    return [
        row if np.isnan(p) else row | {"p_adjusted": float(p)}
        for row, p in zip(rows, found, strict=True)
    ]


def first(primary: Mapping[str, Any], rows: Sequence[Row]) -> Row | None:
    """Return the primary test among rows: a column with several values takes the first there is."""
    several = next((name for name, value in primary.items() if isinstance(value, tuple)), None)
    for value in primary[several] if several else (None,):
        wanted = {**primary, several: value} if several else primary
        for row in rows:
            if wanted and all(row.get(name) == each for name, each in wanted.items()):
                return row
    return None
