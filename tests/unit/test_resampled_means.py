"""Means over resampled runs, against plain loops."""

import math
from functools import reduce
from operator import add
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grokcrit.scaling import resampling


def naive_means(values, draws):
    out = []
    for drawn in draws:
        row = []
        for w in range(values.shape[1]):
            there = [float(values[i, w]) for i in drawn if not math.isnan(values[i, w])]
            # Not sum(): since Python 3.12 it corrects for the rounding of what it adds.
            row.append(reduce(add, there) / len(there) if there else math.nan)
        out.append(row)
    return np.array(out).reshape(len(draws), values.shape[1])


@given(st.integers(1, 8), st.integers(0, 5), st.integers(1, 6), st.integers(0, 2**32))
def test_means_of_drawn_runs_leave_out_what_has_no_data(runs, windows, resamples, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((runs, windows))
    values[rng.random((runs, windows)) < 0.4] = np.nan
    draws = rng.integers(runs, size=(resamples, runs))
    with mock.patch.object(resampling, "BLOCK", 8):  # several blocks, the last one shorter
        means = resampling.resampled_means(values, draws)
    np.testing.assert_array_equal(means, naive_means(values, draws))
