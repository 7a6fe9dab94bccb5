"""The record every table carries: what made it, from what, with which versions."""

from __future__ import annotations

import datetime
import functools
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias

from grokcrit._version import __version__
from grokcrit.base.errors import DamagedError, GrokcritError, RecordError

Record: TypeAlias = dict[str, Any]
KEY = b"grokcrit"
# The parts of a record, and their types.
FORM = {
    **dict.fromkeys(("schema", "grokcrit", "created"), str),
    **dict.fromkeys(("configuration", "cases", "widths", "versions"), dict),
    "command_line": str | NoneType,
    "root_seed": int,
    "inputs": list,
}
# How deep a record may be nested; six records behind one another are 20 deep.
DEEPEST = 100
LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "igraph", "pyarrow")
# Folders whose code decides the numbers of a table.
COMPUTING = (
    *("base", "cascades", "kernels", "protocol", "questions"),
    *("scaling", "signals", "stages", "systems", "tasks"),
)

# The command line of this process, where it is a command; None in a Python program.
command_line: str | None = None


def now() -> str:
    """Return the time of creation, ISO 8601, UTC; SOURCE_DATE_EPOCH where it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.datetime.now(datetime.UTC)
    if epoch:
        try:
            moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
        except (ValueError, OverflowError, OSError):
            raise GrokcritError(
                f"SOURCE_DATE_EPOCH must be seconds since 1970, got {epoch!r}; correct or unset it"
            ) from None
    return moment.isoformat(timespec="seconds")


def record(
    schema: str,
    configuration: dict[str, Any],
    *,
    root_seed: int,
    inputs: list[Record] | None = None,
    cases: dict[str, Any] | None = None,
    widths: dict[str, Any] | None = None,
    layouts: bool = True,
) -> Record:
    """Make the record of a table that is about to be written.

    ``configuration`` holds every option but threads and the output; ``inputs`` are the records of
    the tables read. ``cases`` and ``widths`` are merged with those of the inputs; with ``layouts``
    false there are no widths: tables of several tasks, whose networks differ at equal width.
    """
    inputs = inputs or []
    known = [r["widths"] for r in inputs] + [widths or {}] if layouts else []
    return {
        "schema": schema,
        "grokcrit": __version__,
        "command_line": command_line,
        "configuration": configuration,
        "root_seed": root_seed,
        "versions": versions(),
        "created": now(),
        "cases": merged("case", [r["cases"] for r in inputs] + [cases or {}]),
        "widths": merged("width", known),
        "inputs": inputs,
    }


def without_command_line(made: Record) -> Record:
    """Return a record that does not say which command made it, nor which made its inputs."""
    inputs = [without_command_line(each) for each in made["inputs"]]
    return {**made, "command_line": None, "inputs": inputs}


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries; looked up once, that takes 5 ms."""
    import platform
    from importlib import metadata

    found = {name: metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **found}


@functools.cache
def code_version() -> str:
    """Return the version and a digest of the source code that computes numbers.

    A change to a figure, a page or a file reader leaves it as it is.
    """
    import hashlib

    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for folder in COMPUTING for path in (package / folder).rglob("*.py")):
        name = path.relative_to(package)
        digest.update(f"{name.as_posix()}\n".encode() + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def merged(what: str, maps: list[dict[str, Any]]) -> dict[str, Any]:
    """Join maps that may repeat one another but not contradict one another."""
    joint: dict[str, Any] = {}
    for each in maps:
        for name, options in each.items():
            if joint.setdefault(name, options) != options:
                keys = options if isinstance(options, dict) else ()
                different = ", ".join(sorted(k for k in keys if joint[name].get(k) != options[k]))
                raise RecordError(
                    f"{what} {name!r} stands for two different configurations among the inputs"
                    f"{different and f' ({different})'}: give them different labels"
                )
    return joint


def confidence(made: Record) -> float | None:
    """Return the confidence of a table's intervals; None where its record does not say."""
    options = made["configuration"]
    nested = options.get("fss")
    level = options.get("confidence", nested.get("confidence") if isinstance(nested, dict) else 0)
    return level if isinstance(level, float) and 0 < level < 1 else None


def sizes(made: Record) -> list[int]:
    """Return the sizes N of the networks that a record knows, ascending."""
    ends = [tensors[-1] for tensors in made.get("widths", {}).values() if tensors]
    return sorted({end["offset"] + math.prod(end.get("shape", [])) for end in ends})


def encode(made: Record) -> dict[bytes, bytes]:
    """Turn a record into schema metadata."""
    return {KEY: json.dumps(made, sort_keys=True).encode()}


def decode(metadata: dict[bytes, bytes] | None, where: str) -> Record | None:
    """Read the record out of schema metadata; None where there is none."""
    if not metadata or KEY not in metadata:
        return None
    try:
        found = json.loads(metadata[KEY])
        sound = is_record(found) and depth(found) <= DEEPEST
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise DamagedError(f"{where}: its grokcrit record is damaged; make the table again")
    return dict(found)


def is_record(found: object) -> bool:
    """Return whether a value is of the form that :func:`record` gives."""
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), kind) for name, kind in FORM.items()
    ):
        return False
    widths = found["widths"].values()
    return (
        all(isinstance(each, list) for each in widths)
        and all(isinstance(t, dict) and whole(t.get("offset")) for each in widths for t in each)
        and all(isinstance(each, dict) for each in found["cases"].values())
        and all(isinstance(each, str) for each in found["versions"].values())
        and whole(found["root_seed"])
        and all(is_record(each) for each in found["inputs"])
    )


def whole(value: object) -> bool:
    """Return whether a value is a whole number from 0 up."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def depth(value: object) -> int:
    """Return how many lists and maps lie in one another."""
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(inside, Iterable) or isinstance(inside, str):
        return 0
    return 1 + max(map(depth, inside), default=0)
