"""The account of a warn table: which signal is best on each case, beside D and white noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grokcrit.base.summary import Row, cell
from grokcrit.protocol.courses import REGRESSION
from grokcrit.protocol.designs import FEW, NO_DECAY
from grokcrit.protocol.locking import RATES
from grokcrit.protocol.runs import DIMENSION
from grokcrit.protocol.scores import ALL, DECIDING, OF_DECIDING

# Kinds of control in words.
WORDS = {"shuffled": "shuffled labels", FEW: "too little data", NO_DECAY: "no weight decay"}
# Cases of which each has a sentence of its own.
FEW_CASES = 2


class Scored:
    """The rows of one case, found by signal and score."""

    def __init__(self, name: str, rows: Sequence[Row], level: float | None) -> None:
        """Index the rows; the AUROC is that against the controls that decide, where they are."""
        self.name = name
        self.interval = f"{100 * level:g} % CI" if level else "CI"
        self.kind = {row["signal"]: row["kind"] for row in rows}
        self.at = {(r["signal"], r["score"], r["control"], r["rate"]): r for r in rows}
        kinds = {row["control"]: None for row in rows if row["score"] == "auroc"}
        self.control = OF_DECIDING if OF_DECIDING in kinds else ALL
        decide = DECIDING if OF_DECIDING in kinds else tuple(kinds)
        self.against = [each for each in kinds if each in decide and each != ALL]
        scored = [n for n in self.kind if (n, "auroc", self.control, None) in self.at]
        self.ranked = sorted(scored, key=self.rank)

    def rank(self, signal: str) -> tuple[float, float, str]:
        """Return the key by which signals are ranked: AUROC to two digits, then cost.

        By the seeds that explored: the largest of thirty held-out scores is too large.
        """
        cost = self.value(signal, "cost", None, None) or 0.0
        return -round(self.explored(signal), 2), cost, signal

    def explored(self, signal: str) -> float:
        """Return the AUROC of a signal on the seeds that explored, mean over kinds of control."""
        return float(self.at[signal, "explored", ALL, None]["value"])

    def of_kind(self, kind: str) -> list[str]:
        """Return the signals of a kind, the best first."""
        return [name for name in self.ranked if self.kind[name] == kind]

    def placebo(self) -> list[str]:
        """Return the placebo that scores highest, held-out seeds included: signals must beat it.

        Hyperparameters are none of them: they hold the option in which a control differs.
        """
        found = [name for name in self.of_kind("placebo") if name != REGRESSION]
        return sorted(found, key=lambda name: -self.auroc(name)["value"])[:1]

    def value(self, signal: str, score: str, control: str | None, rate: float | None) -> Any:
        """Return a number; None where there is none."""
        return self.at.get((signal, score, control, rate), {}).get("value")

    def auroc(self, signal: str) -> Row:
        """Return the row of the AUROC of a signal."""
        return self.at[signal, "auroc", self.control, None]

    def rows(self, count: int) -> list[Row]:
        """Return rows to show: the best signal, D, white noise, the ceiling, more signals."""
        best, ceiling = self.of_kind("signal"), self.of_kind("ceiling")
        first = [*best[:1], *self.of_kind("family"), *self.placebo()]
        chosen = [*first, *ceiling[:1], *best[1:]][:count]
        return [self.row(n) for n in sorted(chosen, key=lambda n: -self.auroc(n)["value"])]

    def row(self, signal: str) -> Row:
        """Return the row of a signal."""
        auroc, cost = self.auroc(signal), self.value(signal, "cost", None, None)
        return {
            "signal": signal,
            "AUROC": auroc["value"],
            self.interval: None if auroc["ci_low"] is None else (auroc["ci_low"], auroc["ci_high"]),
            "tAUC": self.value(signal, "tauc", self.control, None),
            "lead g, c": self.leads(signal),
            "cost %": None if cost is None else percent(cost),
        }

    def leads(self, signal: str) -> str | None:
        """Write the median epochs from an alarm to grokking, and to leaving chance."""
        found = [self.value(signal, score, None, RATES[1]) for score in ("lead-g", "lead-c")]
        return None if None in found else ", ".join(f"{each:.0f}" for each in found)

    def separating(self) -> list[str]:
        """Return the signals that separate runs that grok from every kind of control that decides.

        The intervals of the mean AUROC and, where there is one, of each kind lie above 0.5: a mean
        may be above it with one kind reversed.
        """
        return [
            name
            for name in self.of_kind("signal") + self.of_kind("family")
            if (self.auroc(name)["ci_low"] or 0) > 0.5
            and all(low_end(self.at.get((name, "auroc", k, None))) > 0.5 for k in self.against)
        ]

    def in_time(self) -> list[str]:
        """Return those that alarm in most runs before test accuracy leaves chance."""
        share = {n: self.value(n, "coverage-c", None, RATES[1]) for n in self.separating()}
        return [name for name, value in share.items() if value is not None and value >= 0.5]

    def written(self, signal: str) -> str:
        """Write a signal and its AUROC with its interval."""
        row = self.auroc(signal)
        ends = "" if row["ci_low"] is None else f" ({row['ci_low']:.2f} to {row['ci_high']:.2f})"
        return f"{row['value']:.2f}{ends}"

    def sentence(self) -> str:
        """Say which signal is best, and what D and white noise score."""
        against = " and ".join(WORDS.get(each, each) for each in self.against)
        best = self.of_kind("signal")[:1]
        said = [f"the best signal is {n}: AUROC {self.written(n)} against {against}" for n in best]
        said = said or [f"AUROC against {against}"]
        said += [f"{name} {self.written(name)}" for name in self.of_kind("family")]
        said += [f"the best placebo, {name}, {self.written(name)}" for name in self.placebo()]
        return f"On {self.name} {'; '.join(said)}."


def low_end(row: Row | None) -> float:
    """Return the lower end of an interval, or the number itself where it has none."""
    if row is None:
        return 0.0
    return float(row["value"] if row["ci_low"] is None else row["ci_low"])


def percent(share: float) -> str:
    """Write a share in per cent, to two digits."""
    return f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"


def timely(cases: Sequence[Scored]) -> str:
    """Say which signals alarm before test accuracy leaves chance."""
    found = [f"{case.name}: {', '.join(names)}" for case in cases if (names := case.in_time())]
    if found:
        return f"In most runs, alarms before test accuracy leaves chance: {'; '.join(found)}."
    return "No signal alarms in most runs before test accuracy leaves chance."


def cases_in(rows: Sequence[Row], level: float | None) -> list[Scored]:
    """Return the cases of a warn table that have scores; ``level`` is that of the intervals."""
    names = dict.fromkeys(row["case"] for row in rows if row["score"] == "auroc")
    return [
        Scored(name, [r for r in rows if r["case"] == name and r["source"] is None], level)
        for name in names
    ]


def headline(cases: Sequence[Scored]) -> str:
    """Say what is best, in a sentence per case, or one for all where they are many."""
    if not cases:
        return "No case has a control: nothing is scored."
    if len(cases) <= FEW_CASES:
        return " ".join([*(each.sentence() for each in cases), timely(cases)])
    best = [
        f"{case.name} {name} {case.written(name)}"
        for case in cases
        for name in case.of_kind("signal")[:1]
    ]
    ranges = []
    for what, names in (
        (DIMENSION, [case.of_kind("family") for case in cases]),
        ("the best placebo", [case.placebo() for case in cases]),
    ):
        found = [c.auroc(n)["value"] for c, some in zip(cases, names, strict=True) for n in some]
        if found:
            ranges.append(f"{what} {cell((min(found), max(found)), '.2f')}")
    return f"Best signals, AUROC against controls: {'; '.join(best + ranges)}. {timely(cases)}"


def formats(cases: Sequence[Scored]) -> dict[str, str]:
    """Return how the columns of the rows are shown."""
    intervals = {each.interval: ".2f" for each in cases}
    return {"AUROC": ".2f", "tAUC": ".2f"} | intervals
