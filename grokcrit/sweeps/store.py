"""The folder of a sweep: a part for each point, the joint table, and what went wrong.

    sweep/sweep.parquet         the joint table, in the order of the sweep file
    sweep/parts/KEY.parquet     one point, complete
    sweep/failed/KEY.parquet    one point that failed, its error in the row
    sweep/damaged/...           parts that were not what was written, moved aside

A part is named by the digest of its options and of the code, and written whole or not at all. It is
the only record that its point is done.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa

from grokcrit.base.errors import TableError, UnreadableError, UnwritableError, reason
from grokcrit.sweeps.plan import Plan
from grokcrit.tables import provenance, reading, writing
from grokcrit.tables.files import remove_stale
from grokcrit.tasks.swept import SWEEP

PartState: TypeAlias = Literal["done", "missing", "damaged"]
# Rows of the joint table in one row group: some 2,500 points.
GROUP_ROWS = 2**17


@dataclass(frozen=True)
class Store:
    """The folder of a sweep. What cannot be read or written raises TableError."""

    folder: Path

    @property
    def joint(self) -> Path:
        """Return where the joint table is."""
        return self.folder / f"{SWEEP.stage}.parquet"

    def part(self, key: str) -> Path:
        """Return where the part of a point is."""
        return self.folder / "parts" / f"{key}.parquet"

    def failure(self, key: str) -> Path:
        """Return where the row of a point that failed is."""
        return self.folder / "failed" / f"{key}.parquet"

    def check(self) -> None:
        """Raise TableError where something else has the name of the folder."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UnwritableError(f"cannot make the folder {self.folder}: Not a directory")

    def prepare(self) -> None:
        """Make the folders."""
        try:
            for name in ("parts", "failed"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnwritableError(
                f"cannot make the folder {self.folder}: {reason(error)}"
            ) from None
        with suppress(OSError):
            remove_stale(self.folder / "parts")

    def look(self, key: str) -> PartState:
        """Return whether a part is there, and whether it is whole by its seal and its name."""
        path = self.part(key)
        if not path.exists():
            return "missing"
        if not path.is_file():  # a pipe would be waited for
            return "damaged"
        try:
            path.open("rb").close()
        except OSError as error:
            raise UnreadableError(f"cannot read {path}: {reason(error)}") from None
        try:
            record = reading.verified(path) or {}
        except TableError:
            return "damaged"
        return "done" if record.get("configuration", {}).get("point") == key else "damaged"

    def set_aside(self, key: str) -> Path:
        """Move a damaged part to where it is in nobody's way, and say where."""
        folder = self.folder / "damaged"
        try:
            folder.mkdir(exist_ok=True)
            number = sum(1 for _ in folder.glob(f"{key}*"))
            place = folder / f"{key}-{number}.parquet"
            # Gone already where another sweep on this folder has found it too.
            if self.part(key).exists():
                os.replace(self.part(key), place)
        except OSError as error:
            raise UnwritableError(f"cannot move {self.part(key)} aside: {reason(error)}") from None
        return place

    def keep(self, key: str, table: pa.Table) -> None:
        """Write the part of a point; a failure noted before is no longer one."""
        writing.write(self.part(key), [table], table.schema)
        with suppress(OSError):  # beside a part it says nothing
            self.failure(key).unlink(missing_ok=True)

    def keep_failure(self, key: str, table: pa.Table) -> None:
        """Note that a point failed."""
        writing.write(self.failure(key), [table], table.schema)

    def join(self, plan: Plan, failed: Container[str]) -> None:
        """Write the joint table: the parts in the order of the plan, failures among them."""
        record = provenance.record(
            SWEEP.name,
            plan.configuration | {"code": provenance.code_version()},
            root_seed=plan.points[0].training.seed,
        )
        keys = [point.key for point in plan.points]
        chosen = [self.failure(key) if key in failed else self.part(key) for key in keys]
        writing.write(self.joint, grouped(chosen), SWEEP.recorded(record))


def grouped(paths: Sequence[Path]) -> Iterator[pa.Table]:
    """Read parts, many of them a block: a row group for each would be mostly footer."""
    held: list[pa.Table] = []
    for path in paths:
        held.append(reading.Inputs(path, SWEEP).read())
        if sum(table.num_rows for table in held) >= GROUP_ROWS:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
