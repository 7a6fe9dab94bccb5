"""Accounts of train, avalanche, fss and bootstrap tables, and of the claims."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from grokcrit.base.degenerate import zero_threshold
from grokcrit.base.summary import Notice, Row, Summary, curved, gamma_above
from grokcrit.base.vocabulary import DISAGREE, INTERVAL, MINUS_GAUSSIAN, PHASES
from grokcrit.saved.tensor_names import some
from grokcrit.summaries import degenerate
from grokcrit.tables.schemas import CASE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

# A warning of curvature needs an effect as well as a p: a slope that changes by 0.1 over the 1.4
# decades of the source's sizes.
SIGNIFICANT, CURVED = 0.05, 0.0156
HOW_TO_ADD_NULL = "grokcrit avalanche train.parquet --surrogate none,gaussian"


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
    warnings = []
    never = sum(run["grok_epoch"] is None for run in runs)
    if never:
        warnings.append(
            Notice(
                "never-grokked",
                f"{never} of {len(runs)} runs never grokked: they enter neither phase, and form "
                "the window 'ungrokked'",
            )
        )
    cascades = sum(run["cascades"] for run in runs)
    warnings += degenerate.trained_on_zeros(sum(run["zero"] for run in runs), cascades)
    warnings += truncation(sum(run["truncated"] for run in runs), cascades)
    total = sum(row["snapshots"] for row in rows)
    title = f"{len(runs)} runs, {sum(run['rows'] for run in runs)} rows, {total} snapshots"
    return Summary(title, rows, warnings, {"grok_epoch median": ".4g"})


def truncation(cut: int, total: int) -> list[Notice]:
    """Warn of avalanches that were cut off."""
    if not cut:
        return []
    return [
        Notice(
            "truncated",
            f"{cut} of {total} avalanches were cut off at --max-steps with nodes still above the "
            "threshold: their sizes are too small",
        )
    ]


def quietness(quiet: int, total: int) -> list[Notice]:
    """Warn of avalanches of size 0."""
    if not quiet:
        return []
    return [
        Notice("quiet", f"{quiet} of {total} avalanches are quiet (size 0, nothing above theta)")
    ]


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
    data = [c for c in cases if is_data(c)] or cases
    counts = (sum(c[name] for c in data) for name in ("zero_sum", "size_count"))
    return Summary(
        f"{total} avalanches in {len(cases)} case{'s' if len(cases) > 1 else ''}",
        rows,
        degenerate.cascaded(table, *counts)
        + truncation(sum(c["cut_sum"] for c in cases), total)
        + quietness(sum(c["quiet_sum"] for c in cases), total),
    )


def varying(cases: list[Row]) -> list[str]:
    """Return the case columns that tell the cases apart."""
    return [name for name in CASE_COLUMNS if len({case[name] for case in cases}) > 1]


def is_data(row: Row) -> bool:
    """Whether a row is of the data, not of a null model."""
    return bool(row["surrogate"] == "none")


def baseline(rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Index the rows of the Gaussian null by all they share with the data's."""
    return {
        shared(row): row for row in rows if row["surrogate"] == "gaussian" and not row["replicate"]
    }


def same_runs(fit: Row, null: Row) -> bool:
    """Return whether a null is of the same runs and snapshots as the fit it stands for.

    Those that a fit excludes belong to them: an observable can be undefined, or 0, in the data or
    in the null alone.
    """
    return fit["n_avalanches"] == null["n_avalanches"] and all(
        fit[name] + fit[f"{name}_excluded"] == null[name] + null[f"{name}_excluded"]
        for name in ("n_sizes", "n_runs")
    )


def same_sizes(fit: Row, null: Row) -> bool:
    """Return whether a fit and its null use as many sizes, so that they can be compared."""
    return bool(fit["n_sizes"] == null["n_sizes"])


def shared(row: Row) -> tuple[Any, ...]:
    """Return what a fit of the data shares with that of its null."""
    names = [n for n in CASE_COLUMNS if n not in ("surrogate", "replicate")]
    names += ["observable", "statistic", "window"]
    return tuple(row[name] for name in names)


def fss_summary(table: pa.Table) -> Summary:
    """Account of an fss table: the phases, each beside its null, and what to beware of."""
    import pyarrow.compute as pc

    fits = table.filter(pc.is_null(table["time"])).to_pylist()
    nulls = baseline(fits)
    data = [f for f in fits if is_data(f)] or fits
    shown = varying(data) + ["observable"] * (len({f["observable"] for f in data}) > 1)
    rows = []
    for f in data:
        if f["window"] not in PHASES and not f["n_avalanches"]:
            continue
        null = nulls.get(shared(f)) if is_data(f) else None
        if null and not (same_runs(f, null) and same_sizes(f, null)):
            null = None
        rows.append(
            {
                **{name: f[name] for name in shown},
                "window": f["window"],
                "statistic": f["statistic"],
                "exponent": f["exponent"],
                "interval": ends(f),
                "null": null and null["exponent"],
                "null interval": null and ends(null),
                "R^2": f["r_squared"],
                "sizes": f["n_sizes"],
                "runs": f["n_runs"],
                "avalanches": f["n_avalanches"],
            }
        )
    warnings = degenerate.left_out_of(table) + fss_warnings(data, nulls) + lacking_bins(table)
    return Summary("statistic ~ N^exponent", rows, warnings)


def lacking_bins(table: pa.Table) -> list[Notice]:
    """Warn of times without a fit because a size has no data there."""
    import pyarrow.compute as pc

    same = {"statistic": "mean", "surrogate": "none", "observable": table["observable"][0].as_py()}
    timed = table.filter(pc.is_valid(table["time"]))
    for name, value in same.items():
        timed = timed.filter(pc.equal(timed[name], value))
    counted = timed.append_column("lacks", pc.is_null(timed["exponent"])).group_by("window")
    found = counted.aggregate([("lacks", "sum"), ("lacks", "count")]).to_pylist()
    where = [
        f"{r['lacks_sum']} of {r['lacks_count']} {r['window']}" for r in found if r["lacks_sum"]
    ]
    if not where:
        return []
    return [Notice("lacking-size", f"times without a fit, a size has no data: {', '.join(where)}")]


def ends(row: Row) -> tuple[float, float] | None:
    """Return the ends of an interval, None where there is none."""
    return None if row["ci_low"] is None else (row["ci_low"], row["ci_high"])


def fss_warnings(fits: list[Row], nulls: dict[tuple[Any, ...], Row]) -> list[Notice]:
    """Collect what a reader of the exponents must know."""
    warnings = []
    if not nulls:
        warnings.append(no_null())
    else:
        pairs = [(f, nulls[shared(f)]) for f in fits if shared(f) in nulls]
        if not all(same_runs(*pair) for pair in pairs):
            warnings.append(other_runs())
        warnings += other_sizes(
            [f for f, null in pairs if same_runs(f, null) and not same_sizes(f, null)]
        )
    # Every avalanche once: the fits of another observable are of the same.
    whole = [
        f
        for f in fits
        if (f["window"], f["statistic"]) == ("aggregate", "mean")
        and f["observable"] == fits[0]["observable"]
    ]
    warnings += thin_windows(fits)
    lost = sum(f["n_sizes_excluded"] for f in fits if f["exponent"] is not None)
    if lost:
        warnings.append(
            Notice("sizes-excluded", f"{lost} times a size was left out of a fit: no data, or 0")
        )
    never = max((f["n_runs"] for f in fits if f["window"] == "ungrokked"), default=0)
    if never:
        warnings.append(Notice("never-grokked", f"{never} runs of a case never grokked"))
    warnings += truncation(
        sum(f["n_truncated"] for f in whole), sum(f["n_avalanches"] for f in whole)
    )
    warnings += quietness(sum(f["n_quiet"] for f in whole), sum(f["n_avalanches"] for f in whole))
    by_place = {(*shared(f)[:-2], f["window"], f["statistic"]): f["exponent"] for f in fits}
    above = sorted(
        {
            window
            for (*place, window, statistic), gamma in by_place.items()
            if statistic == "mean"
            and gamma is not None
            and (largest := by_place.get((*place, window, "max"))) is not None
            and gamma > largest
        }
    )
    warnings += bent_lines(fits)
    warnings += gamma_above(above)
    return warnings


def bent_lines(fits: list[Row]) -> list[Notice]:
    """Warn where ln(statistic) against ln(N) is bent, significantly and visibly."""
    bent = [
        f"{f['observable']} {f['statistic']} {f['window']}"
        for f in fits
        if f["curvature_p"] is not None
        and f["curvature_p"] < SIGNIFICANT
        and abs(f["curvature"] or 0) >= CURVED
    ]
    return curved(bent)


def thin_windows(fits: list[Row]) -> list[Notice]:
    """Warn of phases without a fit."""
    thin = sorted({f["window"] for f in fits if f["exponent"] is None and f["window"] in PHASES})
    if not thin:
        return []
    return [Notice("thin-window", f"no fit in {', '.join(thin)}: fewer than three sizes have data")]


def no_null() -> Notice:
    """Tell how to add the baseline."""
    return Notice(
        "no-null",
        f"there is no Gaussian null to judge exponents against; add it with '{HOW_TO_ADD_NULL}'",
    )


def other_sizes(fits: list[Row]) -> list[Notice]:
    """Say where a fit and its null use different sizes, so that they are not compared."""
    places = [f"{f['observable']} {f['statistic']} {f['window']}" for f in fits if f["exponent"]]
    if not places:
        return []
    return [
        Notice(
            "null-of-other-sizes",
            f"data and Gaussian null are fitted over different sizes, so they are not compared "
            f"({some(places)}): at some sizes one of the two has no data, or only 0",
        )
    ]


def other_runs() -> Notice:
    """Say that the baseline is of other runs than the data."""
    return Notice(
        "null-of-other-runs",
        "the Gaussian null is not of the same runs, snapshots and grokking epochs as the data, so "
        f"the two are not compared; make both in one command, '{HOW_TO_ADD_NULL}'",
    )


def bootstrap_summary(table: pa.Table) -> Summary:
    """Account of a bootstrap table: exponents, their differences, and those to the null."""
    import pyarrow.compute as pc

    few = table.filter(pc.is_in(table["kind"], _strings("estimate", "interval"))).to_pylist()
    data = [r for r in few if is_data(r)] or few
    shown = varying(data) + ["observable"] * (len({r["observable"] for r in data}) > 1)
    estimates = {(*shared(r), r["part"]): r for r in data if r["kind"] == "estimate"}
    intervals = {
        (*shared(r), r["part"]): r
        for r in data
        if r["kind"] == "interval" and r["method"] == INTERVAL
    }
    rows = []
    for r in data:
        if r["kind"] != "estimate" or r["part"] is not None:
            continue
        own = intervals.get((*shared(r), None))
        place = (*shared(r), MINUS_GAUSSIAN)
        against = intervals.get(place) or estimates.get(place)
        rows.append(
            {
                **{name: r[name] for name in shown},
                "window": r["window"],
                "statistic": r["statistic"],
                "exponent": r["exponent"],
                "interval": own and ends(own),
                "minus null": against and against["exponent"],
                "interval of difference": against and ends(against),
                "p": against and against["p"],
            }
        )
    warnings = degenerate.left_out_of(table)
    if not any(r["part"] for r in data):
        has_null = any(r["surrogate"] == "gaussian" for r in few)
        warnings.append(other_runs() if has_null else no_null())
    own_rows = [r for r in data if r["kind"] == "estimate" and r["part"] is None]
    warnings += thin_windows(own_rows)
    return Summary("run bootstrap", rows, warnings, {"p": ".2g"})


def _strings(*values: str) -> pa.Array:
    import pyarrow as pa

    return pa.array(values)


def claims_summary(rows: list[Row], columns: Sequence[str], scale: str) -> Summary:
    """Account of a reproduction: the claims beside ours."""
    shown = [{name: row[name] for name in columns} for row in rows]
    warnings = []
    if scale == "smoke":
        warnings.append(
            Notice("smoke", "smoke scale: tiny sizes, few runs; the numbers mean nothing")
        )
    odd = [row["words"] for row in rows if row["agrees"] in DISAGREE]
    warnings += [Notice("disagrees", words) for words in odd]
    return Summary("the source beside ours", shown, warnings, details=rows)
