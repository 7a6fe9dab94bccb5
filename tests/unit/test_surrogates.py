"""Null models of a gradient."""

import numpy as np
import pytest
from scipy import stats

from grokcrit.rng import stream
from grokcrit.surrogates import surrogate


def test_none_is_the_snapshot_itself():
    gradient = np.array([3.0, -1.0, 0.0])
    np.testing.assert_array_equal(surrogate("none", gradient, stream("x")), gradient)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaussian_is_standard_normal_and_knows_nothing_of_the_data(dtype):
    small = np.full(20_001, 1e-9, dtype)
    large = np.linspace(-5, 900, 20_001).astype(dtype)
    a, b = (
        surrogate("gaussian", small, stream("x", 1)),
        surrogate("gaussian", large, stream("x", 1)),
    )
    assert a.dtype == dtype
    assert a.shape == small.shape
    np.testing.assert_array_equal(a, b)
    assert stats.kstest(a, "norm").pvalue > 1e-3
    assert (a != surrogate("gaussian", small, stream("x", 2))).any()
    assert (small == dtype(1e-9)).all()
