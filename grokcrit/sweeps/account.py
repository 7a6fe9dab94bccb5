"""What `grokcrit sweep` prints: of a sweep that has run, and of one that has not."""

from __future__ import annotations

import dataclasses

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.questions import choices
from grokcrit.sweeps.forecast import Forecast
from grokcrit.sweeps.sweep import State, Swept
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs
from grokcrit.tasks.swept import SWEEP


def swept_summary(found: Swept) -> Summary:
    """Account of a sweep that has run: what was done, and what the choices do."""
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


def forecast_summary(expected: Forecast, state: State, workers: int) -> Summary:
    """Say what a sweep would do: runs, time, disk."""
    facts: Row = {
        "points": len(state.done) + len(state.missing),
        "points there": len(state.done),
        "points to compute": expected.points,
        "of them damaged": len(state.damaged),
        "of them failed before": len(state.failed),
        "trainings": expected.trainings,
        "runs": expected.runs,
        "seconds on one core": expected.seconds,
        "processes": workers,
        "bytes": expected.bytes,
    }
    time = disk = "not known: every training that was tried failed"
    if expected.seconds is not None and expected.bytes is not None:
        many = f"{workers} process{'es' * (workers > 1)}"
        took = duration(expected.seconds / workers)
        time = f"about {took} with {many}, as measured on a piece of it"
        disk = f"about {expected.bytes / 1e6:.2g} MB"
    if not expected.points:
        time = disk = "none"
    told: Row = {**{name: str(facts[name]) for name in list(facts)[:7]}, "time": time, "disk": disk}
    rows = [{"what": name, "amount": value} for name, value in told.items()]
    return Summary("what a sweep would do; nothing was run", rows, details=[facts])


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{max(1, round(seconds))} s"
