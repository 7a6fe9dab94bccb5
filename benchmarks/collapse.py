"""The collapse of the default ensemble in three windows; its kernel against plain numpy.

    python benchmarks/collapse.py AVALANCHE.parquet [--resamples 2000] [--rounds 3]

Both work out S of the same resamples at the same exponents, numpy over all resamples, points and
sizes at once; rounds are interleaved, medians and spread are reported, and the values compared.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from grokcrit.kernels.collapse import Curves, Points, qualities
from grokcrit.scaling import collapse, resampling
from grokcrit.scaling import ensembles as scaling
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import AVALANCHE

WINDOWS = ("aggregate", "pre", "post")


def numpy_quality(points: Points, curves: Curves, exponent: float) -> np.ndarray:
    """S of every resample at an exponent, shape (resamples,)."""
    total, scored = np.zeros(len(curves.height)), np.zeros(len(curves.height), int)
    sizes = len(points.log_n)
    for k in range(sizes):
        mine = np.arange(points.first[k], points.first[k + 1])
        # K, K_x, K_y, K_xx, K_xy of every resample and point
        sums = np.zeros((5, len(curves.height), len(mine)))
        for o in range(sizes):
            if o == k:
                continue
            theirs = points.log_s[points.first[o] : points.first[o + 1]]
            x = points.log_s[mine] + exponent * (points.log_n[o] - points.log_n[k])
            left = np.searchsorted(theirs, x, side="right") - 1 + points.first[o]
            start, stop = curves.start[:, o, None], curves.stop[:, o, None]
            level = (left < start) | (left >= stop)
            end = np.where(left < start, start, stop)
            for step in (0, 1):
                q = np.where(level, end, left + step)
                away = np.where(level, 0.0, points.log_s[q] - x)
                w = np.take_along_axis(curves.weight, q, axis=1)
                w = np.where(level & (step == 1), 0.0, w)
                y = np.take_along_axis(curves.height, q, axis=1)
                sums += [w, w * away, w * y, w * away**2, w * away * y]
        one, x1, y1, xx, xy = sums
        determinant = one * xx - x1**2
        sloped = determinant > 0
        safe = np.where(sloped, determinant, 1.0)
        line = np.where(sloped, (xx * y1 - x1 * xy) / safe, y1 / one)
        error = np.where(sloped, xx / safe, 1 / one)
        inner = (mine > curves.start[:, k, None]) & (mine < curves.stop[:, k, None])
        squared = (curves.height[:, mine] - line) ** 2 / (1 / curves.weight[:, mine] + error)
        total += np.where(inner, squared, 0.0).sum(axis=1)
        scored += inner.sum(axis=1)
    return total / scored


def report(name: str, seconds: list[float]) -> None:
    """Print the median and the spread."""
    middle = statistics.median(seconds)
    print(f"{name:42s} {middle:7.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("avalanche")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    data = scaling.ensembles(Inputs(given.avalanche, AVALANCHE).read())
    data = next(each for each in data if each.case["surrogate"] == "none")
    values, draws = data.observe("size"), resampling.draw_runs(data, given.resamples, 0)
    s = collapse.grid(values)
    counts = collapse.exceedances(data, values, scaling.windows(data, "aggregate"), s)
    runs = collapse.runs_of(data, s, *counts)
    curves = runs.curves(draws)
    exponents = np.linspace(1.0, 1.3, 25)
    ours, start = np.empty((given.resamples, 25)), np.zeros(given.resamples, np.int64)
    qualities(runs.points, curves, exponents, start, ours)  # compile
    whole: list[float] = []
    kernel: list[float] = []
    peer: list[float] = []
    for _ in range(given.rounds):
        begin = time.perf_counter()
        for window in WINDOWS:
            collapse.collapse(data, values, scaling.windows(data, window), draws, 0.95)
        whole.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        qualities(runs.points, curves, exponents, start, ours)
        kernel.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        theirs = np.array([numpy_quality(runs.points, curves, d) for d in exponents]).T
        peer.append(time.perf_counter() - begin)
    print(f"{data.runs} runs, {len(values)} avalanches, {given.resamples} resamples, 1 thread")
    report("collapse, three windows", whole)
    report("kernel, S at 25 exponents, one window", kernel)
    report("numpy, S at 25 exponents, one window", peer)
    print(f"largest relative difference {np.abs(ours / theirs - 1).max():.1e}")


if __name__ == "__main__":
    main()
