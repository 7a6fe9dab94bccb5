"""How often the interval of an AUROC of `warn` holds the true one, and excludes 0.5 where it is.

    python benchmarks/warn_coverage.py [--samples 2000] [--resamples 1000]

Each sample has as many seeds as pairs, each seed a run that groks and a control of every kind,
with normal scores. ``rho`` is the correlation of the scores of one seed. Beside the interval that
`warn` gives stands that of plain percentiles of the same resamples.
"""

from __future__ import annotations

import argparse

import numpy as np
import scipy

from grokcrit.protocol import concordance, intervals

PAIRS = ((15, 1), (24, 1), (24, 2), (24, 4), (12, 1))
TRUE = (0.5, 0.7, 0.85, 0.93, 0.98)


def covered(pairs, kinds, auroc, rho, samples, resamples, rng):
    """Return the shares of samples whose interval, and whose percentiles, hold the true AUROC."""
    counts = intervals.draw_seeds(pairs, resamples, 0)
    seed = np.arange(pairs)
    shift = np.sqrt(2) * scipy.special.ndtri(auroc)
    found = []
    for _ in range(samples):
        common = np.sqrt(rho) * rng.standard_normal(pairs)
        own = np.sqrt(1 - rho) * rng.standard_normal((1 + kinds, pairs))
        base, *controls = common + own
        each = [
            concordance.by_seeds(
                concordance.won(base + shift, control), np.ones((pairs, pairs)), seed, seed, pairs
            )
            for control in controls
        ]
        value = float(np.mean([one.value for one in each]))
        draws = np.mean([one.drawn(counts) for one in each], axis=0)
        ends = [
            intervals.of_share(value, draws, (pairs, pairs), 0.95),
            intervals.percentiles(draws, 0.95),
        ]
        found.append([low <= auroc <= high for low, high in ends])
    return np.mean(found, axis=0)


def main():
    """Print a line per design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    asked = parser.parse_args()
    print("pairs kinds  rho | warn at AUROC " + "".join(f"{a:7}" for a in TRUE) + " | percentiles")
    for pairs, kinds in PAIRS:
        for rho in (0.0, 0.5):
            rng = np.random.default_rng(1)
            shares = [
                covered(pairs, kinds, auroc, rho, asked.samples, asked.resamples, rng)
                for auroc in TRUE
            ]
            ours, plain = (" ".join(f"{100 * s[k]:6.1f}" for s in shares) for k in (0, 1))
            print(f"{pairs:5} {kinds:5} {rho:4} |                {ours} | {plain}")


if __name__ == "__main__":
    main()
