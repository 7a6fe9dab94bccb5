"""The answer about early warnings: what signals score, and whether an alarm comes in time."""

from __future__ import annotations

from grokcrit.protocol.account import cases_in
from grokcrit.questions.question import Answer
from grokcrit.report.inputs import Material

QUESTION = "Does anything warn before a network generalises?"


def warnings_of(made: Material) -> list[Answer]:
    """Answer whether a signal warns, by the held-out seeds of a warn table; nothing without one."""
    cases = cases_in(made.select("warn"), made.confidence("warn"))
    if not cases:
        return []
    told = []
    for case in cases:
        early = case.in_time()
        told.append(
            f"{case.sentence()} {len(case.separating())} signals separate runs that grok from "
            "controls (the interval of their AUROC lies above 0.5). At a false alarm rate of 10 %, "
            f"{len(early)} of them alarm in most runs before test accuracy leaves chance"
            f"{': ' if early else ''}{', '.join(early)}."
        )
    word = "Not seen"
    if any(case.in_time() for case in cases):
        word = "Yes, some signals"
    elif any(case.separating() for case in cases):
        word = "Before a run has generalised, but not before it begins to"
    return [Answer("warn", QUESTION, word, tuple(told))]
