"""Account of a robustness table: D at every point of the grid, and how the points differ."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE, OBSERVABLES, PHASES
from grokcrit.summaries.degenerate import left_out
from grokcrit.summaries.stages import truncation
from grokcrit.tables.schemas import CASE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

ORDER = "parameter order "


def robustness_summary(table: pa.Table) -> Summary:
    """Account of a robustness table, mean statistic; every graph is in the table."""
    rows = [
        r
        for r in table.to_pylist()
        if r["statistic"] == "mean" and r["observable"] in OBSERVABLES and is_axis(r["part"])
    ]
    several = len({r["observable"] for r in rows}) > 1
    points: dict[tuple[Any, ...], list[Row]] = {}
    for r in sorted(rows, key=lambda r: OBSERVABLES.index(r["observable"])):
        if r["graph_seed"] is not None:
            points.setdefault((r["case"], r["observable"], r["part"], place(r)), []).append(r)
    cases = len({key[0] for key in points}) > 1
    shown = []
    for (case, observable, axis, value), mine in points.items():
        row: Row = {"case": case} if cases else {}
        row |= {"observable": observable} if several else {}
        row |= {"axis": axis.partition(ORDER)[0] or ORDER.strip(), "value": value}
        row["graphs"] = len({r["graph_seed"] for r in mine})
        for window, name in (("pre", "before"), ("post", "after"), (DIFFERENCE, "change")):
            row[name] = middle(mine, "exponent", "none", window)
            row[f"{name}, graphs"] = reach(mine, "exponent", "none", window)
        row["null after"] = middle(mine, "exponent", "gaussian", "post")
        clear = [r["value"] or 0 for r in mine if r["quantity"] == "crossing-clear"]
        row["crossing clear"] = f"{sum(clear):.0f} of {len(clear)}"
        row["crossing"] = middle(mine, "crossing", "none", "epoch")
        shown.append(row)
    formats = {"crossing": ".0f"}
    title = "D of the mean on the same gradients, one choice varied at a time (median over graphs)"
    return Summary(title, shown, warnings(rows), formats, more=[spread_section(rows, several)])


def is_axis(part: str | None) -> bool:
    """Whether the part of a row is an axis of a grid."""
    return part is not None and (part.startswith(ORDER) or part in CASE_COLUMNS)


def place(row: Row) -> Any:
    """Return the value of the axis at a point."""
    axis = row["part"]
    value = axis.removeprefix(ORDER) if axis.startswith(ORDER) else row[axis]
    return f"{value:g}" if isinstance(value, float) else value


def chosen(rows: list[Row], quantity: str, surrogate: str, window: str) -> list[float]:
    """Return the values of a quantity that are there."""
    return [
        r["value"]
        for r in rows
        if (r["quantity"], r["surrogate"], r["window"]) == (quantity, surrogate, window)
        and r["value"] is not None
    ]


def middle(rows: list[Row], quantity: str, surrogate: str, window: str) -> float | None:
    """Return the median over graphs."""
    found = chosen(rows, quantity, surrogate, window)
    return statistics.median(found) if found else None


def reach(
    rows: list[Row], quantity: str, surrogate: str, window: str
) -> tuple[float, float] | None:
    """Return the least and the greatest over graphs, where there are several."""
    found = chosen(rows, quantity, surrogate, window)
    return (min(found), max(found)) if len(found) > 1 else None


def spread_section(rows: list[Row], several: bool) -> Summary:
    """Coefficients of variation over each axis; between graphs and between runs."""
    out = []
    keys = dict.fromkeys((r["observable"], r["part"], r["window"]) for r in rows)
    for observable, axis, window in sorted(keys, key=lambda k: OBSERVABLES.index(k[0])):
        if window not in PHASES:
            continue
        mine = [
            r
            for r in rows
            if (r["observable"], r["part"], r["window"]) == (observable, axis, window)
        ]
        row: Row = {"observable": observable} if several else {}
        row |= {"axis": axis, "window": window}
        data = [r for r in mine if r["surrogate"] == "none"]
        row["points"] = next((r["n"] for r in data if r["quantity"] == "spread"), None)
        for name, part in (
            ("", data),
            ("null ", [r for r in mine if r["surrogate"] == "gaussian"]),
        ):
            row[f"{name}D"] = next((r["value"] for r in part if r["quantity"] == "spread"), None)
            row[f"{name}CV"] = next((r["value"] for r in part if r["quantity"] == "cv"), None)
        row["of sampling"] = next(
            (r["value"] for r in mine if r["quantity"] == "cv-sampling"), None
        )
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
    cut = [r for r in rows if r["quantity"] == "truncated" and r["observable"] == "size"]
    zero = [r for r in rows if r["quantity"] == "zero-threshold" and r["observable"] == "size"]
    lost = int(sum(r["value"] for r in zero)), sum(r["n"] for r in zero)
    return left_out(*lost) + truncation(
        int(sum(r["value"] or 0 for r in cut)), sum(r["n"] or 0 for r in cut)
    )
