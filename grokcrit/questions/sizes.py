"""Avalanches of other programs, summed up size by size."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.summary import Row, Summary
from grokcrit.questions.notices import warn
from grokcrit.questions.rows import varying
from grokcrit.tables.schemas import CASE_COLUMNS

# Columns that a table may lack.
MEASURED = ("duration", "area", "peak", "activity")


def summary(table: pa.Table) -> Summary:
    """Sum up avalanches behind which there is no training: a row per case and system size."""
    quiet = table.append_column("quiet", pc.equal(table["size"], 0))
    keys = [*CASE_COLUMNS, "n_params"]
    found = quiet.group_by(keys, use_threads=False).aggregate(
        [
            ("seed", "count_distinct"),
            ("size", "count"),
            ("size", "mean"),
            ("size", "max"),
            ("quiet", "sum"),
        ]
    )
    sizes = found.sort_by([(name, "ascending") for name in keys]).to_pylist()
    shown = varying(sizes)
    rows: list[Row] = [
        {
            **{name: each[name] for name in shown},
            "N": each["n_params"],
            "runs": each["seed_count_distinct"],
            "avalanches": each["size_count"],
            "mean size": each["size_mean"],
            "largest": each["size_max"],
            "quiet": each["quiet_sum"],
        }
        for each in sizes
    ]
    runs = sorted({row["runs"] for row in rows})
    many = f"{runs[0]} to {runs[-1]}" if len(runs) > 1 else str(runs[0])
    plural = "s" if runs[-1] > 1 else ""
    title = (
        f"{table.num_rows:,} avalanches of {len(pc.unique(table['n_params']))} sizes, "
        f"{many} run{plural} each"
    )
    lacking = [name for name in MEASURED if table[name].null_count == table.num_rows]
    return Summary(title, rows, warn("absent/columns", lacking))
