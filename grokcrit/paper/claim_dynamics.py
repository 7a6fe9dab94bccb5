"""Claims on the training and its avalanches: grokking, Gini, relaxation, single CCDFs."""

from __future__ import annotations

import math

import numpy as np
import pyarrow.compute as pc

from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import (
    Claim,
    Tables,
    between,
    judged,
    number,
    of_surrogate,
    quartiles,
    runs_of,
    span,
)
from grokcrit.questions.gini import measured, whole_runs
from grokcrit.scaling.ensembles import Reals

# What is measured of a Gini transient.
MEASURED = ("height", "length", "distance")


def grokking_epochs(tables: Tables) -> Claim:
    """Judge the grokking epochs: the range of the median run of each size. Calibrated."""
    runs = runs_of(tables["train"])
    grokked = [r for r in runs if r["grok_epoch"] is not None]
    if not grokked:
        nothing = f"none of {len(runs)} runs grokked"
        return judged(source.GROKKING, ours=nothing, agrees="no fit", words=f"Grokking: {nothing}.")
    medians = [
        float(np.median([r["grok_epoch"] for r in grokked if r["width"] == width]))
        for width in sorted({r["width"] for r in grokked})
    ]
    every = [r["grok_epoch"] for r in grokked]
    others = [r["grok_epoch"] for r in runs_of(tables["choices-train"])]
    found = [epoch for epoch in others if epoch is not None]
    spread = "no run grokked under any other choice"
    if found:
        spread = (
            f"{min(found)} to {max(found)} in runs under other choices, "
            f"{len(others) - len(found)} of {len(others)} never grokked"
        )
    return judged(
        source.GROKKING,
        ours=f"{min(medians):.0f} to {max(medians):.0f} (median run of a size)",
        interval=f"{min(every)} to {max(every)} (all runs)",
        agrees=min(medians) <= 134 and max(medians) >= 12,
        words=f"Grokking epochs: {len(grokked)} of {len(runs)} runs grok, between {min(every)} and "
        f"{max(every)}; the source gives 12 to 134.",
        spread=spread,
    )


def gini(tables: Tables) -> list[Claim]:
    """Judge the Gini transient of the default runs and, where it was made, of many seeds."""
    found = [measured(run)[1] for run in whole_runs([tables["train"]])]
    own = (np.array([getattr(t, name) for t in found], float) for name in MEASURED)
    rows = transient_claims("", *own)
    if "gini-diagnostics" in tables:
        table = tables["gini-diagnostics"]
        runs = table.filter(pc.is_valid(table["seed"]))
        every = (
            runs.filter(pc.equal(runs["quantity"], f"gini-{name}"))["value"].to_numpy()
            for name in MEASURED
        )
        seeds = pc.count_distinct(runs["seed"]).as_py()
        rows += transient_claims(f", {seeds} seeds", *every)
    return rows


def transient_claims(of: str, heights: Reals, lengths: Reals, distances: Reals) -> list[Claim]:
    """Judge the Gini transient: height over the start, epochs above half of it, distance.

    Height and length are consistent when the median run is within a factor of two of the source's
    value, the distance when the median run peaks within 10 epochs of grokking.
    """
    low, middle, high = quartiles(heights)
    brief, typical, long = quartiles(lengths)
    apart = np.abs(distances[~np.isnan(distances)])
    near, usual, far = quartiles(apart)
    return [
        judged(
            source.GINI_HEIGHT,
            of=of,
            ours=f"+{middle:.0%} (median run)",
            interval=f"{between(low, high)} (quartiles)",
            agrees=0.125 <= middle <= 0.5,
            words=f"Gini of the output weights rises by {middle:.0%} over its start in the median "
            "run.",
        ),
        judged(
            source.GINI_LENGTH,
            of=of,
            ours=f"{typical:.0f} epochs above half height",
            interval=f"{brief:.0f} to {long:.0f} (quartiles)",
            agrees=25 <= typical <= 100,
            words=f"The median run's Gini stays above half its height for {typical:.0f} epochs, "
            f"quartiles {brief:.0f} and {long:.0f}: in many wide runs it rises and stays.",
        ),
        judged(
            source.GINI_DISTANCE,
            of=of,
            ours=f"{number(usual, 0)} epochs (median run)",
            interval=f"{span(near, far, 0)} (quartiles)",
            agrees=usual <= 10,
            words=f"The Gini peaks within 10 epochs of grokking in {(apart <= 10).sum()} of "
            f"{len(apart)} runs.",
        ),
    ]


def relaxation(tables: Tables) -> Claim:
    """Judge the duration: consistent when none exceeds 20 steps and the median is at most 10."""
    data = of_surrogate(tables["avalanche"], "none")
    steps = data["duration"].to_numpy()
    cut = sum(data["truncated"].to_pylist())
    low, middle, high = np.quantile(steps, [0.05, 0.5, 0.95])
    return judged(
        source.RELAXATION,
        ours=f"median {middle:.0f}, longest {steps.max()}",
        interval=f"{low:.0f} to {high:.0f} (90 % of snapshots)",
        agrees=bool(cut == 0 and steps.max() <= 20 and middle <= 10),
        words=f"Avalanches last {middle:.0f} steps in the median, {steps.max()} at most; {cut} "
        "were cut off.",
    )


def deviation(tables: Tables) -> Claim:
    """Judge the change of the gradient: substantial when its median is above 10 %."""
    changes = pc.drop_null(tables["train"]["deviation"]).to_numpy()
    low, middle, high = np.quantile(changes, [0.05, 0.5, 0.95])
    return judged(
        source.DEVIATION,
        ours=f"{middle:.0%} of its norm (median epoch)",
        interval=f"{between(low, high)} (90 % of epochs)",
        agrees=bool(middle > 0.1),
        words=f"||g' - g|| / ||g|| is {middle:.0%} in the median epoch.",
    )


def single_fits(tables: Tables) -> Claim:
    """Judge fits of one size's CCDF: unreliable when tau moves with the lower cutoff.

    tau = 1 + n / sum ln(s / (s_min - 1/2)), the maximum-likelihood exponent of a power law above
    s_min (Clauset, Shalizi, Newman, SIAM Rev. 51, 661, eq. 3.7), for s_min at the 10th percentile
    and at the median; it moves when the two differ by over two standard errors at most sizes.
    """
    table = of_surrogate(tables["avalanche"], "none")
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
    wide = f"{min(decades):.1f} to {max(decades):.1f}"
    return judged(
        source.CCDF,
        ours=f"tau {min(taus):.1f} to {max(taus):.1f} with the cutoff",
        interval=f"{wide} decades a size",
        agrees=sum(moved) > len(moved) / 2,
        words=f"A power law fitted to the sizes at one N gives tau from {min(taus):.1f} to "
        f"{max(taus):.1f}, moving with the lower cutoff at {sum(moved)} of {len(moved)} sizes: "
        f"range too short for a reliable exponent. The source has 1.5 decades a size, we have "
        f"{wide}.",
    )
