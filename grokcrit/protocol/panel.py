"""The figure of early warnings: every signal's AUROC per task, its leads, and its cost."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grokcrit.plot.panel import PAGE, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.protocol.account import Scored, cases_in
from grokcrit.protocol.locking import RATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Kinds of signal, from top to bottom.
GROUPS = ("ceiling", "family", "signal", "placebo")
LEADS = {"lead-g": "lead to g", "lead-c": "lead to c"}
# Controls by kind: how each is drawn, and its name.
CONTROLS = {
    "shuffled": ("v", "shuffled labels"),
    "few": ("^", "too little data"),
    "late": ("s", "near misses"),
    "no-decay": ("x", "no decay"),
}
OPEN: dict[str, Any] = {"markeredgewidth": 0.5, "fillstyle": "none", "linestyle": "none"}
# Inches: one signal; header and axes; most cases side by side.
LINE, AROUND = 0.155, 1.15


def ordered(cases: Sequence[Scored]) -> dict[str, str]:
    """Return the kind of each signal, by group, in each the best on average first.

    By the seeds that explored; of equals, that is to two digits, the cheapest first.
    """
    kinds = {name: case.kind[name] for case in cases for name in case.ranked}

    def key(signal: str) -> tuple[int, float, float]:
        mean = np.mean([case.explored(signal) for case in cases if signal in case.ranked])
        costs = numbers(cases, signal, "cost")
        group = GROUPS.index(kinds[signal])
        return group, -round(float(mean), 2), float(np.mean(costs)) if costs else 0.0

    return {name: kinds[name] for name in sorted(kinds, key=key)}


def numbers(cases: Sequence[Scored], signal: str, score: str) -> list[float]:
    """Return a number of a signal in every case that has it."""
    found = [case.value(signal, score, None, None) for case in cases]
    return [each for each in found if each is not None]


def warn(ax: Axes, sources: Sources, _: Request) -> Axes:
    """Draw a column per task, two for leads and one for costs; a row per signal, best first."""
    from grokcrit.plot import style

    cases = cases_in(sources.table("warn").to_pylist(), None)
    kinds = ordered(cases)
    if not kinds:
        raise EmptyPanelError("the table scores no signal: no case has a control")
    columns = columns_of(ax, len(cases) + len(LEADS) + 1, len(kinds))
    for case, column in zip(cases, columns, strict=False):
        draw_aurocs(column, case, kinds)
    for column, (score, title) in zip(columns[len(cases) :], LEADS.items(), strict=False):
        draw_leads(column, cases, kinds, score)
        column.set_title(title, fontsize=8)
    draw_costs(columns[-1], cases, kinds)
    groups = list(kinds.values())
    for column in columns:
        for k in range(1, len(groups)):
            if groups[k] != groups[k - 1]:
                column.axhline(k - 0.5, color=style.INK, linewidth=0.4)
        column.set_ylim(len(kinds) - 0.4, -0.6)
        column.tick_params(axis="y", which="both", left=False, right=False, labelleft=False)
        column.grid(axis="y", linewidth=0.25, color=style.NULL, alpha=0.4)
    columns[0].set_yticks(range(len(kinds)), list(kinds))
    columns[0].tick_params(axis="y", labelleft=True)
    for label, kind in zip(columns[0].get_yticklabels(), groups, strict=True):
        if kind != "signal":
            label.set_fontstyle("italic")
    legend(columns[0], cases, sources.confidence("warn"))
    return columns[0]


def columns_of(ax: Axes, count: int, lines: int) -> list[Axes]:
    """Put columns with one axis of signals in the place of an axes; give the figure their size."""
    figure, place = ax.get_figure(root=True), ax.get_subplotspec()
    assert figure is not None
    assert place is not None
    figure.set_size_inches(PAGE, LINE * lines + AROUND)
    ax.remove()
    grid = place.subgridspec(1, count)
    first = figure.add_subplot(grid[0])
    return [first, *(figure.add_subplot(grid[k], sharey=first) for k in range(1, count))]


def draw_aurocs(ax: Axes, case: Scored, kinds: Mapping[str, str]) -> None:
    """Draw the AUROC of every signal in a case, with its interval, and those of each kind."""
    from grokcrit.plot import style

    ax.axvline(0.5, **style.MARK)
    for k, (name, kind) in enumerate(kinds.items()):
        if name not in case.ranked:
            ax.text(0.02, k, "none", fontsize=5, color=style.NULL, va="center")
            continue
        for control, (marker, _) in CONTROLS.items():
            value = case.value(name, "auroc", control, None)
            if value is not None:
                ax.plot(value, k, marker, color=style.NULL, markersize=2.2, **OPEN)
        row = case.auroc(name)
        colour = style.BLUE if kind == "signal" else style.PURPLE
        if row["ci_low"] is not None:
            ax.plot([row["ci_low"], row["ci_high"]], [k, k], color=colour, linewidth=1.0)
        ax.plot(row["value"], k, "o", color=colour, markersize=3.2, zorder=3)
    ax.set(xlim=(-0.03, 1.03), xticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"), xlabel="AUROC")
    ax.set_title(case.name, fontsize=8)


def draw_leads(ax: Axes, cases: Sequence[Scored], kinds: Mapping[str, str], score: str) -> None:
    """Draw the median lead of alarms of signals that separate; open where most runs get none."""
    from grokcrit.plot import style

    for c, case in enumerate(cases):
        told = [*case.separating(), *case.of_kind("ceiling")]
        for k, name in enumerate(kinds):
            lead = case.value(name, score, None, RATES[1])
            if lead is not None and name in told:
                most = case.value(name, "coverage", None, RATES[1]) >= 0.5
                looks: dict[str, Any] = {
                    "color": style.BLUE,
                    "markersize": 2.8,
                    "markeredgewidth": 0.5,
                }
                ax.plot(lead, k, style.MARKERS[c], fillstyle="full" if most else "none", **looks)
    ax.axvline(0, **style.UNITY)
    ax.margins(x=0.08)
    low, high = ax.get_xlim()
    if low == high:  # no signal has a lead
        low, high = -1.0, 1.0
    if score == "lead-c":  # an alarm after that is none
        ax.axvspan(low, 0, color=style.NULL, **style.BAND)
    ax.set(xlim=(low, high), xlabel="epochs")


def draw_costs(ax: Axes, cases: Sequence[Scored], kinds: Mapping[str, str]) -> None:
    """Draw the range over cases of what a signal costs, as a share of an epoch of training."""
    from grokcrit.plot import style

    ax.set_xscale("log")
    ax.axvline(1, **style.UNITY)
    for k, name in enumerate(kinds):
        found = numbers(cases, name, "cost")
        if found:
            ax.plot([min(found), max(found)], [k, k], color=style.RED, linewidth=1.2)
            ax.plot(found, [k] * len(found), "|", color=style.RED, markersize=4)
    ax.set_xlabel("epochs")
    ax.set_title("cost", fontsize=8)


def legend(ax: Axes, cases: Sequence[Scored], bars: str) -> None:
    """Explain the marks above the figure."""
    from grokcrit.plot import style

    decide = " and ".join(CONTROLS[each][1] for each in cases[0].against if each in CONTROLS)
    handles = [ax.plot([], [], "o-", color=style.BLUE, markersize=3.2, linewidth=1.0)[0]]
    labels = [f"{decide}, {bars}"]
    handles += ax.plot([], [], "o-", color=style.PURPLE, markersize=3.2, linewidth=1.0)
    labels.append("knows the task, or nothing")
    for marker, name in CONTROLS.values():
        handles += ax.plot([], [], marker, color=style.NULL, markersize=2.8, **OPEN)
        labels.append(name)
    for c, case in enumerate(cases):
        handles += ax.plot([], [], style.MARKERS[c], color=style.BLUE, markersize=2.8)
        labels.append(f"lead on {case.name}" if c == 0 else case.name)
    rate = f"{100 * RATES[1]:g} %"
    note = (
        "Leads: median epochs from an alarm to g (grokked) and to c (test accuracy leaves chance), "
        f"of signals that separate, where at most {rate} of each kind of exploring controls alarm; "
        "open: most runs get no alarm. Grey: too late to warn. Cost: of one measurement, in epochs "
        "of training."
    )
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.supxlabel(textwrap.fill(note, 165), fontsize=6, x=0.01, ha="left")
    looks = {"fontsize": 6, "handletextpad": 0.4, "columnspacing": 1.2}
    figure.legend(handles, labels, loc="outside upper left", ncols=5, **looks)


PANELS = {"warn": Panel(warn, ("warn",), height=5.6, width=PAGE, every_case=True)}
