"""A square lattice with open edges, whose sites hold particles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from grokcrit.kernels.accelerate import inner
from grokcrit.kernels.types import Array

# What the places around the lattice hold: they receive what falls off, and never topple.
NEVER = -(2**30)


class Lattice(NamedTuple):
    """A lattice of L x L sites in one of (L + 2) x (L + 2), row by row."""

    held: Array  # (L + 2)^2, int32: particles of each site
    stamp: Array  # (L + 2)^2, int32: number of the avalanche in which a site last toppled
    serial: Array  # int64: number of the last avalanche
    step: Array  # 4, int32: from a site to its neighbours
    bits: Array  # random bits not yet used
    now: Array  # L^2, int32: sites that topple in this step
    later: Array  # L^2, int32: in the next


def lattice(size: int, each: int) -> Lattice:
    """Return a lattice of ``size`` x ``size`` sites with ``each`` particles on every site."""
    wide = size + 2
    held = np.full((wide, wide), NEVER, np.int32)
    held[1:-1, 1:-1] = each
    return Lattice(
        held.ravel(),
        np.zeros(wide**2, np.int32),
        np.zeros(1, np.int64),
        np.array([-wide, -1, 1, wide], np.int32),
        np.zeros(2, np.int64),
        np.empty(size**2, np.int32),
        np.empty(size**2, np.int32),
    )


def held(state: Lattice) -> int:
    """Return the number of particles on a lattice."""
    return int(inside(state).sum())


def inside(state: Lattice) -> Array:
    """Return the sites of a lattice without the places around it, a view of shape (L, L)."""
    wide = int(state.step[3])
    return state.held.reshape(wide, wide)[1:-1, 1:-1]


@inner
def random_site(state: Lattice, rng: np.random.Generator) -> Any:
    """Return the index of a random site."""
    across = state.step[3] - 2
    place = int(rng.random() * across * across)
    return (place // across + 1) * state.step[3] + place % across + 1
