"""Effects: which options of a sweep change D, by how much, and where D(t) crosses its null."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import PHASES
from grokcrit.plot.sources import rows
from grokcrit.questions.rows import PHASE_COLUMNS, PHASES_AND_CHANGE, missing
from grokcrit.scaling.ensembles import Ints, Reals
from grokcrit.tasks.swept import SWEPT_AVALANCHE, SWEPT_TRAINING, TRAINED

TRAINING = ("task", *(column.name for column in SWEPT_TRAINING))
OPTIONS = (*TRAINING, *(column.name for column in SWEPT_AVALANCHE))
# A number with more values than this is divided into quarters of the points.
MOST_LEVELS = 8
# With a larger share of avalanches cut off, the sizes of a point are too small to believe its D.
MUCH_CUT = 0.05
# What an option can change, and its name in a table.


@dataclass(frozen=True)
class Factor:
    """An option that takes several values."""

    name: str  # without ``train_`` where training and measurement have the same values
    levels: list[str]  # the names of its values, in order
    level_of: Ints  # index of each point's level


@dataclass(frozen=True)
class SweepPoints:
    """The points of a sweep that did not fail: one entry each, NaN where there is no number."""

    keys: list[str]
    factors: list[Factor]  # the options that differ between points
    exponent: dict[str, Reals]  # D of the data, by window
    low: dict[str, Reals]  # its interval
    high: dict[str, Reals]
    null: dict[str, Reals]  # D of the Gaussian null
    crossing: Reals  # epoch from which D(t) stays above the null
    clear: npt.NDArray[np.bool_]  # whether it was clearly below before, and ends clearly above
    asked: npt.NDArray[np.bool_]  # whether a crossing was looked for
    grokked: npt.NDArray[np.bool_]  # whether any run groks
    cut: Reals  # share of the avalanches that were cut off at max_steps
    training: Ints  # index of the training: points that share one are not independent
    failed: int

    @property
    def much_cut(self) -> npt.NDArray[np.bool_]:
        """Return at which points too many avalanches were cut off to believe D."""
        return self.cut > MUCH_CUT

    @property
    def fitted(self) -> npt.NDArray[np.bool_]:
        """Return which points have D both before and after grokking."""
        return ~np.isnan(self.exponent["pre"]) & ~np.isnan(self.exponent["post"])

    @property
    def levels(self) -> list[tuple[Factor, str, npt.NDArray[np.bool_]]]:
        """Return every level of every option, with the points that have it."""
        return [
            (factor, name, factor.level_of == k)
            for factor in self.factors
            for k, name in enumerate(factor.levels)
        ]


def points_of(table: pa.Table, observable: str, statistic: str) -> SweepPoints:
    """Return the points of a ``sweep/1`` table, in its order."""
    failed = pc.is_valid(table["error"])
    chosen = rows(table.filter(pc.invert(failed)), observable=observable, statistic=statistic)
    data = rows(chosen, surrogate="none", window=PHASES[0])

    def by_window(name: str, surrogate: str = "none") -> dict[str, Reals]:
        found = {}
        for window in PHASES_AND_CHANGE:
            mine = rows(chosen, surrogate=surrogate, window=window)
            place = pc.index_in(data["point"], value_set=mine["point"].combine_chunks())
            found[window] = mine[name].combine_chunks().take(place.combine_chunks())
        return {window: each.to_numpy(zero_copy_only=False) for window, each in found.items()}

    clear = data["crossing_clear"]
    trainings = pa.array(map(repr, data.select(TRAINING).to_pylist()), pa.string())
    return SweepPoints(
        keys=data["point"].to_pylist(),
        factors=factors_of(data),
        exponent=by_window("exponent"),
        low=by_window("ci_low"),
        high=by_window("ci_high"),
        null=by_window("exponent", "gaussian"),
        crossing=data["crossing"].to_numpy(),
        clear=pc.fill_null(clear, False).to_numpy(),
        asked=pc.is_valid(clear).to_numpy(),
        grokked=pc.is_valid(data["grok_epoch_median"]).to_numpy(),
        cut=data["n_truncated"].to_numpy() / np.maximum(data["n_avalanches"].to_numpy(), 1),
        training=trainings.dictionary_encode().indices.to_numpy(),
        failed=len(pc.unique(table.filter(failed)["point"])),
    )


def first_observable(table: pa.Table) -> str:
    """Return the observable that is shown where none is asked for: size where it is there."""
    known = pc.unique(table["observable"]).drop_null().to_pylist()
    return "size" if "size" in known or not known else str(known[0])


def factors_of(data: pa.Table) -> list[Factor]:
    """Return the options that differ between points; those that vary in unison as one."""
    found: list[Factor] = []
    for name in OPTIONS:
        values = [tuple(v) if isinstance(v, list) else v for v in data[name].to_pylist()]
        if len(set(values)) < 2:
            continue
        factor = factor_of(name, values)
        for k, other in enumerate(found):
            if in_unison(factor.level_of, other.level_of):
                found[k] = united(other, factor)
                break
        else:
            found.append(factor)
    return found


def in_unison(one: Ints, other: Ints) -> bool:
    """Return whether two options divide the points in the same way."""
    pairs = len({*zip(one.tolist(), other.tolist(), strict=True)})
    return pairs == len(np.unique(one)) == len(np.unique(other))


def united(one: Factor, other: Factor) -> Factor:
    """Make one option of two in unison: `rule` measured as trained, `lr` that goes with `model`."""
    if one.name == TRAINED + other.name:
        return Factor(other.name, one.levels, one.level_of)
    with_it = dict(zip(one.level_of.tolist(), other.level_of.tolist(), strict=True))
    levels = [f"{name}, {other.levels[with_it[k]]}" for k, name in enumerate(one.levels)]
    return Factor(f"{one.name}, {other.name}", levels, one.level_of)


def factor_of(name: str, values: Sequence[Any]) -> Factor:
    """Sort the values of an option into levels: its values, or quarters of many numbers."""
    distinct = sorted(set(values), key=lambda v: (v is not None, 0 if v is None else v))
    if len(distinct) > MOST_LEVELS and all(isinstance(v, int | float) for v in distinct):
        quarter = np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values, side="left")
        kept, level_of = np.unique(quarter, return_inverse=True)
        groups = [[v for v, q in zip(values, quarter, strict=True) if q == k] for k in kept]
        return Factor(name, [f"{min(g):.3g} to {max(g):.3g}" for g in groups], level_of)
    place = {value: k for k, value in enumerate(distinct)}
    levels = [told(v) for v in distinct]
    if len(set(levels)) < len(levels):  # lists that begin and end alike
        levels = [",".join(map(str, v)) if isinstance(v, tuple) else told(v) for v in distinct]
    return Factor(name, levels, np.array([place[v] for v in values]))


def told(value: Any) -> str:
    """Return the name of a value."""
    if isinstance(value, tuple):
        return f"{min(value)} to {max(value)} ({len(value)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def share(level_of: Ints, response: Reals) -> float:
    """Return the share of the variance between points that lies between the levels of one option.

    eta^2 = sum_l n_l (mean_l - mean)^2 / sum_i (y_i - mean)^2, over the points with a number; the
    main effect of a balanced design. NaN where nothing varies, or one level alone has numbers.
    """
    there = ~np.isnan(response)
    y, level = response[there], level_of[there]
    if len(np.unique(level)) < 2:
        return math.nan
    count, sums = np.bincount(level), np.bincount(level, y - y.mean())
    between = (sums**2 / np.maximum(count, 1)).sum()
    total = ((y - y.mean()) ** 2).sum()
    return float(between / total) if total > 0 else math.nan


def by_chance(level_of: Ints, response: Reals) -> float:
    """Return the mean share of an option without effect: (levels - 1) / (points - 1)."""
    there = ~np.isnan(response)
    levels = len(np.unique(level_of[there]))
    return (levels - 1) / (there.sum() - 1) if levels > 1 else math.nan


def p_of_share(points: SweepPoints, factor: Factor, window: str) -> float:
    """Return the p of a share under no effect: one-way analysis of variance, the F test.

    What the other options do counts as noise, so that it errs on the side of no effect. Where an
    option is one of training, the mean of the points of a training counts once.
    """
    response = points.exponent[window]
    there = ~np.isnan(response)
    level, y, training = factor.level_of[there], response[there], points.training[there]
    units, first = np.unique(training, return_index=True)
    if len({*zip(training.tolist(), level.tolist(), strict=True)}) == len(units):
        y = np.array([y[training == unit].mean() for unit in units])
        level = level[first]
    groups = [y[level == k] for k in np.unique(level)]
    free = len(y) - len(groups)
    if len(groups) < 2 or free < 1:
        return math.nan
    between = sum(len(g) * (g.mean() - y.mean()) ** 2 for g in groups) / (len(groups) - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / free
    if within <= 0:
        return math.nan
    return float(scipy.special.fdtrc(len(groups) - 1, free, between / within))


def pairs(factors: Sequence[Factor], response: Reals) -> list[tuple[float, str]]:
    """Return what pairs of options have beyond each alone, largest first; none if unbalanced."""
    if math.isnan(together(factors, response)):
        return []
    found = []
    for one, other in itertools.combinations(factors, 2):
        cells = one.level_of * len(other.levels) + other.level_of
        alone = share(one.level_of, response) + share(other.level_of, response)
        found.append((share(cells, response) - alone, f"{one.name} with {other.name}"))
    return sorted(found, reverse=True)


def together(factors: Sequence[Factor], response: Reals) -> float:
    """Return the share that no option has alone. NaN where points are not balanced.

    Balanced: every combination of levels is there equally often, so that main effects add up.
    """
    if np.isnan(response).any() or not factors:
        return math.nan
    combinations = np.array([f.level_of for f in factors]).T
    _, counts = np.unique(combinations, axis=0, return_counts=True)
    whole = math.prod(len(f.levels) for f in factors)
    if len(counts) != whole or len(set(counts.tolist())) != 1:
        return math.nan
    return 1 - sum(share(factor.level_of, response) for factor in factors)


def noise(points: SweepPoints, window: str, confidence: float | None) -> float:
    """Return the share that the runs alone would give: mean squared error over the variance.

    The error of a point is taken from its interval. SweepPoints of one root seed share runs, so
    differences between them are surer than this. NaN where the confidence is not known.
    """
    if confidence is None:
        return math.nan
    z = scipy.special.ndtri(0.5 + confidence / 2)
    half = (points.high[window] - points.low[window]) / (2 * z)
    values = points.exponent[window][~np.isnan(points.exponent[window])]
    variance, known = values.var() if len(values) else 0.0, half[~np.isnan(half)]
    return float((known**2).mean() / variance) if len(known) and variance > 0 else math.nan


def shares(points: SweepPoints, confidence: float | None, count: int) -> list[Row]:
    """Return the shares of the variance: per option, of ``count`` pairs, and of the rest."""
    response = {window: points.exponent[window] for window in PHASE_COLUMNS}
    found: dict[str, Mapping[str, float]] = {}
    for factor in points.factors:
        found[factor.name] = {w: share(factor.level_of, y) for w, y in response.items()}
    couples: dict[str, dict[str, float]] = {}
    for window, y in response.items():
        for amount, name in pairs(points.factors, y):
            couples.setdefault(name, {})[window] = amount
    best = sorted(couples, key=lambda name: -max(couples[name].values()))[:count]
    found |= {name: couples[name] for name in best}
    found["only together, all"] = {w: together(points.factors, y) for w, y in response.items()}
    found["noise of the runs"] = {w: noise(points, w, confidence) for w in response}
    chance = {f.name: by_chance(f.level_of, response["post"]) for f in points.factors}
    return [
        {"option": option}
        | {name: missing(each.get(window)) for window, name in PHASE_COLUMNS.items()}
        | {"by chance": missing(chance.get(option))}
        for option, each in found.items()
    ]


class Crossed(NamedTuple):
    """At how many points D(t) crosses its null clearly, at all, and of how many that was asked."""

    clear: int
    there: int
    asked: int


def crossed(points: SweepPoints, chosen: npt.NDArray[np.bool_]) -> Crossed:
    """Count the crossings among some points."""
    asked = chosen & points.asked
    there = asked & ~np.isnan(points.crossing)
    return Crossed(int((there & points.clear).sum()), int(there.sum()), int(asked.sum()))


def middle(values: Reals) -> float | None:
    """Return the mean of the numbers there are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
