"""The quality of a data collapse, of many resampled sets of curves at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.types import Array


class Points(NamedTuple):
    """The points at which the curves of all sizes are known, the same in every set."""

    log_s: Array
    first: Array
    log_n: Array


class Curves(NamedTuple):
    """Sets of curves, one per resample; beyond ``start`` and ``stop`` a curve goes on level."""

    height: Array
    weight: Array
    start: Array
    stop: Array


class Scratch(NamedTuple):
    """For one exponent, the last point left of every point's x on every other curve."""

    left: Array  # (points, K), int64; first - 1 where x lies below the whole curve
    offset: Array  # (points, K): that x in ln s of the other curve


@jit
def locate(points: Points, exponent: float, scratch: Scratch) -> None:
    """Find x = ln s - D ln N of every point among the points of every other size."""
    sizes = len(points.log_n)
    for k in range(sizes):
        for o in range(sizes):
            shift = exponent * (points.log_n[o] - points.log_n[k])
            left = points.first[o] - 1
            for p in range(points.first[k], points.first[k + 1]):
                x = points.log_s[p] + shift
                while left + 1 < points.first[o + 1] and points.log_s[left + 1] <= x:
                    left += 1
                scratch.left[p, o] = left
                scratch.offset[p, o] = x


@jit
def squares(points: Points, curves: Curves, i: int, scratch: Scratch, enough: float) -> float:
    """Sum (y - Y)^2 / (dy^2 + dY^2) over the scored points of set i; stop beyond ``enough``.

    Y is the value at x of the line fitted through the bracketing points (x_q, y_q) with weights
    w_q = 1 / dy_q^2; with x_q counted from x it is

        Y = (K_xx K_y - K_x K_xy) / (K K_xx - K_x^2),  dY^2 = K_xx / (K K_xx - K_x^2),
        K = sum w, K_x = sum w x, K_y = sum w y, K_xx = sum w x^2, K_xy = sum w x y

    (J. Houdayer and A. K. Hartmann, Phys. Rev. B 70, 014418, 2004, appendix).
    """
    height, weight = curves.height[i], curves.weight[i]
    sizes = len(points.log_n)
    result: float = 0.0
    for k in range(sizes):
        for p in range(curves.start[i, k] + 1, curves.stop[i, k]):
            total, x, y, xx, xy = 0.0, 0.0, 0.0, 0.0, 0.0
            for o in range(sizes):
                if o == k:
                    continue
                q = scratch.left[p, o]
                if q < curves.start[i, o] or q >= curves.stop[i, o]:  # level, at x itself
                    q = curves.start[i, o] if q < curves.start[i, o] else curves.stop[i, o]
                    total += weight[q]
                    y += weight[q] * height[q]
                    continue
                for r in range(q, q + 2):
                    w, away = weight[r], points.log_s[r] - scratch.offset[p, o]
                    total += w
                    x += w * away
                    y += w * height[r]
                    xx += w * away * away
                    xy += w * away * height[r]
            determinant = total * xx - x * x
            if determinant > 0:
                line, error = (xx * y - x * xy) / determinant, xx / determinant
            else:  # every other curve is level here: their mean
                line, error = y / total, 1 / total
            result += (height[p] - line) ** 2 / (1 / weight[p] + error)
            if result > enough:
                return result
    return result


@jit
def scratch_of(points: Points) -> Scratch:
    """Allocate."""
    shape = (len(points.log_s), len(points.log_n))
    return Scratch(np.empty(shape, np.int64), np.empty(shape))


@jit
def nearest(points: Points, curves: Curves, exponents: Array, best: Array) -> None:
    """Fill ``best`` with the index of the exponent of least S of each set; likeliest come first."""
    scratch = scratch_of(points)
    least = np.full(len(best), math.inf)
    for d in range(len(exponents)):
        locate(points, exponents[d], scratch)
        for i in range(len(best)):
            total = squares(points, curves, i, scratch, least[i])
            if total < least[i]:
                least[i] = total
                best[i] = d


@jit
def qualities(points: Points, curves: Curves, exponents: Array, start: Array, out: Array) -> None:
    """Work out S of each set of curves at a stretch of ``exponents`` of its own.

    ``start`` (resamples,) is the index of the first exponent of each stretch. ``out`` (resamples,
    stretch) is filled with S, the mean over the scored points, for dy^2 without its common factor.
    """
    scratch = scratch_of(points)
    stretch = out.shape[1]
    for d in range(start.min(), start.max() + stretch):
        locate(points, exponents[d], scratch)
        for i in range(len(start)):
            if 0 <= d - start[i] < stretch:
                scored = (curves.stop[i] - curves.start[i] - 1).sum()
                out[i, d - start[i]] = squares(points, curves, i, scratch, math.inf) / scored
