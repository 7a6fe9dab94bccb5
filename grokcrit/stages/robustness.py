"""Robustness: D of the same gradients on other graphs, with other rules."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.parallel import Progress, in_order
from grokcrit.base.stage_options import RobustnessOptions
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import OBSERVABLES, PHASES, RESAMPLED
from grokcrit.plot.grid import ORDER, is_axis, place
from grokcrit.questions.family import (
    Course,
    Family,
    course,
    families,
    phases,
    rise_above,
    zero_threshold,
)
from grokcrit.questions.notices import warn
from grokcrit.questions.rows import (
    PHASE_COLUMNS,
    PHASES_AND_CHANGE,
    exponents,
    finding,
    groups,
    in_phases,
    known,
    labelled,
    of,
    of_bins,
    to_table,
)
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble, Reals
from grokcrit.scaling.sampling import sampling_cv
from grokcrit.stages.avalanche import avalanche
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, TableLike
from grokcrit.tables.schemas import AVALANCHE, DIAGNOSTICS, TRAIN

BOTH = ("none", "gaussian")


def robustness(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
    **options: Any,
) -> pa.Table:
    """Measure D of the same gradients over a grid of graphs, alpha, percentiles, rules and orders.

    Parameters
    ----------
    tables
        Schema ``train/1``; pyarrow Tables, files, or folders of parts.
    threads
        None for all cores. Changes no bit of the result.
    progress
        Called with (axes done, in all).
    cache
        Whether to keep graphs on disk, and take them from there.
    **options
        Fields of :class:`RobustnessOptions`.

    Returns
    -------
    pyarrow.Table
        Schema ``diagnostics/1``: ``exponent`` of data and Gaussian null at every point of the
        grid, the lasting rise of D(t) above its null and whether it is clear, and for each axis
        the coefficient of variation. ``part`` names the axis.

    Raises
    ------
    OptionError
        An option out of its range.
    TableError
        A gradient that is not finite or not of length n_params.
    FitError
        The table has fewer than three sizes.
    """
    chosen = RobustnessOptions(**options)
    inputs = Inputs(tables, TRAIN)
    record = provenance.record(
        DIAGNOSTICS.name, dataclasses.asdict(chosen), root_seed=chosen.seed, inputs=inputs.records
    )
    rows: list[Row] = []
    axes = chosen.axes()
    for done, (axis, varied) in enumerate(axes.items()):
        if progress:
            progress(done, len(axes))
        probed = {"surrogate": BOTH, "seed": chosen.seed, **varied}
        probed["threshold_of"] = chosen.threshold_of
        found = avalanche(tables, threads=threads, cache=cache, **probed)
        rows += labelled(axis_rows(found, chosen, threads), part=axis)
    return to_table(rows).replace_schema_metadata(provenance.encode(record))


def axis_rows(found: pa.Table, chosen: RobustnessOptions, threads: int | None) -> list[Row]:
    """Estimate at every point of an axis; sum up how the points differ."""
    ensembles = scaling.ensembles_of(
        Inputs(found, AVALANCHE), chosen.keep_zero_threshold, chosen.blocks
    )
    points = in_order(lambda family, _: point(family, chosen), families(ensembles), threads=threads)
    rows = [row for each in points for row in each]
    return rows + spreads(rows, ensembles)


def point(family: Family, chosen: RobustnessOptions) -> list[Row]:
    """Estimate D of data and Gaussian null, and the rise of D(t), at one point of the grid."""
    draws = resampling.draw_runs(family.data, chosen.resamples, chosen.seed)
    baseline = family.nulls["gaussian"]
    rows: list[Row] = []
    for observable in chosen.observable:
        for statistic in RESAMPLED:
            what = (observable, statistic)
            own, null = (phases(members, *what, draws) for members in ([family.data], baseline))
            found = exponents(own, chosen.confidence) + errors(own.draws)
            found += of_bins("data-minus-null", own - null, chosen.confidence, in_phases())
            if statistic == "mean":  # at one snapshot a time, run-max is the same
                found += rises(
                    course([family.data], *what, "epoch", draws),
                    course(baseline, *what, "epoch", draws),
                    chosen.confidence,
                )
            cut = float(family.data.truncated.sum())
            found.append(finding("truncated", cut, n=len(family.data.epoch), method="avalanches"))
            found += zero_threshold(family.data)
            found += labelled(exponents(null, chosen.confidence), surrogate="gaussian")
            rows += labelled(found, observable=observable, statistic=statistic)
    return [{**family.data.case, **row} for row in rows]


def errors(draws: Reals) -> list[Row]:
    """Make the rows of the error between runs: the standard deviation of the draws."""
    spread = (
        np.std(draws, axis=0, ddof=1) if len(draws) > 1 else np.full(len(PHASES_AND_CHANGE), np.nan)
    )
    return [
        finding("error-between-runs", float(value), **place, method="of the draws")
        for place, value in zip(in_phases(), spread, strict=True)
    ]


def rises(data: Course, null: Course, confidence: float) -> list[Row]:
    """Make the rows of the lasting rise of D(t) above its null, and whether it is clear."""
    rise = rise_above(data, null, confidence)
    return [
        finding("crossing", rise.time, window="epoch", method="upward, lasting, of the null"),
        finding("crossing-clear", float(rise.clear), window="epoch", method="1: yes, 0: no"),
        finding("starts-below", float(rise.started_below), window="epoch", method="1: yes, 0: no"),
        finding("ends-above", float(rise.ends_above), window="epoch", method="1: yes, 0: no"),
    ]


def spreads(rows: list[Row], ensembles: Sequence[Ensemble]) -> list[Row]:
    """Sum up how the points of an axis differ, and how the graphs of one topology do."""
    made: list[Row] = []
    nulls = [e for e in ensembles if e.case["surrogate"] == "gaussian" and e.complete]
    names = ("case", "observable", "statistic", "surrogate", "window")
    for key, points in groups(known(rows, "exponent"), *names).items():
        labels = {k: points[0][k] for k in ("task", "field", *names)}
        found = np.array([p["value"] for p in points])
        made.append(
            finding("spread", float(found.mean()), ci_low=float(found.min()), **labels)
            | {"ci_high": float(found.max()), "n": len(found), "method": "least to greatest point"}
        )
        if labels["window"] in PHASES and len(found) > 1:
            cv = float(found.std(ddof=1) / found.mean())
            made.append(finding("cv", cv, n=len(found), **labels, method="over the points"))
        mine = [e for e in nulls if e.case["case"] == labels["case"]]
        if mine and key[1:] == ("size", "mean", "gaussian", "aggregate"):
            made.append(finding("cv-sampling", sampling_cv(mine), n=len(found), **labels))
        for (topology,), graphs in groups(points, "topology").items():
            if len({p["graph_seed"] for p in graphs}) > 1:
                spread = float(np.std([p["value"] for p in graphs], ddof=1))
                row = finding("error-between-graphs", spread, n=len(graphs))
                made.append({**labels, "topology": topology, **row})
    return made


def robustness_summary(table: pa.Table) -> Summary:
    """Sum up a robustness table, mean statistic; every graph is in the table."""
    rows = [
        r
        for r in table.to_pylist()
        if r["statistic"] == "mean" and r["observable"] in OBSERVABLES and is_axis(r["part"])
    ]
    rows.sort(key=lambda r: OBSERVABLES.index(r["observable"]))
    several = len({r["observable"] for r in rows}) > 1
    points: dict[tuple[Any, ...], list[Row]] = {}
    for r in rows:
        if r["graph_seed"] is not None:
            points.setdefault((r["case"], r["observable"], r["part"], told(r)), []).append(r)
    cases = len({key[0] for key in points}) > 1
    shown = []
    for (case, observable, axis, value), mine in points.items():
        row: Row = {"case": case} if cases else {}
        row |= {"observable": observable} if several else {}
        row |= {"axis": axis.partition(ORDER)[0] or ORDER.strip(), "value": value}
        row["graphs"] = len({r["graph_seed"] for r in mine})
        for window, name in PHASE_COLUMNS.items():
            row[name] = middle(mine, "exponent", "none", window)
            found = values(mine, "exponent", "none", window)
            row[f"{name}, graphs"] = (min(found), max(found)) if len(found) > 1 else None
        row["null after"] = middle(mine, "exponent", "gaussian", "post")
        clear = [r["value"] or 0 for r in mine if r["quantity"] == "crossing-clear"]
        row["crossing clear"] = f"{sum(clear):.0f} of {len(clear)}"
        row["crossing"] = middle(mine, "crossing", "none", "epoch")
        shown.append(row)
    formats = {"crossing": ".0f"}
    title = "D of the mean on the same gradients, one choice varied at a time (median over graphs)"
    more = [spread_section(rows, several, cases)]
    return Summary(title, shown, warnings(rows), formats, more=more)


def told(row: Row) -> str:
    """Write the value of the axis at a point."""
    value = place(row)
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_grid(table: pa.Table) -> bool:
    """Return whether a diagnostics table is one of `robustness`: its exponents name an axis."""
    exponents = table.filter(pc.equal(table["quantity"], "exponent"))
    return any(map(is_axis, pc.unique(exponents["part"]).to_pylist()))


def values(rows: list[Row], quantity: str, surrogate: str, window: str) -> list[float]:
    """Return the values of a quantity that are there."""
    found = known(rows, quantity, surrogate=surrogate, window=window)
    return [row["value"] for row in found]


def middle(rows: list[Row], quantity: str, surrogate: str, window: str) -> float | None:
    """Return the median over graphs."""
    found = values(rows, quantity, surrogate, window)
    return statistics.median(found) if found else None


def spread_section(rows: list[Row], several: bool, cases: bool) -> Summary:
    """Sum up coefficients of variation over each axis, and errors between graphs and runs."""
    out = []
    names = ("case", "observable", "part", "window")
    for (case, observable, axis, window), mine in groups(rows, *names).items():
        if window not in PHASES:
            continue
        row: Row = {"case": case} if cases else {}
        row |= {"observable": observable} if several else {}
        row |= {"axis": axis, "window": window}
        row["points"] = next((r["n"] for r in of(mine, "spread", surrogate="none")), None)
        for name, surrogate in (("", "none"), ("null ", "gaussian")):
            row[f"{name}D"] = middle(mine, "spread", surrogate, window)
            row[f"{name}CV"] = middle(mine, "cv", surrogate, window)
        row["of sampling"] = middle(mine, "cv-sampling", "gaussian", window)
        row["between graphs"] = middle(mine, "error-between-graphs", "none", window)
        row["between runs"] = middle(mine, "error-between-runs", "none", window)
        out.append(row)
    formats = dict.fromkeys(("CV", "null CV", "of sampling"), ".2%")
    title = (
        "CV over the points of an axis; standard deviations of D between graphs and between runs"
    )
    return Summary(title, out, formats=formats)


def warnings(rows: list[Row]) -> list[Notice]:
    """Warn of avalanches that were cut off, or left out."""
    found = []
    for name in ("zero-threshold", "truncated"):
        mine = of(rows, name, observable="size")
        lost, total = (int(sum(r[column] or 0 for r in mine)) for column in ("value", "n"))
        found += warn(name, lost, total)
    return found
