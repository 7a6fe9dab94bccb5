"""The run bootstrap of the scaling exponent: ours against a loop over scipy.stats.linregress.

10,000 resamples of 8 sizes with 6 runs each, drawn beforehand. The peer too averages the drawn runs
of all resamples at once, with numpy; it then fits one resample after the other.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from measure import Section, Way, measure, row
from scipy import stats

from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble

SIZES = np.array([81, 121, 201, 301, 401, 801, 1201, 2001])
SEEDS, RESAMPLES = 6, 10_000


def made() -> tuple[Ensemble, np.ndarray]:
    """Make runs whose mean avalanche size grows as N^1.1, with lognormal noise of each run."""
    size_of = np.repeat(np.arange(len(SIZES)), SEEDS)
    runs = len(size_of)
    ensemble = Ensemble(
        case={},
        sizes=SIZES,
        size_of=size_of,
        seed=np.tile(np.arange(SEEDS), len(SIZES)),
        grok=np.full(runs, np.nan),
        run=np.arange(runs),
        epoch=np.zeros(runs, np.int64),
        truncated=np.zeros(runs, bool),
        table=pa.table({}),
    )
    noise = np.random.default_rng(0).lognormal(0, 0.3, runs)
    return ensemble, (SIZES[size_of] ** 1.1 * noise)[:, None]


def vectorised(ensemble: Ensemble, by_run: np.ndarray, draws: list[np.ndarray]) -> np.ndarray:
    """Fit all resamples at once, as the bootstrap stage does."""
    return resampling.exponents(ensemble, by_run, "mean", draws).draws[:, 0]


def loop(ensemble: Ensemble, by_run: np.ndarray, draws: list[np.ndarray]) -> np.ndarray:
    """Fit one resample after the other."""
    x = np.log(ensemble.sizes)
    means = [by_run[ensemble.size_of == k, 0][drawn].mean(axis=1) for k, drawn in enumerate(draws)]
    return np.array([stats.linregress(x, y).slope for y in np.log(np.stack(means, axis=1))])


def run(rounds: int) -> Section:
    """Time the slopes of all resamples."""
    section = Section("bootstrap")
    ensemble, by_run = made()
    draws = resampling.draw_runs(ensemble, RESAMPLES, 0)
    timed = measure(
        [
            Way(
                "grokcrit",
                lambda: resampling.exponents(ensemble, by_run, "mean", draws).draws[:, 0],
            ),
            Way("loop over linregress", lambda: loop(ensemble, by_run, draws)),
        ],
        rounds,
    )
    mine, peer = timed.values()
    off = float(np.abs(mine.result - peer.result).max())
    section.check(off < 1e-10, f"slopes differ by at most {off:.1e}")
    for way in timed.values():
        work = {"work": RESAMPLES, "unit": "resamples"}
        mean = float(way.result.mean())
        section.rows.append(row(section.name, int(SIZES.max()), way, mine, answer=mean, **work))
    return section
