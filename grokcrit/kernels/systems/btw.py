"""Bak-Tang-Wiesenfeld sandpile on a square lattice with open edges, driven at random sites.

A site with four grains or more sends one to each neighbour (Phys. Rev. Lett. 59, 381, 1987).
"""

from __future__ import annotations

import numpy as np

from grokcrit.kernels.accelerate import inner, jit
from grokcrit.kernels.systems.lattice import Lattice, held, lattice, random_site
from grokcrit.kernels.systems.series import Series, put
from grokcrit.kernels.types import Array

__all__ = ["advance", "held", "start"]


def start(size: int, rng: np.random.Generator) -> Lattice:
    """Return a lattice drawn from the stationary state, which is uniform over recurrent states.

    These are in one-to-one correspondence with the spanning trees of the lattice, its surroundings
    being the root (Majumdar and Dhar, Physica A 185, 129, 1992); a tree is drawn by Wilson's
    algorithm (STOC 1996).
    """
    state = lattice(size, 0)
    depth = np.full(len(state.held), -1, np.int32)
    depth[state.held < 0] = 0
    burn(state, rng, depth, np.zeros(len(depth), np.int8))
    return state


@jit
def burn(state: Lattice, rng: np.random.Generator, depth: Array, toward: Array) -> None:
    """Draw a spanning tree, and give each site the grains with which it burns as the tree says.

    ``depth`` is 0 at the root and -1 elsewhere; it becomes the distance to the root in the tree.
    ``toward`` is scratch: the direction of each site's parent.
    """
    grains, step = state.held, state.step
    for first in range(len(depth)):
        i = first
        while depth[i] < 0:  # a walk from here into the tree; what is overwritten are its loops
            toward[i] = int(rng.random() * 4)
            i += step[toward[i]]
        end, i, away = i, first, 0
        while i != end:
            away += 1
            i += step[toward[i]]
        i = first
        while i != end:
            depth[i] = depth[end] + away
            away -= 1
            i += step[toward[i]]
    # A fire comes in from the root, and a site burns once it has as many grains as neighbours
    # that do not burn yet: at its depth if it has one of so many numbers as it could have parents.
    for i in range(len(depth)):
        if depth[i] > 0:
            for d in range(4):
                other = depth[i + step[d]]
                if other >= depth[i] or (other == depth[i] - 1 and d < toward[i]):
                    grains[i] += 1


@inner
def relax(state: Lattice, count: int) -> tuple[int, int, int, int]:
    """Topple until all is quiet, from the first ``count`` sites of ``state.now``.

    Return size, area, duration and peak.
    """
    grains, stamp, serial, step, _, now, later = state
    serial[0] += 1
    mine = serial[0]
    size, area, duration, peak = 0, 0, 0, 0
    while count > 0:
        duration += 1
        size += count
        peak = max(peak, count)
        after = 0
        for k in range(count):
            i = now[k]
            grains[i] -= 4  # below 4 now: each neighbour topples once in a step
            if stamp[i] != mine:
                stamp[i] = mine
                area += 1
        for k in range(count):
            i = now[k]
            for d in range(4):
                j = i + step[d]
                grains[j] += 1
                if grains[j] == 4:
                    later[after] = j
                    after += 1
        now, later = later, now
        count = after
    return size, area, duration, peak


@jit
def advance(state: Lattice, rng: np.random.Generator, series: Series) -> None:
    """Add grains at random sites, one after another, and write down what each sets off."""
    for k in range(len(series.size)):
        i = random_site(state, rng)
        state.held[i] += 1
        state.now[0] = i
        size, area, duration, peak = relax(state, 1 if state.held[i] > 3 else 0)
        put(series, k, size, area, duration, peak)
