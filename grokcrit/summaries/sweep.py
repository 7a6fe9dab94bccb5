"""Account of a sweep: what each choice does to D, and how much of the variance is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE

if TYPE_CHECKING:
    import pyarrow as pa

    from grokcrit.questions.effects import Points

# Pairs of options that are shown.
PAIRS = 3
SHOWN = {"pre": "before", "post": "after", DIFFERENCE: "change"}


def sweep_summary(table: pa.Table, confidence: float | None) -> Summary:
    """Account of a sweep table: main effects on D of the mean size, or of what else is there."""
    import numpy as np

    from grokcrit.questions import effects

    observable = effects.first_observable(table)
    points = effects.points_of(table, observable, "mean")
    rows = [
        level_row(points, factor.name, name, chosen)
        for factor, name, chosen in effects.levels(points)
    ]
    rows.append(level_row(points, "all points", "", np.ones(len(points.keys), bool)))
    title = f"D of the mean {observable} by choice: mean over the points with a fit"
    return Summary(
        title,
        rows,
        warnings(points, table),
        more=[variance(points, confidence)] if points.factors else [],
    )


def level_row(points: Points, option: str, value: str, chosen: Any) -> Row:
    """Sum up the points of one level."""
    from grokcrit.questions import effects

    row: Row = {"option": option, "value": value, "points": int(chosen.sum())}
    row["with a fit"] = int((chosen & points.fitted).sum())
    for window, name in SHOWN.items():
        row[name] = effects.middle(points.exponent[window][chosen])
    row["null after"] = effects.middle(points.null["post"][chosen])
    clear, there, asked = effects.crossed(points, chosen)
    row["crossing"] = f"{there} of {asked}" if asked else None
    row["clear"] = f"{clear} of {asked}" if asked else None
    return row


def variance(points: Points, confidence: float | None) -> Summary:
    """Share of the variance of D between points that each option has alone."""
    from grokcrit.questions import effects
    from grokcrit.questions.rows import missing

    rows: list[Row] = []
    for factor in points.factors:
        row: Row = {"option": factor.name}
        for window, name in SHOWN.items():
            row[name] = missing(effects.share(factor, points.exponent[window]))
        row["by chance"] = missing(effects.by_chance(factor, points.exponent["post"]))
        rows.append(row)
    for pair, shares in effects.best_pairs(points, list(SHOWN), PAIRS).items():
        rows.append({"option": pair, **{name: shares.get(w) for w, name in SHOWN.items()}})
    both: Row = {"option": "only together, all"}
    runs: Row = {"option": "noise of the runs"}
    for window, name in SHOWN.items():
        both[name] = missing(effects.together(points.factors, points.exponent[window]))
        runs[name] = missing(effects.noise(points, window, confidence))
    rows += [both, runs]
    formats = dict.fromkeys((*SHOWN.values(), "by chance"), ".0%")
    title = "share of the variance between points: of each option alone, and only together"
    return Summary(
        title, [{**row, "by chance": row.get("by chance")} for row in rows], formats=formats
    )


def warnings(points: Points, table: pa.Table) -> list[Notice]:
    """Say which points failed, and which could not be fitted."""
    import pyarrow.compute as pc

    from grokcrit.questions import effects

    found = []
    if points.failed:
        first = table.filter(pc.is_valid(table["error"])).slice(0, 1)["error"][0].as_py()
        count = "1 point" if points.failed == 1 else f"{points.failed} points"
        text = f"{count} failed, the first: {first}"
        found.append(Notice("failed-points", text))
    thin = int((~points.fitted).sum())
    if thin:
        text = (
            f"{thin} of {len(points.keys)} points have no fit before or after grokking: too few of "
            "their runs grok, or all at once"
        )
        found.append(Notice("thin-window", text))
    said = zip(table["point"].to_pylist(), table["warnings"].to_pylist(), strict=True)
    lost = len({point for point, ids in said if "zero-threshold" in (ids or ())})
    if lost:
        text = (
            f"the threshold is 0 in avalanches of {lost} of {len(points.keys)} points; they are "
            'left out of the fits: sweep with threshold_of = "nonzero"'
        )
        found.append(Notice("zero-threshold", text))
    if points.much_cut.any():
        found.append(Notice("truncated", effects.told_cut(points).rstrip(".")))
    _, there, asked = effects.crossed(points, ~points.grokked)
    if there:
        text = (
            f"at {asked} points no run groks, and yet D(t) crosses the Gaussian null at {there} of "
            "them: a crossing need have nothing to do with grokking"
        )
        found.append(Notice("crossing-without-grokking", text))
    return found
