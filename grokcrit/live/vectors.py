"""The gradients of a model as one vector, or a sample of its entries; sharded ones, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from grokcrit.base.errors import RecorderError
from grokcrit.base.sample import Sample
from grokcrit.live.parameters import Named, missing_words, whole_words
from grokcrit.tasks.train_rows import tensors_of

Tensors: TypeAlias = Sequence[torch.Tensor | None]

# Entries that processes add up at once, unless one tensor has more, or that are looked at at once.
TOGETHER = 2**22


def precision(parameters: Named) -> npt.DTypeLike:
    """Return float64 where the model has it, or else float32, half precision included."""
    double = any(parameter.dtype == torch.float64 for _, parameter in parameters)
    return np.float64 if double else np.float32


def is_sharded(parameters: Named) -> bool:
    """Return whether some parameter is a DTensor: FSDP2, tensor parallelism."""
    return any(hasattr(parameter, "placements") for _, parameter in parameters)


def spans(parameters: Named, sample: Sample | None) -> Iterator[tuple[int, int]]:
    """Yield where each tensor starts in the whole vector, and how many of its entries are taken."""
    low = 0
    for _, parameter in parameters:
        high = low + parameter.numel()
        yield low, high - low if sample is None else sample.before(high) - sample.before(low)
        low = high


def entries_taken(parameters: Named, sample: Sample | None) -> int:
    """Return the length of the vector."""
    return sum(p.numel() for _, p in parameters) if sample is None else sample.count


def tensors_taken(parameters: Named, sample: Sample | None) -> list[dict[str, Any]]:
    """Name, shape and offset of each tensor in the vector; of a sample, how many of its entries."""
    if sample is None:
        return tensors_of([(name, p.shape) for name, p in parameters])
    counts = zip(parameters, spans(parameters, sample), strict=True)
    return tensors_of([(name, [count]) for (name, _), (_, count) in counts if count])


def check_complete(parameters: Named, missing: str) -> None:
    """Raise RecorderError where a gradient is missing and zeros are not asked for, or all are.

    Also where a sharded model has a parameter without a gradient that is not sharded: a forward
    pass puts it together, and its gradient, which is there, out of reach.
    """
    without = [name for name, parameter in parameters if parameter.grad is None]
    if is_sharded(parameters):
        whole = [name for name, p in parameters if p.grad is None and not is_sharded([(name, p)])]
        if whole:
            raise RecorderError(whole_words(whole))
    if without and (missing == "refuse" or len(without) == len(parameters)):
        raise RecorderError(missing_words(without, len(parameters)))


def flat_gradient(
    parameters: Named,
    divisors: Sequence[float],
    sample: Sample | None = None,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Return a copy of all gradients on a device, each over its divisor; None is zeros."""
    vector = flat([p.grad for _, p in parameters], parameters, sample, device)
    divide(vector, parameters, divisors, sample)
    return vector


def flat(
    tensors: Tensors,
    parameters: Named,
    sample: Sample | None = None,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Return tensors shaped as the parameters as one vector on a device; None is zeros."""
    takes = list(spans(parameters, sample))
    kind = getattr(torch, np.dtype(precision(parameters)).name)
    vector = torch.empty(sum(count for _, count in takes), dtype=kind, device=device)
    # Tensor by tensor: a joint vector on the device could be one too many there.
    places = vector.split([count for _, count in takes])
    for tensor, place, (low, _) in zip(tensors, places, takes, strict=True):
        if tensor is None:
            place.zero_()
        else:
            fill(place, tensor, low, sample)
    return vector


def divide(
    vector: torch.Tensor, parameters: Named, divisors: Sequence[float], sample: Sample | None
) -> None:
    """Divide the entries of each tensor by its divisor, in place."""
    if all(divisor == 1 for divisor in divisors):
        return
    places = vector.split([count for _, count in spans(parameters, sample)])
    for place, divisor in zip(places, divisors, strict=True):
        if divisor != 1:
            place.mul_(1 / divisor)


def spread(vector: torch.Tensor, tensors: Sequence[torch.Tensor], sample: Sample | None) -> None:
    """Write the entries of a vector into contiguous tensors: the inverse of ``flat``."""
    low = filled = 0
    for tensor in tensors:
        high = low + tensor.numel()
        entries_of = tensor.view(-1)
        if sample is None:
            entries_of.copy_(vector[low:high])
        else:
            for places in sample.within(low, high):
                part = vector[filled : filled + len(places)]
                entries_of[torch.from_numpy(places - low).to(tensor.device)] = part.to(entries_of)
                filled += len(places)
        low = high


def fill(place: torch.Tensor, tensor: torch.Tensor, low: int, sample: Sample | None) -> None:
    """Write the entries of one tensor that are taken; ``low`` is its start in the vector."""
    strided = tensor.layout == torch.strided
    dense = (tensor if strided else tensor.to_dense()).detach()
    if sample is None:
        place.copy_(dense.reshape(-1))
        return
    filled = 0
    for places in sample.within(low, low + dense.numel()):
        place[filled : filled + len(places)] = entries(dense, torch.from_numpy(places - low))
        filled += len(places)


def entries(tensor: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return entries by their places in the flattened tensor, of which no copy is made."""
    places = places.to(tensor.device)
    if tensor.is_contiguous():
        return tensor.view(-1)[places]
    extent, stored = 1, torch.zeros_like(places)
    for length, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        extent += (length - 1) * stride
        stored += places % length * stride
        places = places // length
    return tensor.as_strided((extent,), (1,))[stored]


def sharded_gradient(
    parameters: Named, divisors: Sequence[float], sample: Sample | None, gather: bool
) -> torch.Tensor | None:
    """Return all gradients as ``sharded`` does, each over its divisor; None is zeros."""
    vector = sharded([p.grad for _, p in parameters], parameters, sample, gather)
    if vector is not None:
        divide(vector, parameters, divisors, sample)
    return vector


def sharded(
    tensors: Tensors, parameters: Named, sample: Sample | None, gather: bool
) -> torch.Tensor | None:
    """Return the vector in the process of rank 0, None in the others; every process must call it.

    Each process fills in the entries that it holds, and all are added up in rank 0: an entry is
    zero everywhere but in the one process that it lies in. ``gather``: each tensor is put together
    whole in every process, one at a time.
    """
    first = torch.distributed.get_rank() == 0
    takes = list(spans(parameters, sample))
    kind = getattr(torch, np.dtype(precision(parameters)).name)
    device = next(local_of(tensor).device for tensor in tensors if tensor is not None)
    found = torch.empty(sum(count for _, count in takes) if first else 0, dtype=kind)
    filled = 0
    for group in grouped([count for _, count in takes]):
        counts = [takes[k][1] for k in group]
        # One group is in the memory of the device at a time.
        part = torch.zeros(sum(counts), dtype=kind, device=device)
        for k, place in zip(group, part.split(counts), strict=True):
            tensor: Any = tensors[k]
            low = takes[k][0]
            if tensor is None:
                continue
            if not hasattr(tensor, "placements"):
                if first:
                    fill(place, tensor, low, sample)
            elif gather:
                whole = tensor.full_tensor()
                if first:
                    fill(place, whole, low, sample)
            else:
                fill_shard(place, tensor, low, sample, parameters[k][0])
        torch.distributed.reduce(part, dst=0)
        if first:
            found[filled : filled + len(part)] = part
        filled += len(part)
    return found if first else None


def local_of(tensor: Any) -> torch.Tensor:
    """Return what this process holds of a tensor."""
    local: torch.Tensor = tensor.to_local() if hasattr(tensor, "placements") else tensor
    return local


def grouped(counts: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of neighbours with at most TOGETHER entries together, or one with more."""
    group: list[int] = []
    for k, count in enumerate(counts):
        if group and sum(counts[j] for j in group) + count > TOGETHER:
            yield group
            group = []
        group.append(k)
    if group:
        yield group


def fill_shard(
    place: torch.Tensor, tensor: Any, low: int, sample: Sample | None, name: str
) -> None:
    """Write the entries of a tensor that this process holds, and is the first to hold."""
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    mesh, placements = tensor.device_mesh, tensor.placements
    for placement in placements:
        if type(placement) not in (Replicate, Shard):
            raise RecorderError(
                f"{name} is spread over processes as {placement}, of which no process can tell its "
                "entries; record it with gather=True"
            )
    where = mesh.get_coordinate()
    if where is None or any(
        k for k, placement in zip(where, placements, strict=True) if placement.is_replicate()
    ):
        return
    local = tensor.to_local().detach()
    shape, offset = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
    if not local.numel():
        return
    if sample is None:
        box = tuple(slice(a, a + length) for a, length in zip(offset, shape, strict=True))
        place.view(tensor.shape)[box] = local
        return
    everything, shape, offset = tuple(tensor.shape) or (1,), shape or (1,), offset or (0,)
    # All that this process holds lies between its first and its last entry.
    ends = [[*offset], [a + length - 1 for a, length in zip(offset, shape, strict=True)]]
    begin, end = (int(np.ravel_multi_index(tuple(each), everything)) for each in ends)
    filled = sample.before(low + begin) - sample.before(low)
    for places in sample.within(low + begin, low + end + 1):
        index = np.stack(np.unravel_index(places - low, everything))
        inner = index - np.array(offset)[:, None]
        mine = np.all((inner >= 0) & (inner < np.array(shape)[:, None]), axis=0)
        held = np.ravel_multi_index(tuple(inner[:, mine]), shape)
        part = place[filled : filled + len(places)]
        part[torch.from_numpy(mine).to(part.device)] = entries(local, torch.from_numpy(held)).to(
            part.dtype
        )
        filled += len(places)


def is_finite(vector: torch.Tensor) -> bool:
    """Return whether no entry is NaN or infinite."""
    # A sum of squares is fast and almost always settles it; it may overflow by itself.
    return all(
        bool(torch.isfinite(torch.dot(part, part))) or bool(torch.isfinite(part).all())
        for part in vector.split(TOGETHER)
    )
