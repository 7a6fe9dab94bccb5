"""Separation: since when do runs that grok differ from controls that never do?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import RESAMPLED
from grokcrit.plot.panel import PAGE, Layout, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import judge
from grokcrit.questions.family import Course, Family, course
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Question, Task
from grokcrit.questions.rows import ends, finding, labelled, of, of_bins
from grokcrit.scaling import resampling
from grokcrit.scaling.clusters import BoolArray
from grokcrit.scaling.ensembles import BIN, RELATIVE_BIN, Ensemble, Reals
from grokcrit.scaling.times import onset_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Times in a row at which the difference must be seen, so that one noisy time is no separation.
LASTING = 3
# Of each way to count time: label, unit and shift of an axis.
AXES = {
    "epoch": ("epoch", 1.0, 0.0),
    "aligned": (r"$t - t_\mathrm{grok}$ (epochs)", 1.0, BIN / 2),
    "relative": (r"$t / t_\mathrm{grok}$", 0.01, RELATIVE_BIN / 2),
}

Pair: TypeAlias = tuple[Family, Family]


def controlled(found: Sequence[Family]) -> list[Pair]:
    """Pair every case that groks with each control of the same runs that never does."""
    shared = [name for name in judge.FAMILY if name != "case"]
    return [
        (first, second)
        for first in found
        for second in found
        for one, other in [(first.data, second.data)]
        if not np.isnan(one.grok).all()
        and np.isnan(other.grok).all()
        and all(one.case[name] == other.case[name] for name in shared)
        and judge.same_runs(one, other)
    ]


def of_families(found: Sequence[Family], options: DiagnoseOptions) -> list[Task]:
    """Compare every case that groks with each of its controls."""
    return [
        partial(separations, pair, observable, statistic, options)
        for pair in controlled(found)
        for observable in options.observable
        for statistic in RESAMPLED
    ]


def separations(
    pair: Pair, observable: str, statistic: str, options: DiagnoseOptions, _: Stop
) -> list[Row]:
    """Compare D(t) of a case with that of its control, on three ways to count time.

    ``epoch``: the epoch. ``aligned``: epochs since grokking. ``relative``: per cent of the grokking
    epoch. A control run has no grokking epoch: it is aligned on that of its partner, the run of the
    same width and seed. Draws take partners together. Null models of either stand beside it, with
    their name as ``surrogate``.
    """
    groks, confidence = pair[0].data.grok, options.confidence
    draws = resampling.draw_runs(pair[0].data, options.resamples, options.seed)
    swaps = resampling.draw_swaps(pair[0].data, options.permutations, options.seed)
    rows: list[Row] = []
    for window in AXES:
        how = observable, statistic, window, draws

        def along(members: Sequence[Ensemble], how: Any = how) -> Course:
            return course([dataclasses.replace(each, grok=groks) for each in members], *how)

        found = []
        courses = {}
        for quantity, family in zip(("D-grokking", "D-control"), pair, strict=True):
            courses[quantity] = along([family.data])
            found += over_time(quantity, courses[quantity], confidence)
            for name, members in family.nulls.items():
                null = over_time(quantity, along(members), confidence)
                found += labelled(null, surrogate=name)
        gap = courses["D-grokking"] - courses["D-control"]
        found += over_time("D-difference", gap, confidence, swaps)
        found.append(separation(gap, confidence))
        rows += labelled(found, window=window)
    return labelled(
        rows,
        **pair[0].data.case,
        observable=observable,
        statistic=statistic,
        part=pair[1].data.case["case"],
    )


def over_time(
    quantity: str, shown: Course, confidence: float, swaps: BoolArray | None = None
) -> list[Row]:
    """Make a row of each time; a difference has a p, and is tested as a curve by ``swaps``."""
    places = [{"time": int(t)} for t in shown.times]
    return of_bins(quantity, shown.estimate, confidence, places, swaps is not None, swaps)


def since_when(times: Reals, apart: Reals) -> Reals:
    """Return the first of LASTING times in a row with one sign of ``apart`` (..., T); else NaN."""
    count = apart.shape[-1] - LASTING + 1
    if count < 1:
        return np.full(apart.shape[:-1], np.nan)
    sums = sum(apart[..., k : k + count] for k in range(LASTING))
    lasting = np.abs(np.asarray(sums)) == LASTING
    first = np.argmax(lasting, axis=-1)
    return np.where(lasting.any(axis=-1), times[first], np.nan)


def separation(gap: Course, confidence: float) -> Row:
    """Make the row of the separation: the first of three times whose intervals exclude zero.

    Only the sign that the difference ends with counts. ``n``: the draws that separate when compared
    with the same half-widths.
    """
    low, high = gap.estimate.interval(confidence)
    times, known = gap.times.astype(np.float64), ~np.isnan(low)
    final = float(np.sign(gap.estimate.value[-1])) if len(times) else 0.0
    apart = np.where(known, (low > 0).astype(float) - (high < 0), 0.0)
    apart = np.where(apart == final, apart, 0.0)
    when = float(since_when(times, apart)) if len(times) else np.nan
    half = np.where(known, (high - low) / 2, np.inf)
    drawn = gap.estimate.draws
    each = since_when(times, np.where(drawn * final > half, final, 0.0)) if len(times) else drawn
    ends = onset_interval(times, gap.estimate, when, LASTING, confidence)
    return finding(
        "separation",
        when,
        ci_low=ends[0],
        ci_high=ends[1],
        n=int((~np.isnan(each)).sum()),
        method=f"first of {LASTING} intervals in a row beyond 0, on the side where they end",
    )


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up since when cases that grok and controls that do not differ."""
    names = {"epoch": "epoch", "aligned": "t - t_grok", "relative": "% of t_grok"}
    out = []
    for row in of(rows, "separation"):
        line = {name: row[name] for name in shown} | {"control": row["part"]}
        line |= {name: row[name] for name in ("observable", "statistic")}
        line |= {"time in": names[row["window"]], "separate at": row["value"]}
        out.append(line | {"interval": ends(row), "draws": row["n"]})
    formats = {"separate at": ".0f", "interval": ".0f", "draws": ".0f"}
    return Summary("since when D(t) of grokking runs and controls differ", out, formats=formats)


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn of comparisons without a separation."""
    found = of(rows, "separation")
    return warn("no-separation", sum(row["value"] is None for row in found), len(found))


def panel(window: str, ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw D(t) of both cases, and since when they differ."""
    from grokcrit.plot import style

    looks_of: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
        ("D-grokking", "gaussian"): ("Gaussian null", style.GAUSSIAN),
        ("D-grokking", "none"): ("grokking", style.DATA),
        ("D-control", "none"): ("control", {"color": style.RED, "linestyle": "--"}),
    }
    label, scale, shift = AXES[window]
    drawn = False
    for (quantity, surrogate), (name, looks) in looks_of.items():
        place = {"quantity": quantity, "surrogate": surrogate, "window": window}
        found = sources.asked(request, **place)
        found.sort(key=lambda row: row["time"])
        if not found:
            continue
        x = scale * (np.array([row["time"] for row in found], np.float64) + shift)
        y, low, high = (
            np.array([np.nan if row[k] is None else row[k] for row in found], np.float64)
            for k in ("value", "ci_low", "ci_high")
        )
        style.line_with_band(ax, x, y, low, high, name, **looks)
        drawn = True
    if not drawn:
        raise EmptyPanelError(
            "the diagnostics compare no case that groks with a control that does not; give "
            "'grokcrit diagnose --only separation' both cases, of the same widths and seeds"
        )
    ax.axhline(1, **style.UNITY)
    if window != "epoch":
        ax.axvline(0 if window == "aligned" else 1, **style.MARK)
    for row in sources.asked(request, quantity="separation", window=window):
        if row["value"] is None:
            continue
        when = scale * (row["value"] + shift)
        ax.axvline(when, color=style.PURPLE, linestyle="-.", label="separate")
        if row["ci_low"] is not None:
            ends = [scale * (row[k] + shift) for k in ("ci_low", "ci_high")]
            ax.axvspan(*ends, color=style.PURPLE, alpha=0.12, linewidth=0)
    ax.set(xlabel=label, ylabel=style.exponent_label(request.statistic, request.observable))
    style.legend_above(ax, 2, title=f"bands: {sources.confidence('diagnostics')}")
    return ax


QUESTION = Question(
    quantities={
        "D-grokking, D-control, D-difference": "D(t) of a case that groks, of a control of the "
        "same runs that never does (`part`), and the difference with its p; `window` is `epoch`, "
        "`aligned`, or `relative`: per cent of the grokking epoch of the partner",
        "separation": "first of three times in a row at which the interval of the difference "
        "excludes 0, on the side where it ends; interval: when the difference may have begun, "
        "at least a snapshot; none where it may be chance, or there from the start",
    },
    training="a case that groks and one that never does",
    of_families=of_families,
    section=section,
    cautions=cautions,
    panels={
        f"separation-{window}": Panel(partial(panel, window), ("diagnostics",)) for window in AXES
    },
    figures={
        "separation": Layout(
            (("separation-epoch", {}), ("separation-aligned", {}), ("separation-relative", {})),
            "abc",
            (PAGE, 2.7),
            (1,),
        )
    },
)
