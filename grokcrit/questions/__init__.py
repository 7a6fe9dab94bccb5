"""Questions about D beyond its value, one file per question.

A question is a name in ``QUESTIONS`` of base/vocabulary.py and the module of that name, whose
``QUESTION`` holds all there is of it (``question.py``); everything else iterates over them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from grokcrit.base.vocabulary import QUESTIONS

if TYPE_CHECKING:
    from grokcrit.questions.question import Question


def load(name: str) -> Question:
    """Load a question from the module of its name."""
    found: Question = importlib.import_module(f"{__name__}.{name}").QUESTION
    return found


def questions() -> dict[str, Question]:
    """Load all questions."""
    return {name: load(name) for name in QUESTIONS}
