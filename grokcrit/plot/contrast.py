"""Panels of runs that grok against controls that do not, on three ways to count time."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from grokcrit.plot import style
from grokcrit.plot.questions import asked
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.scaling.ensembles import BIN, RELATIVE_BIN

AXES = {
    "epoch": ("epoch", 1.0, 0.0),
    "aligned": (r"$t - t_\mathrm{grok}$ (epochs)", 1.0, BIN / 2),
    "relative": (r"$t / t_\mathrm{grok}$", 0.01, RELATIVE_BIN / 2),
}
LOOKS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("D-grokking", "gaussian"): ("Gaussian null", style.GAUSSIAN),
    ("D-grokking", "none"): ("grokking", style.DATA),
    ("D-control", "none"): ("control", {"color": style.RED, "linestyle": "--"}),
}


def by_epoch(ax: Axes, sources: Sources, request: Request) -> Axes:
    """D(t) of both against the epoch."""
    return contrast(ax, sources, request, "epoch")


def by_aligned(ax: Axes, sources: Sources, request: Request) -> Axes:
    """D(t) of both against the epochs since grokking."""
    return contrast(ax, sources, request, "aligned")


def by_relative(ax: Axes, sources: Sources, request: Request) -> Axes:
    """D(t) of both against time in units of the grokking epoch."""
    return contrast(ax, sources, request, "relative")


def contrast(ax: Axes, sources: Sources, request: Request, window: str) -> Axes:
    """Draw both courses, and since when their difference is seen."""
    label, scale, shift = AXES[window]
    drawn = False
    for (quantity, surrogate), (name, looks) in LOOKS.items():
        place = {"quantity": quantity, "surrogate": surrogate, "window": window}
        found = asked(sources, request, **place)
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
    for row in asked(sources, request, quantity="separation", window=window):
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
