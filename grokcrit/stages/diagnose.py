"""Everything asked of D beyond its value: avalanche and train tables in, diagnostics out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import EmptyError, StageError
from grokcrit.base.parallel import Progress, Stop, in_order
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.base.vocabulary import QUESTIONS, RESAMPLED
from grokcrit.questions import load, questions
from grokcrit.questions.adjusting import adjust
from grokcrit.questions.family import Exponents, Family, curves, families
from grokcrit.questions.notices import absent_from, cut_runs, record_of
from grokcrit.questions.question import Asked, Question, Task
from grokcrit.questions.rows import labelled, to_table, varying
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.blocks import cut
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, TableLike, by_stage
from grokcrit.tables.schemas import AVALANCHE, DIAGNOSTICS, TRAIN


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
        Fields of :class:`grokcrit.base.stage_options.DiagnoseOptions`.

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
    parts = by_stage(tables, chosen.size_column)
    for stage in parts:
        if stage not in ("avalanche", "train"):
            raise StageError(
                f"a table of stage '{stage}' was given; diagnose reads avalanche and train tables"
            )
    named = {name: load(name) for name in QUESTIONS if name in chosen.only}
    asked = list(named.values())
    tasks: list[Task] = []
    records: list[provenance.Record] = []
    made: dict[str, Any] = {}
    if "avalanche" in parts and not all(each.of_training for each in asked):
        inputs = Inputs(parts["avalanche"], AVALANCHE, chosen.size_column)
        records += inputs.records
        cases = scaling.ensembles_of(inputs, chosen.keep_zero_threshold, chosen.blocks)
        chosen, made = scaling.measured(cases, chosen)
        made |= cut(cases)
        known = families(cases)
        for family in known:
            tasks += family_tasks(family, asked, chosen)
        tasks += [t for each in asked if each.of_families for t in each.of_families(known, chosen)]
    if "train" in parts:
        for each in asked:
            if each.of_training:
                trained = Inputs(parts["train"], TRAIN.only(each.columns))
                records += trained.records
                tasks.append(partial(training_rows, each, trained, chosen))
    needs = [f"{name} needs {each.training}" for name, each in named.items() if each.training]
    if not tasks and len(needs) == len(asked) and "avalanche" in parts:
        raise EmptyError(f"there is nothing to diagnose: {'; '.join(needs)}")
    if not tasks:
        raise EmptyError(
            "there is nothing to diagnose: give an avalanche table with rows of surrogate 'none'; "
            "for --only gini a train table; for --only controls what 'grokcrit train --controls' "
            "makes, or a case that groks and one of the same widths and seeds that never does"
        )
    record = provenance.record(
        DIAGNOSTICS.name, dataclasses.asdict(chosen), root_seed=chosen.seed, inputs=records
    )
    found = in_order(lambda task, stop: task(stop), tasks, threads=threads, progress=progress)
    rows = adjust([row for part in found for row in part], asked)
    return to_table(rows).replace_schema_metadata(provenance.encode(record | made))


def training_rows(asked: Question, trained: Inputs, chosen: DiagnoseOptions, _: Stop) -> list[Row]:
    """Ask a question of the train tables."""
    assert asked.of_training is not None
    return asked.of_training(trained, chosen)


def family_tasks(family: Family, asked: Sequence[Question], chosen: DiagnoseOptions) -> list[Task]:
    """List what is asked of a case and its null models, each in a task of its own."""
    if not family.data.of_training:
        asked = [each for each in asked if not each.training]
    tasks = [task for each in asked if each.of_family for task in each.of_family(family, chosen)]
    if any(each.of_curves for each in asked):
        tasks += [
            partial(curve_rows, family, observable, statistic, asked, chosen)
            for observable in chosen.observable
            for statistic in RESAMPLED
        ]
    return tasks


def curve_rows(
    family: Family,
    observable: str,
    statistic: str,
    asked: Sequence[Question],
    chosen: DiagnoseOptions,
    stop: Stop,
) -> list[Row]:
    """Answer what is asked of D in the phases and in time, for one observable and statistic."""
    draws = resampling.draw_runs(family.data, chosen.resamples, chosen.seed)
    own = curves([family.data], observable, statistic, draws)
    nulls: dict[str, Exponents] = {}
    for name, members in family.nulls.items():
        stop.check()
        if name == "gaussian" or any(each.every_null for each in asked):
            nulls[name] = curves(members, observable, statistic, draws)
    swaps = resampling.draw_swaps(family.data, chosen.permutations, chosen.seed)
    what = Asked(family, observable, statistic, draws, own, nulls, chosen, swaps)
    rows: list[Row] = []
    for each in asked:
        stop.check()
        rows += each.of_curves(what) if each.of_curves else []
    # A null model of several replicates is averaged over them: its rows are of no single one.
    several = {name for name, members in family.nulls.items() if len(members) > 1}
    rows = [r | {"replicate": None} if r.get("surrogate") in several else r for r in rows]
    return labelled(rows, **family.data.case, observable=observable, statistic=statistic)


def diagnose_summary(table: pa.Table) -> Summary:
    """Sum up a diagnostics table, a section per question, whichever command made it."""
    known = questions().values()
    timed = pa.array([name for each in known for name in each.timed])
    few = table.filter(pc.is_null(table["seed"]))
    kept = pc.or_(pc.is_null(few["time"]), pc.is_in(few["quantity"], timed))
    rows = few.filter(kept).to_pylist()
    shown = varying([r for r in rows if r["surrogate"] is not None])
    shown = [name for name in shown if name not in ("surrogate", "replicate")]
    sections = [
        dataclasses.replace(each.section(rows, shown), about=each.about)
        for each in known
        if each.section
    ]
    sections = [part for each in sections for part in (each, *each.more) if part.rows]
    if not sections:
        counted = pc.value_counts(few["quantity"]).to_pylist()
        named = [{"quantity": each["values"], "rows": each["counts"]} for each in counted]
        sections = [Summary("diagnostics", named)]
    warnings = absent_from(table) + cut_runs(record_of(table))
    warnings += [notice for each in known for notice in each.cautions(rows)]
    return dataclasses.replace(sections[0], warnings=warnings, more=sections[1:])
