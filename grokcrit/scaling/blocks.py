"""Blocks of one long run, which stand for runs where a size has a single one.

Avalanches of a stationary system that are far enough apart are as good as those of another run.
Blocks of many autocorrelation times are nearly independent, so that resampling them gives the
errors that resampling runs would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from grokcrit.scaling.ensembles import Ensemble

Reals: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

# Autocorrelation times in a block, at least, and the fewest and most blocks of a run.
LENGTH, FEWEST, MOST = 50, 6, 32
# The window of an autocorrelation time is the first of this many of its times (A. D. Sokal,
# Monte Carlo Methods in Statistical Mechanics, 1997, section 3).
WINDOW = 5


@dataclass(frozen=True)
class Cut:
    """How the runs of one size were cut."""

    n_params: int
    runs: int
    blocks: int  # of each run; 0 where the run is too short to be cut
    avalanches: int  # of a block, at least
    time: float  # autocorrelation time of the sizes, in avalanches, the longest among the runs


def correlation_time(series: Reals) -> float:
    """Return the integrated autocorrelation time of a series: 1 + 2 sum over t of rho(t).

    The sum ends at the first t of at least WINDOW times the sum so far. 1 for independent values
    and for a constant; at least 1.
    """
    n = len(series)
    centred = series - series.mean()
    variance = float(centred @ centred)
    if n < 2 or variance == 0:
        return 1.0
    padded = np.fft.rfft(centred, 1 << (2 * n - 1).bit_length())
    rho = np.fft.irfft(padded * padded.conj())[:n] / variance
    times = 2 * np.cumsum(rho) - 1
    enough = np.flatnonzero(np.arange(n) >= WINDOW * times)
    return max(1.0, float(times[enough[0] if len(enough) else -1]))


def cut_runs(
    sizes: Ints, size_of: Ints, run: Ints, series: Reals, asked: int | None
) -> tuple[Ints, Ints, list[Cut]]:
    """Cut runs into blocks: return the block of each row, the run of each block, what was done.

    Parameters
    ----------
    sizes, size_of
        System sizes (K,), and the index of each run's size (R,).
    run, series
        Index of each row's run, ascending, and its avalanche size, in the order of time (rows,).
    asked
        Blocks of every run. None: every run of a size that has a single one is cut, into at most
        MOST blocks of at least LENGTH autocorrelation times; not at all if that gives fewer than
        FEWEST.
    """
    starts = np.searchsorted(run, np.arange(len(size_of) + 1))
    lengths = np.diff(starts)
    number, cuts = np.ones(len(size_of), np.int64), []
    for k, n in enumerate(sizes):
        mine = np.flatnonzero(size_of == k)
        least = int(lengths[mine].min())
        if (asked is None and len(mine) > 1) or least == 0:
            continue
        time = max(correlation_time(series[starts[r] : starts[r + 1]]) for r in mine)
        blocks = min(MOST, int(least / (LENGTH * time))) if asked is None else min(asked, least)
        if asked is None and blocks < FEWEST:
            blocks = 0
        number[mine] = max(blocks, 1)
        cuts.append(Cut(int(n), len(mine), blocks, least // max(blocks, 1), time))
    place = np.arange(len(run)) - starts[run]
    first = np.cumsum(number) - number
    block = first[run] + place * number[run] // np.maximum(lengths, 1)[run]
    return block, np.repeat(np.arange(len(size_of)), number), cuts


def in_blocks(ensemble: Ensemble, blocks: int | None) -> Ensemble:
    """Let blocks of each run stand for runs; see ``cut_runs`` for how many.

    None leaves gradients of a training alone, whose time is no stationary series.
    """
    if blocks is None and ensemble.of_training:
        return ensemble
    size = ensemble.table["size"].to_numpy().astype(np.float64)
    run, parent, cuts = cut_runs(ensemble.sizes, ensemble.size_of, ensemble.run, size, blocks)
    first = np.searchsorted(parent, np.arange(ensemble.runs))
    number = np.bincount(parent, minlength=ensemble.runs)
    return replace(
        ensemble,
        size_of=ensemble.size_of[parent],
        seed=ensemble.seed[parent] * number.max() + np.arange(len(parent)) - first[parent],
        grok=ensemble.grok[parent],
        run=run,
        cuts=tuple(cuts),
    )


def cut(cases: Sequence[Ensemble]) -> dict[str, Any]:
    """Return how the runs of the first case that has blocks were cut, for a record."""
    cuts = next((case.cuts for case in cases if case.cuts), ())
    return {"blocks": [asdict(each) for each in cuts]} if cuts else {}
