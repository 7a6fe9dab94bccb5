"""Ensembles: the runs of a case, read from avalanche tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.degenerate import KEY, zero_threshold
from grokcrit.base.errors import FitError, OptionError, RecordError
from grokcrit.base.options import ADDED
from grokcrit.base.parallel import Progress, Stop, in_order
from grokcrit.base.stage_options import EstimateOptions
from grokcrit.base.vocabulary import MINIMUM_SIZES, NO_TRAINING, PHASES, SHOWN
from grokcrit.scaling.blocks import Cut, cut, in_blocks
from grokcrit.scaling.crossed import check_crossed, graphs_of, of_graphs, with_trained_graph
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, TableLike, split
from grokcrit.tables.schemas import AVALANCHE, CASE_COLUMNS

R = TypeVar("R")
Chosen = TypeVar("Chosen", bound=EstimateOptions)
Reals: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

# Key of a record under which observables are that the avalanches do not have, and what they need.
ABSENT = "absent"
# Columns that an observable is made of, besides the size.
NEEDS = {
    "excess": "activity",
    "branching": "activity",
    "area": "area",
    "duration": "duration",
    "peak": "peak",
    "transported": "transported",
    "transported-per-toppling": "transported",
}
# What tells one run from another; with several graphs, one run on one graph.
RUN = ("n_params", "graph_seed", "width", "seed")


@dataclass(frozen=True)
class Ensemble:
    """All avalanches of one case: R runs of K sizes.

    Where a case holds G > 1 ``graphs``, each run on each graph counts as a run: within a size,
    the runs on the first graph, then those on the second, and so on, in the same order.
    """

    case: dict[str, Any]
    sizes: Ints  # (K,): system sizes N, ascending
    size_of: Ints  # (R,): index of each run's size
    seed: Ints  # (R,)
    grok: Reals  # (R,): grokking epoch, NaN for never
    run: Ints  # (rows,): index of each avalanche's run
    epoch: Ints  # (rows,)
    truncated: npt.NDArray[np.bool_]  # (rows,)
    table: pa.Table  # the rows, sorted by size, graph, seed, epoch
    left_out: int = 0  # avalanches of snapshots where some null model has a threshold of 0
    cuts: tuple[Cut, ...] = ()  # sizes whose runs are blocks of a run
    # Options of the training, as its record knows them; empty where there is no record.
    trained: dict[str, Any] = field(default_factory=dict)
    graphs: tuple[int, ...] = ()  # seeds of the graphs, where there are several
    trained_on: int | None = None  # that of the training, where it is one of several

    @property
    def runs(self) -> int:
        """Number of runs R."""
        return len(self.seed)

    @property
    def of_training(self) -> bool:
        """Return whether there is a training behind the avalanches.

        Told by ``field``, which every table has, rather than by null grokking epochs: these are
        those of a network that never groks, too, whose D(t) is of interest.
        """
        return bool(self.case.get("field") != NO_TRAINING)

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases that there are: without a training, all avalanches as one."""
        return PHASES if self.of_training else PHASES[:1]

    def has(self, observable: str) -> bool:
        """Return whether the table holds what an observable is made of."""
        needed = NEEDS.get(observable)
        return needed is None or self.table[needed].null_count < self.table.num_rows

    @property
    def complete(self) -> bool:
        """Return whether every size has avalanches."""
        return len(np.unique(self.size_of[self.run])) == len(self.sizes)

    def observe(self, observable: str) -> Reals:
        """Return an observable of every avalanche; NaN where it is not defined.

        ``excess`` is size minus the activity of step 1, ``branching`` the activity of step 2 over
        that of step 1, ``transported-per-toppling`` the transported amount over the size; the last
        two are not defined for a quiet avalanche.
        """
        if observable == "transported-per-toppling":
            size = column(self.table, "size")
            amount = column(self.table, "transported")
            return np.where(size > 0, amount / np.maximum(size, 1), np.nan)
        if observable not in ("excess", "branching"):
            return column(self.table, observable).astype(np.float64)
        activity = self.table["activity"].combine_chunks()
        flat = activity.flatten().to_numpy()
        steps = activity.value_lengths().fill_null(0).to_numpy()
        start = np.cumsum(np.concatenate([[0], steps]))[:-1]
        padded = np.append(flat, [0, 0])
        first = np.where(steps > 0, padded[start], 0)
        if observable == "excess":
            excess = (column(self.table, "size") - first).astype(np.float64)
            return np.where(activity.is_null(), np.nan, excess)
        second = np.where(steps > 1, padded[start + 1], 0)
        return np.where(first > 0, second / np.maximum(first, 1), np.nan)


def column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """Return a column as an array."""
    values: npt.NDArray[Any] = table[name].to_numpy()
    return values


def over_cases(
    function: Callable[[Ensemble, Chosen, Stop], R],
    tables: TableLike | Sequence[TableLike],
    options: Chosen,
    schema: str,
    *,
    size_column: str | None = None,
    crossed: bool = False,
    graph_seed: Sequence[int] | None = None,
    threads: int | None,
    progress: Progress | None,
) -> tuple[list[Ensemble], list[R], provenance.Record]:
    """Compute a function of each case; return cases, results and the record of the new table.

    ``crossed`` and ``graph_seed`` see :func:`ensembles_of`.
    """
    inputs = Inputs(tables, AVALANCHE, size_column)
    kept = options.keep_zero_threshold
    cases = ensembles_of(inputs, kept, options.blocks, crossed, graph_seed)
    known, absent = measured(cases, options)
    record = provenance.record(schema, asdict(known), root_seed=options.seed, inputs=inputs.records)
    found = in_order(
        lambda case, stop: function(case, known, stop),
        cases,
        cost=lambda case: case.runs,
        threads=threads,
        progress=progress,
    )
    return cases, list(found), record | left_out(cases) | cut(cases) | graphs_of(cases) | absent


def measured(cases: Sequence[Ensemble], options: Chosen) -> tuple[Chosen, dict[str, Any]]:
    """Return the options with those observables that some case has; what is absent, for a record.

    Raise OptionError where one was asked for that no case has; of the default ones it is left out.
    """
    asked = options.observable
    absent = {name: NEEDS[name] for name in asked if not any(case.has(name) for case in cases)}
    if not absent:
        return options, {}
    if asked != SHOWN:
        names = ", ".join(absent)
        columns = " and ".join(dict.fromkeys(absent.values()))
        raise OptionError(
            "observable", f"{names} cannot be measured: the avalanche table has no {columns}"
        )
    kept = tuple(name for name in asked if name not in absent)
    return replace(options, observable=kept), {ABSENT: absent}


def ensembles_of(
    inputs: Inputs,
    keep_zero_threshold: bool = False,
    blocks: int | None = None,
    crossed: bool = False,
    graph_seed: Sequence[int] | None = None,
) -> list[Ensemble]:
    """Read avalanche tables, split them into their cases, and long runs into blocks.

    ``crossed``: graphs that differ in their seed alone are one case; ``graph_seed``: those to use,
    None for all. Raise TableError where tables differ in what no column tells, so that they would
    be pooled in silence; FitError where no case has three sizes; OptionError where a graph seed is
    in no table, or graphs of one case differ in their runs.
    """
    known: dict[tuple[str, str], Any] = {}
    for record in inputs.records:
        configuration = record["configuration"]
        for case in record["cases"]:
            for name in ("seed", "max_steps", "parameter_order", "threshold_of"):
                value = configuration.get(name)
                value = value.get(case) if isinstance(value, dict) else value
                value = ADDED.get(name) if value is None else value
                other = known.setdefault((case, name), value)
                if other != value:
                    raise RecordError(
                        f"avalanche tables of case {case} were made with different "
                        f"--{name.replace('_', '-')} ({other} and {value}); make them with one"
                    )
    table = of_graphs(inputs.read(), graph_seed)
    orders = {case: value for (case, name), value in known.items() if name == "parameter_order"}
    found = ensembles(table, keep_zero_threshold, inputs.cases, crossed)
    cases = (in_blocks(each, blocks) for each in found)
    return [with_trained_graph(each, orders.get(each.case["case"])) for each in cases]


def cases_of(
    table: pa.Table,
    trained: Mapping[str, Any],
    keep_zero_threshold: bool = False,
    crossed: bool = False,
) -> list[Ensemble]:
    """Split an avalanche table into its cases.

    ``trained`` are the options of their trainings, by case; ``crossed`` makes one case of several
    graphs.
    """
    apart = [name for name in CASE_COLUMNS if not (crossed and name == "graph_seed")]
    order = (*apart, *RUN, "epoch")
    ordered = table.sort_by([(name, "ascending") for name in order]).combine_chunks()
    marked = ordered if keep_zero_threshold else with_usable(ordered)
    found = [ensemble(rows) for rows in split(marked, apart)]
    return [replace(each, trained=trained.get(each.case["case"], {})) for each in found]


def ensembles(
    table: pa.Table,
    keep_zero_threshold: bool = False,
    trained: Mapping[str, Any] = MappingProxyType({}),
    crossed: bool = False,
) -> list[Ensemble]:
    """Split an avalanche table into its cases; see ``ensembles_of``."""
    found = cases_of(table, trained, keep_zero_threshold, crossed)
    most = max(found, key=lambda e: len(e.sizes)).sizes
    if len(most) < MINIMUM_SIZES:
        of_training = any(each.of_training for each in found)
        raise FitError(
            f"a fit needs at least {MINIMUM_SIZES} sizes, the table has {len(most)} "
            f"(N = {', '.join(map(str, most))})"
            f"{'; train more widths with --hidden' if of_training else ''}"
        )
    return found


def left_out(cases: Sequence[Ensemble]) -> dict[str, Any]:
    """Return how many avalanches of the data were left out, for a record; nothing if none was."""
    data = [each for each in cases if each.case["surrogate"] == "none"]
    count = sum(each.left_out for each in data)
    total = count + sum(len(each.epoch) for each in data)
    return {KEY: {"zero_threshold": count, "gradients": total}} if count else {}


def with_usable(table: pa.Table) -> pa.Table:
    """Mark the rows that fits may use in a column ``usable``, if there are others.

    A threshold of 0 makes a snapshot unusable in every null model: they stay comparable.
    """
    zero = zero_threshold(column(table, "threshold"), column(table, "size"))
    if "zero_threshold" in table.column_names:  # what the table says, where it says something
        zero = pc.coalesce(table["zero_threshold"], pa.array(zero)).to_numpy()
    if not zero.any():
        return table
    shared = [name for name in AVALANCHE.key if name not in ("surrogate", "replicate")]
    rows = table.select(shared).append_column("row", pa.array(np.arange(table.num_rows)))
    bad = rows.filter(pa.array(zero)).group_by(shared).aggregate([])
    unusable = column(rows.join(bad, shared, join_type="left semi"), "row")
    usable = np.ones(table.num_rows, bool)
    usable[unusable] = False
    return table.append_column("usable", pa.array(usable))


def ensemble(rows: pa.Table) -> Ensemble:
    """Return the ensemble of one case; rows not ``usable`` are left out, their runs remain."""
    case = {name: rows[name][0].as_py() for name in CASE_COLUMNS}
    graphs = tuple(sorted(pc.unique(rows["graph_seed"]).to_pylist(), key=lambda s: (s is None, s)))
    graphs = graphs if len(graphs) > 1 else ()
    case["graph_seed"] = None if graphs else case["graph_seed"]
    runs = split(rows, RUN)
    lengths = [run.num_rows for run in runs]
    n_params = np.array([run["n_params"][0].as_py() for run in runs], np.int64)
    sizes, size_of = np.unique(n_params, return_inverse=True)
    grok = [run["grok_epoch"][0].as_py() for run in runs]
    run, left_out = np.repeat(np.arange(len(runs)), lengths), 0
    if "usable" in rows.column_names:
        usable = column(rows, "usable")
        run, left_out = run[usable], int((~usable).sum())
        rows = rows.filter(rows["usable"]).drop_columns("usable").combine_chunks()
    made = Ensemble(
        case=case,
        sizes=sizes,
        size_of=size_of,
        seed=np.array([run["seed"][0].as_py() for run in runs], np.int64),
        grok=np.array([np.nan if g is None else g for g in grok], np.float64),
        run=run,
        epoch=column(rows, "epoch").astype(np.int64),
        truncated=rows["truncated"].fill_null(False).to_numpy(),
        table=rows,
        left_out=left_out,
        graphs=graphs,
    )
    check_crossed(made)
    return made
