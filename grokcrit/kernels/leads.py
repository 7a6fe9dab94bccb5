"""How far scores are ahead of one of them, in the data and in draws of their noise."""

from __future__ import annotations

import math

import numpy as np

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.types import Array


@jit
def lead(score: Array, noise: Array, places: Array, highest: Array, s: int, drawn: Array) -> float:
    """Return the largest lead over score ``s``, over its standard deviation in the noise.

    ``noise`` (draws, S) and ``places``, its transpose, are contiguous; ``highest`` (S,) is the
    largest noise of each score. ``drawn`` (draws,) is filled with the largest lead of each draw,
    at least 0, where s ties with the best and the others keep their distance. Infinite where a
    score is ahead for certain.
    """
    draws, count = noise.shape
    mean, square = np.zeros(count), np.zeros(count)
    for d in range(draws):
        for u in range(count):
            mean[u] += noise[d, u] - noise[d, s]
    mean /= draws
    for d in range(draws):
        for u in range(count):
            square[u] += (noise[d, u] - noise[d, s] - mean[u]) ** 2
    found, best, lowest = 0.0, score.max(), places[s].min()
    drawn[:] = 0
    for u in range(count):
        sd, ahead, behind = math.sqrt(square[u] / draws), score[u] - score[s], score[u] - best
        if sd > 0:
            found = max(found, ahead / sd)
        elif ahead > 0:
            return math.inf
        # What is too far behind leads in no draw: most scores, where there are hundreds.
        if sd > 0 and highest[u] - lowest + behind > 0:
            for d in range(draws):
                drawn[d] = max(drawn[d], (places[u, d] - places[s, d] + behind) / sd)
    return found
