"""A row of the claims, and what the rows share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.summary import Row
from grokcrit.paper.reference import Reference
from grokcrit.plot.sources import rows
from grokcrit.scaling.ensembles import Reals

Tables: TypeAlias = dict[str, pa.Table]
# What is read of a table where nothing else is said: the mean size of the data.
MEAN_SIZE = {"observable": "size", "statistic": "mean", "surrogate": "none"}


@dataclass(frozen=True)
class Claim:
    """One row of the table: a claim of the source, and what we find."""

    claim: str
    source: str
    ours: str
    interval: str
    null: str
    agrees: str
    basis: str
    words: str
    # None where the finding is not one number.
    value: float | None = None
    low: float | None = None
    high: float | None = None
    null_value: float | None = None

    def as_dict(self) -> Row:
        """Return the row as plain values."""
        return asdict(self)


def judged(
    source: Reference,
    *,
    ours: str,
    agrees: bool | str,  # the verdict; without an error bar, whether we see what the claim says
    words: str,
    of: str = "",  # which part of the claim the row is about
    interval: str = "-",
    null: str = "-",
    spread: str = "",  # our range under other choices
    **numbers: float | None,
) -> Claim:
    """Return the row of a claim; the number found, with its interval and null, by keyword."""
    basis = [source.basis_words, "calibrated, not evidence" if source.calibrated else "", spread]
    return Claim(
        claim=source.claim + of,
        source=source.text,
        ours=ours,
        interval=interval,
        null=null,
        agrees=agrees if isinstance(agrees, str) else "consistent" if agrees else "not seen",
        basis="; ".join(filter(None, basis)),
        words=words,
        **numbers,
    )


def select(table: pa.Table, **wanted: Any) -> list[Row]:
    """Return the rows of a table whose columns have those values; None matches null."""
    found: list[Row] = rows(table, **wanted).to_pylist()
    return found


def fits(table: pa.Table, **wanted: Any) -> list[Row]:
    """Return the exponents with those values, of the mean size of the data unless they differ."""
    return select(table, **MEAN_SIZE | wanted)


def fit(table: pa.Table, **wanted: Any) -> Row:
    """Return the only such exponent."""
    (row,) = fits(table, **wanted)
    return row


def with_null(table: pa.Table, **wanted: Any) -> tuple[Row, Row]:
    """Return an exponent of the data and that of the Gaussian null."""
    return fit(table, **wanted), fit(table, surrogate="gaussian", **wanted)


def of_surrogate(table: pa.Table, name: str) -> pa.Table:
    """Return the rows of a null model, or with ``none`` of the data."""
    return table.filter(pc.equal(table["surrogate"], name))


def runs_of(train: pa.Table) -> list[Row]:
    """Return one row per run: case, width, seed, grokking epochs."""
    return select(train.select(["case", "width", "seed", "epoch", "grok_epoch"]), epoch=0)


def quartiles(values: Reals) -> tuple[float, float, float]:
    """Return the quartiles of the numbers there are; NaN where there is none."""
    known = values[~np.isnan(values)]
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else [math.nan] * 3
    return float(low), float(middle), float(high)


def number(value: float | None, digits: int = 3) -> str:
    """Write a number, or its absence."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def span(low: float | None, high: float | None, digits: int = 3) -> str:
    """Write an interval, or its absence."""
    return "-" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def between(*ends: float) -> str:
    """Write a range of shares."""
    return " to ".join(f"{end:.0%}" for end in ends)
