"""How often the intervals of `warn` exclude 0.5 where they should not: type I on real tables.

    python benchmarks/warn_exchange.py SIGNALS.parquet... [--times 200] [--resamples 500]

In each group of a run that groks and its controls the labels are exchanged at random, in the
exploring and in the held-out half, and every signal is locked and scored again: AUROC and tAUC,
mean over kinds of control. Of 95 % intervals 5 % should then exclude 0.5. Seeds without a control
of every kind are left out, so that each group has the same labels to exchange; of fewer than six
groups `warn` gives no interval.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from grokcrit.base.parallel import in_order
from grokcrit.base.stage_options import WarnOptions
from grokcrit.protocol.courses import course_of
from grokcrit.protocol.designs import designs_of
from grokcrit.protocol.locking import lock
from grokcrit.protocol.runs import cases_of
from grokcrit.protocol.scores import ALL, FEWEST, Held, scores_of
from grokcrit.stages.warn import PLACEBOS, units_of
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import SIGNALS

PRIMARY = ("auroc", "tauc")
# Clocks are ties throughout: their intervals have no width.
TIES = ("epoch", "since-memorising")


def complete(watch):
    """Return the watch of the groups that have a control of every kind."""
    kinds = len(np.unique(watch.kind))
    groups = np.bincount(watch.group, minlength=len(watch.seed))
    return watch.of(groups[watch.group] == kinds)


def exchanged(course, rng):
    """Return a course with the labels of every group permuted."""
    kind = course.watch.kind.copy()
    for group in np.unique(course.watch.group):
        mine = np.flatnonzero(course.watch.group == group)
        kind[mine] = kind[rng.permutation(mine)]
    return replace(course, watch=replace(course.watch, kind=kind))


def excluded(unit, times, options):
    """Return for each primary score how many of some exchanges exclude 0.5, and of how many."""
    rng = np.random.default_rng(0)
    halves = [course_of(complete(watch), unit.signal) for watch in (unit.explore, unit.held)]
    if None in halves or min(len(np.unique(each.watch.group)) for each in halves) < FEWEST:
        return {}
    found = defaultdict(list)
    for _ in range(times):
        explore, held = (exchanged(each, rng) for each in halves)
        locked = lock(explore)
        if locked is None:  # no detector has a statistic in enough runs
            return {}
        for row in scores_of(Held(held, locked, options, (FEWEST, FEWEST))):
            if row["score"] in PRIMARY and row["control"] == ALL and row["ci_low"] is not None:
                found[row["score"]].append(not row["ci_low"] <= 0.5 <= row["ci_high"])
    return {score: (sum(each), len(each)) for score, each in found.items()}


def main():
    """Print a line per case and signal, and the total."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=500)
    asked = parser.parse_args()
    options = WarnOptions(resamples=asked.resamples)
    inputs = Inputs(asked.tables, SIGNALS)
    table = inputs.read()
    odd = pc.equal(pc.bit_wise_and(table["seed"], 1), 1)
    halves = [cases_of(table.filter(each), inputs.cases, 0) for each in (pc.invert(odd), odd)]
    units = [
        unit
        for unit in units_of(designs_of(halves[0]), halves, options)
        if unit.signal not in TIES and unit.signal != PLACEBOS[-1]
    ]
    totals = defaultdict(lambda: np.zeros(2))
    scored = in_order(lambda unit, _: excluded(unit, asked.times, options), units, threads=2)
    for unit, found in zip(units, scored, strict=True):
        shares = []
        for score, counts in found.items():
            totals[unit.design.base[1], score] += counts
            shares.append(f"{score} {counts[0] / counts[1]:.1%}")
        print(f"{unit.design.base[1]:8} {unit.signal:22} {'  '.join(shares)}", flush=True)
    for (case, score), (out, of) in sorted(totals.items()):
        print(f"{case:8} {score}: {out / of:.1%} of {of:.0f} intervals exclude 0.5")


if __name__ == "__main__":
    main()
