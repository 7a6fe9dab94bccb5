"""Rows of the diagnostics table: how numbers become them, and how they are found again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.summary import Row, cell
from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.questions.judge import adjusted, is_data
from grokcrit.scaling.clusters import cluster_p
from grokcrit.scaling.resampling import Estimate
from grokcrit.tables.schemas import CASE_COLUMNS, DIAGNOSTICS

MINUS = re.compile(r"(?<![\w.])-(?=\d)")
MEDIAN = "median run"
PHASE_NAMES = {"aggregate": "all avalanches", "pre": "before grokking", "post": "after grokking"}
# Columns of what is shown before, after, and of their difference.
PHASE_COLUMNS = {"pre": "before", "post": "after", DIFFERENCE: "change"}
# Windows of an exponent, and the difference of the last two.
PHASES_AND_CHANGE = (*PHASES, DIFFERENCE)
COLUMNS = tuple(DIAGNOSTICS.arrow.names)


def finding(quantity: str, value: float | None, **more: Any) -> Row:
    """Make a row; numbers that are NaN are missing."""
    return {k: missing(v) for k, v in {"quantity": quantity, "value": value, **more}.items()}


def missing(value: Any) -> Any:
    """Turn NaN and infinity into None, numpy's scalars into Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def of_bins(
    quantity: str,
    estimate: Estimate,
    confidence: float,
    places: Sequence[Row],
    tested: Sequence[bool] | bool = True,
    swaps: npt.NDArray[np.bool_] | None = None,
    **more: Any,
) -> list[Row]:
    """Make a row of each bin, named by its place; only those ``tested`` have the p of zero.

    Bins that are the times of a curve are adjusted as one, by ``swaps`` of runs (`cluster_p`).
    """
    low, high = estimate.interval(confidence)
    known = ~np.isnan(low) & np.broadcast_to(tested, low.shape)
    columns = {"value": estimate.value, "ci_low": low, "ci_high": high}
    columns["p"] = np.where(known, estimate.p(), np.nan)
    if swaps is not None:
        columns["p_adjusted"] = np.where(known, cluster_p(estimate, swaps), np.nan)
    each = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [
        finding(quantity, **numbers, **place, **more)
        for place, numbers in zip(places, each, strict=True)
    ]


def exponents(phases: Estimate, confidence: float) -> list[Row]:
    """Make the rows of the exponents themselves; only their difference is tested."""
    places = in_phases()[: len(phases.value)]
    tested = [place["window"] == DIFFERENCE for place in places]
    return of_bins("exponent", phases, confidence, places, tested)


def in_phases() -> list[Row]:
    """Name the bins of the phases."""
    return [{"window": name} for name in PHASES_AND_CHANGE]


def labelled(rows: Iterable[Row], **labels: Any) -> list[Row]:
    """Put labels on rows; what a row says itself stays."""
    return [{**labels, **row} for row in rows]


def to_table(rows: list[Row]) -> pa.Table:
    """Make the diagnostics table; what a row does not say is null."""
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in COLUMNS} for row in rows], DIAGNOSTICS.arrow
    )


class Index(dict[tuple[Any, ...], Row]):
    """Rows by some of their columns; where there is none, a row without numbers."""

    def __missing__(self, _key: tuple[Any, ...]) -> Row:
        """Return a row of nulls: a table may have lost rows that were made together."""
        return dict.fromkeys(COLUMNS)


def index(rows: Iterable[Row], *names: str) -> Index:
    """Index rows by some of their columns."""
    return Index({tuple(row[name] for name in names): row for row in rows})


def of(rows: Iterable[Row], *quantities: str, **wanted: Any) -> list[Row]:
    """Return the rows of some quantities whose columns have those values."""
    return [
        r for r in rows if r["quantity"] in quantities and all(r[k] == v for k, v in wanted.items())
    ]


def known(rows: Iterable[Row], *quantities: str, **wanted: Any) -> list[Row]:
    """Return those rows of some quantities that have a value."""
    return [row for row in of(rows, *quantities, **wanted) if row["value"] is not None]


def one(rows: Iterable[Row], quantity: str, window: str | None, **wanted: Any) -> Row | None:
    """Return the row of a quantity in a window, where it is there and has a value."""
    found = of(rows, quantity, window=window, **wanted)
    return found[0] if found and found[0]["value"] is not None else None


def groups(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Group rows by some of their columns, in the order of their first row."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def ends(row: Row) -> tuple[float, float] | None:
    """Return the ends of an interval, None where there is none."""
    return None if row["ci_low"] is None else (row["ci_low"], row["ci_high"])


def varying(rows: Iterable[Row]) -> list[str]:
    """Return the case columns in which rows differ."""
    held = list(rows)
    return [name for name in CASE_COLUMNS if len({row[name] for row in held}) > 1]


def of_data(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows of the data, or all where there are none, and the columns that vary."""
    data = [row for row in rows if is_data(row)] or list(rows)
    several = len({row["observable"] for row in data}) > 1
    return data, varying(data) + ["observable"] * several


def shown(value: Any, form: str = ".3f") -> str:
    """Write a value as plain text, a minus as a minus."""
    written = cell(value, form).strip()
    return MINUS.sub("\N{MINUS SIGN}", written) if isinstance(value, float | tuple) else written


def interval(row: Row, form: str = ".3f") -> str:
    """Write an interval, or that there is none."""
    return "no interval" if row["ci_low"] is None else f"interval {shown(ends(row), form)}"


def p_cell(row: Row) -> str | None:
    """Write a p for a table, None where there is none."""
    return None if adjusted(row) is None else p_of(row).removeprefix("p ")


def p_of(row: Row) -> str:
    """Write the p that words follow; a count of none among n draws says only what p is below."""
    p, n = adjusted(row), row.get("n")
    if p is None:
        return "no p"
    least = n is not None and abs(p * (n + 1) - 1) < 1e-9
    return f"p {'< ' if least else ''}{p:.2g}"
