"""The figure of early warnings: every signal's AUROC per task, its lead, and its cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grokcrit.base.summary import Row
from grokcrit.plot.panel import PAGE, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Kinds of signal, from top to bottom.
GROUPS = ("ceiling", "family", "signal", "placebo")
DECIDING, ALL = "deciding", "all"
LEADS = {"lead-g": "lead to g", "lead-c": "lead to c"}
# Controls by kind: how each is drawn, and its name.
KINDS = {
    "shuffled": ("v", "shuffled labels"),
    "few": ("^", "too little data"),
    "late": ("s", "near misses"),
    "no-decay": ("x", "no decay"),
}
RATE = 0.1
# Inches: one signal; header and axes; most cases side by side.
LINE, AROUND = 0.155, 1.15


class Scores:
    """Rows of a warn table, found by case, signal, score, control and rate."""

    def __init__(self, rows: Sequence[Row]) -> None:
        own = [row for row in rows if row["source"] is None and row["signal"] is not None]
        names = ("case", "signal", "score", "control", "rate")
        self.rows = {tuple(row[name] for name in names): row for row in own}
        scored = [row for row in own if row["score"] == "auroc"]
        self.cases = list(dict.fromkeys(row["case"] for row in scored))
        self.kinds = {row["signal"]: row["kind"] for row in scored}

    def get(self, case: str, signal: str, score: str, control: str | None, rate: Any) -> Row | None:
        """Return a row; None where there is none."""
        return self.rows.get((case, signal, score, control, rate))

    def auroc(self, case: str, signal: str) -> Row | None:
        """Return the AUROC against the controls that decide; against all where none of them is."""
        deciding = self.get(case, signal, "auroc", DECIDING, None)
        return deciding or self.get(case, signal, "auroc", ALL, None)

    def numbers(self, signal: str, score: str, rate: float | None) -> list[float]:
        """Return a number of a signal in every case that has it."""
        found = [self.get(case, signal, score, None, rate) for case in self.cases]
        return [row["value"] for row in found if row is not None]

    def ordered(self) -> list[str]:
        """Return the signals by group, in each the best on average first, of equals the cheapest.

        Equal is what is equal to two digits.
        """

        def key(signal: str) -> tuple[int, float, float]:
            found = [self.auroc(case, signal) for case in self.cases]
            mean = float(np.mean([row["value"] for row in found if row is not None]))
            costs = self.numbers(signal, "cost", None)
            group = GROUPS.index(self.kinds[signal])
            return group, -round(mean, 2), float(np.mean(costs)) if costs else 0.0

        return sorted(self.kinds, key=key)


def warn(ax: Axes, sources: Sources, _: Request) -> Axes:
    """Draw a column per task, one for leads and one for costs; a row per signal, best first."""
    from grokcrit.plot import style

    scores = Scores(sources.table("warn").to_pylist())
    names = scores.ordered()
    if not names:
        raise EmptyPanelError("the table scores no signal: no case has a control")
    figure, place = ax.get_figure(root=True), ax.get_subplotspec()
    assert figure is not None
    assert place is not None
    figure.set_size_inches(PAGE, LINE * len(names) + AROUND)
    ax.remove()
    cases = scores.cases
    widths = [1.0] * len(cases) + [0.9] * 3
    grid = place.subgridspec(1, len(widths), width_ratios=widths)
    columns: list[Axes] = []
    for k in range(len(widths)):
        columns.append(figure.add_subplot(grid[k], sharey=columns[0] if columns else None))
    for case, column in zip(cases, columns, strict=False):
        draw_aurocs(column, scores, names, case)
    for column, (score, title) in zip(columns[-3:-1], LEADS.items(), strict=True):
        draw_leads(column, scores, names, score, title)
    draw_costs(columns[-1], scores, names)
    kinds = [scores.kinds[name] for name in names]
    lines = [k - 0.5 for k in range(1, len(kinds)) if kinds[k] != kinds[k - 1]]
    for column in columns:
        for line in lines:
            column.axhline(line, color=style.INK, linewidth=0.4)
        column.set_ylim(len(names) - 0.4, -0.6)
        column.tick_params(axis="y", which="both", left=False, right=False, labelleft=False)
        column.grid(axis="y", linewidth=0.25, color=style.NULL, alpha=0.4)
    columns[0].set_yticks(range(len(names)), names)
    columns[0].tick_params(axis="y", labelleft=True)
    for label, name in zip(columns[0].get_yticklabels(), names, strict=True):
        if scores.kinds[name] != "signal":
            label.set_fontstyle("italic")
    legend(columns[0], cases, sources.confidence("warn"))
    return columns[0]


def draw_aurocs(ax: Axes, scores: Scores, names: Sequence[str], case: str) -> None:
    """Draw the AUROC of every signal in a case, with its interval, and those of each kind."""
    from grokcrit.plot import style

    ax.axvline(0.5, **style.MARK)
    for k, name in enumerate(names):
        for control, (marker, _) in KINDS.items():
            row = scores.get(case, name, "auroc", control, None)
            if row is not None:
                ax.plot(
                    row["value"],
                    k,
                    marker,
                    color=style.NULL,
                    markersize=2.2,
                    markeredgewidth=0.5,
                    fillstyle="none",
                    zorder=2,
                )
        row = scores.auroc(case, name)
        if row is None:
            ax.text(0.02, k, "not measured", fontsize=5, color=style.NULL, va="center")
            continue
        colour = style.BLUE if scores.kinds[name] == "signal" else style.PURPLE
        if row["ci_low"] is not None:
            ax.plot([row["ci_low"], row["ci_high"]], [k, k], color=colour, linewidth=1.0)
        ax.plot(row["value"], k, "o", color=colour, markersize=3.2, zorder=3)
    ax.set(xlim=(-0.03, 1.03), xticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"), xlabel="AUROC")
    ax.set_title(case, fontsize=8)


def draw_leads(ax: Axes, scores: Scores, names: Sequence[str], score: str, title: str) -> None:
    """Draw the median lead of alarms, a mark per case; open where most runs get no alarm."""
    from grokcrit.plot import style

    for c, case in enumerate(scores.cases):
        for k, name in enumerate(names):
            lead = scores.get(case, name, score, None, RATE)
            share = scores.get(case, name, "coverage", None, RATE)
            if lead is None or share is None:
                continue
            full = "full" if share["value"] >= 0.5 else "none"
            looks: dict[str, Any] = {"markersize": 2.8, "markeredgewidth": 0.5, "fillstyle": full}
            ax.plot(lead["value"], k, style.MARKERS[c], color=style.BLUE, **looks)
    if score == "lead-c":  # an alarm after that is none
        ax.axvspan(ax.get_xlim()[0], 0, color=style.NULL, **style.BAND)
    ax.axvline(0, **style.UNITY)
    ax.set_xlabel("epochs")
    ax.set_title(title, fontsize=8)


def draw_costs(ax: Axes, scores: Scores, names: Sequence[str]) -> None:
    """Draw the range over cases of what a signal costs, as a share of an epoch of training."""
    from grokcrit.plot import style

    for k, name in enumerate(names):
        found = scores.numbers(name, "cost", None)
        if found:
            ax.plot([min(found), max(found)], [k, k], color=style.RED, linewidth=1.2)
            ax.plot(found, [k] * len(found), "|", color=style.RED, markersize=4)
    ax.set_xscale("log")
    ax.axvline(1, **style.UNITY)
    ax.set_xlabel("epochs of training")
    ax.set_title("cost", fontsize=8)


def legend(ax: Axes, cases: Sequence[str], bars: str) -> None:
    """Explain the marks above the figure."""
    from grokcrit.plot import style

    handles = [ax.plot([], [], "o-", color=style.BLUE, markersize=3.2, linewidth=1.0)[0]]
    labels = [f"shuffled labels and too little data, {bars}"]
    for marker, name in KINDS.values():
        handles += ax.plot(
            [],
            [],
            marker,
            color=style.NULL,
            markersize=2.8,
            markeredgewidth=0.6,
            fillstyle="none",
            linestyle="none",
        )
        labels.append(name)
    for c, case in enumerate(cases):
        looks: dict[str, Any] = {"markersize": 2.8, "markeredgewidth": 0.5, "linestyle": "none"}
        handles += ax.plot([], [], style.MARKERS[c], color=style.BLUE, **looks)
        labels.append(f"lead on {case}; open: under half of the runs alarm" if c == 0 else case)
    ax.figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=5,
        fontsize=6,
        handletextpad=0.4,
        columnspacing=1.2,
    )


PANELS = {"warn": Panel(warn, ("warn",), height=5.6, width=PAGE, every_case=True)}
