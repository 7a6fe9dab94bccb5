"""How often intervals of times cover, on made tables whose times are known.

    python benchmarks/times_coverage.py [--tables 400] [--seeds 6,12] [--only change]

Eight sizes, snapshots every 10 epochs of 500. ln(size) = D(t) ln N + level of the run + noise of
the snapshot, each normal with standard deviation 0.3; the noise is autoregressive, 0.7 from one
snapshot to the next. Coverage is that of the intervals there are, with its binomial error; width
their median, in snapshots; none: the share of tables without an interval.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from grokcrit.base.summary import Row
from grokcrit.questions import crossings
from grokcrit.questions.family import course, gap_of
from grokcrit.questions.separation import separation
from grokcrit.scaling import resampling
from grokcrit.scaling.crossings import change_point
from grokcrit.scaling.ensembles import Ensemble, Reals

SIZES = np.array([81, 121, 201, 301, 401, 801, 1201, 2001])
EPOCHS = np.arange(0, 501, 10)
SIGMA_RUN, SIGMA_SNAPSHOT, MEMORY = 0.3, 0.3, 0.7
RESAMPLES = 1000
AT = 253.0  # between two snapshots
GROKKED = 340.0  # median of the grokking epochs, which are uniform in 300..380
HEIGHTS = (0.05, 0.1, 0.2, 0.4)
RISES = ((0.4, 500), (0.4, 100), (0.8, 100))


def step(height: float) -> Reals:
    """Return D(t) that steps up at ``AT``, from as far below 1 as it then is above."""
    return 1 + height * np.where(EPOCHS < AT, -0.5, 0.5)


def rise(height: float, epochs: float) -> Reals:
    """Return D(t) that rises linearly through 1 at ``AT``, for so many epochs in all."""
    return 1 + height * np.clip((EPOCHS - AT) / epochs, -0.5, 0.5)


def sigmoid(height: float, epochs: float) -> Reals:
    """Return D(t) that rises as a logistic through 1 at ``AT``."""
    return 1 + height * (1 / (1 + np.exp(-(EPOCHS - AT) / epochs)) - 0.5)


def onset(height: float, epochs: float) -> Reals:
    """Return D(t) that leaves 1 at ``AT`` and is higher after so many epochs."""
    return 1 + height * np.clip((EPOCHS - AT) / epochs, 0, 1)


@dataclass(frozen=True)
class Table:
    """A kind of made table and the time that is sought in it."""

    name: str
    quantity: str
    exponent: Reals  # D(t)
    truth: float


def tables() -> list[Table]:
    """Return all kinds of tables."""
    times = EPOCHS.astype(float)
    rises = {f"linear, {h} in {w} epochs": rise(h, w) for h, w in RISES}
    steps = {f"step of {h}": step(h) for h in HEIGHTS}
    strong = {f"step of {h}": step(h) for h in HEIGHTS[2:]}
    smooth = {f"logistic, {h}, {w} epochs": sigmoid(h, w) for h, w in ((0.2, 30), (0.4, 60))}
    apart = {f"step of {h}": onset(h, 1) for h in (0.2, 0.4, 0.8)}
    apart |= {f"linear, {h} in {w} epochs": onset(h, w) for h, w in ((0.4, 50), (0.4, 150))}
    return [
        *(Table(name, "crossing", d, AT) for name, d in (rises | strong).items()),
        Table("always 1", "crossing", onset(0, 1), math.nan),
        *(Table(name, "crossing-lead", d, GROKKED - AT) for name, d in rises.items()),
        *(Table(name, "change-point", d, AT) for name, d in steps.items()),
        *(
            Table(name, "change-point", d, float(change_point(times, d)[0]))
            for name, d in smooth.items()
        ),
        Table("always 1", "change-point", onset(0, 1), math.nan),
        *(
            Table(name, "change-of-D", d, h)
            for (name, d), h in zip(steps.items(), HEIGHTS, strict=True)
        ),
        # It is there from the first snapshot after AT on.
        *(Table(name, "separation", d, float(EPOCHS[EPOCHS > AT][0])) for name, d in apart.items()),
        Table("always 1", "separation", onset(0, 1), math.nan),
    ]


def made(seeds: int, exponent: Reals, rng: np.random.Generator) -> Ensemble:
    """Make the avalanches of one table."""
    runs = len(SIZES) * seeds
    size_of = np.repeat(np.arange(len(SIZES)), seeds)
    noise = rng.standard_normal((runs, len(EPOCHS)))
    for t in range(1, len(EPOCHS)):
        noise[:, t] = MEMORY * noise[:, t - 1] + math.sqrt(1 - MEMORY**2) * noise[:, t]
    level = SIGMA_RUN * rng.standard_normal((runs, 1))
    log_size = np.log(SIZES)[size_of][:, None] * exponent + level + SIGMA_SNAPSHOT * noise
    return Ensemble(
        case={},
        sizes=SIZES,
        size_of=size_of,
        seed=np.tile(np.arange(seeds), len(SIZES)),
        grok=rng.integers(300, 381, runs).astype(float),
        run=np.repeat(np.arange(runs), len(EPOCHS)),
        epoch=np.tile(EPOCHS, runs),
        truncated=np.zeros(runs * len(EPOCHS), bool),
        table=pa.table({"size": np.exp(log_size).ravel()}),
    )


def row_of(kind: Table, seeds: int, number: int, rng: np.random.Generator) -> Row:
    """Make a table, and the row of the time that is sought in it."""
    data = made(seeds, kind.exponent, rng)
    draws = resampling.draw_runs(data, RESAMPLES, number)
    found = course([data], "size", "mean", "epoch", draws)
    if kind.quantity == "separation":
        control = made(seeds, np.ones(len(EPOCHS)), rng)
        gap = found - course([control], "size", "mean", "epoch", draws)
        return separation(gap.times, gap.estimate, 0.95)
    groks = crossings.drawn_medians(data, draws)
    if kind.quantity.startswith("change"):
        rows = crossings.changes(found, 0.95, groks, data)
    else:
        above = gap_of(found, None, "1")
        assert above is not None
        rows = crossings.crossings(above, 0.95, groks, data)
    return next(row for row in rows if row["quantity"] == kind.quantity)


@dataclass(frozen=True)
class Coverage:
    """What the tables of one kind gave."""

    tables: int
    ends: Reals  # (intervals, 2)
    truth: float

    @property
    def held(self) -> int:
        """How many intervals hold the time."""
        return int(((self.ends[:, 0] <= self.truth) & (self.truth <= self.ends[:, 1])).sum())

    @property
    def none(self) -> int:
        """How many tables have no interval."""
        return self.tables - len(self.ends)


def coverage(kind: Table, seeds: int, tables: int, root_seed: int = 0) -> Coverage:
    """Make many tables of a kind, and the interval of each."""
    rng = np.random.default_rng([root_seed, seeds, *map(ord, kind.quantity + kind.name)])
    rows = [row_of(kind, seeds, number, rng) for number in range(tables)]
    ends = [(r["ci_low"], r["ci_high"]) for r in rows if r.get("ci_low") is not None]
    return Coverage(tables, np.array(ends, float).reshape(-1, 2), kind.truth)


def main() -> None:
    """Print a row for each kind of table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--seeds", default="6,12")
    parser.add_argument("--only", default="", help="crossing, change-point or separation")
    given = parser.parse_args()
    print("| time | D(t) | runs | coverage | width | none |\n|---|---|---|---|---|---|")
    for kind in tables():
        if not kind.quantity.startswith(given.only):
            continue
        for seeds in map(int, given.seeds.split(",")):
            found = coverage(kind, seeds, given.tables)
            n = max(len(found.ends), 1)
            share = found.held / n
            error = math.sqrt(share * (1 - share) / n)
            covered = "" if math.isnan(kind.truth) else f"{share:.1%} +- {error:.1%}"
            width = (
                np.median(np.diff(found.ends) / np.diff(EPOCHS)[0]) if len(found.ends) else math.nan
            )
            none = found.none / found.tables
            cells = kind.quantity, kind.name, seeds, covered, f"{width:.1f}", f"{none:.1%}"
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
