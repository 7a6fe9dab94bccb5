"""A training at one recorded step, as signals need it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from grokcrit.base.errors import OptionError
from grokcrit.base.options import CascadeOptions
from grokcrit.base.sample import Sample
from grokcrit.cascades.counting import Setup
from grokcrit.cascades.graphs import Graph
from grokcrit.live import vectors
from grokcrit.live.cascading import Cascades
from grokcrit.live.measures import HALVES, Halves
from grokcrit.live.parameters import Named
from grokcrit.signals.state import UndefinedError

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Step:
    """The model at one step and the vector that is recorded (`grokcrit.signals.state.Source`).

    Of a sample everything is that of its entries: the weights, gradients on the halves, and rows
    and columns of the Hessian. The other weights stay where they are.

    Attributes
    ----------
    name
        Root seed, width, seed.
    cascades, setup
        Where the graph is, and the options of the cascade.
    model, parameters, sample
        The model, those of its parameters that are recorded, and which of their entries.
    vector
        The gradient; it is read only.
    halves
        The loss on two sets of data, where they were given.
    held
        The weights of a sharded model, put together.
    """

    name: tuple[int | str, ...]
    cascades: Cascades
    setup: Setup
    model: torch.nn.Module
    parameters: Named
    sample: Sample | None
    vector: torch.Tensor
    halves: Halves | None
    held: torch.Tensor | None = None

    @property
    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        """Name and shape of each tensor; of a sample, the number of its entries."""
        taken = vectors.tensors_taken(self.parameters, self.sample)
        return [(each["name"], tuple(each["shape"])) for each in taken]

    @property
    def options(self) -> CascadeOptions:
        """Options of the cascade."""
        return self.setup.cascade

    @property
    def graph(self) -> Graph:
        """The graph of the cascade."""
        return self.cascades.graph(self.setup, len(self.vector))

    def weights(self) -> Values:
        """Return the weights."""
        held = self.held
        if held is None:
            held = vectors.flat([p.detach() for p in self._leaves], self.parameters, self.sample)
        values: Values = held.numpy()
        return values

    def gradient(self) -> Values:
        """Return the gradient that is recorded, read-only."""
        values: Values = self.vector.cpu().numpy()
        values.setflags(write=False)
        return values

    @property
    def half_size(self) -> int:
        """Samples in each half; raise UndefinedError where that is not known."""
        if self.halves is None or self.halves.size is None:
            raise UndefinedError
        return self.halves.size

    def on_half(self, half: int, weights: Values | None = None) -> tuple[float, Values]:
        """Return loss and gradient on a half, at the present weights or at others.

        Raise UndefinedError where there are no halves.
        """
        with self._at(weights), self._evaluating():
            loss = self._loss(half)
            found = torch.autograd.grad(loss, self._leaves, allow_unused=True)
        return float(loss.detach()), self._flat(found)

    def hessian_product(self, vector: Values) -> Values:
        """Return the Hessian of the loss on the first half, times a vector."""
        along = [torch.zeros(p.shape, dtype=p.dtype, device=p.device) for p in self._leaves]
        vectors.spread(torch.from_numpy(vector), along, self.sample)
        # Fused kernels of attention have no second derivative.
        with self._evaluating(), sdpa_kernel(SDPBackend.MATH):
            first = torch.autograd.grad(
                self._loss(0), self._leaves, create_graph=True, allow_unused=True
            )
            curved = [k for k, each in enumerate(first) if each is not None and each.requires_grad]
            if not curved:
                return self._flat([None] * len(along))
            found = torch.autograd.grad(
                [first[k] for k in curved],
                self._leaves,
                [along[k] for k in curved],
                allow_unused=True,
            )
        return self._flat(found)

    def structure(self) -> float:
        """Raise UndefinedError: the task is not known here."""
        raise UndefinedError

    @property
    def _leaves(self) -> list[torch.nn.Parameter]:
        return [parameter for _, parameter in self.parameters]

    def _flat(self, tensors: vectors.Tensors) -> Values:
        values: Values = vectors.flat(tensors, self.parameters, self.sample).numpy()
        return values

    def _loss(self, half: int) -> torch.Tensor:
        if self.halves is None:
            raise UndefinedError
        loss = self.halves.losses[half]()
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise OptionError(
                HALVES,
                "must return the loss as a tensor with its graph: without .item(), .detach() or "
                f"torch.no_grad(), got {loss!r}",
            )
        return loss

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Compute gradients, and leave torch's random numbers as they are.

        Every evaluation of a step begins with the same ones: it draws the same dropout.
        """
        devices = sorted({p.device.index for p in self._leaves if p.is_cuda})
        with torch.random.fork_rng(devices), torch.enable_grad():
            yield

    @contextlib.contextmanager
    def _at(self, weights: Values | None) -> Iterator[None]:
        """Set other weights, and put back the bits of the present ones."""
        if weights is None:
            yield
            return
        before = [p.detach().clone() for p in self._leaves]
        moved = [each.contiguous().clone() for each in before]
        vectors.spread(torch.from_numpy(weights), moved, self.sample)
        # In place, past autograd: addresses stay the same, and a graph that is alive stays valid.
        try:
            for parameter, values in zip(self._leaves, moved, strict=True):
                parameter.data.copy_(values)
            del moved
            yield
        finally:
            for parameter, values in zip(self._leaves, before, strict=True):
                parameter.data.copy_(values)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Put back the buffers and the training flags that evaluations of the halves change."""
        if self.halves is None:
            yield
            return
        modules = list(self.model.modules())
        flags = [module.training for module in modules]
        buffers = [
            (module, name, buffer, buffer.clone())
            for module in modules
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        try:
            yield
        finally:
            for module, flag in zip(modules, flags, strict=True):
                module.training = flag
            for module, name, buffer, values in buffers:
                # Versions do not tell: batch norm changes its averages behind them. Buffers that
                # are views of one entry cannot be written, nor are they changed.
                if not torch.equal(buffer, values):
                    buffer.data.copy_(values)
                module._buffers[name] = buffer
