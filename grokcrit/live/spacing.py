"""How many steps lie between the rows of a recorder, so that it keeps its budget."""

from __future__ import annotations

import math
import sys
import time

# Weight of the newest measurement in the running means of costs.
NEWEST = 0.3
# Costs that may be saved up while rows cost less than the budget allows, or the loop pauses.
SAVED = 20.0
LARGEST = 2**30


class Spacing:
    """Multiples of ``every``, stretched by a power of two where rows would exceed a budget.

    The budget is a share of the time from the end of the first row on. It is kept as an account:
    the time of the loop fills it, each row takes its own cost out, and the next row is due at the
    first multiple of ``every * 2^k`` at which its cost is expected to be there. The first row,
    which makes the graphs, is counted separately (``setup_seconds``).

    Parameters
    ----------
    every
        Steps between rows, at least.
    budget
        Share of the whole time that rows may take, 0 to 1; None for no limit.
    """

    def __init__(self, every: int, budget: float | None) -> None:
        self.every, self.budget = every, budget
        self.stretched = every
        self.seconds, self.setup_seconds = 0.0, 0.0
        self._rows = 0
        self._next = 0
        self._step = 0  # of the last row
        self._started = 0.0  # the row that is being taken
        self._began = self._ended = 0.0  # the end of the first row, and of the last one
        self._account, self._cost, self._pace = 0.0, 0.0, 0.0  # seconds; a row's, a step's

    @property
    def plan(self) -> tuple[int, int]:
        """The stretched spacing, and the first step at which a row may be taken."""
        return self.stretched, self._next

    @plan.setter
    def plan(self, plan: tuple[int, int]) -> None:
        self.stretched, self._next = plan

    def due(self, step: int) -> bool:
        """Return whether a row may be taken at a step."""
        return step % self.every == 0 and step >= self._next

    def begin(self) -> None:
        """Note that a row is begun."""
        self._started = time.perf_counter()

    def so_far(self) -> float:
        """Return the time since a row was begun."""
        return time.perf_counter() - self._started

    def pace(self, step: int) -> float | None:
        """Return the seconds of the loop per step since the last row; None at the first row."""
        if self._rows == 0:
            return None
        return (self._started - self._ended) / max(step - self._step, 1)

    def end(self, step: int) -> None:
        """Note that the row of a step is done, and set when the next one is due."""
        ended = time.perf_counter()
        cost, loop, pace = ended - self._started, self._started - self._ended, self.pace(step)
        self.seconds += cost
        self._rows += 1
        if pace is None:
            self.setup_seconds, self._began = cost, ended
        else:
            self._cost = mean(self._cost, cost, self._rows == 2)
            self._pace = mean(self._pace, pace, self._rows == 2)
        if self.budget is not None and self._rows > 1:
            rate = self.budget / (1 - self.budget)
            self._account = min(self._account + rate * loop - cost, SAVED * self._cost)
            self._stretch(step, rate)
        self._step, self._ended = step, ended

    def _stretch(self, step: int, rate: float) -> None:
        """Set when the next row is due, and the stretch of which that step is a multiple.

        At the largest stretch that the budget would not let rows keep up with, the gaps are one or
        two stretches: which, the account decides.
        """
        filling = max(rate * self._pace, sys.float_info.min)  # seconds per step
        apart = min(self._cost / filling, LARGEST)
        self.stretched = self.every
        while 2 * self.stretched <= apart:
            self.stretched *= 2
        wait = max((self._cost - self._account) / filling, 1)
        earliest = step + math.ceil(min(wait, LARGEST))
        self._next = -(-earliest // self.stretched) * self.stretched

    @property
    def overhead(self) -> float | None:
        """Share of the time since the first row that went into rows; None before the second."""
        if self._rows < 2:
            return None
        return (self.seconds - self.setup_seconds) / (time.perf_counter() - self._began)


def mean(before: float, value: float, first: bool) -> float:
    """Return a running mean with one more value."""
    return value if first else (1 - NEWEST) * before + NEWEST * value
