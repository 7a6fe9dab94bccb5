"""The answer about early warnings: what signals score, and whether an alarm comes in time."""

from __future__ import annotations

from grokcrit.base.summary import Row
from grokcrit.plot.warning import RATE, Scores
from grokcrit.questions.question import Answer
from grokcrit.report.inputs import Material

QUESTION = "Does anything warn before a network generalises?"
SCORED = ("signal", "family")


def warnings_of(made: Material) -> list[Answer]:
    """Answer whether a signal warns, by the held-out seeds of a warn table; nothing without one."""
    table = made.whole("warn")
    if table is None:
        return []
    scores = Scores(table.to_pylist())
    known = [name for name, kind in scores.kinds.items() if kind in SCORED]
    told, above, early = [], 0, 0
    for case in scores.cases:
        found = {n: row for n in known if (row := scores.auroc(case, n)) is not None}
        apart = {n for n, row in found.items() if (row["ci_low"] or 0) > 0.5}
        in_time = {n for n in apart if share(scores.get(case, n, "coverage-c", None, RATE)) >= 0.5}
        above, early = above + len(apart), early + len(in_time)
        told.append(
            f"{case}: {len(apart)} of {len(found)} signals separate runs that grok from controls "
            f"(the interval of their AUROC lies above 0.5). At a false alarm rate of {RATE:.0%}, "
            f"{len(in_time)} of them alarm in most runs before test accuracy leaves chance"
            f"{named(in_time)}."
        )
    word = "Not seen"
    if early:
        word = "Yes, some signals"
    elif above:
        word = "Before a run has generalised, but not before it begins to"
    return [Answer("warn", QUESTION, word, tuple(told))]


def share(row: Row | None) -> float:
    """Return the value of a row, 0 without one."""
    return 0.0 if row is None else float(row["value"])


def named(signals: set[str]) -> str:
    """Name some signals, as the end of a sentence."""
    return f": {', '.join(sorted(signals))}" if signals else ""
