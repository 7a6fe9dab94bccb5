"""Times at which a curve crosses zero, rises above it for good, or changes most."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from grokcrit.scaling.ensembles import Ints, Reals

# Snapshots that either side of a change point needs.
SIDE = 3


def sign_changes(times: Reals, gap: Reals) -> list[tuple[float, bool]]:
    """Return every crossing of zero, interpolated, and whether it is upward; a touch is none."""
    there = np.isfinite(gap) & (gap != 0)
    t, g = times[there], gap[there]
    return [
        (float(t0 + (t1 - t0) * -g0 / (g1 - g0)), bool(g1 > 0))
        for (t0, g0), (t1, g1) in itertools.pairwise(zip(t, g, strict=True))
        if (g0 < 0) != (g1 < 0)
    ]


def lasting_rise(times: Reals, gaps: Reals) -> Reals:
    """Return when curves (..., T) rise above zero to stay there to their end, interpolated.

    At most one crossing does, METHOD's first upward crossing that lasts; NaN where there is none.
    """
    below = ~(gaps > 0)
    last = gaps.shape[-1] - 1 - np.argmax(below[..., ::-1], axis=-1)
    crossed = below.any(axis=-1) & (last < gaps.shape[-1] - 1)
    before = np.where(crossed, last, 0)
    after = np.minimum(before + 1, gaps.shape[-1] - 1)
    g0 = np.take_along_axis(gaps, before[..., None], -1)[..., 0]
    g1 = np.take_along_axis(gaps, after[..., None], -1)[..., 0]
    span = np.where(crossed & (g1 > g0), g1 - g0, np.nan)
    rise: Reals = np.where(
        crossed, times[before] - (times[after] - times[before]) * g0 / span, np.nan
    )
    return rise


@dataclasses.dataclass(frozen=True)
class Rise:
    """The course of D(t) against its null; above and below: by more than its own interval."""

    time: float  # epoch of the lasting rise above the null; NaN without one
    started_below: bool  # whether D(t) was ever below the null
    ends_above: bool
    judged: bool  # whether there is an interval to say so

    @property
    def clear(self) -> bool:
        """Return whether D(t) rises from clearly below its null to clearly above."""
        return not np.isnan(self.time) and self.started_below and self.ends_above


def clear_rise(times: Reals, value: Reals, low: Reals, high: Reals, null: Reals) -> Rise:
    """Follow a curve and its interval against its null, all of shape (T,)."""
    if not len(times):
        return Rise(np.nan, False, False, False)
    known = np.flatnonzero(~np.isnan(low))
    return Rise(
        float(lasting_rise(times, value - null)),
        bool((high[known] < null[known]).any()),
        bool(len(known) and low[known[-1]] > null[known[-1]]),
        bool(len(known)),
    )


def steps(curves: Reals) -> tuple[Reals, Reals, Ints]:
    """Return, of every split of curves (..., T), the mean of the times after minus that before.

    Second, the weights that turn its square into the variance which the two means explain; third,
    how many times lie before it, at least ``SIDE`` on either side.
    """
    count = curves.shape[-1]
    first = np.arange(SIDE, count - SIDE + 1)
    total = curves.sum(axis=-1, keepdims=True)
    before = np.cumsum(curves, axis=-1)[..., first - 1]
    jump = (total - before) / (count - first) - before / first
    return jump, first * (count - first) / count, first


def change_point(times: Reals, curves: Reals) -> tuple[Reals, Reals, Reals]:
    """Split curves (..., T) at ascending ``times`` (T,) into two constants by least squares.

    Return the time of the change, halfway between two snapshots; the mean after minus that before;
    the share of the variance that the two explain. NaN where there are too few times or a gap.
    """
    count = curves.shape[-1]
    if count < 2 * SIDE:
        nothing = np.full(curves.shape[:-1], np.nan)
        return nothing, nothing, nothing
    jump, weight, first = steps(curves)
    gain = weight * jump**2
    gain = np.where(np.isnan(gain), -1.0, gain)
    best = np.argmax(gain, axis=-1)
    chosen = (np.take_along_axis(each, best[..., None], -1)[..., 0] for each in (jump, gain))
    step, explained = chosen
    variance = ((curves - curves.sum(axis=-1, keepdims=True) / count) ** 2).sum(axis=-1)
    there = explained >= 0
    after = first[best]
    return (
        np.where(there, (times[after - 1] + times[after]) / 2, np.nan),
        np.where(there, step, np.nan),
        np.where(there & (variance > 0), explained / np.where(variance > 0, variance, 1), np.nan),
    )
