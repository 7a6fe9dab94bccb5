"""Networks on the Hugging Face Hub: their files alone are downloaded, into its usual cache."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from grokcrit.base.errors import (
    EmptyError,
    GrokcritError,
    OptionError,
    PackageError,
    UnreadableError,
)
from grokcrit.saved.shards import is_index, weight_map

SCHEME = "hf://"
# How the folder of a repository begins in the cache.
CACHED = "models--"
NAME = re.compile(rf"{SCHEME}(?P<repository>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[^@\s]+))?")
# Names of networks, those first that are preferred; what adapters add to one comes last.
NETWORKS = (
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
EXTRA = "pip install 'grokcrit[hub]'"
LOGIN = "log in with 'hf auth login'"


@dataclass(frozen=True)
class HubName:
    """A revision of a repository on the Hub, hf://org/name@revision."""

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.home}@{self.revision}"

    @property
    def home(self) -> str:
        """The name of the repository, without the revision."""
        return f"{SCHEME}{self.repository}"

    @property
    def family(self) -> str:
        """The name of the repository, without its owner."""
        return self.repository.rpartition("/")[2]


def parsed(name: str) -> HubName:
    """Read hf://org/name@revision; without a revision it is main."""
    found = NAME.fullmatch(name)
    if found is None:
        raise OptionError("FILES", f"must be as in hf://org/name@revision, got {name!r}")
    return HubName(found["repository"], found["revision"] or "main")


class Downloads:
    """Downloads of networks; once the Hub cannot be reached, what the cache holds is taken."""

    def __init__(self) -> None:
        self.unreachable: Exception | None = None

    def network(self, name: HubName) -> str:
        """Download the network of a revision; return its file or index in the cache."""
        try:
            download = importlib.import_module("huggingface_hub").hf_hub_download
        except ModuleNotFoundError:
            raise PackageError(f"{name}: the package huggingface_hub is missing; {EXTRA}") from None
        errors = importlib.import_module("huggingface_hub.errors")
        try:
            with silence("huggingface_hub"):
                found = self.first_of(name, download, errors)
        except errors.GatedRepoError:
            problem = f"{name} is gated; ask for access on its page, and {LOGIN}"
        except errors.RepositoryNotFoundError:
            problem = (
                f"there is no repository {name.repository} on the Hub, or it is private; check "
                f"its name, or {LOGIN}"
            )
        except errors.RevisionNotFoundError:
            problem = (
                f"the repository {name.repository} has no revision {name.revision!r}; its page "
                "lists the branches and tags that it has"
            )
        except errors.LocalEntryNotFoundError as error:
            reason = told(self.unreachable or error)
            problem = f"{name} is not in the cache, and the Hub cannot be asked for it: {reason}"
        except GrokcritError:
            raise
        except Exception as error:  # of its HTTP library, which differs between versions
            problem = f"cannot download {name}: {told(error)}"
        else:
            return found
        raise UnreadableError(problem)

    def first_of(self, name: HubName, download: Any, errors: Any) -> str:
        """Download the first network that there is, all of its shards."""
        # Each name is tried: a list of the files could not be had without a connection.
        for file in (each + ending for each in NETWORKS for ending in ("", ".index.json")):
            try:
                path = self.file(name, file, download, errors)
            except errors.EntryNotFoundError:
                continue
            for shard in sorted(set(weight_map(path).values())) if is_index(path) else ():
                self.file(name, shard, download, errors)
            return path
        if self.unreachable is not None:
            raise self.unreachable
        raise EmptyError(f"{name} holds no network ({', '.join(NETWORKS[:2])}, ...)")

    def file(self, name: HubName, file: str, download: Any, errors: Any) -> str:
        """Download a file; return where it lies in the cache."""
        local = self.unreachable is not None
        try:
            found = download(name.repository, file, revision=name.revision, local_files_only=local)
        except errors.LocalEntryNotFoundError as error:
            self.unreachable = self.unreachable or error
            raise
        return str(found)


@contextmanager
def silence(name: str) -> Iterator[None]:
    """Keep a library from logging what an error of ours says in a sentence."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def told(error: BaseException) -> str:
    """Return what a library says of a failed connection, its cause where it names one."""
    lines = str(error.__cause__ or error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
