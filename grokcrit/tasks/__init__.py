"""Tasks: a folder each, and a name in TASKS; nothing heavy loads with them."""

from __future__ import annotations

from typing import Any

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice, options_of
from grokcrit.tasks.modadd import ModaddOptions
from grokcrit.tasks.options import RunOptions
from grokcrit.tasks.parity import ParityOptions
from grokcrit.tasks.xor import TrainOptions

TASKS: dict[str, type[RunOptions]] = {
    kind.task: kind for kind in (TrainOptions, ModaddOptions, ParityOptions)
}


def run_options(**given: Any) -> RunOptions:
    """Make the options of a training; raise OptionError for one that the task does not have."""
    task = given.get("task", "xor")
    check_choice("task", task, tuple(TASKS))
    known = options_of(TASKS[task])
    for name in given:
        if name not in known and any(name in options_of(other) for other in TASKS.values()):
            raise OptionError(name, f"is not an option of --task {task}")
    return TASKS[task](**given)
