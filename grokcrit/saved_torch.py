"""The network in a PyTorch file: its tensors by name. No code in the file is run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from grokcrit.errors import TableError
from grokcrit.tensor_names import quoted, some

# The name of a vector that was saved without one.
FLAT = "vector"
# Where a .pt file keeps its state dict, when it is not the whole of it; in this order.
NESTS = ("model", "state_dict", "model_state_dict", "module")
# The torch whose weights_only is trusted, and the words for who lacks it.
TORCH = (2, 10)
EXTRA = "pip install 'grokcrit[torch]'"


def state(path: str, key: str | None) -> dict[str, Any]:
    """Map a PyTorch file into memory and return the tensors of its network.

    Parameters
    ----------
    path
        The file. Whatever in it is not a tensor or plain data is refused, not run.
    key
        Where the network lies: names of nested dicts, joined by dots. None: on top, or under one
        of the usual names.

    Raises
    ------
    TableError
        There is no PyTorch, the file holds more than tensors, or it is not certain which tensors
        are the network.
    """
    torch = torch_for(path)
    try:
        # Files from before torch 1.6 are no archives, and cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit is None:
            raise
        raise TableError(
            f"{path} holds more than tensors ({culprit[1]}), and none of its code is run; save "
            "model.state_dict() alone, best as .safetensors"
        ) from None
    return state_of(held, torch.Tensor, path, key)


def values(tensor: Any) -> npt.NDArray[Any]:
    """Return the entries of a tensor, flat; bfloat16 as 16-bit integers."""
    import torch

    flat = tensor.detach().reshape(-1)
    found: npt.NDArray[Any] = (
        flat.view(torch.uint16) if flat.dtype == torch.bfloat16 else flat
    ).numpy()
    return found


def torch_for(path: str) -> Any:
    """Load PyTorch, or say how to get it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise TableError(f"{path}: reading it takes PyTorch; {EXTRA}") from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < TORCH:
        raise TableError(
            f"{path}: reading it takes torch {'.'.join(map(str, TORCH))} or later, this is "
            f"{torch.__version__}; {EXTRA}"
        )
    # Said of files that plain pickle wrote, which are then refused in a sentence of our own.
    warnings.filterwarnings("ignore", "Detected pickle protocol")
    return torch


def kind(tensor: Any) -> str:
    """Return a tensor's type as numpy names it, or the layout that keeps it from being read."""
    if str(tensor.layout) != "torch.strided":
        return str(tensor.layout).removeprefix("torch.")
    if tensor.is_meta:
        return "nothing (device meta)"
    return str(tensor.dtype).removeprefix("torch.")


def state_of(held: Any, tensor: type, path: str, key: str | None) -> dict[str, Any]:
    """Find the network in what a .pt file holds: its tensors by name.

    Raises
    ------
    TableError
        There are no tensors where one would look; there are several nested dicts of tensors, or
        dicts beside tensors, so that it is not certain which of them is the network.
    """
    if isinstance(held, tensor) and key is None:
        if held.dim() == 1:  # type: ignore[attr-defined]
            return {FLAT: held}
        what = f"a tensor of shape {list(held.shape)}"  # type: ignore[attr-defined]
    elif isinstance(held, Mapping):
        if key is not None:
            return flattened(under(held, key, tensor, path), tensor)
        network = next((held[n] for n in NESTS if isinstance(held.get(n), Mapping)), held)
        nests = nests_of(network, tensor)
        if nests:
            parent = [name for name in NESTS if held.get(name) is network][:1]
            shown = [".".join((*parent, nest)) for nest in nests]
            whole = f", or all with --key {quoted(parent[0])}" if parent else ""
            raise TableError(
                f"{path} holds dicts of tensors under {some([repr(each) for each in shown])}, and "
                "it is not certain which is the network; choose one with --key "
                f"{quoted(shown[0])}{whole}"
            )
        found = flattened(network, tensor)
        if found:
            return found
        what = "a dict of " + (some([repr(str(name)) for name in held], 8) or "nothing")
    else:
        what = f"a {type(held).__name__}"
    raise TableError(
        f"{path} holds {what}; it must hold one flat vector, or a dict of named tensors, which may "
        f"lie under {', '.join(NESTS)}, or where --key says"
    )


def nests_of(held: Mapping[Any, Any], tensor: type) -> list[str]:
    """Return the names of the nested dicts that hold tensors, at any depth."""
    return [
        str(name)
        for name, value in held.items()
        if isinstance(value, Mapping) and flattened(value, tensor)
    ]


def flattened(held: Mapping[Any, Any], tensor: type) -> dict[str, Any]:
    """Return the tensors of nested dicts, names joined by dots."""
    found: dict[str, Any] = {}
    for name, value in held.items():
        if isinstance(value, tensor):
            found[str(name)] = value
        elif isinstance(value, Mapping):
            inside = flattened(value, tensor).items()
            found |= {f"{name}.{below}": each for below, each in inside}
    return found


def under(held: Mapping[Any, Any], key: str, tensor: type, path: str) -> Mapping[Any, Any]:
    """Return the dict that a key names: a name, or several joined by dots."""
    for name, value in held.items():
        if not isinstance(value, Mapping) or not flattened(value, tensor):
            continue
        if str(name) == key:
            return value
        if key.startswith(f"{name}."):
            return under(value, key.removeprefix(f"{name}."), tensor, path)
    nests = nests_of(held, tensor)
    known = f"; there are {some([repr(each) for each in nests], 8)}" if nests else ""
    raise TableError(f"{path} holds no dict of tensors under --key {key!r}{known}")
