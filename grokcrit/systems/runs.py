"""Runs of a system: a start, a warm-up, and then the avalanches that count."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grokcrit.base.parallel import Progress, Stop, in_order
from grokcrit.base.rng import stream
from grokcrit.kernels.systems.series import Series, empty_series
from grokcrit.systems import SystemOptions

# Avalanches in one call of a kernel, between which a run can be stopped.
BLOCK = 1024
# Blocks of a window of a warm-up, and the fewest avalanches before the first of them.
BLOCKS = 32
SHORTEST = BLOCKS * 32
# Windows after which a run counts as settled: small piles cycle, and no window equals another.
MOST = 14
# Standard errors by which successive windows may differ.
APART = 2.0


@dataclass(frozen=True)
class Run:
    """One run: a size and a seed."""

    options: SystemOptions
    size: int
    seed: int


@dataclass(frozen=True)
class Made:
    """What a run made."""

    run: Run
    series: Series
    warmup: int  # avalanches before the first of the series


class System:
    """A system with its state and its random numbers, which depend on the run alone."""

    def __init__(self, run: Run, stop: Stop) -> None:
        options = run.options
        self.stop, self.kernel = stop, options.kernel()
        self.rng = stream("simulate", options.seed, options.task, run.size, run.seed)
        self.state: Any = self.kernel.start(run.size, self.rng, *options.parameters.values())

    def advance(self, series: Series) -> None:
        """Make as many avalanches as a series has room for."""
        for first in range(0, len(series.size), BLOCK):
            self.stop.check()
            self.kernel.advance(self.state, self.rng, series.part(first, first + BLOCK))

    def skip(self, avalanches: int) -> tuple[float, float]:
        """Make avalanches that are not kept; return their mean size and the mean of what is held.

        That is taken after every BLOCK avalanches.
        """
        room, sizes, held = empty_series(min(BLOCK, avalanches)), 0, []
        for first in range(0, avalanches, BLOCK):
            part = room.part(0, avalanches - first)
            self.advance(part)
            sizes += int(part.size.sum())
            held.append(self.kernel.held(self.state))
        return sizes / avalanches, math.fsum(held) / len(held)

    def settle(self, topplings: int) -> int:
        """Make avalanches until the system no longer drifts; return how many these were.

        The first make ``topplings`` topplings. Then windows follow, each as long as all that was
        before it. The system has settled after a window that agrees with the one before, within
        APART standard errors of their blocks, in the mean size and in the mean of what is held
        (after Geweke, Bayesian Statistics 4, 169, 1992). A drift that hardly begins in that time
        is not seen, hence ``topplings``.
        """
        done, made = 0, 0.0
        while made < topplings or done < SHORTEST:
            made += BLOCK * self.skip(BLOCK)[0]
            done += BLOCK
        windows: list[npt.NDArray[np.float64]] = []
        while len(windows) < 2 or not (agree(*windows[-2:]) or len(windows) == MOST):
            windows.append(np.array([self.skip(done // BLOCKS) for _ in range(BLOCKS)]))
            done *= 2
        return done


def agree(early: npt.NDArray[np.float64], late: npt.NDArray[np.float64]) -> bool:
    """Return whether the column means of two samples differ by no more than their noise."""
    variance = early.var(axis=0, ddof=1) / len(early) + late.var(axis=0, ddof=1) / len(late)
    apart = np.abs(early.mean(axis=0) - late.mean(axis=0))
    return bool((apart <= APART * np.sqrt(variance)).all())


def perform(run: Run, stop: Stop) -> Made:
    """Make the avalanches of a run."""
    options = run.options
    system = System(run, stop)
    warmup = options.warmup or 0
    if options.warmup is None and options.drifts:
        # L topplings of every site: order moves inward from the open edges, at most a site a time.
        warmup = system.settle(run.size * options.n_params(run.size))
    elif warmup:
        system.skip(warmup)
    series = empty_series(options.avalanches)
    system.advance(series)
    return Made(run, series, warmup)


def runs(
    options: SystemOptions, threads: int | None = None, progress: Progress | None = None
) -> Iterator[Made]:
    """Make every run, each in a thread; yield them by size and seed."""
    return in_order(
        perform,
        [Run(options, size, seed) for size in options.size for seed in range(options.seeds)],
        cost=lambda run: run.size,
        size=lambda run: options.avalanches * BYTES,
        threads=threads,
        progress=progress,
    )


# Bytes of an avalanche in a series.
BYTES = sum(column.itemsize for column in empty_series(1))
