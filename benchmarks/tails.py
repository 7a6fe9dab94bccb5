"""Power-law fit with a free lower cutoff: ours against the package powerlaw.

The peer runs twice: with its exact likelihood for every cutoff, and with the closed-form estimate
that is its default from a cutoff of 10 on. Ours counts equal samples and counts that in its time.
The peer's optimiser stops at 1e-4: where two cutoffs are as near the data as that (exponent 1.5:
distances 0.002024 and 0.002030), it may take the other.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import powerlaw
from measure import Section, Way, measure, row

from grokcrit.scaling import tails

RANGES = {"alpha": [1.0001, 20]}
SAMPLES, EXPONENT, DRAWS = 100_000, 2.0, 20


def ours(samples: np.ndarray) -> tails.Found | None:
    """Count the samples and look for the lower cutoff."""
    return tails.search(tails.counted(*np.unique(samples, return_counts=True)), None, None)


def theirs(samples: np.ndarray, estimate: bool | None) -> powerlaw.Fit:
    """The same search by the peer, which is silent with verbose=0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return powerlaw.Fit(
            samples,
            discrete=True,
            parameter_ranges=RANGES,
            estimate_discrete=estimate,
            verbose=0,
        )


def answer(fit: tails.Found | powerlaw.Fit) -> tuple[float, float, float]:
    """Return cutoff, exponent and distance of a fit."""
    if isinstance(fit, powerlaw.Fit):
        return float(fit.xmin), float(fit.alpha), float(fit.D)
    return float(fit.lower), float(fit.exponent), float(fit.distance)


def run(rounds: int) -> Section:
    """Time the fit, and one data set of the parametric bootstrap: drawn, and its cutoff sought."""
    section = Section("tails")
    samples = np.random.default_rng(0).zipf(EXPONENT, SAMPLES)
    found = ours(samples)
    draw = "grokcrit, a bootstrap draw"
    timed = measure(
        [
            Way("grokcrit", lambda: ours(samples)),
            Way("powerlaw, exact", lambda: theirs(samples, False)),
            Way("powerlaw, estimate", lambda: theirs(samples, None)),
            Way(draw, lambda: tails.goodness(found, None, None, DRAWS, np.random.default_rng(1))),
        ],
        rounds,
    )
    timed[draw].seconds = [spent / DRAWS for spent in timed[draw].seconds]
    mine, exact = (answer(timed[name].result) for name in ("grokcrit", "powerlaw, exact"))
    same = mine[0] == exact[0] and math.isclose(mine[1], exact[1], abs_tol=1e-4)
    section.check(same, f"cutoffs {mine[0]:g} and {exact[0]:g}, exponents within 1e-4: {same}")
    for name, way in timed.items():
        exponent = None
        if name != draw:
            lower, exponent, distance = answer(way.result)
            section.notes.append(
                f"{name}: lower {lower:g}, exponent {exponent:.6f}, distance {distance:.6f}"
            )
        section.rows.append(row(section.name, SAMPLES, way, timed["grokcrit"], answer=exponent))
    return section
