"""Mean avalanche sizes that are known exactly, for every finite size."""

from __future__ import annotations

import math

import numpy as np

from grokcrit.systems import SystemOptions

# Logarithm of the largest mean generation: trees of 2^50 individuals, which are cut off, are rare.
BOUNDED = 20.0


def mean_size(options: SystemOptions, size: int) -> float | None:
    """Return the exact mean avalanche size of a system in its stationary state.

    None where it is not known. Oslo: L, the moves of a grain from end to end. Manna and BTW: for
    every particle added one leaves, in the mean after as many moves as a random walk from a random
    site needs to leave the lattice; a toppling makes 2 of these moves in Manna and 4 in BTW.
    Branching: the sum of the means of all generations.
    """
    if options.task == "oslo":
        return float(size)
    if options.task == "manna":
        return mean_exit_time(size) / 2
    if options.task == "btw":
        return mean_exit_time(size) / 4
    if options.task == "branching":
        return mean_total(options.parameters["branching"], size)
    return None


def mean_total(offspring: float, generations: int) -> float | None:
    """Return the mean number of individuals of a tree; None where trees grow without bounds."""
    if offspring == 1:
        return float(generations)
    growth = generations * math.log1p(offspring - 1)
    return None if growth > BOUNDED else math.expm1(growth) / (offspring - 1)


def mean_exit_time(size: int) -> float:
    """Return the mean number of steps that a random walk takes to leave a square lattice.

    It starts from a random one of ``size`` x ``size`` sites; the mean is taken over the sites too.
    The eigenvectors of the walk are products of sines, those that are odd about the middle having
    no mean.
    """
    mode = np.arange(1, size + 1, 2)
    angle = np.pi * mode / (size + 1)
    # Square of the sum of a normalised eigenvector over a line of sites, 2/(L + 1) cot^2(angle/2).
    weight = 2 / (size + 1) / np.tan(angle / 2) ** 2
    slow = 1 - (np.cos(angle)[:, None] + np.cos(angle)[None, :]) / 2
    return float((weight[:, None] * weight[None, :] / slow).sum() / size**2)
