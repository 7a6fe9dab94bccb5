"""Which choices of a sweep move D, by how much, and where the crossing exists."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special

from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.scaling.ensembles import Ints, Reals
from grokcrit.tasks.swept import SWEPT_AVALANCHE, SWEPT_TRAINING, TRAINED

OPTIONS = ("task", *(c.name for c in SWEPT_TRAINING + SWEPT_AVALANCHE))
# Numbers of an axis that takes more values than this are put into quarters of the points.
MOST_LEVELS = 8
# Share of avalanches cut off above which D of a point is not to be believed as it stands.
MUCH_CUT = 0.05


@dataclass(frozen=True)
class Factor:
    """An option that takes several values.

    Attributes
    ----------
    name
        The option; without ``train_`` where training and measurement take it alike.
    levels
        What its values are called, in order.
    level_of : ndarray, shape (points,)
        Index of each point's level.
    """

    name: str
    levels: list[str]
    level_of: Ints


@dataclass(frozen=True)
class Points:
    """The points of a sweep for one observable and statistic; NaN where there is no number.

    Attributes
    ----------
    keys : list of str
    factors : list of Factor
        The options that differ between points.
    exponent, low, high, null : dict of ndarray, shape (points,)
        By window: D of the data, its interval, and D of the Gaussian null.
    crossing : ndarray, shape (points,)
        Epoch from which D(t) stays above the null.
    clear : ndarray of bool, shape (points,)
        Whether it was before clearly below, and is at last clearly above.
    asked : ndarray of bool, shape (points,)
        Whether a crossing was looked for.
    grokked : ndarray of bool, shape (points,)
        Whether any run of the point groks.
    cut : ndarray, shape (points,)
        Share of the avalanches that were cut off at max_steps.
    training : ndarray, shape (points,)
        Index of the point's training: points that share one are not independent.
    failed : int
        Points that failed, which are not among these.
    """

    keys: list[str]
    factors: list[Factor]
    exponent: dict[str, Reals]
    low: dict[str, Reals]
    high: dict[str, Reals]
    null: dict[str, Reals]
    crossing: Reals
    clear: npt.NDArray[np.bool_]
    asked: npt.NDArray[np.bool_]
    grokked: npt.NDArray[np.bool_]
    cut: Reals
    training: Ints
    failed: int

    @property
    def much_cut(self) -> npt.NDArray[np.bool_]:
        """Points of which so many avalanches were cut off that D is not what it would be."""
        return self.cut > MUCH_CUT

    @property
    def fitted(self) -> npt.NDArray[np.bool_]:
        """Points that have D both before and after grokking."""
        return ~np.isnan(self.exponent["pre"]) & ~np.isnan(self.exponent["post"])


def points_of(table: pa.Table, observable: str, statistic: str) -> Points:
    """Take the points out of a sweep table, in its order.

    Parameters
    ----------
    table
        Schema ``sweep/1``.
    """
    wrong = pc.is_valid(table["error"])
    failed = len(pc.unique(table.filter(wrong)["point"]))
    wanted = pc.and_(
        pc.equal(table["observable"], observable), pc.equal(table["statistic"], statistic)
    )
    rows = table.filter(pc.and_kleene(wanted, pc.invert(wrong)))

    def of(surrogate: str, window: str) -> pa.Table:
        same = pc.and_(pc.equal(rows["surrogate"], surrogate), pc.equal(rows["window"], window))
        return rows.filter(same)

    data = of("none", PHASES[0])
    keys = data["point"].to_pylist()
    # Of a point that has lost the row that names its choices the others say nothing.
    rows = rows.filter(pc.is_in(rows["point"], value_set=data["point"].combine_chunks()))
    place = {key: k for k, key in enumerate(keys)}

    def column(name: str, surrogate: str, window: str) -> Reals:
        found = of(surrogate, window)
        values = np.full(len(keys), np.nan)
        values[[place[key] for key in found["point"].to_pylist()]] = found[name].to_numpy()
        return values

    def by_window(name: str, surrogate: str = "none") -> dict[str, Reals]:
        return {window: column(name, surrogate, window) for window in (*PHASES, DIFFERENCE)}

    clear = data["crossing_clear"]
    return Points(
        keys,
        factors_of(data),
        by_window("exponent"),
        by_window("ci_low"),
        by_window("ci_high"),
        by_window("exponent", "gaussian"),
        data["crossing"].to_numpy(),
        pc.fill_null(clear, False).to_numpy(zero_copy_only=False),
        pc.is_valid(clear).to_numpy(zero_copy_only=False),
        pc.is_valid(data["grok_epoch_median"]).to_numpy(zero_copy_only=False),
        data["n_truncated"].to_numpy() / np.maximum(data["n_avalanches"].to_numpy(), 1),
        trainings_of(data),
        failed,
    )


def trainings_of(data: pa.Table) -> Ints:
    """Number the trainings of some points."""
    names = [c.name for c in SWEPT_TRAINING]
    keys = [repr(row) for row in data.select(["task", *names]).to_pylist()]
    place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return np.array([place[key] for key in keys], np.int64)


def first_observable(table: pa.Table) -> str:
    """Return the observable that is shown where none is asked for: size where it is there."""
    known = pc.unique(table["observable"]).drop_null().to_pylist()
    return "size" if "size" in known or not known else str(known[0])


def factors_of(data: pa.Table) -> list[Factor]:
    """Find the options that differ between points, those that vary in unison as one."""
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
    """Whether two options divide the points in the same way."""
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
    distinct = sorted(set(values), key=ordering)
    numbers = all(isinstance(v, int | float) for v in distinct)
    if numbers and len(distinct) > MOST_LEVELS:
        edges = np.quantile(values, [0.25, 0.5, 0.75])
        level_of = np.searchsorted(edges, values, side="left")
        kept, level_of = np.unique(level_of, return_inverse=True)
        groups = [
            [v for v, k in zip(values, level_of, strict=True) if k == q] for q in range(len(kept))
        ]
        levels = [f"{min(group):.3g} to {max(group):.3g}" for group in groups]
        return Factor(name, levels, level_of)
    place = {value: k for k, value in enumerate(distinct)}
    levels = [told(v) for v in distinct]
    if len(set(levels)) < len(levels):  # lists that begin and end alike
        levels = [",".join(map(str, v)) if isinstance(v, tuple) else told(v) for v in distinct]
    return Factor(name, levels, np.array([place[v] for v in values]))


def ordering(value: Any) -> tuple[bool, Any]:
    """Sort values, what has none first."""
    return value is not None, 0 if value is None else value


def told(value: Any) -> str:
    """Name a value of an option."""
    if isinstance(value, tuple):
        return f"{min(value)} to {max(value)} ({len(value)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def share(factor: Factor, response: Reals) -> float:
    """Share of the variance between points that lies between the levels of one option.

    eta^2 = sum_l n_l (mean_l - mean)^2 / sum_i (y_i - mean)^2, over the points with a number; the
    main effect of a balanced design. NaN where nothing varies, or one level alone has numbers.
    """
    return eta_squared(factor.level_of, response)


def eta_squared(level_of: Ints, response: Reals) -> float:
    """Share of the variance that lies between some levels; see :func:`share`."""
    there = ~np.isnan(response)
    y, level = response[there], level_of[there]
    if len(np.unique(level)) < 2:
        return math.nan
    count, sums = np.bincount(level), np.bincount(level, y - y.mean())
    between = (sums**2 / np.maximum(count, 1)).sum()
    total = ((y - y.mean()) ** 2).sum()
    return float(between / total) if total > 0 else math.nan


def by_chance(factor: Factor, response: Reals) -> float:
    """Share that an option without effect has on average: (levels - 1) / (points - 1)."""
    there = ~np.isnan(response)
    levels = len(np.unique(factor.level_of[there]))
    return (levels - 1) / (there.sum() - 1) if levels > 1 else math.nan


def p_of_share(points: Points, factor: Factor, window: str) -> float:
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
    return float(special.fdtrc(len(groups) - 1, free, between / within)) if within > 0 else math.nan


def pairs(factors: Sequence[Factor], response: Reals) -> list[tuple[float, str]]:
    """Share that two options have together beyond what each has alone, largest first.

    Empty where points are not balanced.
    """
    if math.isnan(together(factors, response)):
        return []
    found = []
    for one, other in itertools.combinations(factors, 2):
        cells = one.level_of * len(other.levels) + other.level_of
        alone = share(one, response) + share(other, response)
        found.append((eta_squared(cells, response) - alone, f"{one.name} with {other.name}"))
    return sorted(found, reverse=True)


def best_pairs(points: Points, windows: Sequence[str], count: int) -> dict[str, dict[str, float]]:
    """Pick the pairs of options with the largest share together in any of some windows.

    Returns
    -------
    dict
        Of each pair by its name its share in each window; a window that is not balanced is left
        out.
    """
    found: dict[str, dict[str, float]] = {}
    for window in windows:
        for share_of, name in pairs(points.factors, points.exponent[window]):
            found.setdefault(name, {})[window] = share_of
    best = sorted(found, key=lambda name: -max(found[name].values()))
    return {name: found[name] for name in best[:count]}


def together(factors: Sequence[Factor], response: Reals) -> float:
    """Share that no option has alone: what they do together. NaN where points are not balanced.

    Balanced: every combination of levels is there equally often, so that main effects add up.
    """
    if np.isnan(response).any() or not factors:
        return math.nan
    combinations = np.array([f.level_of for f in factors]).T
    _, counts = np.unique(combinations, axis=0, return_counts=True)
    whole = math.prod(len(f.levels) for f in factors)
    if len(counts) != whole or len(set(counts.tolist())) != 1:
        return math.nan
    return 1 - sum(share(factor, response) for factor in factors)


def noise(points: Points, window: str, confidence: float | None) -> float:
    """Share that the runs alone would give: mean squared error of a point over the variance.

    The error is taken from the intervals. Points of one root seed share runs, so differences
    between them are surer than this. NaN where the confidence is not known.
    """
    if confidence is None:
        return math.nan
    z = special.ndtri(0.5 + confidence / 2)
    half = (points.high[window] - points.low[window]) / (2 * z)
    values = points.exponent[window][~np.isnan(points.exponent[window])]
    variance, known = values.var() if len(values) else 0.0, half[~np.isnan(half)]
    return float((known**2).mean() / variance) if len(known) and variance > 0 else math.nan


def crossed(points: Points, chosen: npt.NDArray[np.bool_]) -> tuple[int, int, int]:
    """Count among some points: clear crossings, crossings at all, points asked."""
    asked = chosen & points.asked
    there = asked & ~np.isnan(points.crossing)
    return int((there & points.clear).sum()), int(there.sum()), int(asked.sum())


def told_cut(points: Points) -> str:
    """Say at how many points many avalanches were cut off."""
    much = points.much_cut
    return (
        f"At {much.sum()} of {len(much)} points more than {MUCH_CUT:.0%} of the avalanches were "
        f"cut off at max_steps, at most {points.cut.max():.0%}: their sizes are too small there, "
        "and D is not what it would be."
    )


def middle(values: Reals) -> float | None:
    """Return the mean of the numbers there are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def levels(points: Points) -> list[tuple[Factor, str, npt.NDArray[np.bool_]]]:
    """List every level of every option with its points."""
    return list(
        itertools.chain.from_iterable(
            ((f, name, f.level_of == k) for k, name in enumerate(f.levels)) for f in points.factors
        )
    )
