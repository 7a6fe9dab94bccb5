"""Estimators on systems whose exponents are known; writes docs/truth.md.

    python benchmarks/truth.py [--tables 400] [--workers 2] [--only exponents,coverage,p,power]

Exponents: long simulations, and what `fss` and `diagnose` make of them. Coverage: many tables per
system and size of sample; the truth of an interval is the estimate from all tables together. What
is not asked for stays as it stands on the page.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import grokcrit
from grokcrit.base.summary import Row
from grokcrit.scaling import moments, resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.collapse import collapse
from grokcrit.scaling.ensembles import Ensemble, Reals
from grokcrit.scaling.reductions import over_snapshots
from grokcrit.systems import system_options
from grokcrit.systems.exact import mean_size
from grokcrit.systems.runs import runs

PAGE = Path(__file__).parents[1] / "docs/truth.md"
Ends: TypeAlias = tuple[float, float, float]  # a value and its interval; NaN: none


@dataclass(frozen=True)
class Known:
    """A system and what is known of it; exponents are of N, the number of sites."""

    system: str
    size: tuple[int, ...]
    avalanches: int  # of each of ten runs a size
    d: float | None
    tau: float | None
    mean: float | None
    tolerance: float  # of D and tau, relative
    collapse_from: int = 10


LONG = (
    Known("oslo", (64, 128, 256, 512, 1024), 36_000, 9 / 4, 14 / 9, 1.0, 0.02, 100),
    Known("manna", (32, 64, 128, 256), 20_000, 2.75 / 2, 1.273, 1.0, 0.04, 30),
    Known(
        "reed-frost", (4096, 16_384, 65_536, 262_144, 1_000_000), 36_000, 2 / 3, 1.5, 1 / 3, 0.02
    ),
    Known("branching", (64, 128, 256, 512, 1024), 36_000, 2.0, 1.5, 1.0, 0.02),
    Known("btw", (32, 64, 128, 256), 20_000, None, None, 1.0, 0.0, 30),
    Known("ofc", (16, 32, 64), 20_000, None, None, None, 0.0, 30),
)


@dataclass(frozen=True)
class Sample:
    """Tables whose intervals are counted."""

    system: str
    size: tuple[int, ...]
    runs: int  # of each size
    avalanches: int  # of each run
    collapse_from: int = 10

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """System sizes N."""
        options = system_options(self.system, size=self.size, seeds=1, avalanches=1)
        return np.array(self.size, np.int64) ** options.dimension


EPIDEMIC, TREES = (256, 1024, 4096, 16_384, 65_536), (32, 64, 128, 256)
SHORT = (
    Sample("reed-frost", EPIDEMIC, 6, 1000),
    Sample("reed-frost", EPIDEMIC, 10, 5000),
    Sample("branching", TREES, 10, 5000),
    Sample("branching", TREES, 20, 10_000),
    Sample("oslo", (32, 64, 128, 256), 10, 5000, 50),
    Sample("oslo", (16, 32, 64, 128), 20, 5000, 50),
    Sample("manna", (16, 32, 64), 10, 5000, 50),
)
ESTIMATES = ("mean", "cutoff", "D moments", "tau moments", "D collapse", "beta collapse")


# --- exponents ------------------------------------------------------------------------------------


def exponents(_: Any) -> str:
    """Compare long simulations with what is known."""
    lines = [
        "| system (N) | avalanches a size | known D, tau | moments D | moments tau | collapse D "
        "| collapse tau | its p | off by at most | simulated, estimated |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    means = [
        "| system | known | mean exponent | of the exact means | cutoff exponent | chi^2 p of the "
        "mean |",
        "|---|---|---|---|---|---|",
    ]
    for known in LONG:
        start = time.perf_counter()
        table = grokcrit.simulate(
            known.system, size=known.size, seeds=10, avalanches=known.avalanches
        )
        made = time.perf_counter()
        fits = grokcrit.fss(table, observable="size", resamples=500).to_pylist()
        asked = grokcrit.diagnose(
            table,
            only=("moments", "collapse"),
            observable="size",
            collapse_from=known.collapse_from,
        ).to_pylist()
        lines.append(exponent_line(known, asked, made - start, time.perf_counter() - made))
        means.append(mean_line(known, fits))
        print(lines[-1], means[-1], sep="\n", flush=True)
    return "\n".join(lines) + "\n\n" + "\n".join(means)


def exponent_line(known: Known, asked: Sequence[Row], simulated: float, estimated: float) -> str:
    """Write D and tau from moments and collapse beside the known ones."""
    place = {(r["quantity"], r["part"]): r for r in asked if r["window"] == "aggregate"}
    kind = "D and beta"
    cells = [
        place["moment", "D"],
        place["moment", "tau"],
        place["collapse-exponent", kind],
        place.get(("collapse-tau", kind), {"value": None, "ci_low": None, "ci_high": None}),
    ]
    off = "-"
    if known.d is not None and known.tau is not None:
        wanted = (known.d, known.tau) * 2
        worst = max(
            abs(cell["value"] / truth - 1) for cell, truth in zip(cells, wanted, strict=True)
        )
        off = f"{worst:.1%} {'within' if worst <= known.tolerance else 'beyond'} "
        off += f"{known.tolerance:.0%}"
    p = place["collapse-quality", kind]["p"]
    return (
        f"| {known.system} ({sizes_of(known)}) | {10 * known.avalanches:,} | "
        f"{'not known' if known.d is None else f'{known.d:.4g}, {known.tau:.4g}'} | "
        f"{' | '.join(map(cell_of, cells))} | {'-' if p is None else f'{p:.2g}'} | {off} | "
        f"{simulated:.0f} s, {estimated:.0f} s |"
    )


def mean_line(known: Known, fits: Sequence[Row]) -> str:
    """Write the exponents of the mean and the cutoff beside those of the exact means."""
    mean, cutoff = (
        next(r for r in fits if (r["window"], r["statistic"]) == ("aggregate", name))
        for name in ("mean", "cutoff")
    )
    options = system_options(known.system, size=known.size, seeds=1, avalanches=1)
    exact = [mean_size(options, size) for size in known.size]
    of_exact = "-"
    if None not in exact:
        n = np.array(known.size, np.float64) ** options.dimension
        of_exact = f"{np.polyfit(np.log(n), np.log(np.array(exact, np.float64)), 1)[0]:.4f}"
    known_mean = "-" if known.mean is None else f"{known.mean:.4g}"
    rows = [cell_of({**row, "value": row["exponent"]}) for row in (mean, cutoff)]
    return (
        f"| {known.system} | {known_mean} | {rows[0]} | {of_exact} | {rows[1]} | "
        f"{mean['chi2_p']:.2g} |"
    )


def sizes_of(known: Known) -> str:
    """Write the range of sizes."""
    options = system_options(known.system, size=known.size, seeds=1, avalanches=1)
    name = "L" if options.dimension == 2 else "N"
    return f"{name} {known.size[0]:,} to {known.size[-1]:,}"


def cell_of(row: Row) -> str:
    """Write a number and its interval."""
    if row["value"] is None:
        return "-"
    ends = "" if row["ci_low"] is None else f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})"
    return f"{row['value']:.3f}{ends}"


# --- coverage -------------------------------------------------------------------------------------


def estimates(
    data: Ensemble, values: Reals, smallest: int, resamples: int, seed: int
) -> dict[str, Ends]:
    """Estimate everything whose coverage is measured, of all avalanches of one table.

    Intervals are those of runs alone: the truth has the same sizes, so that a line's misfit, which
    intervals contain where there is one, is no error here.
    """
    bins = windows(data, "aggregate")
    draws = resampling.draw_runs(data, resamples, seed)
    found: dict[str, Ends] = {}
    for name in ("mean", "cutoff"):
        by_run = over_snapshots(data, values, bins, name)
        estimate = replace(resampling.exponents(data, by_run, name, draws), lines=None)
        low, high = estimate.interval(0.95)
        found[name] = float(estimate.value[0]), float(low[0]), float(high[0])
    of_moments = moments.moments(data, moments.by_run(data, values, bins))
    jackknifed = replace(moments.exponents(of_moments), lines=None)
    low, high = jackknifed.interval(0.95)
    for name in ("D", "tau"):
        i = moments.NAMES.index(name)
        ends = float(jackknifed.value[i]), float(low[i]), float(high[i])
        found[f"{name} moments"] = ends
    error = float(np.nanmax(of_moments.errors))
    best = collapse(data, values, bins, draws, 0.95, free=True, smallest=smallest)
    for name, each in (("D", best.exponent), ("beta", best.beta)):
        known = each is not None and each.ci_low is not None
        found[f"{name} collapse"] = tuple(each) if known else (np.nan, np.nan, np.nan)
    return found | {"error": (error, 0, 0), "p": (np.nan if best.p is None else best.p, 0, 0)}


def one_table(work: tuple[Sample, int]) -> tuple[dict[str, Ends], Reals]:
    """Simulate one table; return its estimates and all its sizes, (sizes, avalanches)."""
    sample, seed = work
    options = system_options(
        sample.system, size=sample.size, seeds=sample.runs, avalanches=sample.avalanches, seed=seed
    )
    made = {(each.run.size, each.run.seed): each.series.size for each in runs(options, threads=1)}
    values = np.array([made[key].astype(np.float64) for key in sorted(made)])
    found = estimates(ensemble_of(sample, values), values.ravel(), sample.collapse_from, 500, seed)
    return found, values.reshape(len(sample.size), -1).astype(np.int32)


def ensemble_of(sample: Sample, values: Reals) -> Ensemble:
    """Make an ensemble of (runs of all sizes, avalanches of a run)."""
    count = len(values) // len(sample.size)
    return Ensemble(
        case={"field": "avalanche"},
        sizes=sample.sizes,
        size_of=np.repeat(np.arange(len(sample.size)), count),
        seed=np.tile(np.arange(count), len(sample.size)),
        grok=np.full(len(values), np.nan),
        run=np.repeat(np.arange(len(values)), values.shape[1]),
        epoch=np.zeros(values.size, np.int64),
        truncated=np.zeros(values.size, bool),
        table=pa.table({}),
    )


def pooled(sample: Sample, values: Reals, groups: int = 20) -> dict[str, Ends]:
    """Estimate from all tables together: (tables, sizes, avalanches of a table and size)."""
    joint = values.transpose(1, 0, 2).reshape(values.shape[1] * groups, -1).astype(np.float64)
    return estimates(ensemble_of(sample, joint), joint.ravel(), sample.collapse_from, 200, 0)


def coverage(given: argparse.Namespace) -> str:
    """Measure how often intervals hold the estimate from all tables together."""
    lines = [
        f"| system, sizes | runs x avalanches a size | {' | '.join(ESTIMATES)} | collapse rejected "
        "| error of ln M_4 |",
        f"|---|---|{'---|' * len(ESTIMATES)}---|---|",
    ]
    for sample in SHORT:
        with ProcessPoolExecutor(given.workers) as pool:
            work = [(sample, seed) for seed in range(given.tables)]
            found = list(pool.map(one_table, work, chunksize=4))
        truth = pooled(sample, np.array([each for _, each in found]))
        cells = [held([one[name] for one, _ in found], truth[name][0]) for name in ESTIMATES]
        p = np.array([one["p"][0] for one, _ in found])
        error = np.median([one["error"][0] for one, _ in found])
        lines.append(
            f"| {sample.system}, {sample.size[0]} to {sample.size[-1]:,} | {sample.runs} x "
            f"{sample.avalanches:,} | {' | '.join(cells)} | {np.mean(p < 0.05):.1%} | {error:.2f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def held(found: Sequence[Ends], truth: float) -> str:
    """Write the share of intervals that hold a value."""
    known = [(low, high) for _, low, high in found if not np.isnan(low)]
    share = np.mean([low <= truth <= high for low, high in known]) if known else np.nan
    without = len(found) - len(known)
    return f"{share:.1%}" + (f" ({without} without)" if without else "")


# --- p values and power ---------------------------------------------------------------------------


def p_values(_: Any) -> str:
    """Show that p does not depend on the number of resamples: the default experiment."""
    trained = grokcrit.train()
    cascaded = grokcrit.avalanche(trained, surrogate=("none", "gaussian"))
    lines = [
        "| resamples | change of D (run-max), data minus null: p | post minus null (mean): p |"
    ]
    lines.append("|---|---|---|")
    for resamples in (500, 5000, 50_000):
        made = grokcrit.bootstrap(cascaded, observable="size", resamples=resamples).to_pylist()
        tests = [
            next(
                r["p"]
                for r in made
                if (r["kind"], r["statistic"], r["window"], r["part"], r["method"])
                == ("interval", statistic, window, "minus gaussian", "expanded percentile")
            )
            for statistic, window in (("run-max", "post - pre"), ("mean", "post"))
        ]
        lines.append(f"| {resamples:,} | {tests[0]:.3g} | {tests[1]:.3g} |")
    print(*lines, sep="\n", flush=True)
    return "\n".join(lines)


def power(_: Any, seeds: int = 20) -> str:
    """Count how often the collapse is rejected on the default experiment, over root seeds."""
    found: dict[tuple[str, str], list[float | None]] = {}
    for seed in range(seeds):
        cascaded = grokcrit.avalanche(grokcrit.train(seed=seed), surrogate="none")
        asked = grokcrit.diagnose(cascaded, only="collapse", observable="size", resamples=1000)
        for row in asked.to_pylist():
            if row["quantity"] == "collapse-quality" and not row["part"].startswith("D of"):
                found.setdefault((row["window"], row["part"]), []).append(row["p"])
    lines = ["| window | D and beta rejected | D alone rejected |", "|---|---|---|"]
    for window in ("aggregate", "pre", "post"):
        shares = [
            f"{np.mean([p is not None and p < 0.05 for p in found[window, part]]):.0%}"
            for part in ("D and beta", "D alone")
        ]
        lines.append(f"| {window} | {shares[0]} | {shares[1]} |")
    print(*lines, sep="\n", flush=True)
    return "\n".join(lines)


PARTS: dict[str, Callable[[argparse.Namespace], str]] = {
    "exponents": exponents,
    "coverage": coverage,
    "p": p_values,
    "power": power,
}


def main() -> None:
    """Measure what is asked for and put it on the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    for name in given.only.split(","):
        measured = PARTS[name](given)
        page = PAGE.read_text(encoding="utf-8")
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        assert pattern.search(page)
        PAGE.write_text(pattern.sub(rf"\g<1>{measured}\n\g<2>", page), encoding="utf-8")


if __name__ == "__main__":
    main()
