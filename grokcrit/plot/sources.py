"""Sources of a figure: tables sorted by their stage, and one case out of them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import OptionError, TableError
from grokcrit.base.options import check_choice
from grokcrit.base.stage_options import PlotOptions
from grokcrit.base.summary import Row
from grokcrit.scaling.ensembles import Ints, Reals
from grokcrit.tables import provenance
from grokcrit.tables.reading import HEAVY, Inputs, TableLike, by_stage
from grokcrit.tables.schemas import CASE, CASE_COLUMNS, SETUP, TABLES, Column

GINI_OF = {
    "output": "output weights",
    "first": "first weights",
    "all": "all weights",
    "gradient": "gradient",
}
OF_CASES = {c.name for c in CASE + SETUP}


def choosable() -> dict[str, Column]:
    """Return the columns whose values choose rows, by name: in a sweep, every option."""
    options = [column for schema in TABLES.values() for column in schema.choices]
    apart = ("surrogate", "replicate")  # drawn beside the data, not instead of them
    return {c.name: c for c in (*CASE, *SETUP, *options) if c.name not in apart}


class EmptyPanelError(TableError):
    """The tables are sound, but hold nothing that this panel could show."""


@dataclass(frozen=True)
class Request(PlotOptions):
    """A figure that is asked for; the options of :func:`grokcrit.stages.plot.figure`."""

    where: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what can be checked without a table."""
        super().__post_init__()
        for name in self.where:
            check_choice("where", name, tuple(choosable()))

    @property
    def estimate(self) -> Row:
        """Values that the columns of estimates must have."""
        return {"observable": self.observable, "statistic": self.statistic}


class Sources:
    """The tables given for a figure, sorted by stage; of one case, and read when asked for."""

    def __init__(
        self,
        tables: TableLike | Sequence[TableLike],
        where: Mapping[str, Any] | None = None,
        size_column: str | None = None,
    ) -> None:
        """Find the stage of every table; read nothing but schemas."""
        self._parts = by_stage(tables, size_column)
        self._size_column = size_column
        self._where = {name: typed(name, value) for name, value in (where or {}).items()}
        self._tables: dict[str, pa.Table] = {}
        self._records: dict[str, list[provenance.Record]] = {}

    def __contains__(self, stage: str) -> bool:
        """Return whether a table of that stage was given."""
        return stage in self._parts

    def load(self, stages: Sequence[str], every_case: bool = False, quantity: str = "") -> None:
        """Read the tables of some stages and settle on one case, the same in all of them.

        ``every_case`` keeps all that are as asked for; ``quantity`` is that of the diagnostics that
        is drawn, if it is one.
        """
        check_columns(self._where, stages)
        # A train table knows least about its case: the others, read first, narrow it down.
        settled: Row = {}
        for stage in sorted(stages, key=lambda stage: stage == "train"):
            schema = TABLES[stage].without(HEAVY)
            inputs = Inputs(self._parts[stage], schema, self._size_column)
            self._records[stage] = inputs.records
            table = inputs.read()
            if stage == "diagnostics" and quantity:
                drawn = rows(table, quantity=quantity)
                table = drawn if drawn.num_rows else table
            if stage == "sweep" or every_case:  # whose cases are to be compared
                self._tables[stage] = chosen_points(table, stage, self._where)
            else:
                settled |= (case := one_case(table, stage, self._where, settled))
                self._tables[stage] = rows(table, **case)

    def table(self, stage: str) -> pa.Table:
        """Return the rows of the case, null models included, of a stage that was loaded."""
        return self._tables[stage]

    def loaded(self, stages: Sequence[str]) -> str | None:
        """Return the first of some stages that was loaded."""
        return next((stage for stage in stages if stage in self._tables), None)

    def fits(self, stage: str, request: Request, **equal: Any) -> pa.Table:
        """Return the rows of a fss or bootstrap table for one observable and statistic."""
        known = sorted(pc.unique(self._tables[stage]["observable"]).to_pylist())
        if request.observable not in known:
            raise OptionError(
                "observable",
                f"{request.observable!r} is not in the {stage} table, which holds "
                f"{', '.join(known)}; 'grokcrit {stage} --observable {request.observable}' adds it",
            )
        return rows(self._tables[stage], **request.estimate | equal)

    def asked(self, request: Request, **equal: Any) -> list[Row]:
        """Return the rows of the diagnostics table for one observable and statistic."""
        chosen = rows(self._tables["diagnostics"], **request.estimate | equal)
        found: list[Row] = chosen.to_pylist()
        return found

    def trained(self, stage: str) -> dict[str, Any]:
        """Return the options of every case that the records of a stage know."""
        return provenance.merged("case", [record["cases"] for record in self._records[stage]])

    def gini_of(self) -> str:
        """Name what the Gini coefficient of the train tables is of."""
        options = [o for r in self._records["train"] for o in r.get("cases", {}).values()]
        of = {GINI_OF.get(str(option.get("gini_of")), "weights") for option in options}
        return f"abs({of.pop() if len(of) == 1 else 'weights'})"

    def confidence(self, stage: str) -> str:
        """Name the intervals of a stage, ``95 % CI``; ``CI`` where no record says how wide."""
        level = self.level(stage)
        return "CI" if level is None else f"{100 * level:g} % CI"

    def level(self, stage: str) -> float | None:
        """Return the confidence of the intervals of a stage; None where no record says it."""
        levels = {provenance.confidence(record) for record in self._records[stage]}
        return levels.pop() if len(levels) == 1 else None


def typed(name: str, value: Any) -> Any:
    """Give a value the type of its column: the command line has but text, ``null`` for none."""
    column = choosable()[name]
    kind = column.type
    if value == "null":
        return None
    try:
        if column.parse:
            return column.parse(str(value))
        if pa.types.is_list(kind) and isinstance(value, str):
            return [int(each) for each in value.strip("[]").split(",")]
        return pa.scalar(value).cast(kind).as_py()
    except OptionError as error:
        raise OptionError("where", f"{error.name} {error.problem}") from None
    except (pa.ArrowException, ValueError):
        whole = "a whole number" if pa.types.is_integer(kind) else "a number"
        words = "whole numbers" if pa.types.is_list(kind) else whole
        raise OptionError("where", f"{name} must be {words}, got {value!r}") from None


def check_columns(where: Mapping[str, Any], stages: Collection[str]) -> None:
    """Raise OptionError where a column that must have a value is in no table of these stages."""
    for name in where:
        lacking = [s for s in stages if name not in (column.name for column in TABLES[s].columns)]
        # A train table knows least about its case; what only sweeps know chooses nothing elsewhere.
        if len(lacking) == len(stages) or (lacking and name not in OF_CASES):
            held = " and ".join(sorted(lacking))
            raise OptionError("where", f"{name} is no column of the {held} table")


def chosen_points(table: pa.Table, stage: str, where: Row) -> pa.Table:
    """Return the rows of the cases, or points of a sweep, whose options are as asked for."""
    known = {name: value for name, value in where.items() if name in table.column_names}
    chosen = rows(table, **known)
    if table.num_rows and not chosen.num_rows:
        raise not_there(stage, known, table.select(list(known)).to_pylist())
    return chosen


def not_there(stage: str, asked: Row, held: list[Row]) -> OptionError:
    """Return the error for a case that a table does not hold."""
    wanted, known = described([asked], list(asked)), described(held, list(asked))
    return OptionError("where", f"{wanted} is not in the {stage} table, which holds {known}")


def one_case(table: pa.Table, stage: str, where: Row, settled: Row) -> Row:
    """Return the one case of a table that is as asked for and agrees with the tables before."""
    # A robustness grid varies the cascade on purpose: its cases are those of the training.
    known = [c.name for c in CASE] if stage == "diagnostics" else list(choosable())
    names = [name for name in CASE_COLUMNS if name in known and name in table.column_names]
    data = rows(table, surrogate="none") if "surrogate" in table.column_names else table
    if not data.num_rows:
        raise TableError(
            f"the {stage} table holds no rows of surrogate 'none', which are the data; "
            "make it again with 'grokcrit avalanche --surrogate none,gaussian'"
        )
    found = data.group_by(names).aggregate([]).to_pylist()
    asked = [case for case in found if agrees(case, where)]
    if not asked:
        raise not_there(stage, {k: v for k, v in where.items() if k in names}, found)
    fitting = [case for case in asked if agrees(case, settled)]
    several = fitting or [*asked, settled]
    apart = [name for name in names if len({case[name] for case in several}) > 1]
    if not fitting:
        raise TableError(
            f"the {stage} table is not of the case of the other tables "
            f"({described(several, apart)}); give tables made from one another"
        )
    if len(fitting) > 1:
        example = " ".join(f"--where {name}={fitting[0][name]}" for name in apart)
        raise OptionError(
            "where",
            f"must choose one of the {len(fitting)} cases in the {stage} table "
            f"({described(fitting, apart)}); for example {example}",
        )
    case: Row = fitting[0]
    return case


def agrees(case: Row, other: Row) -> bool:
    """Return whether two cases have equal values in the columns that both have."""
    return all(case[name] == value for name, value in other.items() if name in case)


def described(cases: list[Row], names: Sequence[str]) -> str:
    """Name the values of some columns of cases: ``topology ba, ring; alpha 0.3``."""
    told = []
    for name in names:
        held = {written(case[name]): case[name] for case in cases}
        null = [word for word, value in held.items() if value is None]
        known = sorted((value, word) for word, value in held.items() if value is not None)
        told.append(f"{name} {', '.join([*null, *(word for _, word in known)])}")
    return "; ".join(told)


def written(value: Any) -> str:
    """Write a value as ``--where`` takes it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "null" if value is None else str(value)


def rows(table: pa.Table, **equal: Any) -> pa.Table:
    """Return the rows in which columns have the given values."""
    masks = [equal_to(table[name], value) for name, value in equal.items()]
    return table.filter(functools.reduce(pc.and_, masks)) if masks else table


def equal_to(column: pa.ChunkedArray, value: Any) -> Any:
    """Return of every row whether a column has a value: a list as a whole, None for null."""
    if value is None:
        return pc.is_null(column)
    if pa.types.is_list(column.type):
        return pa.chunked_array([[each == value for each in column.to_pylist()]], pa.bool_())
    return pc.equal(column, pa.scalar(value, column.type))


class Runs(NamedTuple):
    """The runs of a table, by size and seed; grokking epochs are NaN for never or not known."""

    n_params: Ints
    grok: Reals
    first: Reals


def runs(table: pa.Table) -> Runs:
    """Return the runs of a train or avalanche table."""
    keys, epochs = ["n_params", "seed"], ["grok_epoch", "grok_epoch_first"]
    known = [name for name in epochs if name in table.column_names]
    found = table.select([*keys, *known]).group_by(keys).aggregate([(k, "max") for k in known])
    found = found.sort_by([(key, "ascending") for key in keys])
    grok, first = (
        found[f"{name}_max"].to_numpy().astype(np.float64)
        if name in known
        else np.full(found.num_rows, np.nan)
        for name in epochs
    )
    return Runs(found["n_params"].to_numpy(), grok, first)
