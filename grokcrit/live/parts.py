"""A folder of Parquet parts that grows while a training runs. Knows nothing of PyTorch."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import (
    RecorderError,
    RepeatedError,
    ShapeError,
    TableError,
    UnwritableError,
)
from grokcrit.base.options import INT32_MAX, CascadeOptions, recorded
from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.cascades.counting import table_of
from grokcrit.signals.collector import median
from grokcrit.signals.collector import rows_of as signal_rows
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, open_parquet
from grokcrit.tables.schemas import AVALANCHE, SIGNALS, TRAIN, Schema
from grokcrit.tables.writing import write
from grokcrit.tasks.train_rows import RunName, record_of, rows_of

# Key of a part's record: the tensors of a model of which the rows hold a sample.
LAYOUTS = "layouts"
# Seconds after which a part that grows is written again.
GROWING = 10.0


@dataclass(frozen=True)
class Recording:
    """Which run is recorded, and what its vectors depend on besides width and seed."""

    task: str
    case: str
    field: str
    width: int
    seed: int
    options: dict[str, Any]

    def run(self, n: int) -> RunName:
        """Return the name of the run, whose vectors have n entries."""
        return RunName(self.task, self.case, self.field, self.width, n, self.seed)

    @property
    def prefix(self) -> str:
        """The start of the names of its parts; a step of ten digits follows, so they sort."""
        return f"width-{self.width:06d}-seed-{self.seed:04d}-{self.field}-step-"


class Kind:
    """What the rows of a folder are: how they become a table, and its record."""

    schema: Schema
    # Whether a part is written again with more rows until it is full, so that others see them.
    grows: bool

    def table(self, rows: list[Any], recording: Recording, n: int) -> pa.Table:
        """Return rows that wait as a table."""
        raise NotImplementedError

    def record(self, recording: Recording, widths: dict[str, Any]) -> provenance.Record:
        """Make the record of a part."""
        raise NotImplementedError


class Gradients(Kind):
    """Rows of gradients: (step, gradient or None, measures by column)."""

    schema, grows = TRAIN, False

    def table(self, rows: list[Any], recording: Recording, n: int) -> pa.Table:
        """Return rows of the train table, in the precision of the gradients."""
        there = [gradient for _, gradient, _ in rows if gradient is not None]
        gradients = np.stack(there) if there else np.empty((0, n), np.float32)
        taken = np.array([gradient is not None for _, gradient, _ in rows])
        steps, measured = [step for step, _, _ in rows], [each for _, _, each in rows]
        columns = {name: [each[name] for each in measured] for name in measured[0]}
        return rows_of(recording.run(n), steps, gradients, taken, columns)

    def record(self, recording: Recording, widths: dict[str, Any]) -> provenance.Record:
        """Make the record of a train table."""
        return record_of(recording.case, widths, recording.options)


class Avalanches(Kind):
    """Rows of avalanches: what the setups of one step counted."""

    schema, grows = AVALANCHE, True

    def __init__(self, options: AvalancheOptions) -> None:
        self.options = options

    def table(self, rows: list[Any], recording: Recording, n: int) -> pa.Table:
        """Return rows of the avalanche table, sorted by its key."""
        joint = table_of([counted for step in rows for counted in step])
        return AVALANCHE.ordered(joint)

    def record(self, recording: Recording, widths: dict[str, Any]) -> provenance.Record:
        """Make the record of an avalanche table."""
        cases = {recording.case: recording.options | recorded(CascadeOptions())}
        chosen = {"keep": "avalanches", **dataclasses.asdict(self.options)}
        return provenance.record(
            AVALANCHE.name, chosen, root_seed=self.options.seed, cases=cases, widths=widths
        )


class Signals(Kind):
    """Rows of signals: those of a step, and the seconds of the training per step before it."""

    schema, grows = SIGNALS, True

    def __init__(self, names: Sequence[str], options: CascadeOptions, seed: int) -> None:
        self.names, self.options, self.seed = names, options, seed

    def table(self, rows: list[Any], recording: Recording, n: int) -> pa.Table:
        """Return rows of the signals table; the time per step is the median of the part."""
        joint = [each for found, _ in rows for each in found]
        paces = [pace for _, pace in rows if pace is not None]
        return signal_rows(dataclasses.asdict(recording.run(n)), joint, median(paces), None)

    def record(self, recording: Recording, widths: dict[str, Any]) -> provenance.Record:
        """Make the record of a signals table."""
        cases = {recording.case: recording.options | recorded(CascadeOptions())}
        chosen = {"signals": self.names, "seed": self.seed, **dataclasses.asdict(self.options)}
        return provenance.record(
            SIGNALS.name, chosen, root_seed=self.seed, cases=cases, widths=widths
        )


class Parts:
    """The rows of one run: those on the disk, and those that wait for the next part."""

    def __init__(
        self,
        folder: Path,
        recording: Recording,
        kind: Kind,
        part_bytes: int,
        part_snapshots: int,
        versions: dict[str, str],
    ) -> None:
        self.folder, self.recording, self.kind = folder, recording, kind
        self.part_bytes, self.part_snapshots = part_bytes, part_snapshots
        self.versions = versions
        self.account: dict[str, Any] = {}  # what the recorder has cost, for the record
        self._owner = os.getpid()
        self.layout: list[dict[str, Any]] | None = None
        self.taken: list[dict[str, Any]] = []
        self._steps: list[int] = []
        self._rows: list[Any] = []
        self._held = 0  # bytes
        self._written, self._at = 0, time.monotonic()  # rows of the part on the disk, and when
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise UnwritableError(f"cannot make the folder {self.folder}: {reason}") from None
        self.last_step = self._resume()

    def _resume(self) -> int | None:
        """Check what is in the folder against this recording; return its last step."""
        mine = []
        for path in sorted(self.folder.glob("*.parquet")):
            self._check(path)
            if path.name.startswith(self.recording.prefix):
                mine.append(path)
        self._known = {path.name for path in mine}
        if not mine:
            return None
        schema = self.kind.schema
        last = Inputs(mine[-1], schema.only(schema.key)).read()
        return int(pc.max(last["epoch"]).as_py())

    def _check(self, path: Path) -> None:
        """Raise TableError where a part was recorded with other options; keep its tensors."""
        found = provenance.decode(open_parquet(path)[1].metadata, str(path))
        if found is None:
            raise TableError(f"{path} was not made by a recorder; choose another folder")
        if found["schema"] != self.kind.schema.name:
            raise TableError(
                f"{path} was recorded with another keep=, as {found['schema']} and not "
                f"{self.kind.schema.name}; choose another folder"
            )
        case = self.recording.case
        made = plain(self.kind.record(self.recording, {}))
        cascades = {} if self.kind.schema is TRAIN else made["configuration"]
        ours = made["cases"][case] | cascades | {"case": case}
        for name, options in found["cases"].items():
            theirs = {**options, **{k: found["configuration"].get(k) for k in cascades}}
            theirs["case"] = name
            different = sorted(k for k in {*ours, *theirs} if theirs.get(k) != ours.get(k))
            # A digest differs because an option does: the option says more.
            follows = {"case", "sample_seed"}
            told = [k for k in different if k not in follows] or different
            if told:
                pairs = ", ".join(f"{k} {theirs.get(k)!r}, not {ours.get(k)!r}" for k in told)
                raise TableError(f"{path} was recorded with {pairs}; choose another folder")
        width, widths = str(self.recording.width), found["widths"]
        if width in widths:
            self.taken = widths[width]
            self.layout = (found.get(LAYOUTS) or widths)[width]

    def fit(self, layout: list[dict[str, Any]], taken: list[dict[str, Any]]) -> None:
        """Check that a model is the one of the rows so far, or of the folder."""
        if self.layout is not None and layout != self.layout:
            raise ShapeError(
                f"the trainable parameters are not those recorded in {self.folder} for width "
                f"{self.recording.width}: {first_difference(self.layout, layout)}; "
                "choose another folder, or name them with include="
            )
        if length_of(taken) > INT32_MAX:
            raise RecorderError(
                f"the model has {length_of(taken)} trainable parameters, a row holds at most "
                f"{INT32_MAX}; take some of them with sample=, or choose some with include="
            )
        self.layout, self.taken = layout, taken

    def add(self, step: int, row: Any, held: int) -> None:
        """Take a row, which holds so many bytes; write a part where there is enough for one.

        A step that these parts have is passed over: of two folders the other one may lack it.
        """
        if self.last_step is not None and step <= self.last_step:
            return
        n = length_of(self.taken)
        if not self.kind.grows and (len(self._rows) + 1) * n > INT32_MAX:
            self.flush()
        self._steps.append(step)
        self._rows.append(row)
        self._held += held
        self.last_step = step
        full = self._held >= self.part_bytes or len(self._steps) >= self.part_snapshots
        due = self.kind.grows and time.monotonic() >= self._at + GROWING
        if full or due:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one part, whole or not at all; they wait on if it fails.

        A part that grows is written again with all its rows, until it is full.
        """
        # A forked process, of a DataLoader for example, has a copy of the rows: not its to write.
        if len(self._rows) == self._written or os.getpid() != self._owner:
            return
        recording, width = self.recording, str(self.recording.width)
        made = self.kind.record(recording, {width: self.taken})
        made["versions"] = {**made["versions"], **self.versions}
        if self.account:
            made["recorder"] = self.account
        if self.layout != self.taken:
            made[LAYOUTS] = {width: self.layout}
        rows = self.kind.table(self._rows, recording, length_of(self.taken))
        path = self.folder / f"{recording.prefix}{self._steps[0]:010d}.parquet"
        self._refuse_others()
        # The schema of the rows, not of the stage: gradients of single precision stay so.
        write(path, [rows], rows.schema.with_metadata(provenance.encode(made)))
        self._known.add(path.name)
        self._written, self._at = len(self._rows), time.monotonic()
        if not self.kind.grows or len(self._rows) >= self.part_snapshots:
            self._steps, self._rows, self._held, self._written = [], [], 0, 0

    def _refuse_others(self) -> None:
        """Raise TableError where another recorder has written the steps that wait."""
        schema = self.kind.schema
        for each in sorted(self.folder.glob(f"{self.recording.prefix}*.parquet")):
            if each.name in self._known:
                continue
            theirs = Inputs(each, schema.only(schema.key)).read()["epoch"].to_pylist()
            if twice := sorted({*theirs} & {*self._steps}):
                raise RepeatedError(
                    f"another recorder has written step {twice[0]} of the same run into {each}; "
                    "give each training its own seed, or its own folder"
                )
            self._known.add(each.name)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON gives them back, so that they equal those in a part."""
    found: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False))
    return found


def length_of(tensors: Sequence[dict[str, Any]]) -> int:
    """Return how many entries the flat vector has."""
    if not tensors:
        return 0
    last = tensors[-1]
    return int(last["offset"]) + int(np.prod(last["shape"], dtype=np.int64))


def first_difference(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    """Say where two lists of tensors part."""
    known, seen = ({each["name"] for each in tensors} for tensors in (before, now))
    for old, new in zip(before, now, strict=False):
        if old != new:
            if new["name"] not in known:
                return f"{new['name']} is new"
            if old["name"] not in seen:
                return f"{old['name']} is missing"
            return f"{new['name']} {new['shape']} stands where {old['name']} {old['shape']} stood"
    return f"there are {len(now)} tensors, there were {len(before)}"
