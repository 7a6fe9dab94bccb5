"""The network in a PyTorch file: its tensors by name. No code in the file is run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy.typing as npt

from grokcrit.base.errors import EmptyError, PackageError, TableError
from grokcrit.saved.tensor_names import is_collection, quoted, some

# Tensors, and dicts of such, by name.
Tree: TypeAlias = dict[str, Any]
# The name of a vector that was saved without one.
FLAT = "vector"
# Where a .pt file keeps its state dict, when it is not the whole of it; in this order.
NESTS = ("model", "state_dict", "model_state_dict", "module")
# Ends of a key: the tensors beside other dicts, and those of all dicts.
ON_TOP, EVERY = ".", "*"
# The torch whose weights_only is trusted, and the words for who lacks it.
TORCH = (2, 10)
EXTRA = "pip install 'grokcrit[torch]'"


def state(path: str, key: str | None) -> dict[str, Any]:
    """Map a PyTorch file into memory and return the tensors of its network; no code is run.

    ``key`` says where it lies: names of nested dicts joined by dots, at the end ``.`` for the
    tensors beside other dicts or ``*`` for all. None: on top, or under a usual name.
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
    if flat.dtype == torch.bfloat16:
        flat = flat.view(torch.uint16)
    found: npt.NDArray[Any] = flat.numpy()
    return found


def torch_for(path: str) -> Any:
    """Load PyTorch, or say how to get it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise PackageError(f"{path}: reading it takes PyTorch; {EXTRA}") from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < TORCH:
        raise PackageError(
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


def memory(tensor: Any) -> tuple[int, ...]:
    """Return where a tensor's entries lie, the same for two names of one; empty for none."""
    if str(tensor.layout) != "torch.strided" or tensor.is_meta or not tensor.numel():
        return ()
    return tensor.data_ptr(), *tensor.stride()


def state_of(held: Any, tensor: type, path: str, key: str | None) -> dict[str, Any]:
    """Find the network in what a .pt file holds; raise TableError where there is none, or doubt."""
    if isinstance(held, tensor) and key is None:
        if held.dim() == 1:  # type: ignore[attr-defined]
            return {FLAT: held}
        what = f"a tensor of shape {list(held.shape)}"  # type: ignore[attr-defined]
    elif isinstance(held, Mapping):
        network = tree_of(held, tensor)
        if key is not None:
            return chosen(network, key, path)
        if {"state", "param_groups"} <= set(held):
            raise TableError(f"{path} holds the state of an optimizer; give that of the network")
        parent = next((name for name in NESTS if isinstance(network.get(name), dict)), None)
        found = certain(network[parent] if parent else network, parent or "", path)
        if found:
            return found
        what = "a dict of " + (some([repr(str(name)) for name in held], 8) or "nothing")
    else:
        what = f"a {type(held).__name__}"
    raise TableError(
        f"{path} holds {what}; it must hold one flat vector, or a dict of named tensors, which may "
        f"lie under {', '.join(NESTS)}, or where --key says"
    )


def tree_of(held: Mapping[Any, Any], tensor: type) -> Tree:
    """Return the tensors of nested dicts, and no dict without any."""
    found: Tree = {}
    for name, value in held.items():
        if isinstance(value, tensor):
            found[str(name)] = value
        elif isinstance(value, Mapping) and (inside := tree_of(value, tensor)):
            found[str(name)] = inside
    return found


def nests_of(network: Tree) -> Tree:
    """Return the dicts among what a dict holds."""
    return {name: value for name, value in network.items() if isinstance(value, dict)}


def flattened(network: Tree) -> Tree:
    """Return all tensors, names joined by dots."""
    found: Tree = {}
    for name, value in network.items():
        inside = flattened(value) if isinstance(value, dict) else {}
        found |= {f"{name}.{below}": each for below, each in inside.items()} or {name: value}
    return found


def certain(network: Tree, place: str, path: str) -> Tree:
    """Return a dict of tensors; raise TableError if it holds further dicts to choose among."""
    # An optimizer's state is the last that anyone means.
    nests = sorted(nests_of(network), key=is_collection)
    if not nests:
        return network
    before = f"{place}." if place else ""
    shown = [f"{before}{nest}" for nest in nests]
    keys = [quoted(each) for each in shown[:1] if not is_collection(nests[0])]
    if any(each.numel() > 1 for each in network.values() if not isinstance(each, dict)):
        keys.append(f"{quoted(before + ON_TOP)} (the tensors beside them)")
    if len(nests) > 1:
        keys.append(f"{quoted(before + EVERY)} (all)")
    raise TableError(
        f"{path} holds dicts of tensors under {some([repr(each) for each in shown])}, and it does "
        f"not say which is the network; choose with --key {' or '.join(keys or [quoted(shown[0])])}"
    )


def chosen(held: Tree, key: str, path: str) -> Tree:
    """Return the tensors that a key names: those of a dict, or with ``.`` or ``*`` at its end."""
    place, last = key, ""
    if under(held, key) is None and key.endswith((ON_TOP, EVERY)):
        place, last = key[:-1].removesuffix("."), key[-1]
    network = under(held, place) if place else held
    if network and last == ON_TOP:
        network = {name: each for name, each in network.items() if not isinstance(each, dict)}
    if network:
        return flattened(network) if last else certain(network, place, path)
    names = [repr(name) for name in paths_of(held)]
    known = f"; there are {some(names, 8)}" if names else ""
    raise EmptyError(f"{path} holds no tensors under --key {key!r}{known}")


def under(held: Tree, key: str) -> Tree | None:
    """Return the dict that a key names: a name, or several joined by dots; None for no dict."""
    inside = nests_of(held)
    if key in inside:
        return dict(inside[key])
    for name, value in inside.items():
        if key.startswith(f"{name}."):
            found = under(value, key.removeprefix(f"{name}."))
            if found is not None:
                return found
    return None


def paths_of(held: Tree) -> list[str]:
    """Return the keys of all dicts that hold tensors, names joined by dots."""
    found = []
    for name, value in nests_of(held).items():
        found += [name, *(f"{name}.{below}" for below in paths_of(value))]
    return found
