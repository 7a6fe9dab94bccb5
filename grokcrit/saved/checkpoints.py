"""Checkpoints as libraries leave them: a folder per step, revisions in a cache and on the Hub."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grokcrit.base.errors import EmptyError, OptionError
from grokcrit.saved import hub
from grokcrit.saved.hub import NETWORKS
from grokcrit.saved.shards import networks, shard
from grokcrit.saved.tensors import damage_of
from grokcrit.tables.reading import check_once

# Starts of the names of folders that are not finished, or of a program's own.
UNFINISHED = (".", "tmp")


@dataclass(frozen=True)
class Checkpoint:
    """A network of a series: a file as given, or found in a folder, a cache or on the Hub.

    ``path`` is opened; ``place`` is its name, which holds the step and what --pattern reads.
    Networks that were found have a ``home``, which holds those of one size; of a repository they
    have its name as their ``family``.
    """

    path: str
    place: str
    home: str | None = None
    family: str | None = None


def checkpoints_of(
    inputs: Sequence[str], weights: bool, named: Callable[[str], bool]
) -> list[Checkpoint]:
    """Return the networks that files, folders, caches and names of the Hub stand for, in order.

    ``weights``: whether they are read as such, which folders must be. ``named`` says whether the
    name of a folder or revision gives its step: others are passed over.
    """
    check_once(inputs)
    places = {each for each in inputs if each.startswith(hub.SCHEME) or is_folder(each)}
    if places and not weights:
        raise OptionError(
            "checkpoints", f"must be given for folders and hf://, which hold weights: {min(places)}"
        )
    files = set(networks([each for each in inputs if each not in places]))
    downloads = hub.Downloads()
    found: list[Checkpoint] = []
    for each in inputs:
        if each in files:
            found.append(Checkpoint(each, each))
        elif each.startswith(hub.SCHEME):
            name = hub.parsed(each)
            found.append(Checkpoint(downloads.network(name), str(name), name.home, name.family))
        elif each in places:
            found += in_folder(Path(each), named)
    check_once([each.place for each in found])
    return found


def is_folder(path: str) -> bool:
    """Return whether a path is that of a folder; raise UnreadableError where nobody can tell."""
    with damage_of(path):
        return Path(path).is_dir()


def in_folder(folder: Path, named: Callable[[str], bool]) -> list[Checkpoint]:
    """Return the checkpoints in a folder: of each step or revision, or its own network."""
    with damage_of(str(folder)):
        cached = folder.absolute().name.startswith(hub.CACHED) and (folder / "snapshots").is_dir()
        held = list(revisions(folder) if cached else steps(folder))
        stepped = [each for each in held if named(each.place)]
        own = network_in(folder)
    if any(each.path for each in stepped):
        for each in stepped:
            # A folder without its network is half-written: the next difference would skip a step.
            if not each.path and not cached:
                raise EmptyError(
                    f"{each.place} holds no network ({', '.join(NETWORKS[:3])}, ...); remove it, "
                    "or give the folders of the other steps one by one"
                )
        return [each for each in stepped if each.path]
    if own:
        return [Checkpoint(own, str(folder), str(folder.absolute().parent))]
    # Networks whose step nobody can tell: the first is named where steps are read.
    others = [each for each in held if each.path]
    if not others:
        raise EmptyError(
            f"{folder} holds no network, nor do the folders in it ({', '.join(NETWORKS[:3])}, "
            "...); give a folder of checkpoints, or the files"
        )
    return others


def steps(folder: Path) -> Iterator[Checkpoint]:
    """Yield the folders in a folder, as Trainer and save_pretrained leave them."""
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.name.startswith(UNFINISHED):
            yield Checkpoint(network_in(each), str(each), str(folder))


def revisions(folder: Path) -> Iterator[Checkpoint]:
    """Yield the revisions of a repository in the cache of Hugging Face, models--org--name."""
    name = folder.absolute().name.removeprefix(hub.CACHED).replace("--", "/")
    for ref in sorted(path for path in (folder / "refs").rglob("*") if path.is_file()):
        snapshot = folder / "snapshots" / ref.read_text(encoding="utf-8").strip()
        revision = ref.relative_to(folder / "refs").as_posix()
        if snapshot.is_dir() and not revision.startswith("refs/"):  # pull requests have numbers
            place = str(folder.parent / f"{name}@{revision}")
            yield Checkpoint(network_in(snapshot), place, str(folder), name.rpartition("/")[2])


def network_in(folder: Path) -> str:
    """Return the network in a folder: its file, index or first shard; empty where there is none."""
    name = network_among([path.name for path in sorted(folder.iterdir())])
    return str(folder / name) if name else ""


def network_among(names: Collection[str]) -> str | None:
    """Return the name by which a network among files is opened, as transformers chooses it."""
    for name in NETWORKS:
        for whole in (name, f"{name}.index.json"):
            if whole in names:
                return whole
        stem, _, ending = name.rpartition(".")
        for each in names:
            part = shard(each)
            if part and (part["head"], part["ending"]) == (f"{stem}-", f".{ending}"):
                return each
    return None
