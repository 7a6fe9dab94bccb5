"""What is asked of D beyond its value, one file per question.

A question is an entry below and the module of its name, whose ``QUESTION`` holds all there is of
it (``question.py``). `diagnose`, `plot`, `report` and the docs iterate over them. ``judge`` makes
the decisions that several questions need; ``family`` holds the data of a case with its null
models; ``rows`` turns numbers into rows and finds them again.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokcrit.questions.question import Question

# In the order of their rows, each with the panels that it draws.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "nulls": ("nulls",),
    "straightness": (),
    "crossings": (),
    "placebos": ("placebos",),
    "collapse": ("collapses",),
    "tails": (),
    "counts": (),
    "separation": (
        "separation",
        "separation-epoch",
        "separation-aligned",
        "separation-relative",
    ),
    "gini": (),
}


def load(name: str) -> Question:
    """Load a question from the module of its name."""
    found: Question = importlib.import_module(f"{__name__}.{name}").QUESTION
    return found


def questions() -> dict[str, Question]:
    """Load all questions."""
    return {name: load(name) for name in QUESTIONS}
