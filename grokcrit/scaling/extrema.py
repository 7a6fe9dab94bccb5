"""The root of a function, and the minimum of one of two variables, as scipy.optimize finds them.

Step by step the same, and so to the bit. Its import takes 0.13 s, and the arrays in which it holds
two numbers take as long as the likelihoods of a fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
Corner: TypeAlias = tuple[float, Point]  # the value there, and where
EPSILON = 2.0**-52


def root(function: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """Return a root between two places with values of different signs: ``brentq``.

    R. P. Brent, Algorithms for Minimization Without Derivatives, 1973, chapter 4.
    """
    # The root is between now and other; before is the place before now.
    before, now, other = low, high, 0.0
    at_before, at_now, at_other = function(before), function(now), 0.0
    last = step = 0.0
    if at_before == 0:
        return before
    for _ in range(100):
        if at_before != 0 and at_now != 0 and (at_before < 0) != (at_now < 0):
            other, at_other = before, at_before
            last = step = now - before
        if abs(at_other) < abs(at_now):
            before, now, other = now, other, now
            at_before, at_now, at_other = at_now, at_other, at_now
        near, half = (tolerance + 4 * EPSILON * abs(now)) / 2, (other - now) / 2
        if at_now == 0 or abs(half) < near:
            break
        tried = math.inf
        if abs(last) > near and abs(at_now) < abs(at_before):
            if before == other:
                tried = -at_now * (now - before) / (at_now - at_before)
            else:
                first = (at_before - at_now) / (before - now)
                second = (at_other - at_now) / (other - now)
                top = -at_now * (at_other * second - at_before * first)
                tried = top / (second * first * (at_other - at_before))
        if 2 * abs(tried) < min(abs(last), 3 * abs(half) - near):
            last, step = step, tried
        else:
            last = step = half
        before, at_before = now, at_now
        now += step if abs(step) > near else (near if half > 0 else -near)
        at_now = function(now)
    return now


class SpentError(Exception):
    """Raised where no more values may be computed."""


def minimum(
    function: Callable[[Point], float], start: Point, least: float, most: float, tolerance: float
) -> Corner:
    """Return the least value found, and where: ``minimize`` by the method of Nelder and Mead.

    The Computer Journal 7, 308, 1965. The second coordinate is kept between ``least`` and ``most``;
    at most 400 values are computed.
    """
    spent = 0

    def at(place: Point) -> Corner:
        nonlocal spent
        if spent == 400:
            raise SpentError
        spent += 1
        inside = (place[0], min(max(place[1], least), most))
        return function(inside), inside

    x, y = start[0], min(max(start[1], least), most)
    upward = 1.05 * y if y else 0.00025
    places = (x, y), (1.05 * x if x else 0.00025, y), (x, min(upward, 2 * most - upward))
    corners = sorted(map(at, places), key=order)
    with suppress(SpentError):
        while not small(corners, tolerance):
            corners = sorted(moved(corners, at), key=order)
    return corners[0]


def small(corners: list[Corner], tolerance: float) -> bool:
    """Return whether all corners of a triangle agree, in place and value."""
    least, (x, y) = corners[0]
    return all(
        abs(each - least) <= tolerance and abs(a - x) <= tolerance and abs(b - y) <= tolerance
        for each, (a, b) in corners[1:]
    )


def moved(corners: list[Corner], at: Callable[[Point], Corner]) -> list[Corner]:
    """Return a triangle whose worst corner is moved, or all but the best drawn in."""
    best, second, worst = corners
    (a, b), (c, d), (p, q) = (place for _, place in corners)
    x, y = (a + c) / 2, (b + d) / 2

    def toward(share: float) -> Corner:
        """Go from the middle of the two better corners a share of the way to the worst."""
        return at(((1 - share) * x + share * p, (1 - share) * y + share * q))

    over = toward(-1)
    if over[0] < best[0]:
        farther = toward(-2)
        return [best, second, farther if farther[0] < over[0] else over]
    if over[0] < second[0]:
        return [best, second, over]
    if over[0] < worst[0]:
        nearer = toward(-0.5)
        better = nearer[0] <= over[0]
    else:
        nearer = toward(0.5)
        better = nearer[0] < worst[0]
    if better:
        return [best, second, nearer]
    return [best, *(at((a + 0.5 * (u - a), b + 0.5 * (v - b))) for u, v in ((c, d), (p, q)))]


def order(corner: Corner) -> tuple[bool, float]:
    """Order corners by their values; what is not a number comes last."""
    return math.isnan(corner[0]), corner[0]
