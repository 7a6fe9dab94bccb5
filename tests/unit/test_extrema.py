"""Roots and minima, against scipy.optimize, to the bit."""

import math
import warnings

import numpy as np
import pytest
from scipy import optimize

from grokcrit.scaling import extrema


@pytest.mark.parametrize("seed", range(30))
def test_a_minimum_is_that_of_scipys_nelder_mead(seed):
    # Of curved valleys, some with an edge, a start outside or on it, or values that are no numbers.
    rng = np.random.default_rng(seed)
    a, b, c, x = rng.normal(size=4).tolist()
    y = 0.0 if seed % 4 == 0 else 3 * float(rng.normal())

    def valley(place):
        x, y = float(place[0]), float(place[1])
        if seed % 5 == 0 and y < -1:
            return math.nan
        return (x - a) ** 2 + 50 * abs(c) * (y - b * x * x) ** 2 + math.sin(3 * x)

    with warnings.catch_warnings():  # of a start outside of the bounds
        warnings.simplefilter("ignore")
        wanted = optimize.minimize(
            valley, (x, y), method="Nelder-Mead", bounds=[(None, None), (-2.0, 1.5)], tol=1e-10
        )
    assert extrema.minimum(valley, (x, y), -2.0, 1.5, 1e-10)[1] == tuple(wanted.x)


@pytest.mark.parametrize("seed", range(30))
def test_a_root_is_that_of_scipys_brentq(seed):
    a, b = np.random.default_rng(seed).normal(size=2).tolist()

    def rising(x):
        return math.tanh(8 * a * a * (x - b)) + 0.01 * x + (0.3 * x**3 if seed % 2 else 0)

    wanted = optimize.brentq(rising, -9.0, 7.0, xtol=1e-12)
    assert extrema.root(rising, -9.0, 7.0, 1e-12) == wanted
