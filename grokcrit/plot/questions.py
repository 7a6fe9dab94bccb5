"""Panels of the diagnostics: what each null model keeps, and what placebos show."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from grokcrit.base.vocabulary import DIFFERENCE, SURROGATES
from grokcrit.plot import style
from grokcrit.plot.sources import EmptyPanelError, Request, Sources, rows

# Windows of the null models, each a little above or below its line.
WINDOWS = {"post": ("after grokking", 0.14), DIFFERENCE: ("change at grokking", -0.14)}
LOOKS: dict[str, dict[str, Any]] = {
    "post": style.PHASES["post"],
    DIFFERENCE: {**style.PHASES["aggregate"]},
}


def asked(sources: Sources, request: Request, **equal: Any) -> list[dict[str, Any]]:
    """Return the rows of the observable and statistic that were asked for."""
    wanted = {"observable": request.observable, "statistic": request.statistic}
    found: list[dict[str, Any]] = rows(sources.table("diagnostics"), **wanted, **equal).to_pylist()
    return found


def nulls(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Part of the distance between data and Gaussian null that each null model keeps."""
    found = [r for r in asked(sources, request, quantity="fraction-kept") if r["value"] is not None]
    found = [r for r in found if r["time"] is None and r["window"] in WINDOWS]
    if asked(sources, request, quantity="fraction-kept") and not found:
        raise EmptyPanelError(
            "the data are not told apart from the Gaussian null in these windows, so the part that "
            "a null model keeps is not defined"
        )
    if not found:
        raise EmptyPanelError(
            "no null model but the Gaussian one can be set between it and the data; add them with "
            "'grokcrit avalanche --surrogate all' and diagnose again"
        )
    names = [n for n in SURROGATES if any(r["surrogate"] == n for r in found)]
    for line, name in enumerate(reversed(names)):
        for window, (_, shift) in WINDOWS.items():
            for r in found:
                if (r["surrogate"], r["window"]) == (name, window):
                    y = line + shift
                    looks = {**LOOKS[window], "linestyle": "none"}
                    ax.plot([r["ci_low"], r["ci_high"]], [y, y], color=looks["color"])
                    ax.plot([r["value"]], [y], **looks)
    for window, (label, _) in WINDOWS.items():
        ax.plot([], [], label=label, **{**LOOKS[window], "linestyle": "none"})
    ax.axvline(0, **style.UNITY)
    ax.axvline(1, **style.UNITY)
    ax.set_yticks(range(len(names)), list(reversed(names)))
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set(
        xlabel="part kept: 0 Gaussian null, 1 data",
        ylim=(-0.6, len(names) - 0.4),
    )
    of = style.exponent_label(request.statistic, request.observable)
    style.legend_above(ax, 2, title=f"{of}; bars: {sources.confidence('diagnostics')}")
    return ax


def placebos(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Change of D at one split for all runs, beside that at each run's own grokking epoch."""
    place = {"window": DIFFERENCE, "surrogate": "none"}
    own = asked(sources, request, quantity="exponent", **place)
    split = asked(sources, request, quantity="placebo-split", **place)
    split = sorted((r for r in split if r["value"] is not None), key=lambda r: r["time"])
    if not split or not own or own[0]["value"] is None:
        raise EmptyPanelError(
            "there are no placebos to show; 'grokcrit diagnose avalanche.parquet' makes them"
        )
    mine = own[0]
    ax.axhline(mine["value"], color=style.BLUE, label="own grokking epochs")
    if mine["ci_low"] is not None:
        ax.axhspan(mine["ci_low"], mine["ci_high"], color=style.BLUE, **style.BAND)
    time = [r["time"] for r in split]
    value = np.array([r["value"] for r in split])
    looks = {**style.PHASES["post"], "linestyle": "none"}
    ax.plot(time, value, **looks, label="one epoch for all runs")
    for r in split:
        if r["ci_low"] is not None:
            ax.plot([r["time"], r["time"]], [r["ci_low"], r["ci_high"]], color=looks["color"])
    permuted = asked(sources, request, quantity="placebo-permuted", window=DIFFERENCE)
    if permuted and permuted[0]["ci_low"] is not None:
        ends = permuted[0]["ci_low"], permuted[0]["ci_high"]
        label = "own epochs permuted, central range"
        ax.axhspan(*ends, facecolor="none", edgecolor=style.INK, linestyle=":", label=label)
    ax.axhline(0, **style.UNITY)
    of = style.exponent_label(request.statistic, request.observable)
    ax.margins(x=0.06)
    ax.set(xlabel="split (epoch)", ylabel=f"change of {of}")
    style.legend_above(ax, 1, title=f"bars, band: {sources.confidence('diagnostics')}")
    return ax
