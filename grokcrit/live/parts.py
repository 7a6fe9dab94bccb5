"""A folder of Parquet parts that grows while a training runs. Knows nothing of PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from grokcrit.base.errors import (
    RecorderError,
    RepeatedError,
    ShapeError,
    TableError,
    UnwritableError,
)
from grokcrit.base.options import INT32_MAX
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs, check_stage, open_parquet
from grokcrit.tables.schemas import TRAIN
from grokcrit.tables.writing import write
from grokcrit.tasks.train_rows import RunName, record_of, rows_of


@dataclass(frozen=True)
class Recording:
    """Which run is recorded, and what its vectors depend on besides width and seed."""

    task: str
    case: str
    field: str
    width: int
    seed: int
    options: dict[str, Any]

    @property
    def prefix(self) -> str:
        """The start of the names of its parts; a step of ten digits follows, so they sort."""
        return f"width-{self.width:06d}-seed-{self.seed:04d}-{self.field}-step-"


class Parts:
    """The rows of one run: those on the disk, and those that wait for the next part."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        recording: Recording,
        part_bytes: int,
        part_snapshots: int,
        versions: dict[str, str],
    ) -> None:
        self.folder, self.recording = Path(folder), recording
        self.part_bytes, self.part_snapshots = part_bytes, part_snapshots
        self.versions = versions
        self._owner = os.getpid()
        self.tensors: list[dict[str, Any]] | None = None
        self.kind: npt.DTypeLike = np.float32
        self._steps: list[int] = []
        self._gradients: list[npt.NDArray[np.floating]] = []
        self._taken: list[bool] = []
        self._measured: dict[str, list[float | None]] = {}
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
        last = Inputs(mine[-1], TRAIN.only(TRAIN.key)).read()
        return int(pc.max(last["epoch"]).as_py())

    def _check(self, path: Path) -> None:
        """Raise TableError where a part was recorded with other options; keep its tensors."""
        found = provenance.decode(open_parquet(path)[1].metadata, str(path))
        if found is None:
            raise TableError(f"{path} was not made by a recorder; choose another folder")
        check_stage(found, TRAIN, str(path))
        case = self.recording.case
        ours = record_of(case, {}, self.recording.options)["cases"][case] | {"case": case}
        for case, options in found["cases"].items():
            theirs = {**options, "case": case}
            different = sorted(k for k in {*ours, *theirs} if theirs.get(k) != ours.get(k))
            # A digest differs because an option does: the option says more.
            told = [k for k in different if k != "case"] or different
            if told:
                pairs = ", ".join(f"{k} {theirs.get(k)!r}, not {ours.get(k)!r}" for k in told)
                raise TableError(f"{path} was recorded with {pairs}; choose another folder")
        self.tensors = found["widths"].get(str(self.recording.width), self.tensors)

    def fit(self, tensors: list[dict[str, Any]], kind: npt.DTypeLike) -> None:
        """Check that a model is the one of the rows so far, or of the folder."""
        if self.tensors is not None and tensors != self.tensors:
            raise ShapeError(
                f"the trainable parameters are not those recorded in {self.folder} for width "
                f"{self.recording.width}: {first_difference(self.tensors, tensors)}; "
                "choose another folder, or name them with include="
            )
        if length_of(tensors) > INT32_MAX:
            raise RecorderError(
                f"the model has {length_of(tensors)} trainable parameters, a row holds at most "
                f"{INT32_MAX}; choose some with include=, or save the gradient as a .npy file"
            )
        self.tensors, self.kind = tensors, kind

    def add(
        self,
        step: int,
        gradient: npt.NDArray[np.floating] | None,
        measured: dict[str, float | None],
    ) -> None:
        """Take a row; write a part where there is enough for one."""
        n = length_of(self.tensors or [])
        if (sum(self._taken) + 1) * n > INT32_MAX:
            self.flush()
        self._steps.append(step)
        self._taken.append(gradient is not None)
        if gradient is not None:
            self._gradients.append(gradient)
        for name, value in measured.items():
            self._measured.setdefault(name, []).append(value)
        self.last_step = step
        held = sum(each.nbytes for each in self._gradients)
        if held >= self.part_bytes or len(self._steps) >= self.part_snapshots:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one part, whole or not at all; they wait on if it fails."""
        # A forked process, of a DataLoader for example, has a copy of the rows: not its to write.
        if not self._steps or self.tensors is None or os.getpid() != self._owner:
            return
        recording, n = self.recording, length_of(self.tensors)
        made = record_of(recording.case, {str(recording.width): self.tensors}, recording.options)
        made["versions"] = {**made["versions"], **self.versions}
        name = RunName(
            recording.task, recording.case, recording.field, recording.width, n, recording.seed
        )
        gradients = np.stack(self._gradients) if self._gradients else np.empty((0, n), self.kind)
        rows = rows_of(name, self._steps, gradients, np.array(self._taken), self._measured)
        path = self.folder / f"{recording.prefix}{self._steps[0]:010d}.parquet"
        self._refuse_others()
        # The schema of the rows, not of the stage: gradients of single precision stay so.
        write(path, [rows], rows.schema.with_metadata(provenance.encode(made)))
        self._known.add(path.name)
        self._steps, self._gradients, self._taken, self._measured = [], [], [], {}

    def _refuse_others(self) -> None:
        """Raise TableError where another recorder has written the steps that wait."""
        for each in sorted(self.folder.glob(f"{self.recording.prefix}*.parquet")):
            if each.name in self._known:
                continue
            theirs = Inputs(each, TRAIN.only(TRAIN.key)).read()["epoch"].to_pylist()
            if twice := sorted({*theirs} & {*self._steps}):
                raise RepeatedError(
                    f"another recorder has written step {twice[0]} of the same run into {each}; "
                    "give each training its own seed, or its own folder"
                )
            self._known.add(each.name)


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
