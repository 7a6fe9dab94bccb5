"""Networks that were saved in several files: shards, alone or named by an index."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from grokcrit.base.errors import RepeatedError, TableError
from grokcrit.saved.tensor_names import plain_names
from grokcrit.saved.tensors import Saved, damage_of, opened
from grokcrit.tables.reading import place_of

# model-00001-of-00002.safetensors, and other spellings of it. A short number may just as well be
# that of a run, but for the endings under which libraries save shards.
SHARD = re.compile(
    r"(?P<head>.+?)(?P<number>\d+)(?P<middle>-of-)(?P<count>\d+)"
    r"(?P<ending>\.(?:safetensors|bin|ckpt|pth?(?:\.tar)?|npz))",
    re.IGNORECASE,
)
LONG = 5
INDEXED = (".safetensors", ".bin")
INDEX = re.compile(r".*\.index(?:\.[\w-]+)?\.json", re.IGNORECASE)
# Entries that are compared first, and at once, where a tensor is looked at for change.
FEW, PIECE = 64, 2**22


def is_index(path: str) -> bool:
    """Return whether a name is that of the index of a sharded network."""
    return INDEX.fullmatch(Path(path).name) is not None


def shard(path: str) -> re.Match[str] | None:
    """Return the parts of the name of a shard; None for other files."""
    found = SHARD.fullmatch(Path(path).name)
    if found is None or int(found["count"]) < 2:
        return None
    doubtful = found["ending"].lower() not in INDEXED and len(found["number"]) < LONG
    return None if doubtful else found


def index_of(path: str) -> str | None:
    """Return the index beside a file that names it as one of several; None without one."""
    folder, name = Path(path).parent, Path(path).name
    if not name.lower().endswith(INDEXED) or not folder.is_dir():
        return None
    for index in indices_in(str(folder), folder.stat().st_mtime_ns):
        files = set(weight_map(index).values())
        if name in files and len(files) > 1:
            return index
    return None


@functools.lru_cache(maxsize=1024)  # a folder may hold a whole series
def indices_in(folder: str, _modified: int) -> list[str]:
    """Return the indices in a folder, which is read again once it has changed."""
    return [str(path) for path in sorted(Path(folder).glob("*.json")) if is_index(str(path))]


def networks(paths: Sequence[str]) -> list[str]:
    """Return one path per network: its only file, its index, or the first shard given."""
    covered = {place_of(each) for path in paths if is_index(path) for each in shards_of(path)}
    found: list[str] = []
    known = set()
    for path in paths:
        place, part = place_of(path), shard(path)
        if part is None:
            network = index_of(path) or place, "", "", ""
        else:
            network = str(Path(place).parent), part["head"], part["count"], part["ending"]
        if place not in covered and network not in known:
            known.add(network)
            found.append(path)
    return found


def shards_of(path: str) -> list[str]:
    """Return the files of a network, given its index or one of its shards; else the path itself."""
    folder = Path(path).parent
    if is_index(path):
        names = sorted(set(weight_map(path).values()))
    elif part := shard(path):
        digits, count = len(part["number"]), int(part["count"])
        names = [
            f"{part['head']}{k:0{digits}}{part['middle']}{part['count']}{part['ending']}"
            for k in range(count + 1)
        ]
        # Most count from 1, some from 0.
        names = names[:-1] if (folder / names[0]).exists() else names[1:]
    elif index := index_of(path):
        return shards_of(index)
    else:
        return [path]
    for name in names:
        if not (folder / name).exists():
            raise TableError(
                f"{path} belongs to a network in shards, and {folder / name} is missing; put all "
                "shards into one folder, or rename what is a network of its own"
            )
    return [str(folder / name) for name in names]


def weight_map(path: str) -> dict[str, str]:
    """Read the index of a network: tensor to the name of its file."""
    with damage_of(path):
        return parsed(path, Path(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)  # each shard asks for its index, which may have 1e5 entries
def parsed(path: str, _modified: int) -> dict[str, str]:
    """Read an index, again once it has changed."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not found or not all(isinstance(v, str) and Path(v).name == v for v in found.values()):
        raise TableError(f"{path} has no weight_map that names files beside it; give the shards")
    return dict(found)


@contextmanager
def network(path: str, key: str | None, strip: Sequence[str]) -> Iterator[Saved]:
    """Open a network, a file or all of its shards, by its file, its index, or one shard."""
    with ExitStack() as stack:
        parts = [stack.enter_context(opened(each, key)) for each in shards_of(path)]
        whole = parts[0] if len(parts) == 1 else joined(path, parts)
        yield whole.renamed(plain_names(list(whole.tensors), strip))


def joined(path: str, parts: Sequence[Saved]) -> Saved:
    """Return the shards of a network as one."""
    homes: dict[str, Saved] = {}
    for part in parts:
        for name in part.tensors:
            if name in homes:
                raise RepeatedError(
                    f"tensor '{name}' is in two shards, {homes[name].path} and {part.path}; "
                    "rename them if they are networks of their own"
                )
            homes[name] = part
    if is_index(path):
        for name, shard in weight_map(path).items():
            if name not in homes or Path(homes[name].path).name != shard:
                raise TableError(
                    f"{path} says that tensor '{name}' is in {shard}, where it is not; give the "
                    "shards without their index"
                )
    tensors = {name: part.tensors[name] for name, part in homes.items()}
    return Saved(path, tensors, lambda name, places: homes[name].stored(name, places))


def changed(
    one: str, other: str, names: Sequence[str], key: str | None, strip: Sequence[str]
) -> list[str]:
    """Return which tensors differ between two networks; see ``network``."""
    if not names:
        return []
    with network(one, key, strip) as first, network(other, key, strip) as second:
        return [name for name in names if not same_values(first, second, name)]


def same_values(first: Saved, second: Saved, name: str) -> bool:
    """Return whether a tensor has the same entries in two files, read piece by piece."""
    entries = first.tensors[name].entries
    # A few entries from all over it settle nearly all tensors that change.
    few = np.unique(np.linspace(0, entries - 1, FEW).astype(np.int64))
    starts = range(0, entries, PIECE)
    rest = (np.arange(start, min(start + PIECE, entries)) for start in starts)
    return all(
        np.array_equal(first.stored(name, places), second.stored(name, places), equal_nan=True)
        for places in chain([few], rest)
    )
