"""Claims on D: its values, their spread, the synthetic baseline, its crossings."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import PHASES, RUNS_ALONE, STATISTICS, THE_FIVE
from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import (
    Claim,
    Tables,
    fit,
    fits,
    judged,
    number,
    of_surrogate,
    runs_of,
    select,
    span,
    with_null,
)
from grokcrit.paper.reference import Reference
from grokcrit.questions import judge
from grokcrit.questions.rows import ends, missing
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.crossings import Rise, clear_rise, lasting_rise
from grokcrit.scaling.fits import exponent
from grokcrit.scaling.sampling import sampling_cv

NORMAL_95 = 1.959964


def interval_of(window: str, statistic: str, tables: Tables) -> tuple[float, float] | None:
    """Return the interval of an exponent by the run bootstrap; None where runs are too few.

    The source has the same sizes, so that the misfit of a line is no error of the comparison.
    """
    place = {"kind": "interval", "method": RUNS_ALONE, "part": None}
    return ends(fit(tables["bootstrap"], window=window, statistic=statistic, **place))


def phase(claim: Reference, window: str, statistic: str, tables: Tables) -> Claim:
    """Judge an exponent; its error from the run bootstrap, for ``max`` from least squares."""
    found, baseline = with_null(tables["fss"], window=window, statistic=statistic)
    value, error, null = found["exponent"], found["stderr"], baseline["exponent"]
    low = high = None
    if statistic != "max":
        low, high = interval_of(window, statistic, tables) or (None, None)
        error = None if low is None or high is None else (high - low) / (2 * NORMAL_95)
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
    return judged(
        claim,
        of=f" ({statistic})",
        ours=number(value),
        interval=f"OLS error {number(error)}" if statistic == "max" else span(low, high),
        null=number(null),
        agrees=agrees,
        words=words,
        spread=choices_range(tables, window, statistic),
        value=value,
        low=low,
        high=high,
        null_value=null,
    )


def choices_range(tables: Tables, window: str, statistic: str) -> str:
    """Return the range of an exponent over the other training choices of METHOD, section 4."""
    every = fits(tables["choices-fss"], window=window, statistic=statistic)
    found = [row["exponent"] for row in every if row["exponent"] is not None]
    if not found:
        return "no fit under any other choice"
    without = f", {len(every) - len(found)} without a fit" if len(found) < len(every) else ""
    return f"{span(min(found), max(found), 2)} over {len(every)} other choices{without}"


def other_choices(tables: Tables) -> list[Row]:
    """Return one row per training choice of METHOD, section 4: gamma, D before and after."""
    rows = []
    for label, runs in itertools.groupby(runs_of(tables["choices-train"]), lambda r: r["case"]):
        found = {row["window"]: row for row in fits(tables["choices-fss"], case=label)}
        grokked = [run["grok_epoch"] is not None for run in runs]
        rows.append(
            {
                "choice": label,
                "gamma": found["aggregate"]["exponent"],
                "D before": found["pre"]["exponent"],
                "D after": found["post"]["exponent"],
                "grokked": f"{sum(grokked)} of {len(grokked)} runs",
            }
        )
    return rows


def peaks(statistic: str, tables: Tables) -> Claim:
    """Judge the bootstrap peaks: consistent when the three 95 % intervals do not overlap."""
    of = f" ({statistic})"
    every = {w: interval_of(w, statistic, tables) for w in ("pre", "aggregate", "post")}
    found = {window: interval for window, interval in every.items() if interval}
    if len(found) < len(every):
        words = "Bootstrap: too few runs."
        return judged(source.PEAKS, of=of, ours="no intervals", agrees="no fit", words=words)
    overlapping = [
        f"{one} and {other}"
        for one, other in itertools.combinations(found, 2)
        if max(found[one][0], found[other][0]) <= min(found[one][1], found[other][1])
    ]
    shown = "; ".join(f"{window} {span(*each, 2)}" for window, each in found.items())
    ours = f"overlap: {', '.join(overlapping)}" if overlapping else "no overlap"
    return judged(
        source.PEAKS,
        of=of,
        ours=ours,
        interval=shown,
        agrees=not overlapping,
        words=f"Bootstrap, {statistic} size, 95 % intervals: {shown}; {ours}.",
    )


def leave_one_out(statistic: str, tables: Tables) -> Claim:
    """Judge leave-one-out: robust when every D after lies above every D before."""
    of, reach = f" ({statistic})", {}
    for window in ("pre", "post"):
        place = {"kind": "leave-one-out", "statistic": statistic, "window": window}
        found = [row["exponent"] for row in fits(tables["bootstrap"], **place)]
        known = [exponent for exponent in found if exponent is not None]
        if not known:
            words = "Leave-one-out: no fit."
            return judged(source.LEAVE_ONE_OUT, of=of, ours="no fit", agrees="no fit", words=words)
        reach[window] = (min(known), max(known))
    apart = reach["post"][0] > reach["pre"][1]
    shown = f"pre {span(*reach['pre'], 2)}; post {span(*reach['post'], 2)}"
    side = "stay" if reach["pre"][1] < 1 < reach["post"][0] else "do not stay"
    return judged(
        source.LEAVE_ONE_OUT,
        of=of,
        ours="phases stay apart" if apart else "phases mix",
        interval=shown,
        agrees=apart,
        words=f"Leave-one-out over sizes, seeds and tenths of the training, {statistic} size: "
        f"{shown}; the phases {side} on their sides of 1.",
    )


def synthetic(tables: Tables) -> list[Claim]:
    """Judge the Gaussian baseline: its exponent, and its spread beside that of sampling alone.

    The exponent is consistent when 0.99 lies within our range over the topologies' means; the CV
    when it is below 0.3 %.
    """
    found = fits(tables["topologies-fss"], surrogate="gaussian", window="aggregate")
    found = [row for row in found if row["exponent"] is not None]
    exponents = np.array([row["exponent"] for row in found])
    mean, cv = float(exponents.mean()), float(exponents.std(ddof=1) / exponents.mean())
    by_topology = {
        name: [row["exponent"] for row in found if row["topology"] == name] for name in THE_FIVE
    }
    means = {name: float(np.mean(each)) for name, each in by_topology.items() if each}
    each = ", ".join(
        f"{name} {middle:.3f} (CV {float(np.std(by_topology[name], ddof=1)) / middle:.2%})"
        for name, middle in means.items()
    )
    null = of_surrogate(tables["topologies-avalanche"], "gaussian")
    expected = sampling_cv(scaling.ensembles(null))
    single, single_expected = single_run_cv(null)
    low, high = min(means.values()), max(means.values())
    cut = sum(row["n_truncated"] for row in found)
    where = sorted({row["topology"] for row in found if row["n_truncated"]})
    remark = (
        f" {cut} avalanches were cut off, on {', '.join(where)}: under 'diffuse' a node without "
        "neighbours never relaxes, and how many there are differs from graph to graph."
        if cut
        else ""
    )
    return [
        judged(
            source.SYNTHETIC,
            ours=number(mean),
            interval=f"{span(low, high)} (topologies)",
            null="is the null",
            agrees=low - 0.005 <= 0.99 <= high + 0.005,
            words=f"Synthetic baseline by topology: {each}; single graphs give "
            f"{span(float(exponents.min()), float(exponents.max()))}.",
            value=mean,
            low=low,
            high=high,
        ),
        judged(
            source.SYNTHETIC_CV,
            ours=f"{cv:.2%}",
            null=f"sampling alone {expected:.2%}",
            agrees=cv < 0.003,
            words=f"CV of the synthetic D over {len(found)} graphs: {cv:.2%}, sampling alone would "
            f"give {expected:.2%}; with one run's draws a fit, as in the source, {single:.2%}, "
            f"sampling alone {single_expected:.2%}. By topology: {each}.{remark}",
            value=cv,
            null_value=expected,
        ),
    ]


def single_run_cv(nulls: pa.Table) -> tuple[float, float]:
    """Return the CV over graphs when graph seed j uses run j alone, and that of sampling."""
    paired = list(scaling.ensembles(nulls.filter(pc.equal(nulls["seed"], nulls["graph_seed"]))))
    exponents = []
    for ensemble in paired:
        bins = windows(ensemble, "aggregate")
        exponents.append(exponent(ensemble, ensemble.observe("size"), bins, "mean"))
    return float(np.std(exponents, ddof=1) / np.mean(exponents)), sampling_cv(paired)


def rise(table: pa.Table, **case: Any) -> tuple[Rise, float | None]:
    """Return the rise of D(t), mean size, above its null in one case, and when it is above 1."""
    data = sorted(fits(table, window="epoch", **case), key=lambda row: row["time"])
    null = fits(table, window="epoch", **case | {"surrogate": "gaussian"})
    level_at = {row["time"]: row["exponent"] for row in null if row["exponent"] is not None}
    kept = [row for row in data if row["exponent"] is not None and row["time"] in level_at]
    times, value, low, high = (
        np.array([row[name] for row in kept], np.float64)
        for name in ("time", "exponent", "ci_low", "ci_high")
    )
    level = np.array([level_at[row["time"]] for row in kept], np.float64)
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
    times = [each.time for _, each in found if not math.isnan(each.time)]
    clear = [topology for topology, each in found if each.clear]
    ends = sum(each.ends_above for _, each in found)
    every = [topology for topology, _ in found]
    by_topology = ", ".join(f"{t} {clear.count(t)} of {every.count(t)}" for t in sorted(set(every)))
    shown = "-"
    if times:
        median = statistics.median(times)
        shown = f"median epoch {median:.0f} ({min(times):.0f} to {max(times):.0f})"
    return judged(
        source.CROSSING_TOPOLOGIES,
        ours=f"clear on {len(clear)} of {len(graphs)} graphs",
        interval=shown,
        agrees=len(clear) == len(graphs),
        words=f"On training gradients D(t) of the mean size ends clearly above its null on {ends} "
        f"of {len(graphs)} graphs, but it was clearly below before on fewer: a crossing is clear "
        f"on {len(clear)} ({by_topology}). On the others it starts at its null and rises. Ring and "
        "lattice have no seed: their graphs differ in the draws of the null alone.",
    )


def crossing_shadow(tables: Tables) -> Claim:
    """Judge the crossing under the shadow probe: consistent when it is clear, as above."""
    table = tables["shadow-fss"]
    found, above_one = rise(table)
    grok = [r["grok_epoch"] for r in runs_of(tables["shadow-train"]) if r["grok_epoch"] is not None]
    exponents = "; ".join(f"{w} {number(fit(table, window=w)['exponent'], 2)}" for w in PHASES[1:])
    times = f"its null at epoch {number(found.time, 0)}, 1 at {number(above_one, 0)}"
    below = "was" if found.started_below else "was not"
    above = "ends" if found.ends_above else "does not end"
    grokked = f"{min(grok)} to {max(grok)}" if grok else "never"
    return judged(
        source.CROSSING_SHADOW,
        ours="clear" if found.clear else f"not clear: {below} clearly below, {above} clearly above",
        interval=f"D {exponents}",
        agrees=found.clear,
        words=f"Under the shadow probe D(t) of the mean size crosses {times} (-: not for good); "
        f"before, it {below} below its null by more than its 95 % interval, and it {above} above "
        f"by more than that. D {exponents}. Runs grok at epochs {grokked}.",
    )


def cautions(tables: Tables) -> list[str]:
    """Say what a reader of the exponents must know: straightness, and gamma against D."""
    found = []
    sizes = tables["avalanche"]["n_params"].unique().to_pylist()
    for window in PHASES:
        of = {s: fit(tables["fss"], window=window, statistic=s) for s in STATISTICS}
        gamma, largest = of["mean"]["exponent"], of["max"]["exponent"]
        if judge.exceeds(gamma, largest):
            found.append(
                f"{window}: gamma {number(gamma)} exceeds D (max) {number(largest)}. The mean is "
                "never larger than the maximum, so this cannot last as N grows: it is a "
                "finite-size effect."
            )
        for statistic, row in of.items():
            bend = judge.bend_of(row["curvature"], sizes)
            if judge.bent(bend, row["curvature_p"]):
                found.append(
                    f"{window}, {statistic}: ln s against ln N is not straight, its slope changes "
                    f"by {number(bend)} over the sizes (p {row['curvature_p']:.2g}); one exponent "
                    "sums up a curve."
                )
    return (found or ["gamma does not exceed D, and no line is bent."]) + without_seed(tables)


def without_seed(tables: Tables) -> list[str]:
    """Say the exponents of what the cascade added to what the threshold put in."""
    lines = []
    for observable in ("excess", "branching"):
        shown = []
        for window in ("pre", "post"):
            data, null = with_null(tables["fss"], window=window, observable=observable)
            shown.append(
                f"{window} {number(data['exponent'])} ({span(data['ci_low'], data['ci_high'])}), "
                f"null {number(null['exponent'])}"
            )
        lines.append(
            f"{observable}, mean, without the tenth of N that the threshold puts into the size: "
            f"{'; '.join(shown)}."
        )
    return lines
