"""The spacing of a recorder's rows keeps its budget, on a clock that the test moves."""

import math

import numpy as np
import pytest

from grokcrit.live import spacing as module
from grokcrit.live.spacing import Spacing


class Clock:
    """A loop whose steps and rows take the time that the test says."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)

    def run(self, spacing, steps, step_seconds, row_seconds, setup=2.0):
        taken = []
        for step in range(steps):
            self.now += step_seconds(step)
            if spacing.due(step):
                spacing.begin()
                self.now += row_seconds(step) + (0 if taken else setup)
                spacing.end(step)
                taken.append((step, spacing.stretched))
        return taken


PACES = {
    "constant": lambda rng, step: 0.02,
    "varying": lambda rng, step: 0.02 * rng.uniform(0.3, 1.7),
    "slowing": lambda rng, step: 0.02 * (1 + step / 20_000),
    "pausing": lambda rng, step: 0.02 * (30 if step % 997 == 0 else 1),
}


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize(("budget", "every"), [(0.01, 1), (0.01, 10), (0.003, 10), (0.08, 1)])
def test_the_budget_is_used_and_kept(monkeypatch, pace, budget, every):
    """Would catch a spacing that overdraws, or one that stays far below what it may use."""
    rng, clock, spacing = np.random.default_rng(0), Clock(monkeypatch), Spacing(every, budget)
    taken = clock.run(
        spacing, 60_000, lambda s: PACES[pace](rng, s), lambda s: 0.05 * rng.uniform(0.8, 1.2)
    )
    assert 0.8 * budget < spacing.overhead <= 1.02 * budget
    for step, stretched in taken:
        assert step % every == 0
        assert math.log2(stretched / every).is_integer()


def test_without_a_budget_every_multiple_is_due():
    spacing = Spacing(3, None)
    assert [step for step in range(10) if spacing.due(step)] == [0, 3, 6, 9]
    assert spacing.overhead is None


def test_rows_that_cost_less_than_the_budget_are_not_stretched(monkeypatch):
    clock, spacing = Clock(monkeypatch), Spacing(5, 0.5)
    taken = clock.run(spacing, 100, lambda s: 0.1, lambda s: 0.001)
    assert taken == [(step, 5) for step in range(0, 100, 5)]
    assert spacing.setup_seconds == pytest.approx(2.001)


def test_rows_that_become_costly_are_stretched_and_those_that_become_cheap_are_not(monkeypatch):
    """Would catch a stretch that never comes back."""
    clock, spacing = Clock(monkeypatch), Spacing(1, 0.01)
    taken = clock.run(spacing, 40_000, lambda s: 0.01, lambda s: 1e-5 if s > 20_000 else 0.1)
    assert max(stretched for step, stretched in taken if step < 20_000) >= 512
    assert taken[-1][1] == 1
