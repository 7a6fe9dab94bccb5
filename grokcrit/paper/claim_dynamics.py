"""Claims on the training and its avalanches: grokking, Gini, relaxation, single CCDFs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import Claim, Tables, number, plain, runs_of, span, verdict
from grokcrit.questions.gini import transients
from grokcrit.scaling.ensembles import Reals

# What is measured of a Gini transient.
MEASURED = ("height", "length", "distance")


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


def gini(tables: Tables) -> list[Claim]:
    """Judge the Gini transient of the default runs and, where it was made, of many seeds."""
    found = [t for _, t in transients(tables["train"])]
    measured = {name: np.array([getattr(t, name) for t in found], float) for name in MEASURED}
    rows = transient_claims(measured)
    if "gini-diagnostics" in tables:
        table = tables["gini-diagnostics"]
        runs = table.filter(pc.is_valid(table["seed"]))
        every = {
            name: runs.filter(pc.equal(runs["quantity"], f"gini-{name}"))["value"].to_numpy()
            for name in MEASURED
        }
        seeds = pc.count_distinct(runs["seed"]).as_py()
        rows += transient_claims(every, f", {seeds} seeds")
    return rows


def transient_claims(measured: dict[str, Reals], of: str = "") -> list[Claim]:
    """Judge the Gini transient: height over the start, epochs above half of it, distance.

    Height and length are consistent when the median run is within a factor of two of the source's
    value, the distance when the median run peaks within 10 epochs of grokking.
    """
    heights, lengths, distances = (measured[name] for name in MEASURED)
    heights, distances = heights[~np.isnan(heights)], np.abs(distances)
    low, middle, high = np.quantile(heights, [0.25, 0.5, 0.75])
    brief, typical, long = np.quantile(lengths, [0.25, 0.5, 0.75])
    known = distances[~np.isnan(distances)]
    near, usual, far = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else [math.nan] * 3
    close = int((known <= 10).sum())
    return [
        plain(
            replace(source.GINI_HEIGHT, claim=source.GINI_HEIGHT.claim + of),
            f"+{middle:.0%} (median run)",
            f"{low:.0%} to {high:.0%} (quartiles)",
            verdict(0.125 <= middle <= 0.5),
            f"Gini of the output weights rises by {middle:.0%} over its start in the median run.",
        ),
        plain(
            replace(source.GINI_LENGTH, claim=source.GINI_LENGTH.claim + of),
            f"{typical:.0f} epochs above half height",
            f"{brief:.0f} to {long:.0f} (quartiles)",
            verdict(bool(25 <= typical <= 100)),
            f"The median run's Gini stays above half its height for {typical:.0f} epochs, "
            f"quartiles {brief:.0f} and {long:.0f}: in many wide runs it rises and stays.",
        ),
        plain(
            replace(source.GINI_DISTANCE, claim=source.GINI_DISTANCE.claim + of),
            f"{number(usual, 0)} epochs (median run)",
            f"{span(near, far, 0)} (quartiles)",
            verdict(bool(usual <= 10)),
            f"The Gini peaks within 10 epochs of grokking in {close} of {len(known)} runs.",
        ),
    ]


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
        f"range too short for a reliable exponent. The source has 1.5 decades a size, we have "
        f"{min(decades):.1f} to {max(decades):.1f}.",
    )
