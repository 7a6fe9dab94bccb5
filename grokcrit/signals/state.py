"""The state of a run at one epoch, as signals read it: quantities computed once, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from grokcrit.base.errors import GrokcritError, RunError
from grokcrit.base.options import CascadeOptions
from grokcrit.base.rng import stream
from grokcrit.cascades.graphs import Graph
from grokcrit.cascades.single import CascadeResult, cascade, of_one
from grokcrit.tables.checking import LARGEST

Values: TypeAlias = npt.NDArray[Any]
T = TypeVar("T")
# Epochs of the training loss that windowed signals look back on.
WINDOW = 20
# Most samples of each of the two sets of data: what signals of them cost does not grow with data.
HALF = 512


class UndefinedError(Exception):
    """A signal has no value in this state; its row is null."""


class Source(Protocol):
    """A run in training, as signals need it; vectors have n entries, in the order of tensors."""

    @property
    def name(self) -> tuple[int | str, ...]:
        """What tells this run from others: root seed, width, seed."""

    @property
    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        """Name and shape of each tensor of the flat vector."""

    @property
    def options(self) -> CascadeOptions:
        """Options, those of the cascade among them."""

    @property
    def graph(self) -> Graph:
        """The graph of the cascade, n nodes."""

    def weights(self) -> Values:
        """Return the weights."""

    def gradient(self) -> Values:
        """Return the gradient of the training loss."""

    @property
    def half_size(self) -> int:
        """Samples in each of two disjoint sets of training data."""

    def on_half(self, half: int, weights: Values | None = None) -> tuple[float, Values]:
        """Return loss and gradient on one of the two sets, at the present weights or at others.

        Raise UndefinedError where there are no such sets.
        """

    def hessian_product(self, vector: Values) -> Values:
        """Return the Hessian of the loss on the first of the two sets, times a vector."""

    def structure(self) -> float:
        """Return what someone who knows the task would look at; raise UndefinedError for none."""


@dataclass
class Memory:
    """What signals remember of earlier epochs of one run."""

    losses: list[float] = field(default_factory=list)  # of the last WINDOW epochs, the last is now
    previous: Values | None = None  # the gradient of the epoch that was measured before
    kept: dict[str, Any] = field(default_factory=dict)  # a signal's own, by its name


@dataclass
class _Frame:
    """A computation that is being timed."""

    inner: float = 0.0  # seconds of computations inside it
    used: dict[str, float] = field(default_factory=dict)  # seconds of each quantity it needs


class quantity(Generic[T]):  # noqa: N801  a decorator
    """A property of the state that is computed once, when a signal first asks for it."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.name = compute, compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, state: None, owner: type) -> quantity[T]: ...

    @overload
    def __get__(self, state: State, owner: type) -> T: ...

    def __get__(self, state: State | None, owner: type) -> quantity[T] | T:
        """Return the value, and charge whoever asked with its time."""
        if state is None:
            return self
        value: T = state.needed(self.name, lambda: self.compute(state))
        return value


class State:
    """The state of a run at one epoch.

    ``seconds`` of a signal hold all that it needs, also what an earlier signal had computed
    already: it is what the signal would cost alone.
    """

    # Draws of the null model are the same in every state of a run.
    NULL: ClassVar[str] = "signals-null"

    def __init__(self, source: Source, epoch: int, memory: Memory) -> None:
        """Remember where quantities come from; nothing is computed yet."""
        self.source, self.epoch, self.memory = source, epoch, memory
        self._values: dict[str, Any] = {}
        self._cost: dict[str, dict[str, float]] = {}
        self._frames = [_Frame()]

    def needed(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return a quantity, computed at the first call; charge the computation that asks."""
        if name not in self._values:
            self._values[name], self._cost[name] = self.timed(name, compute)
        self._frames[-1].used |= self._cost[name]
        return self._values[name]

    def computed(self, name: str) -> Any:
        """Return a copy of a quantity if a signal has asked for it; None otherwise."""
        return self._values[name].copy() if name in self._values else None

    def timed(self, name: str, compute: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        """Return a value, and the seconds of it and of each quantity that it needs."""
        self._frames.append(_Frame())
        begin = time.perf_counter()
        try:
            value = compute()
        finally:
            wall = time.perf_counter() - begin
            frame = self._frames.pop()
            self._frames[-1].inner += wall
        return value, frame.used | {name: wall - frame.inner}

    def measure(self, name: str, of: Callable[[State], float]) -> tuple[float, float]:
        """Return the value of a signal, NaN where undefined or too large, and its seconds."""

        def value() -> float:
            try:
                found = float(of(self))
            except UndefinedError:
                return np.nan
            except GrokcritError:
                raise
            except Exception as error:
                raise RunError(
                    f"the signal {name} failed at epoch {self.epoch}: {error!r}"
                ) from error
            return found if abs(found) <= LARGEST else np.nan

        with np.errstate(all="ignore"):
            found, cost = self.timed(f"signal {name}", value)
        return found, sum(cost.values())

    def remembered(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what a signal keeps over the epochs of a run, made at the first call."""
        if name not in self.memory.kept:
            self.memory.kept[name] = make()
        return self.memory.kept[name]

    @quantity
    def weights(self) -> Values:
        """Weights, shape (n,), double precision."""
        return self.source.weights().astype(np.float64)

    @quantity
    def matrices(self) -> list[Values]:
        """Weight matrices, each of two rows and columns at least."""
        found, offset = [], 0
        for _, shape in self.source.tensors:
            n = int(np.prod(shape))
            if len(shape) == 2 and min(shape) > 1:
                found.append(self.weights[offset : offset + n].reshape(shape))
            offset += n
        if not found:
            raise UndefinedError
        return found

    @quantity
    def gradient(self) -> Values:
        """Gradient of the training loss, shape (n,), as the run has it."""
        return self.source.gradient()

    @quantity
    def magnitudes(self) -> Values:
        """Absolute values of the gradient, ascending, double precision."""
        return np.sort(np.abs(self.gradient).astype(np.float64))

    @quantity
    def avalanche(self) -> CascadeResult:
        """The cascade of the gradient on the run's graph."""
        return self.cascaded(self.gradient)

    @property
    def null_size(self) -> int:
        """Avalanche size of a Gaussian vector on the run's graph, one draw for a run.

        It depends on N and the graph alone, and costs nothing after the first epoch.
        """

        def size() -> int:
            rng = stream(self.NULL, *self.source.name)
            return self.cascaded(rng.standard_normal(len(self.gradient))).size

        return int(self.remembered(self.NULL, size))

    @quantity
    def halves(self) -> tuple[Values, Values]:
        """Gradients on two disjoint sets of training data, double precision."""
        first, second = (self.source.on_half(half)[1] for half in (0, 1))
        return first.astype(np.float64), second.astype(np.float64)

    @property
    def losses(self) -> Values:
        """Training losses of the last WINDOW epochs, the last one now."""
        return np.array(self.memory.losses)

    def cascaded(self, vector: Values) -> CascadeResult:
        """Run the cascade of a vector on the run's graph."""
        return cascade(vector, self.source.graph, **of_one(self.source.options))


def differences(gradient_at: Callable[[Values], Values], weights: Values, vector: Values) -> Values:
    """Return the Hessian times a vector, by central differences of the gradient.

    For sources without second derivatives; the weights move by 1e-4 of their length.
    """
    step = 1e-4 * np.linalg.norm(weights) / np.linalg.norm(vector)
    apart = gradient_at(weights + step * vector) - gradient_at(weights - step * vector)
    found: Values = apart / (2 * step)
    return found
