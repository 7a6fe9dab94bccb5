"""Early warning: signals tables in, scores of every signal under one protocol out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import FitError
from grokcrit.base.parallel import Progress, Stop, in_order
from grokcrit.base.stage_options import WarnOptions
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.protocol.account import cases_in, formats, headline
from grokcrit.protocol.courses import CLOCK, REGRESSION, course_of
from grokcrit.protocol.designs import Design, Name, Watch, designs_of, watched
from grokcrit.protocol.locking import Lock, lock
from grokcrit.protocol.runs import (
    DIMENSION,
    EPOCH,
    INGREDIENTS,
    WALK,
    WHITE,
    Runs,
    cases_of,
    families_of,
)
from grokcrit.protocol.scores import (
    ALL,
    FEWEST,
    TOO_FEW,
    Held,
    alarms,
    cost,
    counted,
    scores_of,
)
from grokcrit.questions.notices import record_of
from grokcrit.questions.notices import warn as notice
from grokcrit.questions.rows import missing
from grokcrit.signals.registry import kind_of
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, TableLike
from grokcrit.tables.schemas import CASE, SIGNALS, WARN

PLACEBOS = (WHITE, WALK, EPOCH, CLOCK, REGRESSION)
LEFT_OUT = "left-out"
# Rows of the summary, in all and least of a case.
SHOWN, LEAST_SHOWN = 12, 2


def warn(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Score every signal as a warning of grokking (docs/early-warning.md).

    Runs of even seeds explore: detector, sign and threshold of a signal are fixed on them. Runs of
    odd seeds are held out, and all scores are theirs.

    Parameters
    ----------
    tables
        Schema ``signals/1``; pyarrow Tables, files, or folders of parts.
    threads
        How many signals at once; None for all cores. Changes no bit of the result.
    progress
        Called with (signals done, in all), first of locking and then of scoring.
    **options
        Fields of :class:`grokcrit.base.stage_options.WarnOptions`.

    Returns
    -------
    pyarrow.Table
        Schema ``warn/1``, the record in its metadata.

    Raises
    ------
    FitError
        No case has runs that grok and that count.
    """
    chosen = WarnOptions(**options)
    inputs = Inputs(tables, SIGNALS)
    table, cases = inputs.read(), inputs.cases
    odd = pc.equal(pc.bit_wise_and(table["seed"], 1), 1)
    # Two worlds from here on: nothing of the exploring half can depend on a held-out row.
    halves = [cases_of(table.filter(each), cases, chosen.seed) for each in (pc.invert(odd), odd)]
    designs = designs_of(halves[0])
    for half in halves:
        check_steps(designs, half)
    units = units_of(designs, halves, chosen)

    def locked(unit: Unit, stop: Stop) -> Lock | None:
        stop.check()
        course = course_of(unit.explore, unit.signal)
        return lock(course) if course else None

    locks = list(in_order(locked, units, threads=threads, progress=progress))
    by_signal: dict[str, dict[Name, Lock]] = {}
    for unit, each in zip(units, locks, strict=True):
        if each:
            by_signal.setdefault(unit.signal, {})[unit.design.base] = each

    def scored(unit: Unit, stop: Stop) -> list[Row]:
        stop.check()
        return rows_of(unit, by_signal.get(unit.signal, {}), chosen)

    rows = left_out_of(designs, halves, chosen)
    for found in in_order(scored, units, threads=threads, progress=progress):
        rows += found
    if not any(row["score"] != LEFT_OUT for row in rows):
        why = "; ".join(left_out_words(rows)) or "there is no base case, or seeds of one parity"
        raise FitError(
            "no case has runs that memorise and then grok, with even and with odd seeds: nothing "
            f"can be scored ({why})"
        )
    made = pa.Table.from_pylist(
        [{name: missing(row.get(name)) for name in WARN.arrow.names} for row in rows], WARN.arrow
    )
    record = provenance.record(
        WARN.name, asdict(chosen), root_seed=chosen.seed, inputs=inputs.records, layouts=False
    )
    return WARN.ordered(made).replace_schema_metadata(provenance.encode(record))


def check_steps(designs: Sequence[Design], cases: Sequence[Runs]) -> None:
    """Raise FitError where a control was measured at other intervals than its base.

    The largest of many values is larger than that of few: it would be told apart by that alone.
    """
    named = {runs.name: runs for runs in cases}
    for design in designs:
        if design.base not in named:
            continue
        base = named[design.base]
        for other in (named[name] for name in design.controls if name in named):
            for signal in sorted({*base.signals} & {*other.signals}):
                a, b = (each.signals[signal].step for each in (base, other))
                if a and b and a != b:
                    raise FitError(
                        f"{signal} is measured every {a:g} epochs on {base.case} and every {b:g} "
                        f"on its control {other.case}; measure both with the same --signal-every"
                    )


@dataclass(frozen=True)
class Unit:
    """A signal of a design: its runs in both halves."""

    design: Design
    signal: str
    kind: str
    explore: Watch
    held: Watch
    base: Runs  # the base case of the held-out half


def by_name(cases: Sequence[Runs], family: int | None) -> dict[Name, Runs]:
    """Return the runs of each case; with ``family``, the least widths of one, its families."""
    found = ((each.name, families_of(each, family) if family else each.measured) for each in cases)
    return {name: each for name, each in found if each is not None}


def units_of(
    designs: Sequence[Design], halves: Sequence[Sequence[Runs]], chosen: WarnOptions
) -> list[Unit]:
    """List what is scored: each signal of each design, D by families."""
    units: list[Unit] = []
    kinds: dict[str, str] = {}
    for family in (None, chosen.family):
        explore, held = (by_name(half, family) for half in halves)
        for design in designs:
            watches = [watched(design, half)[0] for half in (explore, held)]
            if watches[0] is None or watches[1] is None:
                continue
            base = held[design.base]
            names = sorted({*explore[design.base].signals, *base.signals} - {*INGREDIENTS})
            if not family and names:
                names += [CLOCK, REGRESSION]
            kinds |= {name: kind(name) for name in names if name not in kinds}
            units += [
                Unit(design, name, kinds[name], watches[0], watches[1], base)
                for name in names
                if kinds[name] != "ingredient"
            ]
    return units


def rows_of(unit: Unit, locks: Mapping[Name, Lock], chosen: WarnOptions) -> list[Row]:
    """Return the rows of a signal: its scores, those under locks of other cases, its cost."""
    rows = cost(unit.base, unit.signal)
    course = course_of(unit.held, unit.signal)
    for base, each in locks.items() if course else ():
        assert course is not None
        if base == unit.design.base:
            explored = counted(course_of(unit.explore, unit.signal))
            rows += scores_of(Held(course, each, chosen, explored))
        elif base[1] != unit.design.base[1]:
            rows += alarms(Held(course, each, chosen, (FEWEST, FEWEST)), source=base[1])
    labels = {"signal": unit.signal, "kind": unit.kind}
    return [row | named(unit.design) | labels for row in rows]


def named(design: Design) -> Row:
    """Return the case columns of a design."""
    return dict(zip((c.name for c in CASE), design.base, strict=True))


def kind(signal: str) -> str:
    """Return the kind of a signal; one that is unknown costs a look at all entry points."""
    if signal in PLACEBOS:
        return "placebo"
    return "family" if signal == DIMENSION else kind_of(signal)


def left_out_of(
    designs: Sequence[Design], halves: Sequence[Sequence[Runs]], chosen: WarnOptions
) -> list[Row]:
    """Return a row for each reason why runs, or families, do not count, and how many do not."""
    rows = []
    for family in (None, chosen.family):
        found = [by_name(half, family) for half in halves]
        for design in designs:
            reasons: Counter[Any] = Counter()
            totals: Counter[Any] = Counter()
            for half in found:
                reasons += watched(design, half)[1]
                for name, of_kind in ((design.base, None), *design.controls.items()):
                    totals[of_kind] += len(half[name].seed) if name in half else 0
            signal = {"signal": DIMENSION, "kind": kind(DIMENSION)} if family else {}
            rows += [
                {
                    **named(design),
                    **signal,
                    "score": LEFT_OUT,
                    "control": control,
                    "method": why,
                    "value": float(count),
                    "n_runs": 0 if control else totals[control],
                    "n_controls": totals[control] if control else 0,
                }
                for (control, why), count in reasons.items()
            ]
    return rows


def warn_summary(table: pa.Table) -> Summary:
    """Sum up a warn table: the best signals of each case beside D, a placebo and the ceiling."""
    found = table.to_pylist()
    record = record_of(table)
    scored = cases_in(found, provenance.confidence(record) if record else None)
    each = max(LEAST_SHOWN, SHOWN // max(len(scored), 1))
    several = len(scored) > 1
    rows = [
        ({"case": case.name} if several else {}) | row for case in scored for row in case.rows(each)
    ]
    return Summary(headline(scored), rows[:SHOWN], cautions(found), formats(scored), details=found)


def left_out_words(rows: Sequence[Row]) -> list[str]:
    """Say of each case and reason how many runs do not count."""
    left: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        if row["score"] == LEFT_OUT:
            what = "families" if row.get("signal") else "runs"
            who = f"controls ({what})" if row["control"] else f"{what} that should grok"
            left[row["case"], who, row["method"]] += round(row["value"])
    return [f"{case}: {count} {who}, {why}" for (case, who, why), count in left.items()]


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn of runs left out, of too few runs, and of cases without controls."""
    few = [
        f"{row['case']}: {row['n_runs']} and {row['n_controls']} held out"
        for row in rows
        if row["score"] == "auroc" and row["control"] == ALL and row["method"] == TOO_FEW
    ]
    scored = {row["case"] for row in rows if row["score"] == "auroc"}
    lone = sorted({row["case"] for row in rows} - scored)
    return (
        notice("left-out", "; ".join(left_out_words(rows)))
        + (notice("few-runs", FEWEST, few) if few else [])
        + notice("no-controls", lone)
    )
