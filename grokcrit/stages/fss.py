"""Stage 3: finite-size scaling exponents in every window, with intervals; their account."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.parallel import Progress, Stop
from grokcrit.base.stage_options import FssOptions
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import PHASES, STATISTICS, WINDOWS
from grokcrit.questions import judge
from grokcrit.questions.notices import left_out_of, record_of, warn
from grokcrit.questions.rows import ends, of_data
from grokcrit.saved.tensor_names import some
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import Windows, windows
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.fits import fit
from grokcrit.scaling.reductions import over_runs, over_snapshots, tally
from grokcrit.tables import provenance
from grokcrit.tables.reading import TableLike
from grokcrit.tables.schemas import FSS

# Columns of what the scatter of runs tests, of every fit.
TESTED = ("ci_low", "ci_high", "curvature_p", "chi2", "chi2_freedom", "chi2_p")


def fss(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Fit statistic ~ N^exponent in every window of every case.

    Parameters
    ----------
    tables
        Schema ``avalanche/1``; pyarrow Tables, files, or folders of parts.
    threads
        How many cases at once; None for all cores. Changes no bit of the result.
    progress
        Called with (cases done, in all).
    **options
        Fields of :class:`FssOptions`.

    Returns
    -------
    pyarrow.Table
        Schema ``fss/1``, the record in its metadata. Windows too thin for a fit have a null
        exponent; ``max`` has no interval, a resampled maximum being biased.

    Raises
    ------
    FitError
        No case has three sizes.
    """
    chosen = FssOptions(**options)
    _, parts, record = scaling.over_cases(
        case_fits,
        tables,
        chosen,
        FSS.name,
        size_column=chosen.size_column,
        threads=threads,
        progress=progress,
    )
    return pa.concat_tables(parts).replace_schema_metadata(provenance.encode(record))


def case_fits(ensemble: Ensemble, chosen: FssOptions, stop: Stop) -> pa.Table:
    """Fit every observable, statistic and window of one case."""
    draws = resampling.draw_runs(ensemble, chosen.resamples, chosen.seed)
    kinds = [windows(ensemble, name) for name in WINDOWS]
    parts = []
    for observable in chosen.observable:
        values = ensemble.observe(observable)
        for statistic in STATISTICS:
            stop.check()
            columns = statistic_fits(ensemble, values, kinds, statistic, draws, chosen)
            labels = {"observable": observable, "statistic": statistic, **ensemble.case}
            columns |= {k: np.full(len(columns["time"]), v) for k, v in labels.items()}
            arrays = [pa.array(columns[f.name], f.type, from_pandas=True) for f in FSS.arrow]
            parts.append(pa.Table.from_arrays(arrays, schema=FSS.arrow))
    return pa.concat_tables(parts)


def statistic_fits(
    ensemble: Ensemble,
    values: Reals,
    kinds: list[Windows],
    statistic: str,
    draws: list[Ints],
    chosen: FssOptions,
) -> dict[str, Any]:
    """Fit one statistic in all windows at once: one column of the arrays a window."""
    by_run = np.concatenate(
        [over_snapshots(ensemble, values, bins, statistic) for bins in kinds], axis=-1
    )
    sizes, n_sizes = ensemble.sizes, len(ensemble.sizes)
    by_size = over_runs(ensemble, by_run, statistic)
    straight = fit(sizes, by_size)
    names = np.repeat([bins.name for bins in kinds], [len(bins.times) for bins in kinds])
    # An aligned bin that lacks a size cannot be compared with its neighbours: no fit.
    lacking = (names == "aligned") & np.isnan(by_size).any(axis=1)
    fitted = ~np.isnan(straight.exponent) & ~lacking
    tested = {name: np.full(len(fitted), np.nan) for name in TESTED}
    kept, places = by_run[..., fitted], np.flatnonzero(fitted)
    # A part of the windows at once: the draws of thousands of epochs would take gigabytes.
    for bins in resampling.chunks(len(places), draws) if statistic != "max" else []:
        slope = resampling.exponents(ensemble, kept[..., bins], statistic, draws)
        bend = dataclasses.replace(slope, value=straight.curvature[places[bins]], lines=None)
        assert slope.lines is not None
        bend = dataclasses.replace(bend, influences=slope.lines.influences(power=2))
        lack = slope.lines.lack_of_fit
        found = (*slope.interval(chosen.confidence), bend.p(), lack.chi2, lack.freedom, lack.p)
        for name, each in zip(TESTED, found, strict=True):
            tested[name][places[bins]] = each
    tested["chi2_freedom"][np.isnan(tested["chi2"])] = np.nan

    def total(which: Any) -> Ints:
        return np.concatenate([tally(ensemble, b, which).sum(axis=0) for b in kinds])

    n_runs = (~np.isnan(by_run)).reshape(-1, *by_run.shape[-2:])[0].sum(axis=0)
    estimates = {
        name: np.where(lacking, np.nan, getattr(straight, name))
        for name in ("exponent", "stderr", "r_squared", "intercept", "curvature")
    }
    return {
        "window": names,
        "time": [time for bins in kinds for time in bins.times],
        **estimates,
        **tested,
        "n_sizes": straight.n_sizes,
        "n_runs": n_runs,
        "n_avalanches": total(np.ones(len(ensemble.epoch), bool)),
        "n_runs_excluded": ensemble.runs - n_runs,
        "n_sizes_excluded": n_sizes - straight.n_sizes,
        "n_truncated": total(ensemble.truncated),
        "n_quiet": total(ensemble.observe("size") == 0),
    }


def fss_summary(table: pa.Table) -> Summary:
    """Sum up an fss table: the phases, each beside its null, and what to be aware of."""
    fits = table.filter(pc.is_null(table["time"])).to_pylist()
    nulls = judge.baselines(fits)
    data, shown = of_data(fits)
    trained = any(map(judge.of_training, fits))
    rows = []
    for f in data:
        if f["window"] not in PHASES and not f["n_avalanches"]:
            continue
        replicates = nulls.get(judge.shared(f), []) if judge.is_data(f) else []
        null = judge.baseline(f, replicates)
        beside = {"null": null and null["exponent"], "null interval": null and ends(null)}
        rows.append(
            {
                **{name: f[name] for name in shown},
                "window": f["window"],
                "statistic": f["statistic"],
                "exponent": f["exponent"],
                "interval": ends(f),
                **(beside if trained else {}),
                "chi^2": f["chi2"],
                "dof": f["chi2_freedom"],
                "p of fit": f["chi2_p"],
                "sizes": f["n_sizes"],
                "runs": f["n_runs"],
                "avalanches": f["n_avalanches"],
            }
        )
    warnings = left_out_of(table) + of_windows(data)
    warnings += against_nulls(data, nulls) if trained else []
    warnings += (
        counted(data) + of_lines(data, provenance.sizes(record_of(table))) + lacking_bins(table)
    )
    formats = {"chi^2": ".1f", "p of fit": ".2g"}
    return Summary("statistic ~ N^exponent", rows, warnings, formats)


def against_nulls(
    fits: Sequence[Row], nulls: Mapping[tuple[Any, ...], Sequence[Row]]
) -> list[Notice]:
    """Warn where there is no Gaussian null, or a replicate of other runs or over other sizes."""
    if not nulls:
        return warn("no-null")
    pairs = [(f, null) for f in fits for null in nulls.get(judge.shared(f), [])]
    same = [(f, null) for f, null in pairs if judge.counted_alike(f, null)]
    strangers = [] if len(same) == len(pairs) else warn("null-of-other-runs")
    other = [judge.named(f) for f, null in same if f["n_sizes"] != null["n_sizes"]]
    return strangers + (warn("null-of-other-sizes", some(other)) if other else [])


def of_windows(fits: Sequence[Row]) -> list[Notice]:
    """Warn of windows without a fit, of sizes left out, of runs that never grokked."""
    lost = sum(f["n_sizes_excluded"] for f in fits if f["exponent"] is not None)
    never = max((f["n_runs"] for f in fits if f["window"] == "ungrokked"), default=0)
    return (
        warn("thin-window", judge.thin_windows(fits))
        + warn("sizes-excluded", lost)
        + warn("never-grokked/fitted", never)
    )


def counted(fits: Sequence[Row]) -> list[Notice]:
    """Warn of avalanches cut off or quiet; every avalanche counts once."""
    whole = [
        f
        for f in fits
        if (f["window"], f["statistic"]) == ("aggregate", "mean")
        and f["observable"] == fits[0]["observable"]
    ]
    cut, quiet, total = (
        sum(f[name] for f in whole) for name in ("n_truncated", "n_quiet", "n_avalanches")
    )
    return warn("truncated", cut, total) + warn("quiet", quiet, total)


def of_lines(fits: Sequence[Row], sizes: Sequence[int]) -> list[Notice]:
    """Warn of bent lines, and of windows in which gamma exceeds D."""
    bent = [
        judge.named(f)
        for f in fits
        if judge.bent(judge.bend_of(f["curvature"], sizes), f["curvature_p"])
    ]
    largest = {judge.shared(f): f["exponent"] for f in fits if f["statistic"] == "max"}
    above = {
        f["window"]
        for f in fits
        if f["statistic"] == "mean"
        and judge.exceeds(f["exponent"], largest.get(judge.shared({**f, "statistic": "max"})))
    }
    return warn("curved", bent) + warn("gamma-above-D", sorted(above))


def lacking_bins(table: pa.Table) -> list[Notice]:
    """Warn of times without a fit because a size has no data there."""
    same = {"statistic": "mean", "surrogate": "none", "observable": table["observable"][0].as_py()}
    timed = table.filter(pc.is_valid(table["time"]))
    for name, value in same.items():
        timed = timed.filter(pc.equal(timed[name], value))
    counted = timed.append_column("lacks", pc.is_null(timed["exponent"])).group_by("window")
    found = counted.aggregate([("lacks", "sum"), ("lacks", "count")]).to_pylist()
    where = [
        f"{r['lacks_sum']} of {r['lacks_count']} {r['window']}" for r in found if r["lacks_sum"]
    ]
    return warn("lacking-size/fitted", where)
