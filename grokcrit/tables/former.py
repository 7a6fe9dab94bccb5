"""Tables of earlier versions, turned into those of this one."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.tables.schemas import CASE_COLUMNS


def with_lists(table: pa.Table) -> pa.Table:
    """Return a bootstrap table in which draws are lists; ``bootstrap/1`` had a row for each."""
    single = pc.equal(table["kind"], "draw")
    if not pc.any(single).as_py():
        return table
    names = [*CASE_COLUMNS, "observable", "statistic", "window"]
    drawn = table.filter(single).sort_by("index").group_by(names, use_threads=False)
    lists = drawn.aggregate([("exponent", "list")]).rename_columns([*names, "draws"])
    lists = lists.append_column("kind", pa.repeat("draws", lists.num_rows))
    others = table.filter(pc.invert(single))
    return pa.concat_tables([others, lists], promote_options="permissive")
