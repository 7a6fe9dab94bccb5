"""Stage 4: resample the runs; densities, intervals, paired differences, leave-one-out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.parallel import Progress, Stop
from grokcrit.base.stage_options import BootstrapOptions, EstimateOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.base.vocabulary import (
    DIFFERENCE,
    INTERVAL,
    MINUS_GAUSSIAN,
    RUNS_ALONE,
    STATISTICS,
    TRAINED_GRAPH,
)
from grokcrit.questions import judge
from grokcrit.questions.adjusting import adjusted
from grokcrit.questions.family import mean_of_replicates
from grokcrit.questions.notices import left_out_of, record_of, warn
from grokcrit.questions.rows import PHASES_AND_CHANGE, ends, of_data, varying
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.fits import exponents
from grokcrit.scaling.left_out import leave_one_out
from grokcrit.scaling.reductions import over_runs, over_snapshots
from grokcrit.scaling.resampling import Estimate
from grokcrit.tables import provenance
from grokcrit.tables.reading import TableLike
from grokcrit.tables.schemas import BOOTSTRAP
from grokcrit.tables.types import narrowest

PLAIN, BCA, STUDENT = "percentile", "BCa", "Student, runs and graphs"
# While rows are made, an index is wide enough for every n_params.
WIDE = BOOTSTRAP.arrow.set(BOOTSTRAP.arrow.get_field_index("index"), pa.field("index", pa.int64()))
# The primary test; all others are adjusted for their number.
PRIMARY = {
    "observable": "size",
    "statistic": "mean",
    "window": DIFFERENCE,
    "part": MINUS_GAUSSIAN,
    "kind": "interval",
}


@dataclass(frozen=True)
class Sample:
    """Exponents of one case, observable and statistic in the phases and their difference."""

    labels: Row  # case columns, observable, statistic
    estimate: Estimate
    swapped: Reals  # (resamples,): ``post - pre``, the phases swapped within random runs
    trained: Estimate | None  # on the graph of the training minus on the others
    left_out: dict[tuple[str, int], Reals]  # (part, value left out) to exponents (windows,)

    @property
    def windows(self) -> list[str]:
        """The phases that there are, and their difference."""
        return list(PHASES_AND_CHANGE[: len(self.estimate.value)])


def bootstrap(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Resample the runs of every size and fit each resample.

    Graphs that differ in their seed alone are one case, and are resampled, too. Phases split at
    each run's own grokking epoch. A draw takes the same runs and graphs in every window and in
    every case that has them, null models included, so differences are paired.

    Parameters
    ----------
    tables
        Schema ``avalanche/1``; pyarrow Tables, files, or folders of parts.
    threads
        How many cases at once; None for all cores. Changes no bit of the result.
    progress
        Called with (cases done, in all).
    **options
        Fields of :class:`grokcrit.base.stage_options.BootstrapOptions`.

    Returns
    -------
    pyarrow.Table
        Schema ``bootstrap/2``, the record in its metadata.

    Raises
    ------
    FitError
        No case has three sizes.
    OptionError
        A graph seed that the table does not have; graphs of a case that differ in their runs.
    """
    chosen = BootstrapOptions(**options)
    cases, samples, record = scaling.over_cases(
        lambda each, options, stop: case_samples([each], options, stop),
        tables,
        chosen,
        BOOTSTRAP.name,
        size_column=chosen.size_column,
        crossed=True,
        graph_seed=chosen.graph_seed,
        threads=threads,
        progress=progress,
    )
    nulls, strangers = null_samples(cases, samples, chosen)
    parts = [
        sample_table(sample, null, chosen)
        for mine, others in zip(samples, nulls, strict=True)
        for sample, null in zip(mine, others, strict=True)
    ]
    if strangers:
        record["null_of_other_runs"] = True
    joint = pa.concat_tables(parts)
    place = joint.schema.get_field_index("index")
    joint = joint.set_column(place, "index", narrowest(joint["index"], BOOTSTRAP.column("index")))
    joint = with_adjusted(joint)
    return joint.replace_schema_metadata(provenance.encode(record))


def with_adjusted(table: pa.Table) -> pa.Table:
    """Fill ``p_adjusted``: of all tests of a case but the primary one."""
    tested = pc.indices_nonzero(pc.is_valid(table["p"])).to_numpy()
    rows = table.take(tested).to_pylist()
    keys = [tuple(row[name] for name in judge.FAMILY) for row in rows]
    found = np.full(table.num_rows, np.nan)
    found[tested] = adjusted(rows, keys, lambda _: PRIMARY)
    place = table.schema.get_field_index("p_adjusted")
    return table.set_column(place, "p_adjusted", pa.array(found, from_pandas=True))


def null_samples(
    cases: Sequence[Ensemble], samples: Sequence[list[Sample]], chosen: EstimateOptions
) -> tuple[list[Sequence[Sample | None]], bool]:
    """Return each case's Gaussian null of the same snapshots, and whether any is of others.

    Several replicates are averaged run by run.
    """
    found: list[Sequence[Sample | None]] = []
    strangers = False
    for case, mine in zip(cases, samples, strict=True):
        family = [k for k, other in enumerate(cases) if judge.are_family(case, other)]
        replicates = [k for k in family if judge.same_snapshots(case, cases[k])]
        strangers = strangers or len(replicates) < len(family)
        if len(replicates) > 1:
            members = [cases[k] for k in replicates]
            found.append(case_samples(members, chosen, Stop(), leave_out=False))
        else:
            found.append(samples[replicates[0]] if replicates else [None] * len(mine))
    return found, strangers


def case_samples(
    members: Sequence[Ensemble], chosen: EstimateOptions, stop: Stop, leave_out: bool = True
) -> list[Sample]:
    """Resample one case, or the mean over replicates of a null model."""
    ensemble = members[0]
    draws = resampling.draw_runs(ensemble, chosen.resamples, chosen.seed)
    swaps = resampling.draw_swaps(ensemble, chosen.resamples, chosen.seed)
    samples = []
    for observable in chosen.observable:
        values = [member.observe(observable) for member in members]
        for statistic in STATISTICS:
            stop.check()
            labels = {**ensemble.case, "observable": observable, "statistic": statistic}
            samples.append(sample(members, labels, values, draws, swaps, leave_out))
    return samples


def sample(
    members: Sequence[Ensemble],
    labels: Row,
    values: Sequence[Reals],
    draws: list[Ints],
    swaps: npt.NDArray[np.bool_],
    leave_out: bool,
) -> Sample:
    """Estimate, resample, swap and leave out, for one observable and statistic."""
    ensemble, statistic, sizes = members[0], labels["statistic"], members[0].sizes
    kinds = [windows(ensemble, name) for name in ensemble.phases]

    def phases(without: npt.NDArray[np.bool_] | None = None) -> Reals:
        return mean_of_replicates(
            [
                np.concatenate(
                    [
                        over_snapshots(
                            member,
                            observed if without is None else np.where(without, np.nan, observed),
                            bins,
                            statistic,
                        )
                        for bins in kinds
                    ],
                    axis=-1,
                )
                for member, observed in zip(members, values, strict=True)
            ]
        )

    by_run = phases()
    left_out = leave_one_out(ensemble, by_run, phases, statistic) if leave_out else {}
    swapped = np.empty(0)
    if statistic != "max" and len(kinds) > 1:
        pre, post = by_run[..., 1:2], by_run[..., 2:]
        exchange = swaps & ~np.isnan(pre) & ~np.isnan(post)
        fits = [
            exponents(sizes, over_runs(ensemble, np.where(exchange, other, own), statistic))
            for own, other in ((pre, post), (post, pre))
        ]
        swapped = fits[1] - fits[0]
    estimate = resampling.exponents(ensemble, by_run, statistic, draws).with_difference()
    trained, seed = None, ensemble.trained_on
    if seed is not None and statistic != "max":
        trained = resampling.trained_graph(ensemble, by_run, statistic, seed).with_difference()
    return Sample(labels, estimate, swapped, trained, left_out)


def sample_table(sample: Sample, null: Sample | None, chosen: EstimateOptions) -> pa.Table:
    """Turn a sample into rows, and its difference to the baseline where there is one."""
    parts = [estimates(sample, None, sample.estimate, chosen)]
    # A maximum over more snapshots is larger: swapped, the windows would differ in length alone.
    if sample.labels["statistic"] in ("mean", "cutoff") and len(sample.swapped):
        parts.append(permutation(sample, None, sample.estimate, sample.swapped, chosen))
    if null is not None:
        against = sample.estimate - null.estimate
        parts.append(estimates(sample, MINUS_GAUSSIAN, against, chosen))
        if len(sample.swapped):
            swapped = sample.swapped - null.swapped
            parts.append(permutation(sample, MINUS_GAUSSIAN, against, swapped, chosen))
    if sample.trained is not None:
        parts.append(trained_rows(sample, sample.trained, chosen))
    if len(sample.estimate.draws):
        parts.append(draw_rows(sample))
    parts.append(left_out_rows(sample))
    return pa.concat_tables(parts)


def estimates(
    sample: Sample, part: str | None, estimate: Estimate, chosen: EstimateOptions
) -> pa.Table:
    """Rows of kind ``estimate`` and ``interval``, a window each."""
    columns: Row = {"kind": "estimate", "part": part, "method": "least squares"}
    columns |= {"window": sample.windows, "exponent": estimate.value}
    tables = [rows(sample, columns)]
    if not len(estimate.draws):
        return tables[0]
    difference = np.array([part is not None or w == DIFFERENCE for w in sample.windows])
    single = estimate.few.single
    one = np.full(len(sample.windows), 0.5)
    half = one * chosen.confidence
    for method, (low, high) in (
        (INTERVAL, estimate.interval(chosen.confidence)),
        (RUNS_ALONE, dataclasses.replace(estimate, lines=None).interval(chosen.confidence)),
        (BCA, resampling.bca(estimate, chosen.confidence)),
        (PLAIN, resampling.percentiles(estimate.draws, one - half, one + half, ~single)),
    ):
        ends = {"ci_low": low, "ci_high": high}
        if method == INTERVAL:
            ends["p"] = np.where(difference & ~np.isnan(low), estimate.p(), np.nan)
        tables.append(rows(sample, {**columns, "kind": "interval", "method": method, **ends}))
    return pa.concat_tables(tables)


def permutation(
    sample: Sample, part: str | None, estimate: Estimate, swapped: Reals, chosen: EstimateOptions
) -> pa.Table:
    """Row of kind ``permutation``: that pre and post do not differ, labels swapped within runs."""
    found, valid = estimate.value[-1], swapped[~np.isnan(swapped)]
    columns: Row = {"kind": "permutation", "part": part, "exponent": [found]}
    columns |= {"window": [DIFFERENCE], "method": "pre and post swapped within runs"}
    if len(valid) and not np.isnan(found):
        low, high = np.quantile(valid, [0.5 - chosen.confidence / 2, 0.5 + chosen.confidence / 2])
        # Rounding must not make a swap that changes nothing look smaller than what was found.
        beyond = (np.abs(valid) >= abs(found) * (1 - 1e-12)).sum()
        columns |= {"ci_low": [low], "ci_high": [high], "p": [(1 + beyond) / (1 + len(valid))]}
    return rows(sample, columns)


def trained_rows(sample: Sample, trained: Estimate, chosen: EstimateOptions) -> pa.Table:
    """Rows of kind ``interval`` of the graph of the training minus the others."""
    low, high = trained.student(chosen.confidence)
    columns: Row = {"kind": "interval", "part": TRAINED_GRAPH, "method": STUDENT}
    columns |= {"window": sample.windows, "exponent": trained.value}
    return rows(sample, columns | {"ci_low": low, "ci_high": high, "p": trained.p()})


def draw_rows(sample: Sample) -> pa.Table:
    """Rows of kind ``draws``, a window each."""
    draws = list(sample.estimate.draws.T)
    return rows(sample, {"window": sample.windows, "kind": "draws", "draws": draws})


def left_out_rows(sample: Sample) -> pa.Table:
    """Rows of kind ``leave-one-out``."""
    keys = [key for key in sample.left_out for _ in sample.windows]
    return rows(
        sample,
        {
            "window": sample.windows * len(sample.left_out),
            "kind": "leave-one-out",
            "part": [part for part, _ in keys],
            "index": [value for _, value in keys],
            "exponent": np.concatenate(list(sample.left_out.values())),
            "method": "least squares",
        },
    )


def rows(sample: Sample, columns: Row) -> pa.Table:
    """Complete columns, lists or one value for all, to rows; NaN and what is missing are null."""
    count = len(columns["window"])
    known = sample.labels | columns
    arrays = []
    for field in WIDE:
        value = known.get(field.name)
        if value is None or isinstance(value, str | int | float):
            arrays.append(pa.repeat(pa.scalar(value, field.type), count))
        else:
            arrays.append(pa.array(value, field.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=WIDE)


def bootstrap_summary(table: pa.Table) -> Summary:
    """Sum up a bootstrap table: exponents, their differences, and those to the null."""
    few = table.filter(pc.is_in(table["kind"], pa.array(["estimate", "interval"]))).to_pylist()
    data, shown = of_data(few)
    estimates = [r for r in data if r["kind"] == "estimate"]
    intervals = [r for r in data if r["kind"] == "interval" and r["method"] == INTERVAL]
    # An interval has the estimate, too, and takes its place.
    known = {(*judge.shared(r), r["part"]): r for r in (*estimates, *intervals)}
    trained = any(map(judge.of_training, few))
    own_rows = [r for r in estimates if r["part"] is None]
    rows = []
    for r in own_rows:
        own = known[*judge.shared(r), None]
        against = known.get((*judge.shared(r), MINUS_GAUSSIAN))
        beside = {
            "minus null": against and against["exponent"],
            "interval of difference": against and ends(against),
            "p": against and judge.adjusted(against),
        }
        rows.append(
            {
                **{name: r[name] for name in shown},
                "window": r["window"],
                "statistic": r["statistic"],
                "exponent": r["exponent"],
                "interval": ends(own),
                **(beside if trained else {}),
            }
        )
    warnings = left_out_of(table)
    if record_of(table).get("null_of_other_runs"):
        warnings += warn("null-of-other-runs")
    elif trained and not any(r["part"] == MINUS_GAUSSIAN for r in data):
        has_null = any(r["surrogate"] == "gaussian" for r in few)
        warnings += warn("null-of-other-runs" if has_null else "no-null")
    warnings += warn("thin-window", judge.thin_windows(own_rows))
    graphs: Any = record_of(table).get("graphs")
    title = "run bootstrap" + (f", {len(graphs)} graphs" if isinstance(graphs, list) else "")
    return Summary(title, rows, warnings, {"p": ".2g"}, more=on_trained_graph(data))


def on_trained_graph(data: Sequence[Row]) -> list[Summary]:
    """Sum up how D of the mean size differs on the graph of the training; [] if it is not there."""
    place = {"part": TRAINED_GRAPH, "observable": "size", "statistic": "mean", "window": "post"}
    found = [r for r in data if all(r[name] == value for name, value in place.items())]
    rows = [
        {
            **{name: r[name] for name in varying(found)},
            "D on the graph of the training minus others, after grokking": r["exponent"],
            "interval": ends(r),
            "p": judge.adjusted(r),
        }
        for r in found
    ]
    return [Summary("training graph", rows, formats={"p": ".2g"})] if rows else []
