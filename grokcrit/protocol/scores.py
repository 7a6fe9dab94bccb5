"""Scores of a signal on the held-out half, by what was locked on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from grokcrit.base.stage_options import WarnOptions
from grokcrit.base.summary import Row
from grokcrit.protocol import concordance, intervals
from grokcrit.protocol.concordance import Concordance, Mask
from grokcrit.protocol.courses import Course
from grokcrit.protocol.designs import BASE, FEW, LATE
from grokcrit.protocol.detectors import WINDOW, score, statistic
from grokcrit.protocol.intervals import NOWHERE, Ends
from grokcrit.protocol.locking import Lock
from grokcrit.protocol.regression import features_of, predicted
from grokcrit.protocol.runs import Runs
from grokcrit.scaling.ensembles import Ints, Reals

# Kinds of control that decide: what the network sees differs, and nothing else.
DECIDING = ("shuffled", FEW)
ALL, OF_DECIDING = "all", "deciding"
# Fewer runs that grok, or controls, give no interval.
FEWEST = 6
LOGIT, WILSON, PERCENTILES = "bootstrap, logit", "Wilson", "bootstrap, percentiles"
TOO_FEW = f"no interval: fewer than {FEWEST} runs"


@dataclass(frozen=True)
class Held:
    """The held-out half of a signal, under one lock."""

    course: Course
    lock: Lock
    options: WarnOptions
    explored: tuple[int, int]  # base runs and controls that explored

    @cached_property
    def statistic(self) -> Reals:
        """The locked statistic of every run, (R, B)."""
        return statistic(self.course, self.lock.detector, self.lock.sign)

    @cached_property
    def scores(self) -> Reals:
        """The largest statistic of every run in its watch, (R,)."""
        return score(self.statistic, self.course)

    @cached_property
    def place(self) -> Ints:
        """Place of each run's seed among those of the half, (R,)."""
        return np.unique(self.course.watch.seed, return_inverse=True)[1]

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return int(self.place.max()) + 1

    @cached_property
    def counts(self) -> Reals:
        """How often each seed counts in each resample."""
        return intervals.draw_seeds(self.seeds, self.options.resamples, self.options.seed)

    @property
    def kinds(self) -> dict[str, int]:
        """Kinds of control that there are, and the number of each."""
        kind = self.course.watch.kind
        return {name: k for k, name in enumerate(self.course.watch.kinds) if (kind == k).any()}

    def row(
        self, score: str, value: float, ends: Ends, method: str, n: tuple[int, int], **more: object
    ) -> Row:
        """Make a row; without an interval where runs are few."""
        controls = n[1] if more.get("control") else FEWEST
        few = min(self.explored) < FEWEST or n[0] < FEWEST or controls < FEWEST
        low, high = NOWHERE if few else ends
        locked = {"detector": self.lock.detector, "sign": self.lock.sign}
        numbers = {"value": value, "ci_low": low, "ci_high": high, "n_runs": n[0]}
        method = TOO_FEW if few else method
        return {"score": score, **numbers, "n_controls": n[1], "method": method, **locked, **more}


def scores_of(held: Held) -> list[Row]:
    """Return the rows of every score of a signal but its cost and transfer."""
    watch, place, seeds = held.course.watch, held.place, held.seeds
    aurocs, taucs = {}, {}
    for name, kind in held.kinds.items():
        aurocs[name] = concordance.auroc(held.scores, watch, kind, place, seeds)
        taucs[name] = concordance.tauc(held.statistic, held.course, kind, place, seeds)
    why = "on the other half"
    rows = [held.row("explored", held.lock.auroc, NOWHERE, why, held.explored, control=ALL)]
    rows += shares(held, "auroc", aurocs) + shares(held, "tauc", taucs)
    late = watch.kind == held.kinds.get(LATE, len(watch.kinds))
    times = concordance.timing(held.statistic, held.course, late, place, seeds)
    return rows + share(held, "timing", [times], None) + alarms(held) + gain(held)


def shares(held: Held, name: str, found: Mapping[str, Concordance]) -> list[Row]:
    """Return the rows of a concordance: of each kind of control, and means over kinds."""
    sets = {kind: [each] for kind, each in found.items()}
    sets[OF_DECIDING] = [each for kind, each in found.items() if kind in DECIDING]
    sets[ALL] = list(found.values())
    return [row for kind, mine in sets.items() for row in share(held, name, mine, kind)]


def share(held: Held, name: str, found: Sequence[Concordance], control: str | None) -> list[Row]:
    """Return the row of the mean of some concordances; none where nothing was compared."""
    found = [each for each in found if each.all.any()]
    if not found:
        return []
    value = float(np.mean([each.value for each in found]))
    draws = np.mean([each.drawn(held.counts) for each in found], axis=0)
    pairs = max(e.seeds[0] for e in found), min(e.seeds[1] for e in found)
    n = max(e.runs[0] for e in found), sum(e.runs[1] for e in found)
    ends = NOWHERE
    if max(pairs) > 1:
        ends = intervals.of_share(value, draws, pairs, held.options.confidence)
    return [held.row(name, value, ends, LOGIT, n, control=control)]


def alarms(held: Held, source: str | None = None) -> list[Row]:
    """Return the rows of coverage, false alarms and leads at every rate.

    With a ``source``, the case that the lock is of, false alarms of all kinds together, and no
    leads.
    """
    watch, level = held.course.watch, held.options.confidence
    base = watch.base
    rows = []
    for rate, threshold in held.lock.thresholds.items():
        when = alarm_times(held, threshold)
        alarmed = ~np.isnan(when)
        sets: dict[tuple[str, str | None], tuple[Mask, Mask]] = {
            ("coverage", None): (base, alarmed)
        }
        if source is None:
            # Where test accuracy leaves chance before a run memorises, nothing can warn of it.
            if (possible := base & ~(watch.left <= watch.memorised)).any():
                sets["coverage-c", None] = possible, when < watch.left
            for name, kind in held.kinds.items():
                sets["false-alarms", name] = watch.kind == kind, alarmed
        if not base.all():
            sets["false-alarms", ALL] = ~base, alarmed
        more = {"rate": rate, "threshold": threshold, "source": source}
        for (name, control), (mine, hit) in sets.items():
            hits = hit[mine].astype(np.float64)
            ends = intervals.of_rate(hits, held.place[mine], level)
            n = (int(base.sum()), len(hits)) if control else (len(hits), 0)
            rows.append(held.row(name, hits.mean(), ends, WILSON, n, control=control, **more))
        mine = base & alarmed
        for name, end in (("lead-g", watch.grokked), ("lead-c", watch.left)):
            if source is None and mine.any():
                leads = (end - when)[mine]
                drawn = intervals.drawn_medians(leads, held.counts[:, held.place[mine]])
                ends = intervals.percentiles(drawn, level)
                n = len(leads), 0
                rows.append(held.row(name, float(np.median(leads)), ends, PERCENTILES, n, **more))
    return rows


def alarm_times(held: Held, threshold: float) -> Reals:
    """Return the epoch of the first alarm of each run in its watch, NaN for none, (R,)."""
    above = held.course.inside & (held.statistic > threshold)
    first = np.take_along_axis(held.course.epoch, above.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(above.any(axis=1), first, np.nan)


def gain(held: Held) -> list[Row]:
    """Return what a signal adds to the hyperparameters: 1 - squared errors with / without.

    Errors are those of ln of the grokking epoch, regressed on the other seeds; the signal is its
    mean over ``WINDOW`` epochs from memorising. No row where hyperparameters do not differ.
    """
    watch = held.course.watch
    features = features_of(watch)
    first = held.course.values[:, : max(1, int(WINDOW // held.course.step))]
    count = (~np.isnan(first)).sum(axis=1)
    if features is None:
        return []
    mean = np.where(count > 0, np.nansum(first, axis=1) / np.maximum(count, 1), np.nan)
    both = np.column_stack([features, mean])
    known = watch.base & ~np.isnan(both).any(axis=1)
    without, beside = (
        (np.log(watch.grokked) - predicted(np.where(known[:, None], each, np.nan), watch)) ** 2
        for each in (features, both)
    )
    mine = known & ~np.isnan(without) & ~np.isnan(beside)
    if not without[mine].sum() > 0:
        return []
    counts = held.counts[:, held.place[mine]]
    totals = counts @ without[mine]
    drawn = 1 - counts @ beside[mine] / np.where(totals > 0, totals, np.nan)
    value = 1 - beside[mine].sum() / without[mine].sum()
    ends = intervals.percentiles(drawn, held.options.confidence)
    return [held.row("gain", float(value), ends, PERCENTILES, (int(mine.sum()), 0))]


def cost(runs: Runs, name: str) -> list[Row]:
    """Return the row of the time that a signal takes, as a share of an epoch of training.

    The median over epochs and runs; in place of an interval the quartiles.
    """
    found = runs.signals.get(name)
    if found is None:
        return []
    shares = (
        found.seconds / np.where(runs.training_seconds > 0, runs.training_seconds, np.nan)[:, None]
    )
    known = shares[~np.isnan(shares)]
    if not len(known):
        return []
    low, value, high = np.quantile(known, [0.25, 0.5, 0.75]).tolist()
    numbers = {"value": value, "ci_low": low, "ci_high": high}
    n = int((~np.isnan(shares)).any(axis=1).sum())
    return [{"score": "cost", **numbers, "n_runs": n, "n_controls": 0, "method": "quartiles"}]


def counted(course: Course | None) -> tuple[int, int]:
    """Return how many base runs and controls a course holds."""
    kind = course.watch.kind if course else np.empty(0)
    return int((kind == BASE).sum()), int((kind != BASE).sum())
