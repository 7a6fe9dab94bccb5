"""Summaries of train and avalanche tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from grokcrit.base.degenerate import zero_threshold
from grokcrit.base.summary import Row, Summary
from grokcrit.questions import judge
from grokcrit.questions.notices import cascaded, warn
from grokcrit.questions.rows import varying
from grokcrit.tables.schemas import CASE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa


class RunLog:
    """Notes what matters of each run while the train table streams past."""

    def __init__(self) -> None:
        """Start with no run."""
        self.runs: list[Row] = []

    def tap(self, blocks: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Pass run tables on, noting each."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = ("width", "n_params", "seed", "grok_epoch_first", "grok_epoch")
        for block in blocks:
            note = {name: block[name][0].as_py() for name in names}
            note["rows"] = block.num_rows
            note["snapshots"] = block.num_rows - block["gradient"].null_count
            note["cascades"] = block.num_rows - block["size"].null_count
            zero = zero_threshold(block["threshold"], block["size"])
            note["zero"] = int(zero.sum())
            cut = pc.and_not(block["truncated"], pa.array(zero))
            note["truncated"] = pc.sum(cut).as_py() or 0
            self.runs.append(note)
            yield block


def train_summary(runs: list[Row]) -> Summary:
    """Account of a training: grokking epochs of each width."""
    rows = []
    for width in sorted({run["width"] for run in runs}):
        mine = [run for run in runs if run["width"] == width]
        grok = [run["grok_epoch"] for run in mine if run["grok_epoch"] is not None]
        rows.append(
            {
                "hidden": width,
                "N": mine[0]["n_params"],
                "runs": len(mine),
                "grokked": len(grok),
                "grok_epoch median": statistics.median(grok) if grok else None,
                "grok_epoch range": (min(grok), max(grok)) if grok else None,
                "rows": sum(run["rows"] for run in mine),
                "snapshots": sum(run["snapshots"] for run in mine),
            }
        )
    never = sum(run["grok_epoch"] is None for run in runs)
    warnings = warn("never-grokked/trained", never, len(runs))
    cascades = sum(run["cascades"] for run in runs)
    warnings += warn("zero-threshold/trained", sum(run["zero"] for run in runs), cascades)
    warnings += warn("truncated", sum(run["truncated"] for run in runs), cascades)
    total = sum(row["snapshots"] for row in rows)
    title = f"{len(runs)} runs, {sum(run['rows'] for run in runs)} rows, {total} snapshots"
    return Summary(title, rows, warnings, {"grok_epoch median": ".4g"})


def avalanche_summary(table: pa.Table) -> Summary:
    """Account of an avalanche table: sizes of each case."""
    import pyarrow as pa
    import pyarrow.compute as pc

    share = pc.divide(pc.cast(table["size"], "double"), table["n_params"])
    wide = table.append_column("share", share).append_column("quiet", pc.equal(table["size"], 0))
    zero = zero_threshold(table["threshold"], table["size"])
    # More steps cannot end a cascade at a threshold of 0.
    wide = wide.append_column("zero", pa.array(zero))
    wide = wide.append_column("cut", pc.and_not(table["truncated"], wide["zero"]))
    grouped = wide.group_by(list(CASE_COLUMNS), use_threads=False).aggregate(
        [
            ("size", "count"),
            ("share", "mean"),
            ("duration", "mean"),
            ("duration", "max"),
            ("truncated", "sum"),
            ("cut", "sum"),
            ("zero", "sum"),
            ("quiet", "sum"),
        ]
    )
    cases = grouped.to_pylist()
    shown = varying(cases) or ["topology", "surrogate"]
    rows = [
        {
            **{name: case[name] for name in shown},
            "avalanches": case["size_count"],
            "mean size / N": case["share_mean"],
            "mean duration": case["duration_mean"],
            "longest": case["duration_max"],
            "truncated": case["truncated_sum"],
            "quiet": case["quiet_sum"],
        }
        for case in cases
    ]
    total = table.num_rows
    data = [c for c in cases if judge.is_data(c)] or cases
    counts = (sum(c[name] for c in data) for name in ("zero_sum", "size_count"))
    return Summary(
        f"{total} avalanches in {len(cases)} case{'s' if len(cases) > 1 else ''}",
        rows,
        cascaded(table, *counts)
        + warn("truncated", sum(c["cut_sum"] for c in cases), total)
        + warn("quiet", sum(c["quiet_sum"] for c in cases), total),
    )
