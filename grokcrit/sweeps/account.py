"""Output of `grokcrit sweep`: of a sweep that has run, and of one that has not."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.questions import choices
from grokcrit.sweeps.plan import Plan
from grokcrit.sweeps.store import Store
from grokcrit.sweeps.sweep import Swept, state_of
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs
from grokcrit.tasks.swept import SWEEP

# Bytes of a part, measured. Most of them are the headers of the columns, whatever the part holds.
PART = 40_000


def swept_summary(found: Swept) -> Summary:
    """Sum up a sweep that has run: how much was computed, and what the choices do."""
    inputs = Inputs(found.table, SWEEP)
    summary = choices.summary(inputs.read(), provenance.confidence(inputs.records[0]))
    kept = found.points - found.computed
    title = f"{found.points} points: {kept} were there, {found.computed} computed"
    aside = [
        Notice("damaged-part", f"part {key} was damaged; it is now {place}, and computed again")
        for key, place in found.aside.items()
    ]
    return dataclasses.replace(
        summary, title=f"{title}; {summary.title}", warnings=aside + summary.warnings
    )


def planned_summary(plan: Plan, out: str | os.PathLike[str], workers: int) -> Summary:
    """Count what a sweep would do in a folder, which is left as it is."""
    store = Store(Path(out))
    store.check()
    state = state_of(plan, store)
    missing = {key for key, each in state.items() if each != "done"}
    trainings = [points[0].training for points in plan.by_training(missing)]
    facts: Row = {
        "points": len(state),
        "points there": len(state) - len(missing),
        "points to compute": len(missing),
        "of them damaged": list(state.values()).count("damaged"),
        "of them failed before": sum(store.failure(key).exists() for key in missing),
        "trainings": len(trainings),
        "runs": sum(training.seeds * len(training.hidden) for training in trainings),
        "processes": workers,
        "bytes": len(missing) * PART,
    }
    rows = [{"what": name, "amount": str(amount)} for name, amount in facts.items()]
    rows[-1] = {"what": "disk", "amount": f"about {facts['bytes'] / 1e6:.2g} MB"}
    return Summary("what a sweep would do; nothing was run", rows, details=[facts])
