"""What a figure is drawn from: tables told apart by their stage, and one case out of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import OptionError, TableError
from grokcrit.base.options import check_choice
from grokcrit.base.stage_options import PlotOptions
from grokcrit.tables import provenance
from grokcrit.tables.reading import HEAVY, Inputs, TableLike, by_stage
from grokcrit.tables.schemas import CASE, CASE_COLUMNS, PROBE, TABLES, Column

OF_CASES = {c.name for c in CASE + PROBE}


def choosable() -> dict[str, Column]:
    """Return the columns whose values choose rows, by name: in a sweep, every option.

    Null models are drawn beside the data, not instead of them: they do not tell cases apart.
    """
    options = [column for schema in TABLES.values() for column in schema.choices]
    apart = ("surrogate", "replicate")
    return {c.name: c for c in (*CASE, *PROBE, *options) if c.name not in apart}


class EmptyPanelError(TableError):
    """The tables are sound, but hold nothing that this panel could show."""


@dataclass(frozen=True)
class Request(PlotOptions):
    """What is to be shown; the options of :func:`grokcrit.plot.figure`."""

    where: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what can be checked without a table."""
        super().__post_init__()
        for name in self.where:
            check_choice("where", name, tuple(choosable()))


class Sources:
    """The tables given for a figure, sorted by stage; read when asked for.

    Parameters
    ----------
    tables
        One table or several, in any order.
    where
        Values that case columns must have.
    """

    def __init__(
        self, tables: TableLike | Sequence[TableLike], where: Mapping[str, Any] | None = None
    ) -> None:
        """Find the stage of every table; read nothing but schemas."""
        self._parts = by_stage(tables)
        self._where = {name: typed(name, value) for name, value in (where or {}).items()}
        self._tables: dict[str, pa.Table] = {}
        self._records: dict[str, list[provenance.Record]] = {}

    def __contains__(self, stage: str) -> bool:
        """Whether a table of that stage was given."""
        return stage in self._parts

    def load(self, stages: Sequence[str]) -> None:
        """Read the tables of some stages and settle on one case, the same in all of them.

        Raises
        ------
        OptionError
            Several cases are there and nothing says which one is meant, or none is as asked for;
            no table has a column that is asked for.
        TableError
            The data, surrogate ``none``, are not there; the tables are not of one case.
        """
        check_columns(self._where, stages)
        # A train table knows least about its case: the others, read first, narrow it down.
        settled: dict[str, Any] = {}
        for stage in sorted(stages, key=lambda stage: stage == "train"):
            inputs = Inputs(self._parts[stage], TABLES[stage].without(HEAVY))
            self._records[stage] = inputs.records
            if stage == "sweep":  # its cases are the choices that are to be compared
                self._tables[stage] = chosen_points(inputs.read(), self._where)
                continue
            self._tables[stage], found = one_case(inputs.read(), stage, self._where, settled)
            settled |= found

    def table(self, stage: str) -> pa.Table:
        """Return the rows of the case, surrogates included, of a stage that was loaded."""
        return self._tables[stage]

    def loaded(self, stages: Sequence[str]) -> str | None:
        """Return the first of some stages that was loaded."""
        return next((stage for stage in stages if stage in self._tables), None)

    def fits(self, stage: str, request: Request, **equal: Any) -> pa.Table:
        """Return the rows of a fss or bootstrap table for one observable and statistic.

        Raises
        ------
        OptionError
            The table was made for other observables.
        """
        table = self._tables[stage]
        known = sorted(pc.unique(table["observable"]).to_pylist())
        if request.observable not in known:
            raise OptionError(
                "observable",
                f"{request.observable!r} is not in the {stage} table, which holds "
                f"{', '.join(known)}; 'grokcrit {stage} --observable {request.observable}' adds it",
            )
        wanted = {"observable": request.observable, "statistic": request.statistic}
        return rows(table, **{**wanted, **equal})

    def asked(self, request: Request, **equal: Any) -> list[dict[str, Any]]:
        """Return the rows of the diagnostics table for one observable and statistic."""
        wanted = {"observable": request.observable, "statistic": request.statistic}
        found: list[dict[str, Any]] = rows(
            self._tables["diagnostics"], **wanted, **equal
        ).to_pylist()
        return found

    def gini_of(self) -> str:
        """Name what the Gini coefficient of the train tables is of."""
        options = [o for r in self._records["train"] for o in r.get("cases", {}).values()]
        of = {o.get("gini_of") for o in options if isinstance(o, dict)}
        named = {"output": "output weights", "first": "first weights", "all": "all weights"}
        known = {**named, "gradient": "gradient"}
        return f"abs({known.get(str(of.pop()), 'weights') if len(of) == 1 else 'weights'})"

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
        words = "whole numbers" if pa.types.is_list(kind) else "a number"
        words = "a whole number" if pa.types.is_integer(kind) else words
        raise OptionError("where", f"{name} must be {words}, got {value!r}") from None


def check_columns(where: Mapping[str, Any], stages: Collection[str]) -> None:
    """Raise OptionError where a column that must have a value is in no table of these stages."""
    for name in where:
        lacking = [s for s in stages if name not in (column.name for column in TABLES[s].columns)]
        # A train table knows least about its case; what only sweeps know chooses nothing elsewhere.
        if len(lacking) == len(stages) or (lacking and name not in OF_CASES):
            held = " and ".join(sorted(lacking))
            raise OptionError("where", f"{name} is no column of the {held} table")


def chosen_points(table: pa.Table, where: dict[str, Any]) -> pa.Table:
    """Return the rows of the points of a sweep whose options are as asked for."""
    known = {name: value for name, value in where.items() if name in table.column_names}
    chosen = rows(table, **known)
    if table.num_rows and not chosen.num_rows:
        held = table.select(list(known)).to_pylist()
        raise OptionError(
            "where",
            f"{described([known], list(known))} is not in the sweep table, which holds "
            f"{described(held, list(known))}",
        )
    return chosen


def one_case(
    table: pa.Table, stage: str, where: dict[str, Any], settled: dict[str, Any]
) -> tuple[pa.Table, dict[str, Any]]:
    """Pick one case out of a table.

    Parameters
    ----------
    table, stage
        The table, and what to call it.
    where
        What was asked for.
    settled
        The case of the tables read before.

    Returns
    -------
    tuple of pyarrow.Table and dict
        The rows of the case, its surrogates included, and its columns.
    """
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
        held = described(found, [name for name in where if name in names])
        wanted = described([where], [name for name in where if name in names])
        raise OptionError("where", f"{wanted} is not in the {stage} table, which holds {held}")
    fitting = [case for case in asked if agrees(case, settled)]
    if not fitting:
        both = [*asked, settled]
        raise TableError(
            f"the {stage} table is not of the case of the other tables "
            f"({described(both, columns_apart(both, names))}); give tables made from one another"
        )
    if len(fitting) > 1:
        example = " ".join(f"--where {k}={fitting[0][k]}" for k in columns_apart(fitting, names))
        raise OptionError(
            "where",
            f"must choose one of the {len(fitting)} cases in the {stage} table "
            f"({described(fitting, columns_apart(fitting, names))}); for example {example}",
        )
    return rows(table, **fitting[0]), fitting[0]


def agrees(case: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two cases have equal values in the columns that both have."""
    return all(case[name] == value for name, value in other.items() if name in case)


def columns_apart(cases: list[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Return the columns in which cases differ."""
    return [name for name in names if len({case[name] for case in cases}) > 1]


def described(cases: list[dict[str, Any]], names: Sequence[str]) -> str:
    """Name the values of some columns of cases: ``topology ba, ring; alpha 0.3``."""
    held = {name: {plain(case[name]) for case in cases} for name in names}
    return "; ".join(
        f"{name} {', '.join(['null'] * (None in found) + sorted_words(found))}"
        for name, found in held.items()
    )


def plain(value: Any) -> Any:
    """Turn a list into what can be in a set."""
    return tuple(value) if isinstance(value, list) else value


def sorted_words(found: set[Any]) -> list[str]:
    """Write values as ``--where`` takes them, in order."""
    known = sorted(value for value in found if value is not None)
    return [",".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in known]


def rows(table: pa.Table, **equal: Any) -> pa.Table:
    """Return the rows in which columns have the given values."""
    keep = None
    for name, value in equal.items():
        same = equal_to(table[name], value)
        keep = same if keep is None else pc.and_(keep, same)
    return table if keep is None else table.filter(keep)


def equal_to(column: pa.ChunkedArray, value: Any) -> Any:
    """Say of every row whether a column has a value: a list as a whole, None for null."""
    if value is None:
        return pc.is_null(column)
    if pa.types.is_list(column.type):
        return pa.chunked_array([[each == value for each in column.to_pylist()]], pa.bool_())
    return pc.equal(column, pa.scalar(value, column.type))


def values(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """Return a column as an array; nulls of a column of numbers are NaN."""
    array: npt.NDArray[Any] = table[name].to_numpy()
    return array


@dataclass(frozen=True)
class Runs:
    """The runs of a train or avalanche table, by size and seed.

    Attributes
    ----------
    n_params, seed : ndarray, shape (R,)
    grok, first : ndarray, shape (R,)
        Grokking epochs, NaN for never; ``first`` is all NaN where the table does not know it.
    """

    n_params: npt.NDArray[np.int64]
    seed: npt.NDArray[np.int64]
    grok: npt.NDArray[np.float64]
    first: npt.NDArray[np.float64]


def runs(table: pa.Table) -> Runs:
    """Return the runs of a train or avalanche table."""
    keys = ["n_params", "seed"]
    known = [name for name in ("grok_epoch", "grok_epoch_first") if name in table.column_names]
    found = table.select([*keys, *known]).group_by(keys).aggregate([(k, "max") for k in known])
    found = found.sort_by([(k, "ascending") for k in keys])

    def epochs(name: str) -> npt.NDArray[np.float64]:
        if name not in known:
            return np.full(found.num_rows, np.nan)
        return values(found, f"{name}_max").astype(np.float64)

    return Runs(
        values(found, "n_params"),
        values(found, "seed"),
        epochs("grok_epoch"),
        epochs("grok_epoch_first"),
    )
