"""Warnings about gradients whose percentile is no threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokcrit.base.degenerate import KEY, most_zeros
from grokcrit.base.summary import Notice
from grokcrit.saved.tensor_names import some
from grokcrit.tables import provenance
from grokcrit.tables.provenance import whole

if TYPE_CHECKING:
    import pyarrow as pa

REMEDY = "use --threshold-of nonzero for the percentile of the other entries"


def recorded(record: Any) -> dict[str, Any]:
    """Return what a record says of degenerate gradients; empty if nothing, or nothing sound."""
    found = record.get(KEY) if isinstance(record, dict) else None
    if not isinstance(found, dict):
        return {}
    counts = all(whole(found.get(name, 0)) for name in ("gradients", "zero_threshold", "equal"))
    epochs, zeros = found.get("equal_epochs", []), found.get("zeros", {})
    sound = (
        counts
        and isinstance(epochs, list)
        and all(map(whole, epochs))
        and isinstance(zeros, dict)
        and all(
            isinstance(pair, list) and len(pair) == 2 and all(map(whole, pair)) and pair[1]
            for pair in zeros.values()
        )
    )
    return found if sound else {}


def record_of(table: pa.Table) -> dict[str, Any]:
    """Return the record of a table; empty if it has none."""
    return provenance.decode(table.schema.metadata, "the table") or {}


def trained_on_zeros(count: int, total: int) -> list[Notice]:
    """Warn of the training's own cascades that ran at a threshold of 0."""
    if not count:
        return []
    return [
        Notice(
            "zero-threshold",
            f"the threshold is 0 in {count} of {total} cascades, because more than the "
            f"percentile's share of the gradient is exactly 0; their sizes mean nothing: {REMEDY}",
        )
    ]


def cascaded(table: pa.Table, count: int, total: int) -> list[Notice]:
    """Warn of the degenerate gradients of an avalanche table.

    Parameters
    ----------
    table
        With the record of its stage, or without.
    count, total
        Avalanches of the data at a threshold of 0, and all.
    """
    notices, known = [], recorded(record_of(table))
    if count:
        where = ""
        if known.get("zeros"):
            share, tensors = most_zeros(known["zeros"])
            named = f" ({', '.join(tensors)})" if len(known["zeros"]) > 1 else ""
            where = f", because {share:.0%} of their entries are exactly 0{named}"
        text = f"the threshold is 0 in {count} of {total} avalanches{where}"
        text += f"; their sizes mean nothing, and fits leave them out: {REMEDY}"
        notices.append(Notice("zero-threshold", text))
    return notices + equal_values(known)


def equal_values(known: dict[str, Any]) -> list[Notice]:
    """Warn of gradients whose entries have one magnitude, as a record has them."""
    if not known.get("equal"):
        return []
    epochs = list(map(str, known.get("equal_epochs", [])))
    return [
        Notice(
            "equal-values",
            f"in {known['equal']} of {known.get('gradients')} gradients (at epochs {some(epochs)}) "
            "many entries have one magnitude within 0.1 %, as after Adam's first update; rounding "
            "decides what exceeds the threshold, so their sizes mean nothing: filter these epochs "
            "out of the table",
            tuple(epochs),
        )
    ]


def left_out(count: int, total: int) -> list[Notice]:
    """Warn of avalanches that fits leave out because their threshold is 0."""
    if not count:
        return []
    return [
        Notice(
            "zero-threshold",
            f"the threshold is 0 in {count} of {total} avalanches, whose sizes mean nothing; they "
            "are left out: cascade them with --threshold-of nonzero, or keep them with "
            "--keep-zero-threshold",
        )
    ]


def left_out_of(table: pa.Table) -> list[Notice]:
    """Warn of what an fss or bootstrap table leaves out, or should have, as its record says."""
    record = record_of(table)
    known = recorded(record)
    found = left_out(known.get("zero_threshold", 0), known.get("gradients", 0))
    for each in record.get("inputs", []):
        found += equal_values(recorded(each))
    return found
