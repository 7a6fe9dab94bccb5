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
    OF_DECIDING,
    TOO_FEW,
    Held,
    alarms,
    cost,
    counted,
    enough,
    scores_of,
)
from grokcrit.questions.notices import warn as notice
from grokcrit.questions.rows import missing
from grokcrit.signals.registry import kind_of
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, TableLike
from grokcrit.tables.schemas import CASE, SIGNALS, WARN

PLACEBOS = (WHITE, WALK, EPOCH, CLOCK, REGRESSION)
LEFT_OUT = "left-out"
# Rows of the summary, in all.
SHOWN = 12


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
        raise FitError(
            "no case has runs that memorise and then grok, with even and with odd seeds; "
            "train longer, or more seeds"
        )
    made = pa.Table.from_pylist(
        [{name: missing(row.get(name)) for name in WARN.arrow.names} for row in rows], WARN.arrow
    )
    record = provenance.record(
        WARN.name, asdict(chosen), root_seed=chosen.seed, inputs=inputs.records
    )
    return WARN.ordered(made).replace_schema_metadata(provenance.encode(record))


@dataclass(frozen=True)
class Unit:
    """A signal of a design: its runs in both halves."""

    design: Design
    signal: str
    explore: Watch
    held: Watch
    base: Runs  # the base case of the held-out half


def by_name(cases: Sequence[Runs], family: int | None) -> dict[Name, Runs]:
    """Return cases by name; with ``family``, the least widths of one, their families."""
    found = ((each.name, families_of(each, family) if family else each) for each in cases)
    return {name: each for name, each in found if each is not None}


def units_of(
    designs: Sequence[Design], halves: Sequence[Sequence[Runs]], chosen: WarnOptions
) -> list[Unit]:
    """List what is scored: each signal of each design, D by families."""
    units = []
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
            units += [
                Unit(design, name, watches[0], watches[1], base)
                for name in names
                if kind_of(name) != "ingredient"
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
            rows += scores_of(Held(course, each, chosen, enough(explored)))
        elif base[1] != unit.design.base[1]:
            rows += alarms(Held(course, each, chosen, True), source=base[1])
    return [row | named(unit.design) | {"signal": unit.signal} | kind(unit.signal) for row in rows]


def named(design: Design) -> Row:
    """Return the case columns of a design."""
    return dict(zip((c.name for c in CASE), design.base, strict=True))


def kind(signal: str) -> Row:
    """Return the column that says what kind of signal one is."""
    if signal in PLACEBOS:
        return {"kind": "placebo"}
    return {"kind": "family" if signal == DIMENSION else kind_of(signal)}


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
            signal = {"signal": DIMENSION} | kind(DIMENSION) if family else {}
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
    cases = list(dict.fromkeys(row["case"] for row in found if row["score"] == "auroc"))
    shown: list[Row] = []
    sentences = []
    made = provenance.decode(table.schema.metadata, "the table")
    level = provenance.confidence(made) if made else None
    for case in cases:
        mine = Scores([row for row in found if row["case"] == case and row["source"] is None])
        names = mine.shown(max(2, SHOWN // len(cases)))
        shown += [({"case": case} if len(cases) > 1 else {}) | mine.row(n, level) for n in names]
        sentences.append(mine.sentence(case))
    formats = dict.fromkeys(("AUROC", "tAUC", interval_name(level)), ".2f") | {"lead": ".0f"}
    return Summary(
        " ".join(sentences) or "No case has a control: nothing is scored.",
        shown[:SHOWN],
        cautions(found),
        formats,
        details=found,
    )


def interval_name(level: float | None) -> str:
    """Return the heading of intervals."""
    return f"{100 * level:g} % CI" if level else "CI"


class Scores:
    """The rows of one case, found by signal and score."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Index the rows; the AUROC is that against the controls that decide, where they are."""
        self.kinds = {row["signal"]: row["kind"] for row in rows}
        self.at = {(r["signal"], r["score"], r["control"], r["rate"]): r for r in rows}
        kinds = {row["control"] for row in rows if row["score"] == "auroc"}
        self.control = OF_DECIDING if OF_DECIDING in kinds else ALL
        scored = [n for n in self.kinds if (n, "auroc", self.control, None) in self.at]
        # Ranked by the seeds that explored: the largest of thirty held-out scores is too large.
        self.ranked = sorted(scored, key=lambda n: (-self.at[n, "explored", ALL, None]["value"], n))

    def value(self, signal: str, score: str, control: str | None, rate: float | None) -> Any:
        """Return a number; None where there is none."""
        row = self.at.get((signal, score, control, rate))
        return row and row["value"]

    def of_kind(self, *kinds: str) -> list[str]:
        """Return the signals of some kinds, the best first."""
        return [name for name in self.ranked if self.kinds[name] in kinds]

    def shown(self, count: int) -> list[str]:
        """Return the signals to show: the best, D, one placebo and, where there is room, more."""
        first = [
            name for name in (*self.of_kind("signal")[:1], DIMENSION, WHITE) if name in self.ranked
        ]
        more = [*self.of_kind("ceiling")[:1], *self.of_kind("signal")[1:]]
        chosen = (first + more)[:count]
        return sorted(chosen, key=lambda n: -self.at[n, "auroc", self.control, None]["value"])

    def row(self, signal: str, level: float | None) -> Row:
        """Return the row of a signal in the summary."""
        auroc = self.at[signal, "auroc", self.control, None]
        cost = self.value(signal, "cost", None, None)
        ends = None if auroc["ci_low"] is None else (auroc["ci_low"], auroc["ci_high"])
        return {
            "signal": signal,
            "AUROC": auroc["value"],
            interval_name(level): ends,
            "tAUC": self.value(signal, "tauc", self.control, None),
            "lead": self.value(signal, "lead-g", None, 0.05),
            "cost": None if cost is None else f"{cost:.1%}".replace("%", " %"),
        }

    def sentence(self, case: str) -> str:
        """Say which signal is best, and what D and white noise score."""
        best = self.of_kind("signal")
        against = sorted(
            {c for _, s, c, _ in self.at if s == "auroc" and c not in (ALL, OF_DECIDING)}
            & ({"shuffled", "few"} if self.control == OF_DECIDING else {c for *_, c, _ in self.at})
        )
        words = {"shuffled": "shuffled labels", "few": "too little data", "no-decay": "no decay"}
        told = [
            f"{name} {self.written(name)}" for name in (DIMENSION, WHITE) if name in self.ranked
        ]
        first = f"the best signal is {best[0]}: AUROC {self.written(best[0])}" if best else "AUROC"
        against_words = " and ".join(words.get(each, each) for each in against)
        return f"On {case} {'; '.join([f'{first} against {against_words}', *told])}."

    def written(self, signal: str) -> str:
        """Write the AUROC of a signal with its interval."""
        row = self.at[signal, "auroc", self.control, None]
        ends = "" if row["ci_low"] is None else f" ({row['ci_low']:.2f} to {row['ci_high']:.2f})"
        return f"{row['value']:.2f}{ends}"


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn of runs left out, of too few runs, and of cases without controls."""
    left = [
        f"{row['value']:.0f} of {row['n_runs'] or row['n_controls']} "
        f"{row['control'] or 'base'} runs of {row['case']}: {row['method']}"
        for row in rows
        if row["score"] == LEFT_OUT and row["signal"] is None
    ]
    few = [
        f"{row['case']}: {row['n_runs']} and {row['n_controls']} held out"
        for row in rows
        if row["score"] == "auroc" and row["control"] == ALL and row["method"] == TOO_FEW
    ]
    scored = {row["case"] for row in rows if row["score"] == "auroc"}
    lone = sorted({row["case"] for row in rows} - scored)
    return (
        notice("left-out", left)
        + (notice("few-runs", FEWEST, few) if few else [])
        + notice("no-controls", lone)
    )
