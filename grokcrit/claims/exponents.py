"""Claims on D: its values, their spread, its crossings."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pyarrow as pa

from grokcrit import reference as source
from grokcrit.claims.row import (
    Claim,
    Row,
    Tables,
    basis,
    number,
    one,
    plain,
    select,
    span,
    verdict,
)
from grokcrit.reference import Reference
from grokcrit.vocabulary import INTERVAL

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
        basis(claim, choices_range(tables, window, statistic) if claim.calibrated else ""),
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


def peaks(tables: Tables) -> Claim:
    """Judge the bootstrap peaks: consistent when the three 95 % intervals do not overlap."""
    place = {"kind": "interval", "method": INTERVAL, "part": None}
    found = [
        one(
            tables["bootstrap"],
            observable="size",
            statistic="mean",
            surrogate="none",
            window=window,
            **place,
        )
        for window in ("pre", "aggregate", "post")
    ]
    if any(f["ci_low"] is None for f in found):
        return plain(source.PEAKS, "no intervals", "-", "no fit", "Bootstrap: too few runs.")
    pairs = [(a, b) for i, a in enumerate(found) for b in found[i + 1 :]]
    overlapping = [
        f"{a['window']} and {b['window']}"
        for a, b in pairs
        if max(a["ci_low"], b["ci_low"]) <= min(a["ci_high"], b["ci_high"])
    ]
    shown = "; ".join(f"{f['window']} {span(f['ci_low'], f['ci_high'], 2)}" for f in found)
    ours = f"overlap: {', '.join(overlapping)}" if overlapping else "no overlap"
    return plain(
        source.PEAKS,
        ours,
        shown,
        verdict(not overlapping),
        f"Bootstrap of the mean size, 95 % intervals: {shown}; {ours}.",
    )


def leave_one_out(tables: Tables) -> Claim:
    """Judge leave-one-out: robust when every D after lies above every D before, mean size."""
    place = {"observable": "size", "statistic": "mean", "surrogate": "none"}
    rows = select(tables["bootstrap"], kind="leave-one-out", **place)
    ends = {}
    for window in ("pre", "post"):
        found = [r["exponent"] for r in rows if r["window"] == window]
        known = [e for e in found if e is not None]
        if not known:
            return plain(source.LEAVE_ONE_OUT, "no fit", "-", "no fit", "Leave-one-out: no fit.")
        ends[window] = (min(known), max(known))
    apart = ends["post"][0] > ends["pre"][1]
    below = ends["pre"][1] < 1 < ends["post"][0]
    shown = f"pre {span(*ends['pre'], 2)}; post {span(*ends['post'], 2)}"
    side = "stay" if below else "do not stay"
    return plain(
        source.LEAVE_ONE_OUT,
        "phases stay apart" if apart else "phases mix",
        shown,
        verdict(apart),
        f"Leave-one-out over sizes and seeds, mean size: {shown}; the phases {side} on their "
        "sides of 1.",
    )


def crossing(fits: list[Row], reference: list[Row] | float) -> float | None:
    """Epoch of the upward crossing of D(t) that lasts: after it D stays above to the end.

    Parameters
    ----------
    fits
        D(t) by epoch, window ``epoch``.
    reference
        The null's D(t), or a constant.

    Returns
    -------
    float or None
        Interpolated between snapshots; None where D(t) ends below, or was never below.
    """
    level = (
        {f["time"]: reference for f in fits}
        if isinstance(reference, float)
        else {r["time"]: r["exponent"] for r in reference}
    )
    points = sorted(
        (f["time"], f["exponent"] - level[f["time"]])
        for f in fits
        if f["exponent"] is not None and level.get(f["time"]) is not None
    )
    below = [i for i, (_, d) in enumerate(points) if d <= 0]
    if not below or below[-1] + 1 == len(points):
        return None
    (t0, d0), (t1, d1) = points[below[-1]], points[below[-1] + 1]
    return float(t0 + (t1 - t0) * -d0 / (d1 - d0))


def epoch_crossings(table: pa.Table, **case: Any) -> tuple[float | None, float | None]:
    """Lasting upward crossings of 1 and of the null by D(t), mean size."""
    place = {"observable": "size", "statistic": "mean", "window": "epoch", **case}
    data = select(table, surrogate="none", **place)
    null = select(table, surrogate="gaussian", **place)
    return crossing(data, 1.0), crossing(data, null)


def crossing_topologies(tables: Tables) -> Claim:
    """Judge the crossing on the five topologies: consistent when every graph crosses its null."""
    table = tables["topologies-fss"]
    graphs = sorted({(r["topology"], r["graph_seed"]) for r in select(table, window="aggregate")})
    found = [(t, *epoch_crossings(table, topology=t, graph_seed=s)) for t, s in graphs]
    of_null = [null for _, _, null in found if null is not None]
    of_one = [one for _, one, _ in found if one is not None]
    missing = sorted({t for t, _, null in found if null is None})
    middle = f"median epoch {statistics.median(of_null):.0f}" if of_null else ""
    times = f"{middle} ({min(of_null):.0f} to {max(of_null):.0f})" if of_null else "-"
    return plain(
        source.CROSSING_TOPOLOGIES,
        f"{len(of_null)} of {len(graphs)} graphs cross their null",
        times,
        verdict(len(of_null) == len(graphs)),
        f"On training gradients D(t) of the mean size rises through its null for good on "
        f"{len(of_null)} of {len(graphs)} graphs and through 1 on {len(of_one)}"
        + (f"; not on every {', '.join(missing)}." if missing else "."),
    )


def crossing_shadow(tables: Tables) -> Claim:
    """Judge the crossing under the shadow probe: consistent when D(t) crosses its null for good."""
    unit, null = epoch_crossings(tables["shadow-fss"])
    place = {"observable": "size", "statistic": "mean", "surrogate": "none", "time": None}
    fits = {w: one(tables["shadow-fss"], window=w, **place) for w in ("pre", "post")}
    exponents = "; ".join(f"{w} {number(f['exponent'], 2)}" for w, f in fits.items())
    return plain(
        source.CROSSING_SHADOW,
        f"crosses its null at epoch {number(null, 0)}, 1 at {number(unit, 0)}",
        f"D {exponents}",
        verdict(null is not None),
        f"Under the shadow probe D(t) of the mean size crosses its null for good at epoch "
        f"{number(null, 0)} and 1 at {number(unit, 0)} (-: not for good); D {exponents}.",
    )
