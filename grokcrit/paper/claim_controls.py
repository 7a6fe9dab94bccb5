"""Claims that D marks grokking, judged by matched controls, which differ in generalising alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from grokcrit.base.summary import Row
from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import MEAN_SIZE, Claim, Tables, judged, number, select, span
from grokcrit.paper.reference import Reference
from grokcrit.questions import judge
from grokcrit.questions.cells import CELL
from grokcrit.questions.controls import changed, compared
from grokcrit.questions.rows import PHASE_COLUMNS, ends, index, interval, of, shown
from grokcrit.scaling.crossings import Rise, clear_rise

# Tasks whose cells `reproduce` trains, as the claims name them.
NAMES = {"xor": "XOR", "modadd": "ModAdd-59"}
# Epochs from grokking at which the companion sees runs part.
PARTED = (-200, -100)


@dataclass(frozen=True)
class Cells:
    """The cells of a task, as its diagnostics tell of the mean size."""

    rows: list[Row]
    base: Row  # the change of D at grokking where networks generalise
    pairs: list[tuple[Row, Row]]  # of each matched control: effect of generalising, own change

    @property
    def controls(self) -> list[Row]:
        """Return the changes of the controls at the grokking epochs of their partners."""
        return [control for _, control in self.pairs]


def controls(tables: Tables) -> list[Claim]:
    """Judge what the cells of each task answer; no row of a task that was not trained."""
    made = []
    for task, name in NAMES.items():
        table = tables.get(f"{task}-controls-diagnostics")
        if table is None:
            continue
        rows = select(table, **MEAN_SIZE) + select(table, quantity="grokked")
        found = compared(rows)
        asked = [*OF_EVERY_TASK, *(OF_MODADD if task == "modadd" else ())]
        for claim, verdict in asked:
            of_task = "" if name in claim.claim else f" ({name})"
            made.append(
                verdict(Cells(rows, *found), of_task)
                if found
                else cannot(claim, of_task, "no control with an exponent")
            )
    return made


def cannot(claim: Reference, of_task: str, why: str) -> Claim:
    """Return the row of a claim that cannot be judged."""
    words = f"{claim.claim}{of_task}: cannot be judged, {why}."
    return judged(claim, of=of_task, ours=why, agrees="no fit", words=words)


def all_of(verdicts: Sequence[bool | None]) -> bool | str:
    """Return whether all are true; ``no fit`` where that depends on one that is not known."""
    return "no fit" if None in verdicts and False not in verdicts else all(verdicts)


def moves(change: Row) -> bool | None:
    """Return whether a change differs from zero; None where it has no p."""
    p = judge.adjusted(change)
    return None if p is None else judge.apart(p)


def only(cells: Cells, of_task: str) -> Claim:
    """Judge "only": consistent when D changes where networks generalise, and in no control."""
    still = [None if (moved := moves(each)) is None else not moved for each in cells.controls]
    each = "; ".join(f"{row['part']!r} {changed(row)}" for row in cells.controls)
    values = [row["value"] for row in cells.controls]
    return judged(
        source.ONLY,
        of=of_task,
        ours=f"D changes in {still.count(False)} of {len(still)} matched controls",
        interval=f"controls {span(min(values), max(values))}; "
        f"{cells.base['part']!r} {number(cells.base['value'])}",
        agrees=all_of([moves(cells.base), *still]),
        words=f"D of the mean size changes at grokking by {changed(cells.base)} in "
        f"{cells.base['part']!r}. At the same epochs it differs from no change in "
        f"{still.count(False)} of {len(still)} matched controls: {each}.",
    )


def added(cells: Cells, of_task: str) -> Claim:
    """Judge the effect: consistent when every one differs from zero, with the sign of the change.

    An effect is the change of D at grokking minus that in a control, in pairs of runs.
    """
    effects = [effect for effect, _ in cells.pairs]
    seen = [
        moved and effect["value"] * cells.base["value"] > 0
        if (moved := moves(effect)) is not None
        else None
        for effect in effects
    ]
    each = "; ".join(f"{effect['part']} {changed(effect)}" for effect in effects)
    values = [effect["value"] for effect in effects]
    return judged(
        source.ADDED,
        of=of_task,
        ours=f"an effect in {seen.count(True)} of {len(seen)} comparisons",
        interval=f"effects {span(min(values), max(values))}",
        agrees=all_of(seen),
        words=f"Change of D at grokking, minus that in a matched control: {each}. In "
        f"{seen.count(True)} of {len(seen)} comparisons the difference is not zero and has the "
        "sign of the change.",
    )


def course(cells: Cells, cell: str) -> Rise:
    """Follow D(t) of a cell on its way down through 1: a rise of its negative above -1."""
    curve = sorted(of(cells.rows, CELL, part=cell, window="epoch"), key=lambda row: row["time"])
    columns = ("time", "value", "ci_low", "ci_high")
    times, value, low, high = (
        np.array([math.nan if row[k] is None else row[k] for row in curve], np.float64)
        for k in columns
    )
    return clear_rise(times, -value, -high, -low, np.full(len(times), -1.0))


def told(fall: Rise) -> str:
    """Say when D(t) comes down through 1 to stay below."""
    return "never" if math.isnan(fall.time) else f"at epoch {fall.time:.0f}"


def comes_down(cells: Cells, of_task: str) -> Claim:
    """Judge the course: consistent when D(t), clearly above 1 before, ends clearly below."""
    base = course(cells, cells.base["part"])
    if not base.judged:
        return cannot(source.COMES_DOWN, of_task, "no D(t) with an interval")
    falls = {row["part"]: course(cells, row["part"]) for row in cells.controls}
    each = ", ".join(f"{name!r} {told(fall)}" for name, fall in falls.items())
    alike = sum(fall.clear for fall in falls.values())
    return judged(
        source.COMES_DOWN,
        of=of_task,
        ours=f"{told(base)}; also clearly in {alike} of {len(falls)} matched controls",
        agrees=base.clear,
        words="D(t) of the mean size comes down through 1, to stay below: in "
        f"{cells.base['part']!r} {told(base)}; in the matched controls {each}. In {alike} of "
        f"{len(falls)} of these it was above 1 by more than its 95 % interval and ends below by "
        "more than that.",
    )


def ungrokked(cells: Cells, of_task: str) -> Claim:
    """Judge ungrokked runs: consistent when D of every matched control lies above 1.

    By its interval, before and after the grokking epochs of the partners; of controls of which no
    run groks.
    """
    never = {row["part"] for row in of(cells.rows, "grokked", value=0.0)}
    place = index(of(cells.rows, CELL, time=None), "part", "window")
    phases = {
        (name, window): place[name, window]
        for name in (row["part"] for row in cells.controls)
        if name in never
        for window in ("pre", "post")
    }
    values = [row["value"] for row in phases.values() if row["value"] is not None]
    if not values:
        return cannot(source.UNGROKKED, of_task, "no matched control in which no run groks")
    above = [None if row["ci_low"] is None else row["ci_low"] > 1 for row in phases.values()]
    each = "; ".join(
        f"{part!r} {PHASE_COLUMNS[window]} {shown(row['value'])} ({interval(row)})"
        for (part, window), row in phases.items()
    )
    return judged(
        source.UNGROKKED,
        of=of_task,
        ours=f"above 1 in {above.count(True)} of {len(above)} phases of matched controls",
        interval=span(min(values), max(values)),
        agrees=all_of(above),
        words="D of the mean size in matched controls of which no run groks, before and after the "
        f"grokking epochs of their partners: {each}.",
    )


def parting(cells: Cells, of_task: str) -> Claim:
    """Judge the parting: consistent when every interval overlaps 200 to 100 epochs before."""
    parts = [effect["part"] for effect, _ in cells.pairs]
    found = [r for r in of(cells.rows, "separation", window="aligned") if r["part"] in parts]
    if not found:
        return cannot(source.PARTING, of_task, "no separation asked for")
    spans = [ends(row) or (row["value"], row["value"]) for row in found]
    near = [
        row["value"] is not None and low <= PARTED[1] and high >= PARTED[0]
        for row, (low, high) in zip(found, spans, strict=True)
    ]
    each = "; ".join(
        f"{row['part']} "
        + ("never" if row["value"] is None else f"{row['value']:+.0f} ({interval(row, '.0f')})")
        for row in found
    )
    return judged(
        source.PARTING,
        of=of_task,
        ours=f"in {sum(near)} of {len(near)} comparisons",
        agrees=all(near),
        words="First of three epochs in a row at which D differs between runs that grok and their "
        f"matched controls, counted from grokking: {each}.",
    )


Verdict = Callable[[Cells, str], Claim]
OF_EVERY_TASK: tuple[tuple[Reference, Verdict], ...] = (
    (source.ONLY, only),
    (source.ADDED, added),
)
OF_MODADD: tuple[tuple[Reference, Verdict], ...] = (
    (source.COMES_DOWN, comes_down),
    (source.UNGROKKED, ungrokked),
    (source.PARTING, parting),
)
