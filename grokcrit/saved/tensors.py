"""Tensors that other programs saved, read by name and one at a time: no code in them is run."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from grokcrit.base.degenerate import first_broken
from grokcrit.base.errors import (
    DamagedError,
    EmptyError,
    GrokcritError,
    PackageError,
    ShapeError,
    TableError,
    UnreadableError,
    ValuesError,
)
from grokcrit.saved import torch as saved_torch
from grokcrit.saved.tensor_names import quoted
from grokcrit.saved.torch import EXTRA, FLAT

Values: TypeAlias = npt.NDArray[np.floating]
Places: TypeAlias = npt.NDArray[np.int64]

FLOATS = ("float16", "bfloat16", "float32", "float64")
WHOLE = re.compile(r"u?int\d+|bool")
# Bytes read at once around the entries of a sample: few calls where it is dense, little read where
# it is not. A mapped file costs a page fault an entry, which is fifty times as slow.
BLOCK = 2**16
# The names of safetensors for what numpy and torch name alike.
SAFETENSORS = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Tensor:
    """A tensor before it is read; ``kind`` is its type, as numpy names it.

    ``memory`` is where its entries lie, where a file may hold one tensor under two names.
    """

    shape: tuple[int, ...]
    kind: str
    memory: tuple[int, ...] = ()

    @property
    def entries(self) -> int:
        """The number of its entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def floating(self) -> bool:
        """Return whether it holds numbers that a vector can take."""
        return self.kind in FLOATS

    @property
    def whole(self) -> bool:
        """Return whether it holds integers or booleans: counters, masks, tokens."""
        return WHOLE.fullmatch(self.kind) is not None


@dataclass(frozen=True)
class Saved:
    """An open network; ``names`` are those in the file, where the tensors have others here."""

    path: str
    tensors: dict[str, Tensor]
    _fetch: Callable[[str, Places | None], npt.NDArray[Any]]
    names: dict[str, str] = field(default_factory=dict)

    def renamed(self, names: dict[str, str]) -> Saved:
        """Return the same network with other names: new name to name."""
        tensors = {new: self.tensors[name] for new, name in names.items()}
        return replace(self, tensors=tensors, names=names)

    def values(self, name: str, places: Places | None = None) -> Values:
        """Read a floating tensor, or some flat places of it; half precision becomes float32."""
        raw, kind = self.stored(name, places), self.tensors[name].kind
        found: Values
        if kind == "bfloat16":  # the upper half of a float32
            found = (np.asarray(raw, np.uint32) << 16).view(np.float32)
        else:
            found = np.asarray(raw, np.float64 if kind == "float64" else np.float32)
        k = first_broken(found)
        if k is not None:
            entry = k if places is None else int(places[k])
            raise ValuesError(
                f"{self.path}: tensor '{name}' holds {found[k]} at entry {entry}; it must be "
                f"finite: leave the file out, or the tensor with --exclude {quoted(name)}"
            )
        return found

    def stored(self, name: str, places: Places | None = None) -> npt.NDArray[Any]:
        """Read a tensor, or some places, as the file has them; bfloat16 as 16-bit integers."""
        with damage_of(self.path, f", tensor '{name}',"):
            return self._fetch(self.names.get(name, name), places)


def ending_of(path: str) -> str | None:
    """Return the ending that says how a file is read; None where none does."""
    name = Path(path).name.lower()
    return next((ending for ending in READERS if name.endswith(ending)), None)


@contextmanager
def opened(path: str, key: str | None = None) -> Iterator[Saved]:
    """Open a file of tensors, read as its ending says; ``key`` is that of ``saved.torch.state``."""
    ending = ending_of(path)
    if ending is None:
        if not Path(path).exists():
            raise UnreadableError(f"cannot read {path}: there is no such file or folder")
        raise TableError(f"{path} ends in none of {', '.join(READERS)}, so it is not read")
    reader = READERS[ending]
    if reader is read_torch:
        reader = partial(read_torch, key=key)
    elif key is not None:
        raise TableError(f"{path} holds no nested dicts, which --key chooses among; leave it out")
    with ExitStack() as stack:
        with damage_of(path):
            if Path(path).exists() and not Path(path).is_file():
                raise TableError(f"{path} is not a file; give the files in it")
            if Path(path).stat().st_size == 0:
                raise EmptyError(f"{path} is empty (0 bytes); save it again")
            saved = reader(path, stack)
        yield saved


@contextmanager
def damage_of(path: str, where: str = "") -> Iterator[None]:
    """Say of any failure to read a file that it is the file's: what a damaged one raises varies."""
    try:
        yield
    except (GrokcritError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
        raise damaged(path, where, error) from None
    except Exception as error:
        raise damaged(path, where, error) from None


def damaged(path: str, where: str, error: Exception) -> TableError:
    """Make one sentence of what a library says of a file it cannot read."""
    # torch advises to run the code of such a file, numpy to unpickle it: that is never repeated.
    reason = " ".join(str(error).split())
    shown = "" if isinstance(error, pickle.UnpicklingError) or "pickle" in reason else reason[:160]
    kind = ending_of(path) or Path(path).suffix
    return DamagedError(
        f"{path}{where} is not a readable {kind} file of tensors, or is damaged"
        + (f": {shown.rstrip('.')}" if shown else "")
    )


def read_npy(path: str, _stack: ExitStack) -> Saved:
    """Open a .npy file: one flat vector."""
    values: Any = np.lib.format.open_memmap(path, mode="r")  # for its header: nothing is read
    if values.ndim != 1:
        raise ShapeError(
            f"{path} holds an array of shape {list(values.shape)}; it must hold one flat vector "
            "(several named tensors: .npz or .safetensors)"
        )
    start, dtype, entries = int(values.offset), values.dtype, values.size
    return Saved(
        path,
        {FLAT: Tensor(values.shape, dtype.name)},
        lambda _, places: stored(path, dtype, start, entries, places),
    )


def stored(
    path: str, dtype: np.dtype[Any], start: int, entries: int, places: Places | None
) -> npt.NDArray[Any]:
    """Read entries of a file from some byte on: all, or at ascending places."""
    if places is None:
        found = np.fromfile(path, dtype, entries, offset=start)
        if len(found) < entries:
            raise ValueError("it ends too early")
        return found
    block = BLOCK // dtype.itemsize
    found = np.empty(len(places), dtype)
    firsts = np.flatnonzero(np.diff(places // block, prepend=-1))
    with Path(path).open("rb", buffering=0) as file:
        for low, high in zip(firsts, [*firsts[1:], len(places)], strict=True):
            origin = int(places[low]) // block * block
            file.seek(start + origin * dtype.itemsize)
            piece = file.read((int(places[high - 1]) + 1 - origin) * dtype.itemsize)
            found[low:high] = np.frombuffer(piece, dtype)[places[low:high] - origin]
    return found


def read_npz(path: str, stack: ExitStack) -> Saved:
    """Open a .npz file; its arrays are read one by one, their checksums with them."""
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    tensors = {}
    for name, info in members.items():
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = header(member)
        tensors[name] = Tensor(shape, dtype.name)
        if not dtype.hasobject and tensors[name].entries * dtype.itemsize > info.file_size:
            raise DamagedError(f"{path}: array '{name}' is cut short; save it again")

    def fetch(name: str, places: Places | None) -> npt.NDArray[Any]:
        with archive.open(members[name]) as member:
            values: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
            member.read()  # the checksum is verified at the end of the member
        flat = values.reshape(-1)
        return flat if places is None else flat[places]

    return Saved(path, tensors, fetch)


def read_safetensors(path: str, _stack: ExitStack) -> Saved:
    """Open a .safetensors file; the package checks its header, numpy reads what is in it."""
    try:
        from safetensors import safe_open
    except ModuleNotFoundError:
        raise PackageError(f"{path}: the package safetensors is missing; {EXTRA}") from None
    with safe_open(path, framework="numpy") as checked:
        names = list(checked.keys())
    with Path(path).open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    tensors = {
        name: Tensor(
            tuple(header[name]["shape"]),
            SAFETENSORS.get(header[name]["dtype"], header[name]["dtype"]),
        )
        for name in names
    }

    def fetch(name: str, places: Places | None) -> npt.NDArray[Any]:
        kind = tensors[name].kind
        dtype = np.dtype("uint16" if kind == "bfloat16" else kind).newbyteorder("<")
        first = start + header[name]["data_offsets"][0]
        return stored(path, dtype, first, tensors[name].entries, places)

    return Saved(path, tensors, fetch)


def read_torch(path: str, _stack: ExitStack, key: str | None = None) -> Saved:
    """Open a PyTorch file, mapped into memory; no code in it is run."""
    state = saved_torch.state(path, key)
    tensors = {
        name: Tensor(tuple(t.shape), saved_torch.kind(t), saved_torch.memory(t))
        for name, t in state.items()
    }

    def fetch(name: str, places: Places | None) -> npt.NDArray[Any]:
        values = saved_torch.values(state[name])
        return values if places is None else values[places]

    return Saved(path, tensors, fetch)


READERS: dict[str, Callable[[str, ExitStack], Saved]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pt.tar", ".pth.tar"), read_torch),
}
