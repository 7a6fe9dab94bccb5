"""A row of the claims, and what the rows share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.paper.reference import Reference

Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, pa.Table]


@dataclass(frozen=True)
class Claim:
    """One row of the table: a claim of the source, and what we find.

    ``value``, ``low``, ``high`` and ``null_value`` are None where the finding is not one number.
    """

    claim: str
    source: str
    ours: str
    interval: str
    null: str
    agrees: str
    basis: str
    words: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    null_value: float | None = None

    def as_dict(self) -> Row:
        """The row as plain values."""
        return asdict(self)


def plain(
    claim: Reference, ours: str, interval: str, agrees: str, words: str, spread: str = ""
) -> Claim:
    """Make a row whose finding is in words and has no null."""
    return Claim(claim.claim, claim.text, ours, interval, "-", agrees, basis(claim, spread), words)


def verdict(seen: bool) -> str:
    """Word for a claim without an error bar."""
    return "consistent" if seen else "not seen"


def basis(claim: Reference, spread: str = "") -> str:
    """Say where a claim is from, whether it was calibrated, and our range under other choices."""
    words = [claim.basis_words]
    words += ["calibrated, not evidence"] if claim.calibrated else []
    return "; ".join(words + ([spread] if spread else []))


def select(table: pa.Table, **wanted: Any) -> list[Row]:
    """Return the rows of a table whose columns have those values; None matches null."""
    kept = table
    for name, value in wanted.items():
        column = kept[name]
        kept = kept.filter(pc.is_null(column) if value is None else pc.equal(column, value))
    rows: list[Row] = kept.to_pylist()
    return rows


def one(table: pa.Table, **wanted: Any) -> Row:
    """Return the only row of a table with those values."""
    (row,) = select(table, **wanted)
    return row


def runs_of(train: pa.Table) -> list[Row]:
    """One row a run: width, seed, grokking epochs."""
    return select(train.select(["width", "seed", "epoch", "grok_epoch"]), epoch=0)


def number(value: float | None, digits: int = 3) -> str:
    """Format a number, or its absence."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def span(low: float | None, high: float | None, digits: int = 3) -> str:
    """Format an interval, or its absence."""
    return "-" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"
