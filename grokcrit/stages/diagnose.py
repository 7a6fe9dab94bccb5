"""Everything asked of D beyond its value: avalanche and train tables in, diagnostics out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from grokcrit.base.errors import TableError
from grokcrit.base.parallel import Progress, Stop, StoppedError, in_order
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.vocabulary import PHASES, RESAMPLED
from grokcrit.questions import (
    collapses,
    crossings,
    distributions,
    gini,
    nulls,
    placebos,
    separation,
    straightness,
)
from grokcrit.questions.counts import counts
from grokcrit.questions.family import Curves, Family, curves, families
from grokcrit.questions.findings import Row, labelled, to_table
from grokcrit.questions.straightness import largest
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, TableLike, by_stage
from grokcrit.tables.schemas import AVALANCHE, DIAGNOSTICS, TRAIN

Task: TypeAlias = Callable[[Stop], list[Row]]
# Observables on which D(t) = 1 is a claim of the source; the others are held against their null.
UNITY = ("size",)
# Observables that are ratios: their distributions have no s / N^D.
RATIOS = ("branching", "transported-per-toppling")
# Observables whose distribution is fitted: they count.
FITTED = ("size", "area", "duration")
OF_CURVES = ("nulls", "placebos", "straightness", "crossings")


def diagnose(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Ask what D measures: null models, placebos, straightness, crossings, collapse, tails, Gini.

    Parameters
    ----------
    tables
        Schemas ``avalanche/1`` and ``train/1``, in any order; pyarrow Tables, files, or folders of
        parts. The Gini coefficient is read from train tables, all else from avalanche tables.
    threads
        How many questions at once; None for all cores. Changes no bit of the result.
    progress
        Called with (questions done, in all).
    **options
        Fields of :class:`DiagnoseOptions`.

    Returns
    -------
    pyarrow.Table
        Schema ``diagnostics/1``, the record in its metadata.

    Raises
    ------
    TableError
        A table of another stage; no table that the questions could be asked of.
    FitError
        No case has three sizes.
    """
    chosen = DiagnoseOptions(**options)
    parts = by_stage(tables)
    for stage in parts:
        if stage not in ("avalanche", "train"):
            raise TableError(
                f"a table of stage '{stage}' was given; diagnose reads avalanche and train tables"
            )
    tasks: list[Task] = []
    records: list[provenance.Record] = []
    if "avalanche" in parts and set(chosen.only) != {"gini"}:
        inputs = Inputs(parts["avalanche"], AVALANCHE)
        records += inputs.records
        known = families(scaling.ensembles_of(inputs, chosen.keep_zero_threshold))
        for family in known:
            tasks += family_tasks(family, chosen)
        if "separation" in chosen.only:
            tasks += [
                partial(pair_rows, pair, observable, statistic, chosen)
                for pair in separation.controlled(known)
                for observable in chosen.observable
                for statistic in RESAMPLED
            ]
    if "train" in parts and "gini" in chosen.only:
        trained = Inputs(parts["train"], TRAIN.only(gini.COLUMNS))
        records += trained.records
        tasks.append(lambda stop: gini_rows(trained, chosen, stop))
    if not tasks:
        raise TableError(
            "there is nothing to diagnose: give an avalanche table with rows of surrogate 'none'; "
            "for --only gini a train table; for --only separation a case that groks and one of the "
            "same widths and seeds that never does"
        )
    record = provenance.record(
        DIAGNOSTICS.name, dataclasses.asdict(chosen), root_seed=chosen.seed, inputs=records
    )
    found = in_order(
        lambda task, stop: task(stop),
        tasks,
        cost=lambda _: 1.0,
        threads=threads,
        progress=progress,
    )
    rows = [row for part in found for row in part]
    return to_table(rows).replace_schema_metadata(provenance.encode(record))


def family_tasks(family: Family, chosen: DiagnoseOptions) -> list[Task]:
    """List what is asked of a case and its null models, each in a task of its own."""
    tasks: list[Task] = []
    if "straightness" in chosen.only:
        tasks.append(
            lambda _: labelled(largest(family.data, chosen.observable), **family.data.case)
        )
    if "collapse" in chosen.only:
        tasks += [
            partial(collapse_rows, member, observable, chosen)
            for member in [family.data, *family.nulls.get("gaussian", [])[:1]]
            for observable in chosen.observable
            if observable not in RATIOS
        ]
    if "tails" in chosen.only:
        tasks += [partial(tail_rows, family, observable, chosen) for observable in FITTED]
        tasks.append(partial(crackling_rows, family, chosen))
    if "counts" in chosen.only:
        tasks.append(lambda _: labelled(counts(family), **family.data.case))
    if set(OF_CURVES) & set(chosen.only):
        tasks += [
            partial(of_curves, family, observable, statistic, chosen)
            for observable in chosen.observable
            for statistic in RESAMPLED
        ]
    return tasks


def of_curves(
    family: Family, observable: str, statistic: str, chosen: DiagnoseOptions, stop: Stop
) -> list[Row]:
    """Answer what is asked of D in the phases and in time, for one observable and statistic."""
    data, asked = family.data, chosen.only
    draws = resampling.draw_runs(data, chosen.resamples, chosen.seed)
    own = curves([data], observable, statistic, draws)
    against: dict[str, Curves] = {}
    for name, members in family.nulls.items():
        if stop.is_set():
            raise StoppedError
        if "nulls" in asked or name == "gaussian":
            against[name] = curves(members, observable, statistic, draws)
    null = against.get("gaussian")
    levels = ["gaussian"] * (null is not None) + ["1"] * (observable in UNITY)
    rows: list[Row] = []
    if "nulls" in asked:
        rows += nulls.null_models(own, against, chosen.confidence)
    if "straightness" in asked:
        rows += straightness.straightness(data, observable, statistic, draws, chosen.confidence)
    if "crossings" in asked:
        rows += crossings.moments(data, own, null, levels, draws, chosen.confidence)
    if stop.is_set():
        raise StoppedError
    if "placebos" in asked:
        rows += placebo_rows(family, observable, statistic, own, null, levels, draws, chosen)
    # A null model of several replicates is averaged over them: its rows are of no single one.
    several = {name for name, members in family.nulls.items() if len(members) > 1}
    rows = [r | {"replicate": None} if r.get("surrogate") in several else r for r in rows]
    return labelled(rows, **data.case, observable=observable, statistic=statistic)


def placebo_rows(
    family: Family,
    observable: str,
    statistic: str,
    own: Curves,
    null: Curves | None,
    levels: Sequence[str],
    draws: Sequence[scaling.Ints],
    chosen: DiagnoseOptions,
) -> list[Row]:
    """Split every run elsewhere: at one epoch for all, at the grokking epoch of another run."""
    data = family.data
    if np.isnan(data.grok).all():
        return []
    common = (chosen.splits, draws, chosen.confidence)
    rows = placebos.splits(data, observable, statistic, own.phases, *common)
    for level in levels:
        gap = crossings.gap_of(own.epoch, null.epoch if null else None, level)
        if gap is not None:
            found = placebos.split_crossings(gap, chosen.splits, chosen.confidence)
            rows += labelled(found, window="epoch", part=level)
    base = family.nulls.get("gaussian")
    return rows + placebos.permuted(
        data,
        placebos.shuffled([data], observable, statistic),
        placebos.shuffled(base, observable, statistic) if base else None,
        statistic,
        levels,
        chosen.permutations,
        chosen.seed,
        chosen.confidence,
    )


def pair_rows(
    pair: separation.Pair,
    observable: str,
    statistic: str,
    chosen: DiagnoseOptions,
    _stop: Stop,
) -> list[Row]:
    """Compare a case that groks with its control in time."""
    draws = resampling.draw_runs(pair[0].data, chosen.resamples, chosen.seed)
    return separation.separations(pair, observable, statistic, draws, chosen.confidence)


def collapse_rows(
    ensemble: Ensemble, observable: str, chosen: DiagnoseOptions, _stop: Stop
) -> list[Row]:
    """Collapse the distributions of all sizes, phase by phase."""
    draws = resampling.draw_runs(ensemble, chosen.resamples, chosen.seed)
    rows = collapses.collapses(ensemble, observable, draws, chosen.confidence)
    return labelled(rows, **ensemble.case, observable=observable)


def tail_rows(family: Family, observable: str, chosen: DiagnoseOptions, stop: Stop) -> list[Row]:
    """Fit the distribution of every size, phase by phase."""
    data = family.data
    draws = resampling.draw_runs(data, chosen.resamples, chosen.seed)
    rows: list[Row] = []
    for window in PHASES:
        if stop.is_set():
            raise StoppedError
        rows += distributions.distributions(
            data, observable, [window], draws, chosen.gof, chosen.seed, chosen.confidence
        )
    return labelled(rows, **data.case, observable=observable)


def crackling_rows(family: Family, chosen: DiagnoseOptions, _stop: Stop) -> list[Row]:
    """Hold the exponents of size and duration against one another."""
    return labelled(
        distributions.crackling(family.data, PHASES, chosen.confidence), **family.data.case
    )


def gini_rows(trained: Inputs, chosen: DiagnoseOptions, _stop: Stop) -> list[Row]:
    """Measure the Gini transient of every run, wherever its rows are."""
    order = [(name, "ascending") for name in ("task", *TRAIN.key)]
    return gini.findings(list(gini.transients(trained.read().sort_by(order))), chosen.confidence)
