"""Gini: the transient of the Gini coefficient, and its distance from grokking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import scipy

from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.questions.question import Question
from grokcrit.questions.rows import MEDIAN, ends, finding, groups, index
from grokcrit.scaling.ensembles import Reals
from grokcrit.tables.checking import check_runs
from grokcrit.tables.reading import Inputs, UnorderedError, split
from grokcrit.tables.schemas import TRAIN

RUN = ("task", "case", "field", "n_params", "seed")
# What rows are sorted by, and what tells one run from another: all of it but the epoch.
ORDER = ("task", *TRAIN.key)
NAMES = ORDER[:-1]
COLUMNS = (*RUN, "width", "epoch", "weight_gini", "grok_epoch")
QUANTITIES = ("gini-peak", "gini-height", "gini-length", "gini-distance")
# The source: within 10 epochs of grokking.
NEAR = 10


class Transient(NamedTuple):
    """The transient of one run."""

    peak: int  # epoch of the largest Gini coefficient
    height: float  # the largest over that at the start, minus 1
    length: int  # epochs above half of the height
    distance: float  # peak minus grokking epoch; NaN for a run that never groks
    passed: bool  # whether the curve ends below half of its height: else it is no transient


def transient(epoch: Reals, gini: Reals, grok: float) -> Transient:
    """Measure the transient of a run from its curve by epoch; NaN where all weights are 0."""
    if np.isnan(gini[0]) or gini[0] <= 0:
        return Transient(int(epoch[0]), np.nan, 0, np.nan, False)
    peak = int(np.nanargmax(gini))
    above = gini > gini[0] + (gini[peak] - gini[0]) / 2
    return Transient(
        int(epoch[peak]),
        float(gini[peak] / gini[0] - 1),
        int(above.sum()),
        float(epoch[peak] - grok),
        not bool(above[-1]),
    )


def of_training(trained: Inputs, options: DiagnoseOptions) -> list[Row]:
    """Measure the Gini transient of every run, wherever its rows are.

    Tables as grokcrit writes them are read a run at a time: a thousand seeds are four million rows.
    """
    try:
        found = [measured(run) for run in whole_runs(trained.ascending(ORDER))]
    except UnorderedError:
        table = trained.read().sort_by([(name, "ascending") for name in ORDER])
        found = [measured(run) for run in whole_runs([table])]
    return findings(found, options.confidence)


def whole_runs(blocks: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield run after run of sorted blocks, whose borders may lie within a run."""
    held: list[pa.Table] = []
    for block in blocks:
        for part in split(block, NAMES):
            if held and any(held[0][name][0] != part[name][0] for name in NAMES):
                yield pa.concat_tables(held)
                held = []
            held.append(part)
    yield pa.concat_tables(held)


def measured(run: pa.Table) -> tuple[Row, Transient]:
    """Measure one run."""
    check_runs(run, TRAIN)
    grok = run["grok_epoch"][0].as_py()
    epoch, gini = run["epoch"].to_numpy().astype(np.float64), run["weight_gini"].to_numpy()
    labels = {name: run[name][0].as_py() for name in RUN}
    return labels, transient(epoch, gini, np.nan if grok is None else float(grok))


def findings(runs: Sequence[tuple[Row, Transient]], confidence: float) -> list[Row]:
    """Make the rows of every run, and the medians, quartiles and shares of each size and of all."""
    rows = [
        {**labels, **finding(name, float(number), method="of the run")}
        for labels, found in runs
        for name, number in zip(QUANTITIES, found[:-1], strict=True)
    ]
    cases = {(r["task"], r["case"], r["field"]): r for r, _ in runs}
    for labels in cases.values():
        mine = [(r, t) for r, t in runs if all(r[k] == labels[k] for k in ("case", "field"))]
        for n in (None, *sorted({r["n_params"] for r, _ in mine})):
            chosen = [t for r, t in mine if n is None or r["n_params"] == n]
            place = {k: labels[k] for k in ("task", "case", "field")} | {"n_params": n}
            rows += [{**place, **row} for row in summary(chosen, confidence)]
    return rows


def summary(chosen: Sequence[Transient], confidence: float) -> list[Row]:
    """Summarise the runs of a size, or of all."""
    rows = []
    for name, values in zip(QUANTITIES, np.array([t[:-1] for t in chosen]).T, strict=True):
        known = np.sort(values[~np.isnan(values)])
        low, high = median_interval(known, confidence)
        middle = float(np.median(known)) if len(known) else None
        rows.append(finding(name, middle, ci_low=low, ci_high=high, n=len(known), method=MEDIAN))
        rows += [
            finding(name, float(np.quantile(known, q)), n=len(known), method=f"{q:.0%} of runs")
            for q in (0.05, 0.25, 0.75, 0.95)
            if len(known)
        ]
    distance = np.array([t.distance for t in chosen])
    known = distance[~np.isnan(distance)]
    near = float((np.abs(known) <= NEAR).mean()) if len(known) else None
    method = f"within {NEAR} epochs of grokking"
    rows.append(finding("gini-share-near", near, n=len(known), method=method))
    passed, method = float(np.mean([t.passed for t in chosen])), "back below half at the end"
    rows.append(finding("gini-share-passed", passed, n=len(chosen), method=method))
    return rows


def median_interval(values: Reals, confidence: float) -> tuple[float | None, float | None]:
    """Return the interval of a median from order statistics; None for too few values.

    The k-th smallest and largest bound it with probability 1 - 2 P(Binomial(n, 1/2) < k).
    """
    n = len(values)
    k = np.arange(1, n // 2 + 1)
    enough = k[1 - 2 * scipy.special.bdtr(k - 1, n, 0.5) >= confidence] if n else k
    if not len(enough):
        return None, None
    return float(values[enough[-1] - 1]), float(values[n - enough[-1]])


def section(rows: list[Row], _: list[str]) -> Summary:
    """Sum up medians over runs of the Gini transient, of each size and of all."""
    out = []
    chosen = [r for r in rows if r["quantity"].startswith("gini-")]
    several = len({r["case"] for r in chosen}) > 1
    for (case, n), mine in groups(chosen, "case", "n_params").items():
        middle = index([r for r in mine if r["method"] == MEDIAN], "quantity")
        shares = index([r for r in mine if "share" in r["quantity"]], "quantity")
        row: Row = {"case": case} if several else {}
        row |= {"N": n or "all", "runs": shares["gini-share-passed",]["n"]}
        for name in ("peak", "height", "length", "distance"):
            row[name] = middle[f"gini-{name}",]["value"]
        row["interval of distance"] = ends(middle["gini-distance",])
        row["within 10 epochs"] = shares["gini-share-near",]["value"]
        row["back below half"] = shares["gini-share-passed",]["value"]
        out.append(row)
    formats = dict.fromkeys(("peak", "length", "distance", "interval of distance"), ".0f")
    formats |= dict.fromkeys(("within 10 epochs", "back below half"), ".2f")
    title = "Gini transient: median run; peak, length, distance from grokking in epochs"
    return Summary(title, out, formats=formats)


QUESTION = Question(
    quantities={
        "gini-peak, gini-height, gini-length, gini-distance": "of each run (`seed`), and median "
        "and quantiles over runs: epoch of the peak, height over the start, epochs above half "
        "height, peak minus grokking epoch",
        "gini-share-near, gini-share-passed": "share of runs that peak within 10 epochs of "
        "grokking; that are back below half height at the end",
    },
    training="a train table",
    of_training=of_training,
    columns=COLUMNS,
    section=section,
    about="How unequal the weights are (Gini coefficient, 0 equal, 1 all in one): the source sees "
    "a transient peak at grokking.",
)
