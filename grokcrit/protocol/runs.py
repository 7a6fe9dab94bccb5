"""Runs of a case, read from a signals table: their times, and every signal over epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.rng import stream
from grokcrit.scaling.ensembles import Ints, Reals, column
from grokcrit.scaling.fits import exponents
from grokcrit.tables.schemas import GROKKED, MEMORISED

# Names of rows that are no signals: what times are read from, and what D is made of.
TRAIN_ACCURACY, TEST_ACCURACY, SIZE = "train_accuracy", "test_accuracy", "size"
INGREDIENTS = (TRAIN_ACCURACY, TEST_ACCURACY, SIZE)
# Share of the way from chance to 1 at which test accuracy has left chance.
LEFT = 0.1
# The signal of a family of widths, and the least sizes that a slope is fitted to.
DIMENSION, LEAST_SIZES = "D", 3
TIMES = ("memorised", "left", "grokked")
WHITE, WALK, EPOCH = "white-noise", "random-walk", "epoch"


@dataclass(frozen=True)
class Signal:
    """A signal of R runs at the E epochs at which any of them has it."""

    epochs: Ints  # (E,), ascending
    values: Reals  # (R, E), NaN where it is undefined or not measured
    there: npt.NDArray[np.bool_]  # (R,): whether a run has rows of it
    seconds: Reals  # (R, E): time that it took, NaN where that is not known
    rows: npt.NDArray[np.bool_]  # (R, E): where it was measured, undefined or not

    @property
    def step(self) -> float:
        """Epochs between two measurements; 0 where there are no two."""
        return float(np.median(np.diff(self.epochs))) if len(self.epochs) > 1 else 0.0


@dataclass(frozen=True)
class Runs:
    """The R runs of a case, or its families of widths; times are NaN where they never come."""

    task: str
    case: str
    field: str
    options: Mapping[str, Any]  # as the record has them; empty without one
    width: Ints  # (R,); 0 of a family
    n_params: Ints  # (R,)
    seed: Ints  # (R,)
    memorised: Reals  # (R,): first epoch of training accuracy above MEMORISED
    left: Reals  # (R,): first epoch at which test accuracy has left chance
    grokked: Reals  # (R,): first epoch of test accuracy above GROKKED
    last: Reals  # (R,): last epoch
    signals: Mapping[str, Signal]
    training_seconds: Reals  # of an epoch of each run

    @property
    def measured(self) -> Runs | None:
        """The runs that have signals of their own, not only what D is made of; None without."""
        scored = [each.there for name, each in self.signals.items() if name not in INGREDIENTS]
        chosen = np.any([np.zeros(len(self.seed), bool), *scored], axis=0)
        if not chosen.any():
            return None
        arrays = {
            name: getattr(self, name)[chosen]
            for name in ("width", "n_params", "seed", *TIMES, "last", "training_seconds")
        }
        signals = {
            name: Signal(
                s.epochs, s.values[chosen], s.there[chosen], s.seconds[chosen], s.rows[chosen]
            )
            for name, s in self.signals.items()
        }
        return replace(self, **arrays, signals=signals)

    @property
    def name(self) -> tuple[str, str, str]:
        """Task, case and field."""
        return self.task, self.case, self.field


def cases_of(table: pa.Table, cases: Mapping[str, Any], root_seed: int) -> list[Runs]:
    """Return the runs of every case of a signals table, placebos among their signals.

    Parameters
    ----------
    table
        Schema ``signals/1``, in any order of rows.
    cases
        Options of each case, as a record has them.
    root_seed
        Of the random placebos.
    """
    coded = {name: encoded(table[name]) for name in ("task", "case", "field", "signal")}
    of_case = [coded[name] for name in ("task", "case", "field")]
    places, at = np.unique(
        np.stack([codes for codes, _ in of_case], axis=1), axis=0, return_inverse=True
    )
    numbers = ("width", "n_params", "seed", "epoch", "value", "seconds", "training_seconds")
    rows = {name: column(table, name) for name in numbers} | {"signal": coded["signal"][0]}
    found = []
    for k, place in enumerate(places):
        name = [names[code] for code, (_, names) in zip(place, of_case, strict=True)]
        mine = {key: each[at == k] for key, each in rows.items()}
        found.append(runs_of(name, cases.get(name[1], {}), mine, coded["signal"][1], root_seed))
    return found


def encoded(texts: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Return the place of each text among the sorted names, and these names."""
    coded = pc.dictionary_encode(texts).combine_chunks()
    names = coded.dictionary.to_pylist()
    ordered = sorted(names)
    place = np.array([ordered.index(name) for name in names])
    return place[coded.indices.to_numpy()], ordered


def runs_of(
    name: list[str],
    options: Mapping[str, Any],
    rows: Mapping[str, npt.NDArray[Any]],
    names: list[str],
    root_seed: int,
) -> Runs:
    """Return the runs of one case, given its rows; ``names`` are those of the signals."""
    runs, first, run = np.unique(
        np.stack([rows["width"], rows["seed"]], axis=1),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    signals = {
        names[code]: signal_of(len(runs), run, rows, rows["signal"] == code)
        for code in np.unique(rows["signal"])
    }
    last = np.full(len(runs), -1)
    np.maximum.at(last, run, rows["epoch"])
    none = signal_of(len(runs), run, rows, np.zeros(len(run), bool))
    train, test = (signals.get(each, none) for each in (TRAIN_ACCURACY, TEST_ACCURACY))
    chance = chance_of(name[0], options, test)
    width, seed = runs[:, 0], runs[:, 1]
    measured = {key: each for key, each in signals.items() if key not in INGREDIENTS}
    task, case, of_field = name
    found = Runs(
        task=task,
        case=case,
        field=of_field,
        options=options,
        width=width,
        n_params=rows["n_params"][first],
        seed=seed,
        memorised=first_above(train, MEMORISED),
        left=first_above(test, chance + LEFT * (1 - chance)),
        grokked=first_above(test, GROKKED),
        last=last.astype(np.float64),
        signals=signals,
        training_seconds=rows["training_seconds"][first],
    )
    return replace(found, signals=signals | placebos(found, measured, root_seed))


def signal_of(
    runs: int, run: Ints, rows: Mapping[str, npt.NDArray[Any]], mine: npt.NDArray[np.bool_]
) -> Signal:
    """Return one signal, given which rows are its own."""
    epochs, place = np.unique(rows["epoch"][mine], return_inverse=True)
    values, seconds = np.full((2, runs, len(epochs)), np.nan)
    values[run[mine], place] = rows["value"][mine]
    seconds[run[mine], place] = rows["seconds"][mine]
    measured = np.zeros(values.shape, bool)
    measured[run[mine], place] = True
    there = np.any(measured, axis=1)
    return Signal(epochs, values, np.asarray(there), seconds, measured)


def chance_of(task: str, options: Mapping[str, Any], test: Signal) -> Reals:
    """Return the test accuracy of guessing, of each run.

    That of the task where it is known; as a recorder was told; or else that of the first epoch.
    """
    known = options.get("chance", dict(options.get("configuration") or {}).get("chance"))
    if task == "modadd" and "prime" in options:
        known = 1 / options["prime"]
    elif task in ("parity", "xor"):
        known = 0.5
    if isinstance(known, int | float):
        return np.full(len(test.values), float(known))
    return np.array([(row[~np.isnan(row)][:1].tolist() or [np.nan])[0] for row in test.values])


def first_above(signal: Signal, level: Reals | float) -> Reals:
    """Return the first epoch of each run at which a signal exceeds a level; NaN for none."""
    above = signal.values > np.reshape(level, (-1, 1))
    if not len(signal.epochs):
        return np.full(len(above), np.nan)
    return np.where(above.any(axis=1), signal.epochs[above.argmax(axis=1)], np.nan)


def placebos(runs: Runs, measured: Mapping[str, Signal], root_seed: int) -> dict[str, Signal]:
    """Return signals that know nothing, at the epochs and of the runs that signals are of."""
    if not measured:
        return {}
    epochs = np.unique(np.concatenate([each.epochs for each in measured.values()]))
    there = np.any([each.there for each in measured.values()], axis=0)
    present = np.zeros((len(there), len(epochs)), bool)
    for each in measured.values():
        present[:, np.searchsorted(epochs, each.epochs)] |= each.rows

    def noise(purpose: str) -> Reals:
        places = zip(runs.width, runs.seed, strict=True)
        return np.array(
            [
                stream(purpose, root_seed, runs.case, *place).standard_normal(len(epochs))
                for place in places
            ]
        )

    values = {
        WHITE: noise(WHITE),
        WALK: noise(WALK).cumsum(axis=1),
        EPOCH: np.tile(epochs.astype(np.float64), (len(there), 1)),
    }
    untimed = np.full((len(there), len(epochs)), np.nan)
    return {
        name: Signal(epochs, np.where(present, each, np.nan), there, untimed, present)
        for name, each in values.items()
    }


def families_of(runs: Runs, least: int) -> Runs | None:
    """Return the families of a case: its runs of one seed at several widths, with their D.

    D of an epoch is the least-squares slope of ln(size) on ln(N) over the widths with a size above
    0, which must be more than half of the family, and three at least. It is undefined where a
    member is not measured, as after its end: a slope over other widths is another quantity, and
    members of a control need not end in the order of those that grok. Times are the medians of the
    members that have them, if more than half do.

    Parameters
    ----------
    runs
        Runs of one case.
    least
        Least number of widths; seeds with fewer make no family. None where no seed has as many.
    """
    size = runs.signals.get(SIZE)
    if size is None:
        return None
    count = np.bincount(runs.seed[size.there])
    seeds = np.flatnonzero(count >= least)
    members = [np.flatnonzero(size.there & (runs.seed == seed)) for seed in seeds]
    if not members:
        return None
    values, seconds = [], []
    for mine in members:
        ordered = mine[np.argsort(runs.n_params[mine])]
        sizes = size.values[ordered].T
        enough = (sizes > 0).sum(axis=1) >= max(LEAST_SIZES, len(mine) // 2 + 1)
        enough &= ~np.isnan(sizes).any(axis=1)
        slopes = exponents(runs.n_params[ordered], sizes)
        values.append(np.where(enough, slopes, np.nan))
        seconds.append(size.seconds[mine].sum(axis=0))

    def median(times: Reals) -> Reals:
        return np.array([median_of_most(times[mine]) for mine in members])

    everywhere = np.ones(len(seeds), bool)
    found = np.array(values)
    slope = Signal(size.epochs, found, everywhere, np.array(seconds), np.isfinite(found))
    return replace(
        runs,
        width=np.zeros(len(seeds), np.int64),
        n_params=np.zeros(len(seeds), np.int64),
        seed=seeds,
        memorised=median(runs.memorised),
        left=median(runs.left),
        grokked=median(runs.grokked),
        last=np.array([runs.last[mine].min() for mine in members]),
        signals={DIMENSION: slope},
        training_seconds=np.array([runs.training_seconds[mine].sum() for mine in members]),
    )


def median_of_most(times: Reals) -> float:
    """Return the median of the times that there are, NaN unless more than half are."""
    known = times[~np.isnan(times)]
    return float(np.median(known)) if 2 * len(known) > len(times) else np.nan
