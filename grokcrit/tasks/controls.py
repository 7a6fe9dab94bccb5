"""Controls by the options of trainings: which cases share all but what decides the outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from grokcrit.base.options import ADDED, Option, options_of
from grokcrit.tasks import TASKS
from grokcrit.tasks.draws import read

# Option in which cells differ that differ in weight decay.
WEIGHT_DECAY = "weight_decay"
# Option of a case: the name of the one whose control it is.
CONTROL = "control"


def deciding(task: str, trained: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options of a task that decide whether a run can generalise; none if unknown."""
    known = options_of(TASKS[task]) if task in TASKS and trained else {}
    return {name: each for name, each in known.items() if each.decides}


def key_of(task: str, trained: Mapping[str, Any]) -> str:
    """Return the options that a case shares with its controls, as text."""
    apart = {*deciding(task, trained), WEIGHT_DECAY}
    options = {k: v for k, v in (ADDED | dict(trained)).items() if k not in apart}
    if "draw" in options:  # a control with a value of its own does not draw it
        options["draw"] = [text for text in options["draw"] if read(text).name not in apart]
    return json.dumps(options, sort_keys=True)


def levels(task: str, trained: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the deciding options of a case."""
    known = deciding(task, trained)
    return {name: trained.get(name, each.default) for name, each in known.items()}


def hardness(task: str, trained: Mapping[str, Any]) -> tuple[float, ...]:
    """Return a sort key from the deciding options; what can be learnt comes first.

    That is the first choice of an option with named choices, the largest value of a number.
    """
    options = deciding(task, trained)
    return tuple(
        -value if isinstance(value, int | float) else options[name].choices.index(value)
        for name, value in levels(task, trained).items()
    )


def decay(trained: Mapping[str, Any]) -> float:
    """Return the weight decay of a case, 0 where its task has none."""
    return float(trained.get(WEIGHT_DECAY, 0.0))
