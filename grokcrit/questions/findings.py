"""Rows of the diagnostics table, and how numbers become them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from grokcrit.scaling.resampling import Estimate
from grokcrit.tables.schemas import DIAGNOSTICS

Row: TypeAlias = dict[str, Any]


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
    **more: Any,
) -> list[Row]:
    """Make a row of each bin of an estimate: value, interval, and where tested the p of zero.

    Parameters
    ----------
    places
        What names each bin: window, time, ...
    tested
        Which bins are differences, whose distance from zero has a p.
    """
    low, high = estimate.interval(confidence)
    p = np.where(np.isnan(low) | ~np.broadcast_to(tested, low.shape), np.nan, estimate.p())
    return [
        finding(quantity, v, **place, ci_low=a, ci_high=b, p=each, **more)
        for place, v, a, b, each in zip(places, estimate.value, low, high, p, strict=True)
    ]


def labelled(rows: Iterable[Row], **labels: Any) -> list[Row]:
    """Put labels on rows; what a row says itself stays."""
    return [{**labels, **row} for row in rows]


def to_table(rows: list[Row]) -> pa.Table:
    """Make the diagnostics table; what a row does not say is null."""
    names = DIAGNOSTICS.arrow.names
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in names} for row in rows], DIAGNOSTICS.arrow
    )
