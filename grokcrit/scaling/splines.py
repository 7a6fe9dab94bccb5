"""B-splines, several sets of knots at once; see C. de Boor, J. Approx. Theory 6, 50 (1972).

As scipy's BSpline, to the bit, whose import takes 0.2 s and whose objects are made one by one: a
collapse tries a hundred exponents, each with knots of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grokcrit.scaling.ensembles import Ints, Reals


class Basis(NamedTuple):
    """The B-splines that are not 0 at some places: ``degree + 1`` at each."""

    first: Ints  # (..., P): index of the first of them
    values: Reals  # (..., P, degree + 1)

    def dense(self, count: int) -> Reals:
        """Return the values of all ``count`` splines, (..., P, count)."""
        found = np.zeros((*self.first.shape, count))
        place = self.first[..., None] + np.arange(self.values.shape[-1])
        np.put_along_axis(found, place, self.values, axis=-1)
        return found

    def sum(self, coefficients: Reals) -> Reals:
        """Return the sum of all splines times coefficients (..., count): (..., P)."""
        total = np.zeros(self.first.shape)
        for a in range(self.values.shape[-1]):
            of = np.take_along_axis(coefficients, self.first + a, axis=-1)
            total += of * self.values[..., a]
        return total


def basis(knots: Reals, x: Reals, degree: int) -> Basis:
    """Return the B-splines on knots (..., M) at places (..., P) between the outermost knots."""
    last = knots.shape[-1] - degree - 2
    inside = np.clip((x[..., None] >= knots[..., None, :]).sum(axis=-1) - 1, degree, last)
    values = np.zeros((*x.shape, degree + 1))
    values[..., 0] = 1
    for j in range(1, degree + 1):
        before = values.copy()
        values[..., 0] = 0
        for n in range(1, j + 1):
            right, left = (np.take_along_axis(knots, inside + i, axis=-1) for i in (n, n - j))
            weight = before[..., n - 1] / (right - left)
            values[..., n - 1] += weight * (right - x)
            values[..., n] = weight * (x - left)
    return Basis(inside - degree, values)


def derivative(knots: Reals, coefficients: Reals, x: Reals, degree: int) -> Reals:
    """Return the derivative of a sum of B-splines at places x, (P,)."""
    inner = knots[1:-1]
    slopes = np.diff(coefficients) * degree / (inner[degree:] - inner[:-degree])
    return basis(inner, x, degree - 1).sum(slopes)
