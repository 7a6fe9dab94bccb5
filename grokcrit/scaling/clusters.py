"""Tests of whole curves in time: clusters of times, against swaps of whole runs.

After E. Maris and R. Oostenveld, J. Neurosci. Methods 164, 177 (2007).
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import scipy

from grokcrit.scaling.ensembles import Reals
from grokcrit.scaling.lines import ALPHA
from grokcrit.scaling.resampling import Estimate

BoolArray = npt.NDArray[np.bool_]


def cluster_p(gap: Estimate, swaps: BoolArray) -> Reals:
    """Return the p of the cluster that each time belongs to, (T,); 1 outside clusters.

    A cluster is a stretch of neighbouring times at which Student's t of the difference is beyond
    its 5 % point, on one side; its mass is the sum of abs(t). Where the two curves have the same
    law, exchanging them in some runs changes nothing: p is the share of such swaps, the data
    included, whose largest mass is no smaller. The error is kept for the whole curve.

    Parameters
    ----------
    gap
        Difference of two curves of the same runs: a bin per time, in their order, with its lines.
    swaps
        (R, permutations): the runs in which the two are exchanged.
    """
    found = np.full(len(gap.value), np.nan)
    if gap.lines is None or not len(found):
        return found
    variance, freedom = gap.spread()
    # With the misfit of lines, as the p of single times.
    part = np.sqrt(
        np.divide(gap.few.variance, variance, out=np.ones_like(variance), where=variance > 0)
    )
    t = studentised(gap, np.ones((1, gap.lines.shares.shape[0])))[0] * part
    limit: Reals = scipy.special.stdtrit(freedom, 1 - ALPHA / 2).astype(np.float64)
    swapped = studentised(gap, np.where(swaps.T, np.float64(-1), np.float64(1))) * part
    largest = masses(swapped, limit)
    found[~np.isnan(t)] = 1.0
    side = np.where(np.abs(t) > limit, np.sign(t), 0.0)
    place = 0
    for sign, members in itertools.groupby(side):
        count = len(list(members))
        if sign:
            mass = float(np.abs(t[place : place + count]).sum())
            beyond = int((largest >= mass * (1 - 1e-12)).sum())
            found[place : place + count] = (1 + beyond) / (1 + len(largest))
        place += count
    return found


def studentised(gap: Estimate, signs: Reals) -> Reals:
    """Return t of the slope at each time with the runs' differences times signs: (swaps, T)."""
    lines = gap.lines
    assert lines is not None
    count = lines.variances()[2].astype(np.float64)
    runs = np.maximum(count, 1).T[lines.size_of]
    # What each run adds to the slope; the sum over runs is the slope itself.
    part = lines.weights().T[lines.size_of] * (lines.heights.T[lines.size_of] + lines.shares) / runs
    part = np.nan_to_num(part)
    total, variance = (np.zeros((len(signs), part.shape[1])) for _ in range(2))
    for k in range(len(lines.log_n)):
        mine = lines.size_of == k
        n = count[:, k]
        # Not a matrix product, whose last bits depend on the library and its threads.
        added = np.einsum("pr,rt->pt", signs[:, mine], part[mine])
        scatter = (part[mine] ** 2).sum(axis=0) - added**2 / np.maximum(n, 1)
        variance += np.maximum(scatter, 0) * n / np.maximum(n - 1, 1)
        total += added
    return np.divide(total, np.sqrt(variance), out=np.zeros_like(total), where=variance > 0)


def masses(t: Reals, limit: Reals) -> Reals:
    """Return the largest mass of a cluster in each row of t, (swaps,)."""
    largest = np.zeros(len(t))
    for side in (-1.0, 1.0):
        mass = np.zeros(len(t))
        for at, bound in zip(t.T, limit, strict=True):
            mass = np.where(side * at > bound, mass + np.abs(at), 0.0)
            largest = np.maximum(largest, mass)
    return largest
