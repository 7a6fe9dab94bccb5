"""Account of what was ingested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import MINIMUM_SIZES
from grokcrit.saved.tensor_names import some

if TYPE_CHECKING:
    from grokcrit.stages.ingest import Plan


def ingest_summary(plan: Plan) -> Summary:
    """Account of a table made of saved files: a row a family and size."""
    snapshots = plan.series.snapshots
    rows: list[Row] = []
    for kind in sorted(plan.series.layouts):
        mine = [each for each in snapshots if each.kind == kind]
        entries, n = plan.series.layouts[kind].entries, plan.n_params(kind)
        rows.append(
            {
                "family": kind[0],
                "size": kind[1],
                "n_params": n,
                **({"of": entries} if plan.options.sample is not None else {}),
                "runs": len({each.run for each in mine}),
                "snapshots": len(mine),
                "steps": (min(each.step for each in mine), max(each.step for each in mine)),
                "field": plan.options.field,
            }
        )
    total, runs = len(snapshots), len({each.run for each in snapshots})
    title = f"{total} snapshot{'s' * (total > 1)} of {runs} run{'s' * (runs > 1)}"
    return Summary(title, rows, notices(plan, rows))


def notices(plan: Plan, rows: Sequence[Row]) -> list[Notice]:
    """Say what was left out, and what will keep a fit from being made."""
    found = []
    left_out = plan.series.left_out
    if left_out:
        named = some([f"{name} ({kind})" for name, kind in left_out.items()])
        found.append(
            Notice(
                "not-floating", f"tensors of whole numbers are left out: {named}", tuple(left_out)
            )
        )
    if plan.series.idle:
        found.append(
            Notice(
                "no-match",
                f"no tensor has a name that matches {some(sorted(plan.series.idle))}; check "
                "--include and --exclude",
            )
        )
    left = plan.series.names_left_out
    words = {
        "buffers": "buffers are left out, so they do not count in N: {}; keep all with "
        "--keep-buffers, or one with --include '*' --include NAME",
        "unchanging": "tensors that never change (buffers, frozen layers, or changes too small for "
        "their precision) are left out, so they do not count in N: {}; keep all with "
        "--keep-buffers, or one with --include '*' --include NAME",
        "empty": "tensors without entries are left out: {}",
    }
    found += [
        Notice(reason, text.format(some(left[reason])), tuple(left[reason]))
        for reason, text in words.items()
        if reason in left
    ]
    if plan.series.disordered:
        a, b = plan.series.disordered[0]
        found.append(
            Notice(
                "order",
                f"steps were counted in the order given, in which {a} comes before {b}; name the "
                "steps with --pattern if that is not their order",
            )
        )
    for family in dict.fromkeys(row["family"] for row in rows):
        mine = [row for row in rows if row["family"] == family]
        lengths = {row["n_params"] for row in mine}
        if len(mine) >= MINIMUM_SIZES > len(lengths):
            counted = isinstance(plan.options.sample, int)
            remedy = "take a share instead, --sample 1%" if counted else "take tensors that grow"
            found.append(
                Notice(
                    "equal-samples" if counted else "equal-sizes",
                    f"the {len(mine)} sizes of {family} have {len(lengths)} different n_params, "
                    f"and a fit takes {MINIMUM_SIZES}: {remedy}",
                )
            )
    return found
