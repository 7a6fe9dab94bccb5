"""Stage 4: resample the runs; densities, intervals, paired differences, leave-one-out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from grokcrit import provenance, scaling
from grokcrit.options import EstimateOptions
from grokcrit.parallel import Progress, Stop, StoppedError
from grokcrit.scaling import Ensemble, Ints, Reals
from grokcrit.schemas import AVALANCHE, BOOTSTRAP, CASE_COLUMNS
from grokcrit.tables import Inputs, TableLike
from grokcrit.vocabulary import INTERVAL, PHASES, STATISTICS

Row: TypeAlias = dict[str, Any]
DIFFERENCE = "post - pre"
PLAIN = "percentile"


@dataclass(frozen=True)
class Sample:
    """Exponents of one case, observable and statistic in the phases and their difference.

    Attributes
    ----------
    ensemble : Ensemble
        The runs.
    labels : dict
        Case columns, observable, statistic.
    windows : list of str
        ``aggregate``, ``pre``, ``post``, ``post - pre``.
    estimate : ndarray, shape (windows,)
    draws : ndarray, shape (resamples, windows)
        No rows for ``max``, whose resampled maximum is biased.
    influences : ndarray, shape (R, windows)
    left_out : dict
        (part, value left out) to exponents, shape (windows,).
    """

    ensemble: Ensemble
    labels: Row
    estimate: Reals
    draws: Reals
    influences: Reals
    left_out: dict[tuple[str, int], Reals]

    windows = (*PHASES, DIFFERENCE)


def bootstrap(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Resample the runs of every size and fit each resample.

    Phases split at each run's own grokking epoch. A draw takes the same runs in every window and
    in every case with those runs, null models included, so differences are paired.

    Parameters
    ----------
    tables
        Schema ``avalanche/1``; pyarrow Tables, files, or folders of parts.
    threads
        How many cases at once; None for all cores. Changes no bit of the result.
    progress
        Called with (cases done, in all).
    **options
        Fields of :class:`grokcrit.options.EstimateOptions`.

    Returns
    -------
    pyarrow.Table
        Schema ``bootstrap/1``, the record in its metadata.

    Raises
    ------
    FitError
        No case has three sizes.
    """
    chosen = EstimateOptions(**options)
    inputs = Inputs(tables, AVALANCHE)
    record = provenance.record(
        BOOTSTRAP.name, dataclasses.asdict(chosen), root_seed=chosen.seed, inputs=inputs.records
    )
    samples = list(
        scaling.over_cases(
            lambda each, stop: case_samples(each, chosen, stop),
            inputs,
            threads=threads,
            progress=progress,
        )
    )
    nulls = {null_key(s): s for case in samples for s in case if is_null(s)}
    parts = [
        sample_table(sample, None if is_null(sample) else nulls.get(null_key(sample)), chosen)
        for case in samples
        for sample in case
    ]
    return pa.concat_tables(parts).replace_schema_metadata(provenance.encode(record))


def is_null(sample: Sample) -> bool:
    """Whether this is the baseline, the first replicate of the ``gaussian`` surrogate."""
    return bool(sample.labels["surrogate"] == "gaussian" and sample.labels["replicate"] == 0)


def null_key(sample: Sample) -> tuple[Any, ...]:
    """Return what a case shares with its baseline: everything but the surrogate, and the runs."""
    labels = {k: v for k, v in sample.labels.items() if k not in ("surrogate", "replicate")}
    runs = (*sample.ensemble.sizes.tolist(), *sample.ensemble.size_of.tolist())
    return (*labels.values(), *runs, *sample.ensemble.seed.tolist())


def case_samples(ensemble: Ensemble, chosen: EstimateOptions, stop: Stop) -> list[Sample]:
    """Resample one case."""
    draws = scaling.draw_runs(ensemble, chosen.resamples, chosen.seed)
    samples = []
    for observable in chosen.observable:
        values = ensemble.observe(observable)
        for statistic in STATISTICS:
            if stop.is_set():
                raise StoppedError
            labels = {**ensemble.case, "observable": observable, "statistic": statistic}
            samples.append(sample(ensemble, labels, values, draws))
    return samples


def sample(ensemble: Ensemble, labels: Row, values: Reals, draws: list[Ints]) -> Sample:
    """Estimate, resample and leave out, for one observable and statistic."""
    statistic = labels["statistic"]
    by_run = np.concatenate(
        [
            scaling.over_snapshots(ensemble, values, scaling.windows(ensemble, name), statistic)
            for name in PHASES
        ],
        axis=1,
    )

    def exponents(runs: Reals, sizes: Any = slice(None)) -> Reals:
        by_size = scaling.over_runs(runs, ensemble.size_of, len(ensemble.sizes), statistic)
        return with_difference(scaling.fit(ensemble.sizes[sizes], by_size[:, sizes]).exponent)

    by_size = scaling.over_runs(by_run, ensemble.size_of, len(ensemble.sizes), statistic)
    drawn = np.empty((0, len(Sample.windows)))
    if statistic != "max":
        resampled = scaling.resample(ensemble, by_run, draws)
        drawn = with_difference(scaling.fit(ensemble.sizes, resampled).exponent)
    left_out = {
        ("n_params", int(n)): exponents(by_run, np.arange(len(ensemble.sizes)) != k)
        for k, n in enumerate(ensemble.sizes)
    }
    for seed in np.unique(ensemble.seed):
        others = np.where((ensemble.seed == seed)[:, None], np.nan, by_run)
        left_out["seed", int(seed)] = exponents(others)
    return Sample(
        ensemble,
        labels,
        exponents(by_run),
        drawn,
        with_difference(scaling.influence(ensemble, by_run, by_size)),
        left_out,
    )


def with_difference(phases: Reals) -> Reals:
    """Append post - pre to an array whose last axis is aggregate, pre, post."""
    return np.concatenate([phases, phases[..., 2:] - phases[..., 1:2]], axis=-1)


def sample_table(sample: Sample, null: Sample | None, chosen: EstimateOptions) -> pa.Table:
    """Turn a sample into rows, and its difference to the baseline where there is one."""
    parts = [estimates(sample, None, sample.estimate, sample.draws, sample.influences, chosen)]
    if null is not None:
        parts.append(
            estimates(
                sample,
                "minus gaussian",
                sample.estimate - null.estimate,
                sample.draws - null.draws,
                sample.influences - null.influences,
                chosen,
            )
        )
    parts.append(draw_rows(sample))
    parts.append(left_out_rows(sample))
    return pa.concat_tables(parts)


def estimates(
    sample: Sample,
    part: str | None,
    estimate: Reals,
    draws: Reals,
    influences: Reals,
    chosen: EstimateOptions,
) -> pa.Table:
    """Rows of kind ``estimate`` and ``interval``, a window each."""
    windows = len(Sample.windows)
    columns: Row = {
        "window": list(Sample.windows),
        "kind": ["estimate"] * windows,
        "part": [part] * windows,
        "exponent": estimate,
        "method": ["least squares"] * windows,
    }
    tables = [rows(sample, columns)]
    if not len(draws):
        return tables[0]
    difference = np.array([part is not None or w == DIFFERENCE for w in Sample.windows])
    outer = [0.5 - chosen.confidence / 2, 0.5 + chosen.confidence / 2]
    few = scaling.widening(sample.ensemble, influences)
    corrected = scaling.interval(draws, few, chosen.confidence)
    single = np.isnan(corrected[0])  # no fit, or a size with one run, whose resampling is no spread
    plain = np.full((2, windows), np.nan)
    plain[:, ~single] = np.nanquantile(draws[:, ~single], outer, axis=0)
    as_drawn = scaling.Widening(np.ones(windows), np.full(windows, np.inf), single)
    for method, (low, high), wider in (
        (INTERVAL, corrected, few),
        (PLAIN, plain, as_drawn),
    ):
        ends = {"ci_low": low, "ci_high": high}
        p = np.where(difference & ~single, scaling.two_sided_p(draws, wider), np.nan)
        named = {"kind": ["interval"] * windows, "method": [method] * windows}
        tables.append(rows(sample, {**columns, **named, **ends, "p": p}))
    return pa.concat_tables(tables)


def draw_rows(sample: Sample) -> pa.Table:
    """Rows of kind ``draw``, window by window."""
    count, windows = sample.draws.shape
    return rows(
        sample,
        {
            "window": np.repeat(Sample.windows, count),
            "kind": pa.repeat("draw", count * windows),
            "index": np.tile(np.arange(count), windows),
            "exponent": sample.draws.T.ravel(),
        },
    )


def left_out_rows(sample: Sample) -> pa.Table:
    """Rows of kind ``leave-one-out``."""
    keys = [key for key in sample.left_out for _ in Sample.windows]
    return rows(
        sample,
        {
            "window": list(Sample.windows) * len(sample.left_out),
            "kind": ["leave-one-out"] * len(keys),
            "part": [part for part, _ in keys],
            "index": [value for _, value in keys],
            "exponent": np.concatenate(list(sample.left_out.values())),
            "method": ["least squares"] * len(keys),
        },
    )


def rows(sample: Sample, columns: Row) -> pa.Table:
    """Complete some columns to rows of the bootstrap table; NaN and what is missing are null."""
    count = len(columns["window"])
    arrays = []
    for field in BOOTSTRAP.arrow:
        if field.name in columns:
            values = columns[field.name]
            arrays.append(
                values
                if isinstance(values, pa.Array)
                else pa.array(values, field.type, from_pandas=True)
            )
        elif field.name in CASE_COLUMNS or field.name in ("observable", "statistic"):
            arrays.append(pa.repeat(pa.scalar(sample.labels[field.name], field.type), count))
        else:
            arrays.append(pa.nulls(count, field.type))
    return pa.Table.from_arrays(arrays, schema=BOOTSTRAP.arrow)
