"""Abelian Manna sandpile on a square lattice with open edges, driven at random sites.

A site with two particles or more sends two to nearest neighbours, each chosen on its own (Manna,
J. Phys. A 24, L363, 1991, in the abelian form of Dhar, Physica A 263, 4, 1999).
"""

from __future__ import annotations

import numpy as np

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.systems.lattice import Lattice, held, lattice, random_site
from grokcrit.kernels.systems.series import Series, put, refill

__all__ = ["advance", "held", "start"]


def start(size: int, rng: np.random.Generator) -> Lattice:
    """Return a lattice drawn from the stationary state.

    Take one particle on every site, of which each with probability 1/2 still has to send one to
    complete a toppling. A further particle, sent on wherever it meets another, walks off that
    lattice and leaves its law as it was. Moves commute, so what that lattice relaxes to is
    invariant too (arXiv 2507.01572).
    """
    state = lattice(size, 1)
    sites = np.flatnonzero(state.held == 1)
    owing = sites[rng.random(size**2) < 0.5]
    state.held[owing] -= 1
    np.add.at(state.held, owing + state.step[rng.integers(4, size=len(owing))], 1)
    unstable = np.flatnonzero(state.held > 1)
    state.now[: len(unstable)] = unstable
    relax(state, rng, len(unstable))
    return state


@jit
def relax(state: Lattice, rng: np.random.Generator, count: int) -> tuple[int, int, int, int]:
    """Topple until all is quiet, from the first ``count`` sites of ``state.now``.

    Return size, area, duration and peak.
    """
    particles, stamp, serial, step, bits, now, later = state
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
            particles[i] -= 2
            if stamp[i] != mine:
                stamp[i] = mine
                area += 1
            if particles[i] > 1:
                later[after] = i
                after += 1
        for k in range(count):
            i = now[k]
            refill(rng, bits, 4)
            word = bits[0]
            bits[0] = word >> 4
            bits[1] -= 4
            for j in (i + step[word & 3], i + step[(word >> 2) & 3]):
                particles[j] += 1
                if particles[j] == 2:
                    later[after] = j
                    after += 1
        now, later = later, now
        count = after
    return size, area, duration, peak


@jit
def advance(state: Lattice, rng: np.random.Generator, series: Series) -> None:
    """Add particles at random sites, one after another, and write down what each sets off."""
    for k in range(len(series.size)):
        i = random_site(state, rng)
        state.held[i] += 1
        state.now[0] = i
        size, area, duration, peak = relax(state, rng, 1 if state.held[i] > 1 else 0)
        put(series, k, size, area, duration, peak)
