"""Options of ``ingest``: which run a file is of, which tensors are taken, and how many entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from grokcrit.base.errors import OptionError
from grokcrit.base.options import (
    Options,
    check_choice,
    check_integer,
    option,
    options_of,
    root_seed,
    settle,
)

FIELDS = ("gradient", "clipped-gradient", "update")
# Columns of a file of avalanches by their name in the table, with the names that they may have in
# the file; the first is that of --columns.
AVALANCHE_COLUMNS = {
    "n_params": ("system", "n_params"),
    "seed": ("run", "seed"),
    "epoch": ("time", "epoch"),
    "size": ("size",),
    "area": ("area",),
    "duration": ("duration",),
    "peak": ("peak",),
    "activity": ("activity",),
}
# Options that are of avalanches, too.
OF_AVALANCHES = ("avalanches", "columns", "pattern", "family", "size", "run_seed", "label", "seed")
# What a path can say, too.
IN_PATHS = ("family", "size", "step", "run_seed")


def number(name: str, low: int, value: int | str) -> int:
    """Read a whole number, with or without a unit."""
    from grokcrit.saved.names import whole  # here: fractions are not loaded for the help

    found = whole(value) if isinstance(value, str) else value
    if found is None:
        raise OptionError(name, f"must be a whole number such as 512, 70m or 1.4b, got {value!r}")
    check_integer(name, found, low)
    return int(found)


def sample_of(value: int | float | str) -> int | float:
    """Read how much to sample: a number of entries, or a share of them, 0.01 or 1%."""
    from grokcrit.saved.names import whole

    count = whole(value) if isinstance(value, str) else value
    if isinstance(count, int) and not isinstance(count, bool):
        check_integer("sample", count, 1)
        return count
    try:
        text = str(value)
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise OptionError(
            "sample",
            "must be how many entries, at least 1, or a share of them between 0 and 1 (0.01, 1%), "
            f"got {value!r}",
        )
    return share


def columns_of(value: str | Mapping[str, str]) -> dict[str, str]:
    """Read which columns of a file are meant, ``size=S,system=L``, by their name in the table."""
    known = {name: ours for ours, names in AVALANCHE_COLUMNS.items() for name in names}
    pairs = value.items() if isinstance(value, Mapping) else pairs_of(value)
    found: dict[str, str] = {}
    for name, theirs in pairs:
        check_choice("columns", name, tuple(known))
        if known[name] in found:
            raise OptionError("columns", f"says twice which column {name} is")
        found[known[name]] = theirs
    return found


def pairs_of(text: str) -> Iterator[tuple[str, str]]:
    """Split ``size=S,system=L`` into pairs."""
    for word in filter(None, map(str.strip, text.split(","))):
        name, equals, theirs = (part.strip() for part in word.partition("="))
        if not (name and equals and theirs):
            raise OptionError("columns", f"must be as in size=S,system=L,run=seed; got {word!r}")
        yield name, theirs


def texts(help: str, metavar: str) -> Any:
    """Make a field of a list of texts."""
    return option((), help, raw=True, metavar=metavar)


@dataclass(frozen=True)
class IngestOptions(Options):
    """Options of ``ingest``. ``family`` to ``run_seed`` None: from the path, or by default."""

    checkpoints: bool = option(
        False, "The files are weights: use the difference between consecutive checkpoints"
    )
    avalanches: bool = option(
        False, "The files are avalanches, in .csv, .parquet or .npy: make an avalanche table"
    )
    columns: str | Mapping[str, str] | None = option(
        None,
        "--avalanches: which column of the files is what, as in size=S,system=L,run=seed; also "
        "duration, area, peak, time, activity",
        parse=columns_of,
        metavar="<ours=theirs,...>",
        unset="columns of these names",
    )
    field: str | None = option(
        None,
        "What the vectors are",
        choices=FIELDS,
        unset="gradient; update for --checkpoints",
    )
    pattern: str | None = option(
        None,
        "Where {family}, {size}, {seed} and {step} stand in the end of each path, of a revision "
        "org/name@revision; * is anything within a name",
    )
    include: tuple[str, ...] = texts("Take tensors of such names only (repeatable)", "<glob>")
    exclude: tuple[str, ...] = texts("Leave tensors of such names out (repeatable)", "<glob>")
    keep_buffers: bool = option(
        False, "Keep buffers and tensors that never change; they then count in N"
    )
    strip: tuple[str, ...] = texts(
        "Take a prefix off the names of tensors (repeatable); those of torch.compile, FSDP and "
        "DataParallel are always taken off",
        "<prefix>",
    )
    key: str | None = option(
        None,
        "Where in a PyTorch file the network lies: net, models.encoder, . (on top), 'model.*' "
        "(all below)",
        unset="on top, or under model, state_dict, ...",
    )
    sample: int | float | str | None = option(
        None,
        "Keep so many entries of each vector (10000, 100k), or a share (1%): the same ones for "
        "all of a size",
        parse=sample_of,
    )
    family: str | None = option(
        None, "Family of networks", unset="name of the repository, else given"
    )
    size: int | str | None = option(
        None,
        "Size, such as 512, 70m or 1.4b",
        parse=partial(number, "size", 1),
        unset="number of parameters",
    )
    step: int | str | None = option(
        None,
        "Step",
        parse=partial(number, "step", 0),
        unset="from the folder's or revision's name; of files, place among those of a run, from 0",
    )
    run_seed: int | str | None = option(
        None, "Seed of the run", parse=partial(number, "run_seed", 0), unset="0"
    )
    label: str | None = option(None, "Name of the case", unset="family")
    control: str | None = option(None, "The case whose matched control this is", metavar="<name>")
    seed: int = root_seed()

    def __post_init__(self) -> None:
        """Check every option; read numbers that have units."""
        from grokcrit.saved.names import matcher

        super().__post_init__()
        if self.avalanches:
            for name, each in options_of(type(self)).items():
                if name not in OF_AVALANCHES and getattr(self, name) != each.default:
                    raise OptionError(name, "is not an option of --avalanches")
            settle(self, columns=self.columns or {})
        elif self.columns is not None:
            raise OptionError("columns", "is of avalanches: add --avalanches")
        if self.checkpoints and self.field not in (None, "update"):
            raise OptionError("field", f"is update for --checkpoints, got {self.field!r}")
        settle(self, field="update" if self.checkpoints else self.field or "gradient")
        if self.pattern is not None:
            in_pattern = matcher(self.pattern).groupindex
            for name in IN_PATHS:
                if name.removeprefix("run_") in in_pattern and getattr(self, name) is not None:
                    raise OptionError(name, f"is in --pattern {self.pattern!r} too; give it once")

    def keeps(self, *names: str) -> bool:
        """Return whether a tensor is kept that would be left out: all are, or it is named."""
        return self.keep_buffers or bool(set(names) & set(self.include))
