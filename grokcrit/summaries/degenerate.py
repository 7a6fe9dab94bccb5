"""Warnings about gradients whose percentile is no threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokcrit import provenance
from grokcrit.degenerate import KEY, most_zeros
from grokcrit.summaries.summary import Notice
from grokcrit.tensor_names import some

if TYPE_CHECKING:
    import pyarrow as pa

REMEDY = "use --threshold-of nonzero for the percentile of the other entries"


def recorded(table: pa.Table) -> dict[str, Any]:
    """Return what the record of a table says of degenerate gradients; empty if nothing."""
    record = provenance.decode(table.schema.metadata, "the table")
    found = (record or {}).get(KEY)
    return found if isinstance(found, dict) else {}


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
    notices, known = [], recorded(table)
    if count:
        where = ""
        if known.get("zeros"):
            share, tensors = most_zeros(known["zeros"])
            named = f" ({', '.join(tensors)})" if len(known["zeros"]) > 1 else ""
            where = f", because {share:.0%} of their entries are exactly 0{named}"
        text = f"the threshold is 0 in {count} of {total} avalanches{where}"
        text += f"; their sizes mean nothing, and fits leave them out: {REMEDY}"
        notices.append(Notice("zero-threshold", text))
    if known.get("equal"):
        notices.append(
            Notice(
                "equal-values",
                f"in {known['equal']} of {known['gradients']} gradients (epochs "
                f"{some(list(map(str, known['equal_epochs'])))}) many entries have one magnitude "
                "within 0.1 %, as after Adam's first update; rounding decides what exceeds the "
                "threshold, so their sizes mean nothing: leave these epochs out of the train table",
            )
        )
    return notices


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
    """Warn of what an fss or bootstrap table leaves out, as its record says."""
    known = recorded(table)
    return left_out(known.get("zero_threshold", 0), known.get("gradients", 0))
