"""Stage 2: the cascade of every snapshot, on any graph, of the data and of its surrogates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base import degenerate
from grokcrit.base.degenerate import Tensor, zero_threshold
from grokcrit.base.errors import (
    DamagedError,
    EmptyError,
    OptionError,
    RecordError,
    ShapeError,
)
from grokcrit.base.options import ADDED, CascadeOptions, options_of, recorded
from grokcrit.base.parallel import Progress, Stop, in_order
from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.base.summary import Summary
from grokcrit.base.vocabulary import NO_TRAINING
from grokcrit.cascades.counting import (
    COPIED,
    MEASURED,
    RUN,
    Counted,
    check_finite,
    count,
    name_of,
    setups_of,
    surrogates_of,
    table_of,
    worthless,
)
from grokcrit.cascades.gradient_files import CASE as FILES
from grokcrit.cascades.gradient_files import (
    GradientFile,
    file_avalanches,
    gradient_files,
    is_gradient_file,
)
from grokcrit.cascades.graphs import graph_of
from grokcrit.questions import judge, sizes
from grokcrit.questions.notices import cascaded, warn
from grokcrit.questions.rows import varying
from grokcrit.tables import provenance
from grokcrit.tables.checking import check_runs, check_unique
from grokcrit.tables.reading import Block, Inputs, TableLike, first_record, several_of, split
from grokcrit.tables.schemas import AVALANCHE, CASE_COLUMNS, MEMORISED, TRAIN

# Entries of the snapshots that a thread reads at once, or one snapshot: 16 MiB of float64.
CHUNK = 2**21


def avalanche(
    tables: TableLike | Sequence[TableLike],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cache: bool = True,
    **options: Any,
) -> pa.Table:
    """Run the cascade of every snapshot in one or several train tables, or in .npy files.

    Avalanches that a recorder has kept, or an earlier call has made, are joined and completed: the
    cascades have been run, and ``grok_accuracy`` is the only option.

    Parameters
    ----------
    tables
        Schema ``train/1`` (or ``avalanche/1``, of a recorder); pyarrow Tables, files, or folders
        of parts. Files whose names end in
        .npy hold a gradient each: the task and the case are then ``npy``, the width is the length,
        the seed the place among the files of that length, the epoch 0.
    threads
        How many row groups or .npy files at once, each in memory; None for all cores. Changes no
        bit of the result.
    progress
        Called with (row groups and files done, in all).
    cache
        Whether to keep graphs on disk, and take them from there.
    **options
        Fields of :class:`AvalancheOptions`. What is not given is as it was in training.

    Returns
    -------
    pyarrow.Table
        Schema ``avalanche/1``, sorted by its key; the record in its metadata.

    Raises
    ------
    OptionError
        An option out of its range.
    TableError
        A gradient that is not finite or not of length n_params; the same snapshot twice;
        no test accuracy where ``grok_accuracy`` needs it.
    """
    chosen = AvalancheOptions(**options)
    several = several_of(tables)
    files = gradient_files([each for each in several if is_gradient_file(each)])
    given = [each for each in several if not is_gradient_file(each)]
    if given and not files and is_kept(first_record(given[0]), chosen):
        return completed(given, chosen)
    judged = () if chosen.grok_accuracy is None else ("test_accuracy",)
    wanted = TRAIN.only((*COPIED, "gradient")).lenient([c for c in MEASURED if c not in judged])
    inputs = Inputs(given, wanted) if given or not files else None
    # Before the cascades: where there is no accuracy, nothing is computed.
    blocks = inputs.blocks if inputs else []
    grokked = None
    if chosen.grok_accuracy is not None:
        grokked = grok_epochs(columns_of(blocks, "test_accuracy"), chosen.grok_accuracy)
    memorised = first_epochs(columns_of(blocks, "train_accuracy"), "train_accuracy", MEMORISED)
    records = inputs.records if inputs else []
    own = {FILES: recorded(CascadeOptions())} if files else {}
    cases = provenance.merged("case", [inputs.cases if inputs else {}, own])
    widths = inputs.widths if inputs else {}
    # Which file is which seed: nothing else tells.
    named = {"files": [dataclasses.asdict(file) for file in files]} if files else {}
    record = provenance.record(
        AVALANCHE.name,
        resolved(chosen, cases) | named,
        root_seed=chosen.seed,
        inputs=records,
        cases=own,
    )

    def work(task: Block | GradientFile, stop: Stop) -> list[Counted]:
        if isinstance(task, GradientFile):
            return file_avalanches(task, setups_of(chosen, own[FILES]), chosen.seed, cache, stop)
        return block_avalanches(task, cases, widths, chosen, cache, stop)

    tasks: list[Block | GradientFile] = [*(inputs.blocks if inputs else []), *files]
    results = in_order(
        work,
        tasks,
        cost=lambda task: task.rows,
        threads=threads,
        progress=progress,
    )
    found = [counted for block in results for counted in block]
    if not found:
        raise EmptyError(
            "there is no gradient in the train tables: every snapshot is null; "
            "train without --no-gradients"
        )
    joint = table_of(found)
    for name, first in (("grok_epoch", grokked), ("memorise_epoch", memorised)):
        if first is not None:
            joint = with_epochs(joint, name, first)
    if odd := degenerate.joined(each.findings for each in found if each.findings):
        record[degenerate.KEY] = odd
    check_unique(joint, AVALANCHE, "train")
    check_runs(joint, AVALANCHE, "train")
    return AVALANCHE.ordered(joint).replace_schema_metadata(provenance.encode(record))


def resolved(chosen: AvalancheOptions, cases: dict[str, Any]) -> dict[str, Any]:
    """Fill in the training's options where none was given, by case where cases differ."""
    options = dataclasses.asdict(chosen)
    for name, value in options.items():
        if value is None and cases:
            by_case = {case: trained[name] for case, trained in cases.items() if name in trained}
            alike = all(each == next(iter(by_case.values())) for each in by_case.values())
            options[name] = next(iter(by_case.values()), None) if alike else by_case
    return options


def is_kept(record: provenance.Record | None, chosen: AvalancheOptions) -> bool:
    """Return whether a table holds avalanches that a recorder kept, or that are to be judged."""
    if record is None or record["schema"] != AVALANCHE.name:
        return False
    return "keep" in record["configuration"] or chosen.grok_accuracy is not None


def completed(tables: list[TableLike], chosen: AvalancheOptions) -> pa.Table:
    """Join avalanches that were kept while their trainings ran, and find their runs' epochs."""
    for name, each in options_of(AvalancheOptions).items():
        if name not in ("grok_accuracy", "seed") and getattr(chosen, name) != each.default:
            raise OptionError(
                name, "is not for avalanches, whose cascades have been run; give the gradients"
            )
    inputs = Inputs(tables, AVALANCHE)
    joint = inputs.read()
    if chosen.grok_accuracy is not None:
        grokked = grok_epochs([joint], chosen.grok_accuracy)
        joint = with_epochs(joint, "grok_epoch", grokked)
    memorised = first_epochs([joint], "train_accuracy", MEMORISED)
    if memorised is not None:
        joint = with_epochs(joint, "memorise_epoch", memorised)
    made = {"grok_accuracy": chosen.grok_accuracy}
    record = provenance.record(AVALANCHE.name, made, root_seed=chosen.seed, inputs=inputs.records)
    return AVALANCHE.ordered(joint).replace_schema_metadata(provenance.encode(record))


def columns_of(blocks: Sequence[Block], accuracy: str) -> Iterator[pa.Table]:
    """Yield run, epoch and an accuracy of every row, a block at a time."""
    for block in blocks:
        schema = block.schema.only((*RUN, "epoch", accuracy))
        yield dataclasses.replace(block, schema=schema).load()


def grok_epochs(tables: Iterable[pa.Table], above: float) -> pa.Table:
    """Return the first epoch of each run whose test accuracy exceeds a value."""
    found = first_epochs(tables, "test_accuracy", above)
    if found is None:
        raise EmptyError(
            "there is no test_accuracy in the tables, so no run has an epoch from which it is "
            "above --grok-accuracy; record it, or leave the option out"
        )
    return found


def first_epochs(tables: Iterable[pa.Table], accuracy: str, above: float) -> pa.Table | None:
    """Return the first epoch of each run whose accuracy exceeds a value; None where none is known.

    ``accuracy`` is a column which tables of other programs may lack.
    """
    found, known = [], 0
    for narrow in tables:
        known += narrow.num_rows - narrow[accuracy].null_count
        found.append(narrow.filter(pc.greater(narrow[accuracy], above)).select([*RUN, "epoch"]))
    if not known:
        return None
    return pa.concat_tables(found).group_by(list(RUN)).aggregate([("epoch", "min")])


def with_epochs(joint: pa.Table, name: str, first: pa.Table) -> pa.Table:
    """Return the avalanches with the epochs found in a column; null where a run has none."""
    rows = joint.select(RUN).append_column("row", pa.array(np.arange(joint.num_rows)))
    epochs = rows.join(first, list(RUN), join_type="left outer").sort_by("row")["epoch_min"]
    place = joint.schema.get_field_index(name)
    return joint.set_column(place, joint.schema.field(place), epochs)


def block_avalanches(
    block: Block,
    cases: dict[str, Any],
    widths: dict[str, Any],
    chosen: AvalancheOptions,
    cache: bool,
    stop: Stop,
) -> list[Counted]:
    """Run every setup over the snapshots of one block, a few snapshots at a time."""
    found = []
    for piece in block.pieces("n_params", CHUNK):
        for run in split(snapshots_of(piece), RUN):
            setups = setups_of(chosen, training_options(run, cases, block.where, chosen))
            known = widths.get(str(run["width"][0]), [])
            tensors = [Tensor(str(each.get("name", "unnamed")), each["offset"]) for each in known]
            if not tensors and any(setup.surrogate == "permute-layers" for setup in setups):
                raise RecordError(
                    f"{block.where}: its record does not know the tensors of width "
                    f"{run['width'][0]}, which --surrogate permute-layers needs; make the table "
                    "again with 'grokcrit train'"
                )
            gradients = gradients_of(run)
            if any(setup.surrogate != "none" for setup in setups):
                check_finite(gradients, run)
            starts = [each.offset for each in tensors] or [0]
            for setup in setups:
                stop.check()
                snapshots = surrogates_of(gradients, run, setup, starts, chosen.seed)
                network = graph_of(setup.cascade, gradients.shape[1], cache=cache).network
                found.append(count(snapshots, run, setup, network, tensors))
    return found


def snapshots_of(piece: pa.Table) -> pa.Table:
    """Return the rows that have a gradient; the gradients, most of the memory, are not copied."""
    chunks = piece["gradient"].chunks
    # One chunk is taken as it is: to combine it would copy it.
    column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    valid = column.is_valid()
    offsets, kept = column.offsets.to_numpy(), valid.to_numpy(zero_copy_only=False)
    if np.diff(offsets)[~kept].any():  # values behind a null: Arrow allows them, few write them
        return piece.filter(valid).combine_chunks()
    gradients = pa.ListArray.from_arrays(np.append(offsets[:-1][kept], offsets[-1]), column.values)
    rows = piece.select(COPIED).combine_chunks().filter(valid)
    return rows.append_column("gradient", gradients)


def training_options(
    run: pa.Table, cases: dict[str, Any], where: str, chosen: AvalancheOptions
) -> dict[str, Any]:
    """Return the training options of a run's case; without a record, none if all are given."""
    case = run["case"][0].as_py()
    fields = [f.name for f in dataclasses.fields(CascadeOptions)]
    if case not in cases:
        missing = [name for name in fields if name not in ADDED and getattr(chosen, name) is None]
        if not missing:
            return {}
        named = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise RecordError(
            f"{where}: its record does not know the case {case!r}, so the options of its training "
            f"are unknown; give 'grokcrit avalanche' also {named}, or make the table again with "
            "'grokcrit train'"
        )
    options: dict[str, Any] = cases[case]
    try:
        CascadeOptions(**{name: options[name] for name in fields if name in options})
    except OptionError as error:
        raise DamagedError(
            f"{where}: its record of case {case!r} is damaged ({error}); make the table again"
        ) from None
    return options


def gradients_of(run: pa.Table) -> npt.NDArray[np.floating]:
    """Return the snapshots of a run as one array (snapshots, N): Arrow's memory, not a copy."""
    n = run["n_params"][0].as_py()
    column = run["gradient"].chunk(0)
    lengths = column.value_lengths().to_numpy()
    if (lengths != n).any():
        row = int(np.argmax(lengths != n))
        raise ShapeError(
            f"the gradient of {name_of(run, row)} has {lengths[row]} entries, n_params is {n}"
        )
    flat = column.flatten()
    if flat.null_count:
        row = int(np.argmax(pc.is_null(flat).to_numpy(zero_copy_only=False))) // n
        raise worthless(run, row, "a null")
    values: npt.NDArray[np.floating] = flat.to_numpy().reshape(-1, n)
    return values


def avalanche_summary(table: pa.Table) -> Summary:
    """Sum up an avalanche table: sizes of each case; those without a training size by size."""
    if pc.unique(table["field"]).to_pylist() == [NO_TRAINING]:
        return sizes.summary(table)
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
    data = [c for c in cases if judge.is_data(c)] or cases
    counts = (sum(c[name] for c in data) for name in ("zero_sum", "size_count"))
    return Summary(
        f"{total} avalanches in {len(cases)} case{'s' if len(cases) > 1 else ''}",
        rows,
        cascaded(table, *counts)
        + warn("truncated", sum(c["cut_sum"] for c in cases), total)
        + warn("quiet", sum(c["quiet_sum"] for c in cases), total),
    )
