"""Oracles of the early-warning protocol: plain loops, sharing no code with what they check."""

import math
import statistics


def mean_sd(values):
    """Mean and sample standard deviation."""
    return statistics.fmean(values), statistics.stdev(values)


def standard(x, reference):
    """Distance of x from the mean of some values, in standard deviations of at least a millionth.

    A reference that is constant and an x that equals it are no distance apart.
    """
    mean, sd = mean_sd(reference)
    scale = max(sd, 1e-6 * max(abs(v) for v in [*reference, x]))
    return (x - mean) / scale if scale else 0.0


def detect(values, detector, sign, step=1):
    """Statistic at each sample since memorising; None where it is undefined."""
    xs = [None if v is None else sign * v for v in values]
    out = [None] * len(xs)
    if detector == "level":
        return xs
    if detector == "change":
        first = next((x for x in xs if x is not None), None)
        return [None if x is None else x - first for x in xs]
    if detector == "z":
        window = max(20 // step, 5)
        for k, x in enumerate(xs):
            before = [v for v in xs[max(0, k - window) : k] if v is not None]
            if x is not None and len(before) >= 5:
                out[k] = standard(x, before)
        return out
    reference = max(10 // step, 5)
    known = [v for v in xs[:reference] if v is not None]
    if len(known) < 5:
        return out
    total = 0.0
    for k in range(reference, len(xs)):
        if xs[k] is not None:
            total = max(0.0, total + standard(xs[k], known) - 0.5)
            out[k] = total
    return out


def auroc(base, controls):
    """Share of pairs in which the first is larger; a tie counts a half."""
    wins = [1.0 if b > c else 0.5 if b == c else 0.0 for b in base for c in controls]
    return sum(wins) / len(wins)


def largest(statistic, samples):
    """Largest statistic in a watch of so many samples."""
    return max((s for s in statistic[:samples] if s is not None), default=-math.inf)


def tauc(pairs, gap=10, horizon=40):
    """Concordance of base runs with controls at equal times since memorising.

    ``pairs`` hold (statistic of the base run, of its control, epochs from memorising to grokking);
    a statistic is a list over epochs since memorising.
    """
    won, total = 0.0, 0
    for mine, _, length in pairs:
        for _, other, partners in pairs:
            for tau in range(max(length, partners)):
                soon = all(x - gap - horizon < tau <= x - gap for x in (length, partners))
                if soon:
                    a, b = (-math.inf if s[tau] is None else s[tau] for s in (mine, other))
                    won += 1.0 if a > b else 0.5 if a == b else 0.0
                    total += 1
    return won / total


def threshold(scores, rate):
    """Lowest of the scores that at most a share of them exceeds."""
    return min(
        s for s in [-math.inf, *scores] if sum(x > s for x in scores) <= rate * len(scores) + 1e-9
    )
