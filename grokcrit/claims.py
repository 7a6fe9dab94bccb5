"""The source's claims held against our tables, row by row.

Where the source gives an error, abs(difference) <= 2 sqrt(se^2 + se_source^2) agrees (METHOD,
section 5). Where it gives none, or words, the verdict is "consistent" or "not seen", by the rule
that each function states.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit import reference as source
from grokcrit import scaling
from grokcrit.reference import Reference
from grokcrit.tables import split
from grokcrit.vocabulary import INTERVAL, STATISTICS, THE_FIVE

Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, pa.Table]
NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Claim:
    """One row of the table: a claim of the source, and what we find.

    ``value``, ``low``, ``high`` and ``null_value`` are None where the finding is not one number.
    """

    claim: str
    source: str
    ours: str
    interval: str
    null: str
    agrees: str
    basis: str
    words: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    null_value: float | None = None

    def as_dict(self) -> Row:
        """The row as plain values."""
        return asdict(self)


def claims(tables: Tables) -> list[Claim]:
    """Judge every claim that XOR and the synthetic control can answer.

    Parameters
    ----------
    tables
        ``train`` (without gradients), ``avalanche``, ``fss``, ``bootstrap`` of the default
        experiment; ``topologies-avalanche`` and ``topologies-fss``: five topologies x graph seeds,
        data and null; ``shadow-fss``; ``choices-fss`` and ``choices-train``: other choices.
    """
    rows = [phase(source.D_BEFORE, "pre", s, tables) for s in STATISTICS]
    rows += [phase(source.D_AFTER, "post", s, tables) for s in STATISTICS]
    rows.append(phase(source.D_AGGREGATE, "aggregate", "max", tables))
    rows.append(phase(source.GAMMA, "aggregate", "mean", tables))
    rows += synthetic(tables)
    rows.append(grokking_epochs(tables))
    rows += gini(tables)
    rows.append(peaks(tables))
    rows.append(leave_one_out(tables))
    rows.append(relaxation(tables))
    rows.append(deviation(tables))
    rows.append(crossing_topologies(tables))
    rows.append(crossing_shadow(tables))
    rows.append(single_fits(tables))
    return rows


def verdict(seen: bool) -> str:
    """Word for a claim without an error bar."""
    return "consistent" if seen else "not seen"


def basis(claim: Reference, spread: str = "") -> str:
    """Say where the claim comes from, and that agreement with a calibrated one is no evidence."""
    if not claim.calibrated:
        return claim.basis_words
    return f"{claim.basis_words}; calibrated, not evidence" + (f"; {spread}" if spread else "")


def select(table: pa.Table, **wanted: Any) -> list[Row]:
    """Return the rows of a table whose columns have those values; None matches null."""
    kept = table
    for name, value in wanted.items():
        column = kept[name]
        kept = kept.filter(pc.is_null(column) if value is None else pc.equal(column, value))
    rows: list[Row] = kept.to_pylist()
    return rows


def one(table: pa.Table, **wanted: Any) -> Row:
    """Return the only row of a table with those values."""
    (row,) = select(table, **wanted)
    return row


def number(value: float | None, digits: int = 3) -> str:
    """Format a number, or its absence."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def span(low: float | None, high: float | None, digits: int = 3) -> str:
    """Format an interval, or its absence."""
    return "-" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


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


def synthetic(tables: Tables) -> list[Claim]:
    """Judge the Gaussian baseline: its exponent, and its spread beside that of sampling alone.

    The exponent is consistent when 0.99 lies within our range over the topologies' means; the CV
    when it is below 0.3 %.
    """
    whole = tables["topologies-fss"]
    place = {"observable": "size", "statistic": "mean", "window": "aggregate", "time": None}
    fits = [f for f in select(whole, surrogate="gaussian", **place) if f["exponent"] is not None]
    exponents = np.array([f["exponent"] for f in fits])
    names = [t for t in THE_FIVE if any(f["topology"] == t for f in fits)]
    means = [float(np.mean([f["exponent"] for f in fits if f["topology"] == t])) for t in names]
    cv = float(exponents.std(ddof=1) / exponents.mean())
    expected = sampling_cv(tables["topologies-avalanche"])
    single = single_run_cv(tables["topologies-avalanche"])
    spreads = [
        float(np.std([f["exponent"] for f in fits if f["topology"] == t], ddof=1)) for t in names
    ]
    each = ", ".join(
        f"{t} {m:.3f} (CV {s / m:.2%})" for t, m, s in zip(names, means, spreads, strict=True)
    )
    inside = min(means) - 0.005 <= 0.99 <= max(means) + 0.005
    cut = sum(f["n_truncated"] for f in fits)
    remark = (
        f" {cut} avalanches, all on graphs with isolated nodes, were cut off: such a node never "
        "relaxes under 'diffuse', and how many there are differs from graph to graph."
        if cut
        else ""
    )
    return [
        Claim(
            source.SYNTHETIC.claim,
            source.SYNTHETIC.text,
            number(float(exponents.mean())),
            f"{span(min(means), max(means))} (topologies)",
            "is the null",
            verdict(inside),
            basis(source.SYNTHETIC),
            f"Synthetic baseline by topology: {each}.",
            float(exponents.mean()),
            min(means),
            max(means),
        ),
        Claim(
            source.SYNTHETIC_CV.claim,
            source.SYNTHETIC_CV.text,
            f"{cv:.2%}",
            "-",
            f"sampling alone {expected:.2%}",
            verdict(cv < 0.003),
            basis(source.SYNTHETIC_CV),
            f"CV of the synthetic D over {len(fits)} graphs: {cv:.2%}, sampling alone would give "
            f"{expected:.2%}; with one run's draws a fit, as in the source, {single[0]:.2%}, "
            f"sampling alone {single[1]:.2%}. By topology: {each}.{remark}",
            cv,
            null_value=expected,
        ),
    ]


def sampling_cv(avalanches: pa.Table) -> float:
    """CV of the synthetic exponent if all graphs were equal: sd over draws only, to first order.

    sd(D)^2 = sum_k w_k^2 cv_k^2 / n_k: cv_k the relative sd of the size over the n_k independent
    draws of one graph at size N_k, w_k the least-squares weights of ln(N_k).
    """
    null = avalanches.filter(pc.equal(avalanches["surrogate"], "gaussian"))
    variances, exponents = [], []
    for ensemble in scaling.ensembles(null):
        sizes, size = ensemble.sizes, ensemble.observe("size")
        at = ensemble.size_of[ensemble.run]
        x = np.log(sizes) - np.log(sizes).mean()
        weight = x / (x**2).sum()
        mean = np.array([size[at == k].mean() for k in range(len(sizes))])
        spread = np.array([size[at == k].std(ddof=1) for k in range(len(sizes))])
        count = np.bincount(at)
        variances.append(((weight * spread / mean) ** 2 / count).sum())
        exponents.append((weight * np.log(mean)).sum())
    return float(np.sqrt(np.mean(variances)) / np.mean(exponents))


def single_run_cv(avalanches: pa.Table) -> tuple[float, float]:
    """CV over graphs when graph seed j uses run j alone (51 draws a size), and that of sampling."""
    paired = avalanches.filter(
        pc.and_(
            pc.equal(avalanches["surrogate"], "gaussian"),
            pc.equal(avalanches["seed"], avalanches["graph_seed"]),
        )
    )
    exponents = []
    for ensemble in scaling.ensembles(paired):
        bins = scaling.windows(ensemble, "aggregate")
        by_run = scaling.over_snapshots(ensemble, ensemble.observe("size"), bins, "mean")
        by_size = scaling.over_runs(by_run, ensemble.size_of, len(ensemble.sizes), "mean")
        exponents.append(scaling.fit(ensemble.sizes, by_size).exponent[0])
    return float(np.std(exponents, ddof=1) / np.mean(exponents)), sampling_cv(paired)


def runs_of(train: pa.Table) -> list[Row]:
    """One row a run: width, seed, grokking epochs."""
    return select(train.select(["width", "seed", "epoch", "grok_epoch"]), epoch=0)


def grokking_epochs(tables: Tables) -> Claim:
    """Grokking epochs: the range of the median run of each size. Calibrated."""
    runs = runs_of(tables["train"])
    grokked = [r for r in runs if r["grok_epoch"] is not None]
    if not grokked:
        nothing = f"none of {len(runs)} runs grokked"
        return plain(source.GROKKING, nothing, "-", "no fit", f"Grokking: {nothing}.")
    medians = [
        float(np.median([r["grok_epoch"] for r in grokked if r["width"] == width]))
        for width in sorted({r["width"] for r in grokked})
    ]
    every = [r["grok_epoch"] for r in grokked]
    others = [r["grok_epoch"] for r in runs_of(tables["choices-train"])]
    found = [g for g in others if g is not None]
    spread = (
        f"{min(found)} to {max(found)} in runs under other choices, "
        f"{len(others) - len(found)} of {len(others)} never grokked"
        if found
        else "no run grokked under any other choice"
    )
    return plain(
        source.GROKKING,
        f"{min(medians):.0f} to {max(medians):.0f} (median run of a size)",
        f"{min(every)} to {max(every)} (all runs)",
        verdict(min(medians) <= 134 and max(medians) >= 12),
        f"Grokking epochs: {len(grokked)} of {len(runs)} runs grok, between {min(every)} and "
        f"{max(every)}; the source gives 12 to 134.",
        spread,
    )


def plain(
    claim: Reference, ours: str, interval: str, agrees: str, words: str, spread: str = ""
) -> Claim:
    """Make a row whose finding is in words and has no null."""
    return Claim(claim.claim, claim.text, ours, interval, "-", agrees, basis(claim, spread), words)


def gini(tables: Tables) -> list[Claim]:
    """Judge the Gini transient: height over the start, epochs above half of it, distance.

    Height and length are consistent when the median run is within a factor of two of the source's
    value, the distance when the median run peaks within 10 epochs of grokking.
    """
    found = []
    train = tables["train"].select(["width", "seed", "epoch", "weight_gini", "grok_epoch"])
    for run in split(train, ("width", "seed")):
        curve, grok = run["weight_gini"].to_numpy(), run["grok_epoch"][0].as_py()
        peak = int(np.nanargmax(curve))
        height = curve[peak] / curve[0] - 1
        length = int((curve > curve[0] + (curve[peak] - curve[0]) / 2).sum())
        found.append((height, length, np.nan if grok is None else abs(peak - grok)))
    heights, lengths, distances = np.array(found, float).T
    low, middle, high = np.quantile(heights, [0.25, 0.5, 0.75])
    brief, typical, long = np.quantile(lengths, [0.25, 0.5, 0.75])
    known = distances[~np.isnan(distances)]
    near, usual, far = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else [math.nan] * 3
    close = int((known <= 10).sum())
    return [
        plain(
            source.GINI_HEIGHT,
            f"+{middle:.0%} (median run)",
            f"{low:.0%} to {high:.0%} (quartiles)",
            verdict(0.125 <= middle <= 0.5),
            f"Gini of the output weights rises by {middle:.0%} over its start in the median run.",
        ),
        plain(
            source.GINI_LENGTH,
            f"{typical:.0f} epochs above half height",
            f"{brief:.0f} to {long:.0f} (quartiles)",
            verdict(bool(25 <= typical <= 100)),
            f"The median run's Gini stays above half its height for {typical:.0f} epochs, "
            f"quartiles {brief:.0f} and {long:.0f}: in many wide runs it rises and stays.",
        ),
        plain(
            source.GINI_DISTANCE,
            f"{number(usual, 0)} epochs (median run)",
            f"{span(near, far, 0)} (quartiles)",
            verdict(bool(usual <= 10)),
            f"The Gini peaks within 10 epochs of grokking in {close} of {len(known)} runs.",
        ),
    ]


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


def relaxation(tables: Tables) -> Claim:
    """Judge the duration: consistent when none exceeds 20 steps and the median is at most 10."""
    durations = tables["avalanche"].filter(pc.equal(tables["avalanche"]["surrogate"], "none"))
    steps = durations["duration"].to_numpy()
    cut = sum(durations["truncated"].to_pylist())
    return plain(
        source.RELAXATION,
        f"median {np.median(steps):.0f}, longest {steps.max()}",
        f"{np.quantile(steps, 0.05):.0f} to {np.quantile(steps, 0.95):.0f} (90 % of snapshots)",
        verdict(cut == 0 and steps.max() <= 20 and float(np.median(steps)) <= 10),
        f"Avalanches last {np.median(steps):.0f} steps in the median, {steps.max()} at most; "
        f"{cut} were cut off.",
    )


def deviation(tables: Tables) -> Claim:
    """Judge the change of the gradient: substantial when its median is above 10 %."""
    changes = pc.drop_null(tables["train"]["deviation"]).to_numpy()
    low, middle, high = np.quantile(changes, [0.05, 0.5, 0.95])
    return plain(
        source.DEVIATION,
        f"{middle:.0%} of its norm (median epoch)",
        f"{low:.0%} to {high:.0%} (90 % of epochs)",
        verdict(bool(middle > 0.1)),
        f"||g' - g|| / ||g|| is {middle:.0%} in the median epoch.",
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
    times = f"epoch {min(of_null):.0f} to {max(of_null):.0f}" if of_null else "-"
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


def single_fits(tables: Tables) -> Claim:
    """Judge fits of one size's CCDF: unreliable when tau moves with the lower cutoff.

    tau = 1 + n / sum ln(s / (s_min - 1/2)), the maximum-likelihood exponent of a power law above
    s_min (Clauset, Shalizi, Newman, SIAM Rev. 51, 661, eq. 3.7), for s_min at the 10th percentile
    and at the median; it moves when the two differ by over two standard errors at most sizes.
    """
    table = tables["avalanche"].filter(pc.equal(tables["avalanche"]["surrogate"], "none"))
    n_params, size = table["n_params"].to_numpy(), table["size"].to_numpy().astype(float)
    decades, taus, moved = [], [], []
    for n in np.unique(n_params):
        mine = size[(n_params == n) & (size > 0)]
        decades.append(math.log10(mine.max() / mine.min()))
        pair, error = [], 0.0
        for share in (0.1, 0.5):
            lowest = max(1.0, float(np.quantile(mine, share)))
            above = mine[mine >= lowest]
            pair.append(1 + len(above) / np.log(above / (lowest - 0.5)).sum())
            error = math.hypot(error, (pair[-1] - 1) / math.sqrt(len(above)))
        taus += pair
        moved.append(abs(pair[1] - pair[0]) > 2 * error)
    return plain(
        source.CCDF,
        f"tau {min(taus):.1f} to {max(taus):.1f} with the cutoff",
        f"{min(decades):.1f} to {max(decades):.1f} decades a size",
        verdict(sum(moved) > len(moved) / 2),
        f"A power law fitted to the sizes at one N gives tau from {min(taus):.1f} to "
        f"{max(taus):.1f}, moving with the lower cutoff at {sum(moved)} of {len(moved)} sizes: "
        "range too short for a reliable exponent.",
    )


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
