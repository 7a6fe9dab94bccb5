"""Claims on D: its values, their spread, its crossings."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from grokcrit.base.vocabulary import INTERVAL, PHASES, STATISTICS
from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import (
    Claim,
    Row,
    Tables,
    basis,
    number,
    one,
    plain,
    runs_of,
    select,
    span,
    verdict,
)
from grokcrit.paper.reference import Reference
from grokcrit.questions import judge
from grokcrit.questions.rows import missing
from grokcrit.scaling.crossings import Rise, clear_rise, lasting_rise

NORMAL_95 = 1.959964


def phase(claim: Reference, window: str, statistic: str, tables: Tables) -> Claim:
    """Judge an exponent; its error from the run bootstrap, for ``max`` from least squares."""
    place = {"observable": "size", "statistic": statistic, "window": window}
    fit = one(tables["fss"], surrogate="none", time=None, **place)
    null = one(tables["fss"], surrogate="gaussian", time=None, **place)["exponent"]
    low = high = None
    error, value = fit["stderr"], fit["exponent"]
    if statistic != "max":
        own = {"kind": "interval", "method": INTERVAL, "part": None}
        found = one(tables["bootstrap"], surrogate="none", **place, **own)
        low, high = found["ci_low"], found["ci_high"]
        error = None if low is None else (high - low) / (2 * NORMAL_95)
    name = f"{claim.claim} ({statistic})"
    if value is None or error is None or claim.value is None or claim.error is None:
        agrees, words = "no fit", f"{name}: too few sizes or runs for a fit with an error."
    else:
        bound = 2 * math.hypot(error, claim.error)
        agrees = "yes" if abs(value - claim.value) <= bound else "no"
        words = (
            f"{name}: the source gives {claim.text}, we measure {number(value)} "
            f"({'standard error ' + number(error) if low is None else span(low, high)}); "
            f"the Gaussian null of the same runs, window and statistic gives {number(null)}."
        )
    return Claim(
        name,
        claim.text,
        number(value),
        f"OLS error {number(error)}" if statistic == "max" else span(low, high),
        number(null),
        agrees,
        basis(claim, choices_range(tables, window, statistic)),
        words,
        value,
        low,
        high,
        null,
    )


def choices_range(tables: Tables, window: str, statistic: str) -> str:
    """Range of an exponent over the other training choices of METHOD, section 4."""
    place = {"observable": "size", "statistic": statistic, "window": window, "surrogate": "none"}
    fits = select(tables["choices-fss"], time=None, **place)
    found = [f["exponent"] for f in fits if f["exponent"] is not None]
    if not found:
        return "no fit under any other choice"
    without = f", {len(fits) - len(found)} without a fit" if len(found) < len(fits) else ""
    return f"{span(min(found), max(found), 2)} over {len(fits)} other choices{without}"


def other_choices(tables: Tables) -> list[Row]:
    """One row a training choice of METHOD, section 4: gamma, D before and after, mean size."""
    labels = dict.fromkeys(tables["choices-train"]["case"].to_pylist())
    runs = select(tables["choices-train"].select(["case", "epoch", "grok_epoch"]), epoch=0)
    rows = []
    for label in labels:
        place = {"observable": "size", "statistic": "mean", "time": None, "surrogate": "none"}
        fits = {r["window"]: r for r in select(tables["choices-fss"], case=label, **place)}
        mine = [r["grok_epoch"] for r in runs if r["case"] == label]
        row: Row = {"choice": label, "gamma": fits["aggregate"]["exponent"]}
        row |= {"D before": fits["pre"]["exponent"], "D after": fits["post"]["exponent"]}
        row["grokked"] = f"{sum(g is not None for g in mine)} of {len(mine)} runs"
        rows.append(row)
    return rows


def peaks(statistic: str, tables: Tables) -> Claim:
    """Judge the bootstrap peaks: consistent when the three 95 % intervals do not overlap."""
    claim = replace(source.PEAKS, claim=f"{source.PEAKS.claim} ({statistic})")
    place = {"kind": "interval", "method": INTERVAL, "part": None}
    found = [
        one(
            tables["bootstrap"],
            observable="size",
            statistic=statistic,
            surrogate="none",
            window=window,
            **place,
        )
        for window in ("pre", "aggregate", "post")
    ]
    if any(f["ci_low"] is None for f in found):
        return plain(claim, "no intervals", "-", "no fit", "Bootstrap: too few runs.")
    pairs = [(a, b) for i, a in enumerate(found) for b in found[i + 1 :]]
    overlapping = [
        f"{a['window']} and {b['window']}"
        for a, b in pairs
        if max(a["ci_low"], b["ci_low"]) <= min(a["ci_high"], b["ci_high"])
    ]
    shown = "; ".join(f"{f['window']} {span(f['ci_low'], f['ci_high'], 2)}" for f in found)
    ours = f"overlap: {', '.join(overlapping)}" if overlapping else "no overlap"
    return plain(
        claim,
        ours,
        shown,
        verdict(not overlapping),
        f"Bootstrap, {statistic} size, 95 % intervals: {shown}; {ours}.",
    )


def leave_one_out(statistic: str, tables: Tables) -> Claim:
    """Judge leave-one-out: robust when every D after lies above every D before."""
    claim = replace(source.LEAVE_ONE_OUT, claim=f"{source.LEAVE_ONE_OUT.claim} ({statistic})")
    place = {"observable": "size", "statistic": statistic, "surrogate": "none"}
    rows = select(tables["bootstrap"], kind="leave-one-out", **place)
    ends = {}
    for window in ("pre", "post"):
        found = [r["exponent"] for r in rows if r["window"] == window]
        known = [e for e in found if e is not None]
        if not known:
            return plain(claim, "no fit", "-", "no fit", "Leave-one-out: no fit.")
        ends[window] = (min(known), max(known))
    apart = ends["post"][0] > ends["pre"][1]
    below = ends["pre"][1] < 1 < ends["post"][0]
    shown = f"pre {span(*ends['pre'], 2)}; post {span(*ends['post'], 2)}"
    side = "stay" if below else "do not stay"
    return plain(
        claim,
        "phases stay apart" if apart else "phases mix",
        shown,
        verdict(apart),
        f"Leave-one-out over sizes, seeds and tenths of the training, {statistic} size: {shown}; "
        f"the phases {side} on their sides of 1.",
    )


def rise(table: pa.Table, **case: Any) -> tuple[Rise, float | None]:
    """Follow D(t), mean size, in one case of an fss table; its rise above the null, and above 1."""
    place = {"observable": "size", "statistic": "mean", "window": "epoch", **case}
    data = sorted(select(table, surrogate="none", **place), key=lambda f: f["time"])
    null = {f["time"]: f["exponent"] for f in select(table, surrogate="gaussian", **place)}
    kept = [f for f in data if f["exponent"] is not None and null.get(f["time"]) is not None]
    times, value, low, high = (
        np.array([math.nan if f[name] is None else f[name] for f in kept], np.float64)
        for name in ("time", "exponent", "ci_low", "ci_high")
    )
    level = np.array([null[f["time"]] for f in kept], np.float64)
    above_one = lasting_rise(times, value - 1) if len(times) else math.nan
    return clear_rise(times, value, low, high, level), missing(float(above_one))


def crossing_topologies(tables: Tables) -> Claim:
    """Judge the crossing on the five topologies: consistent when it is clear on every graph.

    Clear: before crossing its null for good, D(t) lay below it by more than its 95 % interval, and
    it ends above it by more than that.
    """
    table = tables["topologies-fss"]
    graphs = sorted({(r["topology"], r["graph_seed"]) for r in select(table, window="aggregate")})
    found = [(t, rise(table, topology=t, graph_seed=s)[0]) for t, s in graphs]
    of_null = [r.time for _, r in found if not math.isnan(r.time)]
    clear = [t for t, r in found if r.clear]
    ends = sum(r.ends_above for _, r in found)
    by_topology = ", ".join(
        f"{t} {clear.count(t)} of {sum(t == other for other, _ in found)}"
        for t in sorted({t for t, _ in found})
    )
    middle = f"median epoch {statistics.median(of_null):.0f}" if of_null else ""
    times = f"{middle} ({min(of_null):.0f} to {max(of_null):.0f})" if of_null else "-"
    return plain(
        source.CROSSING_TOPOLOGIES,
        f"clear on {len(clear)} of {len(graphs)} graphs",
        times,
        verdict(len(clear) == len(graphs)),
        f"On training gradients D(t) of the mean size ends clearly above its null on {ends} of "
        f"{len(graphs)} graphs, but it was clearly below before on fewer: a crossing is clear on "
        f"{len(clear)} ({by_topology}). On the others it starts at its null and rises. Ring and "
        "lattice have no seed: their graphs differ in the draws of the null alone.",
    )


def crossing_shadow(tables: Tables) -> Claim:
    """Judge the crossing under the shadow probe: consistent when it is clear, as above."""
    found, above_one = rise(tables["shadow-fss"])
    grok = [r["grok_epoch"] for r in runs_of(tables["shadow-train"]) if r["grok_epoch"] is not None]
    place = {"observable": "size", "statistic": "mean", "surrogate": "none", "time": None}
    fits = {w: one(tables["shadow-fss"], window=w, **place) for w in ("pre", "post")}
    exponents = "; ".join(f"{w} {number(f['exponent'], 2)}" for w, f in fits.items())
    times = f"its null at epoch {number(found.time, 0)}, 1 at {number(above_one, 0)}"
    below = "was" if found.started_below else "was not"
    above = "ends" if found.ends_above else "does not end"
    grokked = f"{min(grok)} to {max(grok)}" if grok else "never"
    return plain(
        source.CROSSING_SHADOW,
        "clear" if found.clear else f"not clear: {below} clearly below, {above} clearly above",
        f"D {exponents}",
        verdict(found.clear),
        f"Under the shadow probe D(t) of the mean size crosses {times} (-: not for good); before, "
        f"it {below} below its null by more than its 95 % interval, and it {above} above by more "
        f"than that. D {exponents}. Runs grok at epochs {grokked}.",
    )


def cautions(tables: Tables) -> list[str]:
    """Say what a reader of the exponents must know: straightness, and gamma against D."""
    found = []
    place = {"observable": "size", "surrogate": "none", "time": None}
    sizes = tables["avalanche"]["n_params"].unique().to_pylist()
    for window in PHASES:
        fits = {s: one(tables["fss"], window=window, statistic=s, **place) for s in STATISTICS}
        gamma, largest = fits["mean"]["exponent"], fits["max"]["exponent"]
        if judge.exceeds(gamma, largest):
            found.append(
                f"{window}: gamma {number(gamma)} exceeds D (max) {number(largest)}. The mean is "
                "never larger than the maximum, so this cannot last as N grows: it is a "
                "finite-size effect."
            )
        for statistic, fit in fits.items():
            bend = judge.bend_of(fit["curvature"], sizes)
            if judge.bent(bend, fit["curvature_p"]):
                found.append(
                    f"{window}, {statistic}: ln s against ln N is not straight, its slope changes "
                    f"by {number(bend)} over the sizes (p {fit['curvature_p']:.2g}); one exponent "
                    "sums up a curve."
                )
    return (found or ["gamma does not exceed D, and no line is bent."]) + without_seed(tables)


def without_seed(tables: Tables) -> list[str]:
    """Say the exponents of what the cascade added to what the threshold put in."""
    lines = []
    place = {"statistic": "mean", "time": None}
    for observable in ("excess", "branching"):
        shown = []
        for window in ("pre", "post"):
            data, null = (
                one(tables["fss"], window=window, surrogate=s, observable=observable, **place)
                for s in ("none", "gaussian")
            )
            shown.append(
                f"{window} {number(data['exponent'])} ({span(data['ci_low'], data['ci_high'])}), "
                f"null {number(null['exponent'])}"
            )
        lines.append(
            f"{observable}, mean, without the tenth of N that the threshold puts into the size: "
            f"{'; '.join(shown)}."
        )
    return lines
