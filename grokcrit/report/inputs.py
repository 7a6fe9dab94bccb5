"""The inputs of a report: files of a folder, read whole, with their digests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import DamagedError, EmptyError, OptionError, TableError, UnreadableError
from grokcrit.base.options import check_choice
from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import NO_TRAINING
from grokcrit.plot.sources import check_columns, choosable, equal_to, rows, typed
from grokcrit.questions.rows import of
from grokcrit.stages.robustness import is_grid
from grokcrit.tables import provenance
from grokcrit.tables.reading import HEAVY, Inputs, TableLike, by_stage
from grokcrit.tables.schemas import TABLES

# Names that `reproduce` and the commands give to what a report shows. A folder may hold further
# tables of the same stage, of other experiments: those are only named.
MAIN = (*TABLES, "robustness", "gini-diagnostics")
# Tables that are about several cases, and say nothing of D in one of them.
OF_CASES = ("sweep", "warn")
# Tables that no report shows: `warn` sums them up.
UNSHOWN = ("signals",)
CLAIMS = "claims.json"
OF_CLAIM = ("claim", "source", "ours", "interval", "null", "agrees", "basis", "words")


@dataclass(frozen=True)
class File:
    """One input: its name, its record, and where it is a file its length and SHA-256."""

    name: str
    stage: str
    record: provenance.Record | None = None
    length: int | None = None
    digest: str | None = None


@dataclass
class Material:
    """All that a report is made from, in memory."""

    tables: dict[str, list[pa.Table]] = field(default_factory=dict)  # parts of one whole, by stage
    diagnostics: dict[str, pa.Table] = field(default_factory=dict)  # by name: these stand alone
    claims: list[Row] | None = None
    scale: str | None = None
    files: list[File] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # tables of the folder that are not shown
    where: Row = field(default_factory=dict)

    def whole(self, stage: str) -> Any:
        """Return the parts of a stage as one table; None where there are none."""
        parts = self.tables.get(stage)
        return parts and pa.concat_tables(
            [part.replace_schema_metadata() for part in parts], promote_options="permissive"
        )

    def select(self, stage: str, **equal: Any) -> list[Row]:
        """Return the rows of a stage in which columns have the given values."""
        table = self.whole(stage)
        found: list[Row] = [] if table is None else rows(table, **equal).to_pylist()
        return found

    def confidence(self, stage: str) -> float | None:
        """Return the confidence of a stage's intervals, where one is known."""
        records = [file.record for file in self.files if file.stage == stage and file.record]
        return provenance.confidence(records[0]) if records else None

    @property
    def stages(self) -> set[str]:
        """Stages that a table was given of."""
        return set(self.tables) | ({"diagnostics"} if self.diagnostics else set())

    @property
    def experiment(self) -> bool:
        """Return whether there is more than tables about several cases."""
        return bool(self.stages - {*OF_CASES} or self.claims)

    @property
    def of_training(self) -> bool:
        """Return whether there is a training behind all of it; see ``Ensemble.of_training``."""
        parts = [part for several in self.tables.values() for part in several]
        held = [each["field"] for each in (*parts, *self.diagnostics.values())]
        return {name for each in held for name in pc.unique(each).to_pylist()} != {NO_TRAINING}

    @property
    def rows(self) -> list[Row]:
        """Rows of the main diagnostics table, of all runs; empty where there is none."""
        table = self.diagnostics.get("diagnostics", self.diagnostics.get("gini-diagnostics"))
        found: list[Row] = [] if table is None else rows(table, seed=None).to_pylist()
        return found


def gather(
    tables: TableLike | Sequence[TableLike],
    where: Mapping[str, Any] | None = None,
    size_column: str | None = None,
) -> Material:
    """Find out what was given, read it, and keep the case that is asked for."""
    for name in where or {}:
        check_choice("where", name, tuple(choosable()))
    several = [tables] if isinstance(tables, (pa.Table, str, os.PathLike)) else list(tables)
    made = Material(where={name: typed(name, value) for name, value in (where or {}).items()})
    for each in several:
        folder = None if isinstance(each, pa.Table) or not Path(each).is_dir() else Path(each)
        for stage, parts in by_stage(each, size_column).items():
            if stage in UNSHOWN:
                made.others += [Path(str(part)).name for part in parts if folder]
                continue
            if folder is None:
                take(made, stage, parts[0], size_column)
                continue
            chosen, others = choose(folder, stage, [Path(str(part)) for part in parts])
            made.others += [path.name for path in others]
            for path in chosen:
                take(made, stage, path, size_column)
        if folder and (folder / CLAIMS).exists():
            take_claims(made, folder / CLAIMS)
    if not made.files:
        raise EmptyError("there is nothing to report: name a folder or tables of grokcrit")
    base = base_of(made)
    if base is not None and "case" not in made.where:
        return gather(tables, {**(where or {}), "case": base}, size_column)
    check(made)
    return made


def base_of(made: Material) -> str | None:
    """Return the case that a page is about where all others are its controls; else None."""
    cells = of(made.rows, "grokked")
    known = {
        name
        for stage, parts in made.tables.items()
        for p in parts
        for name in p["case"].unique().to_pylist()
        if stage != "warn"
    }
    bases = {row["case"] for row in cells}
    inside = known <= {row["part"] for row in cells}
    return bases.pop() if len(bases) == 1 and inside else None


def check(made: Material) -> None:
    """Refuse a case that is not there, and parts of a stage that hold the same row."""
    check_columns(made.where, made.stages)
    for stage, parts in made.tables.items():
        if made.where and not any(part.num_rows for part in parts):
            asked = ", ".join(f"{name}={value}" for name, value in made.where.items())
            raise OptionError("where", f"{asked} is not in the {stage} table")
        if len(parts) > 1:
            Inputs(parts, TABLES[stage].without(HEAVY)).read()  # refuses the same row twice


def choose(folder: Path, stage: str, parts: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the tables of a stage that are meant, and those of other experiments."""
    named = [path for path in parts if path.stem in MAIN]
    if named:
        return named, [path for path in parts if path not in named]
    if len(parts) > 1 and stage != "diagnostics":  # these are distinguished by what they hold
        names = ", ".join(path.name for path in parts)
        raise TableError(
            f"{folder} holds several {stage} tables ({names}) and none is {stage}.parquet; "
            "name the files that are meant instead of the folder"
        )
    return parts, []


def take(made: Material, stage: str, given: TableLike, size_column: str | None = None) -> None:
    """Read one table whole, checksums verified, without gradients; note where it comes from."""
    inputs = Inputs(given, TABLES[stage].without(HEAVY), size_column)
    record = inputs.records[0] if inputs.records else None
    table = inputs.read().replace_schema_metadata(provenance.encode(record) if record else None)
    for name, value in made.where.items() if stage != "warn" else ():
        if name in table.column_names:
            column = table[name]
            table = table.filter(pc.or_kleene(equal_to(column, value), pc.is_null(column)))
    if isinstance(given, pa.Table):
        name = f"{stage}, in memory"
        made.files.append(File(name, stage, record))
    else:
        name = Path(given).stem
        made.files.append(on_disk(Path(given), stage, record))
    if stage != "diagnostics":
        made.tables.setdefault(stage, []).append(table)
        return
    kind = kind_of(table)
    if kind in made.diagnostics:
        raise TableError(f"two {kind} tables are given, the second is {name}; give one")
    made.diagnostics[kind] = table


def on_disk(path: Path, stage: str, record: provenance.Record | None = None) -> File:
    """Return a file with its length and digest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return File(path.name, stage, record, path.stat().st_size, digest)


def kind_of(table: pa.Table) -> str:
    """Return which diagnostics a table holds, whatever its file is called."""
    if is_grid(table):
        return "robustness"
    names = pc.unique(table["quantity"]).to_pylist()
    return "gini-diagnostics" if all(n.startswith("gini-") for n in names) else "diagnostics"


def take_claims(made: Material, path: Path) -> None:
    """Read the claims of a reproduction; its scale is in the record of its training."""
    try:
        claims = json.loads(path.read_bytes())
        made.files.append(on_disk(path, "claims"))
    except OSError as error:
        raise UnreadableError(
            f"cannot read {error.filename}: {os.strerror(error.errno or 0)}"
        ) from None
    except (ValueError, RecursionError):
        raise DamagedError(f"{path} is damaged; make it again with 'grokcrit reproduce'") from None
    sound = isinstance(claims, list) and all(
        isinstance(row, dict) and all(isinstance(row.get(name), str) for name in OF_CLAIM)
        for row in claims
    )
    if not sound:
        raise TableError(
            f"{path} is not a list of claims as grokcrit writes it; "
            "make it again with 'grokcrit reproduce'"
        )
    made.claims = claims
    scales = [file.record["scale"] for file in made.files if file.record and "scale" in file.record]
    made.scale = scales[0] if scales else None


def files_in(tables: Sequence[Path]) -> list[Path]:
    """Return every file that a report of these tables and folders could read."""
    found = []
    for each in tables:
        found += [*each.glob("*.parquet"), each / CLAIMS] if each.is_dir() else [each]
    return found
