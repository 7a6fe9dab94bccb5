"""Windows in time: phases, and clocks, which are ways to count the time of a training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.scaling.ensembles import Ensemble, Ints, Reals, column

# The epoch; epochs since grokking; per cent of the grokking epoch; epochs since memorising; equal
# training loss.
CLOCKS = ("epoch", "aligned", "relative", "memorised", "loss")
# Width of an aligned bin, in epochs (METHOD, section 7).
BIN = 10
# Width of a bin of time over the grokking epoch, in per cent of it.
RELATIVE_BIN = 10
# Levels of the training loss in a factor of ten: each is 1.8 times the one below.
LEVELS = 4


@dataclass(frozen=True)
class Windows:
    """One kind of window: which bin each avalanche falls into."""

    name: str
    times: list[int | None]  # of each bin, or one None
    bin_of: Ints  # (rows,): bin of each avalanche, -1 for none


def windows(ensemble: Ensemble, name: str) -> Windows:
    """Sort the avalanches of an ensemble into the bins of a window (METHOD, sections 3 and 7)."""
    grok = ensemble.grok[ensemble.run]
    epoch = ensemble.epoch
    if name not in ensemble.phases and not ensemble.of_training:
        return Windows(name, [], np.full(len(epoch), -1))
    if name == "epoch":
        times, bin_of = np.unique(epoch, return_inverse=True)
        return Windows(name, times.tolist(), bin_of)
    if name in ("aligned", "relative"):
        grokked = ~np.isnan(grok) & ((grok > 0) | (name == "aligned"))
        origin = np.where(grokked, grok, 1.0)
        relative = 100 * epoch / origin if name == "relative" else epoch - origin
        width = RELATIVE_BIN if name == "relative" else BIN
        start = np.floor_divide(relative, width).astype(np.int64) * width
        times = np.unique(start[grokked])
        place = np.searchsorted(times, start)
        return Windows(name, times.tolist(), np.where(grokked, place, -1))
    inside = {
        "aggregate": np.ones(len(epoch), bool),
        "pre": epoch < grok,
        "post": epoch >= grok,
        "ungrokked": np.isnan(grok),
    }[name]
    return Windows(name, [None], np.where(inside, 0, -1))


def clock(ensemble: Ensemble, name: str) -> Windows:
    """Return the bins of a clock; none if the avalanches lack what it needs.

    ``loss``: bin j holds the one snapshot of each run whose training loss is nearest to
    10^(j / LEVELS), if it is within half a step of that; its time is 100 log10 of the level.
    """
    if name == "memorised":
        return windows(replace(ensemble, grok=memorised(ensemble)), "aligned")
    return at_losses(ensemble) if name == "loss" else windows(ensemble, name)


def memorised(ensemble: Ensemble) -> Reals:
    """Return the epoch at which each run has memorised, (R,); NaN where it has not."""
    found = np.full(ensemble.runs, np.nan)
    found[ensemble.run] = numbers(ensemble, "memorise_epoch")
    return found


def numbers(ensemble: Ensemble, name: str) -> Reals:
    """Return an optional column of the avalanches, (rows,); NaN where it is null or lacking."""
    if name not in ensemble.table.column_names:
        return np.full(len(ensemble.epoch), np.nan)
    values: Reals = column(ensemble.table.select([name]).cast(pa.schema([(name, "float64")])), name)
    return values


def at_losses(ensemble: Ensemble) -> Windows:
    """Return the bins of equal training loss; see `clock`."""
    loss = numbers(ensemble, "loss")
    level = LEVELS * np.log10(np.where(loss > 0, loss, np.nan))
    known = np.isfinite(level)
    place = np.round(np.where(known, level, 0.0)).astype(np.int64)
    # The nearest of each run and level first, the earliest of equals.
    order = np.lexsort((ensemble.epoch, np.abs(level - place), place, ensemble.run))
    order = order[known[order]]
    first = np.ones(len(order), bool)
    run, of = ensemble.run[order], place[order]
    first[1:] = (run[1:] != run[:-1]) | (of[1:] != of[:-1])
    chosen = order[first]
    levels = np.unique(place[chosen])
    bin_of = np.full(len(loss), -1)
    bin_of[chosen] = np.searchsorted(levels, place[chosen])
    return Windows("loss", (levels * (100 // LEVELS)).tolist(), bin_of)


@dataclass(frozen=True)
class Around:
    """Equally many snapshots of every run on either side of its origin."""

    windows: Windows  # bin 0 before, bin 1 from the origin on
    before: int  # snapshots of each run
    after: int


def around(ensemble: Ensemble, origin: Reals, counts: tuple[int, ...] = ()) -> Around:
    """Return the last snapshots of each run before its origin and the first from it on.

    On each side every run gives as many as the run with the fewest has; runs that lack one side are
    left out of both. Whole phases would hold 3 snapshots of one size and 13 of another, and then
    differ in time as well as in size.

    Parameters
    ----------
    origin
        (R,): epoch of each run; NaN leaves the run out.
    counts
        Snapshots before and after, where they are given.
    """
    start = origin[ensemble.run]
    early, late = ensemble.epoch < start, ensemble.epoch >= start
    both = np.isin(ensemble.run, ensemble.run[early]) & np.isin(ensemble.run, ensemble.run[late])
    early, late = early & both, late & both
    before, after = counts or (fewest(ensemble, early), fewest(ensemble, late))
    early &= ranks(ensemble.run, early, from_end=True) < before
    late &= ranks(ensemble.run, late, from_end=False) < after
    bin_of = np.where(early, 0, np.where(late, 1, -1))
    return Around(Windows("around", [None, None], bin_of), before, after)


def fewest(ensemble: Ensemble, inside: npt.NDArray[np.bool_]) -> int:
    """Return how many rows inside the run with the fewest has, of those with any; 0 for none."""
    count = np.bincount(ensemble.run[inside])
    return int(count[count > 0].min()) if inside.any() else 0


def ranks(run: Ints, inside: npt.NDArray[np.bool_], from_end: bool) -> Ints:
    """Return how many rows inside come before each row of its run, or after it; runs ascend."""
    total: Ints = np.cumsum(inside)
    if from_end:
        return total[np.searchsorted(run, run, side="right") - 1] - total
    earlier = total - inside
    return earlier - earlier[np.searchsorted(run, run)]
