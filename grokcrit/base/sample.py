"""Entries of a vector that stand for all of it: the same whoever asks, and never held."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from grokcrit.base.rng import stream

Places = npt.NDArray[np.int64]
# Places made at once: a few arrays of them stay in the fast caches.
CHUNK = 2**15


@dataclass(frozen=True)
class Sample:
    """One entry of each of ``count`` equal stretches of a vector, drawn by a seed.

    Stretch k of the vector, rotated by a random amount, is entries floor(k n / m) to
    floor((k + 1) n / m), n ``entries`` and m ``count``. Every entry is as likely as any other to be
    in the sample, any part of the vector has its share to within one entry at each end, and the
    places of any part are computed without those of the rest: no process of a sharded training
    holds more than its own.

    Attributes
    ----------
    seed : int
        Root seed.
    size : int
        What the size of the network is called.
    entries, count : int
        Length of the vector, and how many entries are taken: at most all, count * entries < 2^63.
    """

    seed: int
    size: int
    entries: int
    count: int
    rotation: int = field(init=False)
    wrapped: int = field(init=False)  # draws that the rotation puts first

    def __post_init__(self) -> None:
        """Draw the rotation."""
        first = stream("rotation", self.seed, self.size, self.entries)
        object.__setattr__(self, "rotation", int(first.integers(self.entries)))
        object.__setattr__(self, "wrapped", self.count - self._before(self._start))

    @property
    def _start(self) -> int:
        """The entry, in the rotated vector, that lies first in the vector itself."""
        return self.entries - self.rotation

    def places(self, first: int, last: int) -> Places:
        """Return places ``first`` to ``last`` of the sample, ascending."""
        shift = self.count - self.wrapped
        low = self._drawn(first + shift, min(last, self.wrapped) + shift)
        high = self._drawn(max(first - self.wrapped, 0), last - self.wrapped)
        return np.concatenate([low - self._start, high + self.rotation])

    @functools.lru_cache(maxsize=2**16)  # noqa: B019  equal samples share it: a few numbers each
    def before(self, entry: int) -> int:
        """Return how many places lie before an entry; tensors start at the same ones every time."""
        if entry <= self.rotation:
            return self._before(self._start + entry) + self.wrapped - self.count
        return self.wrapped + self._before(entry - self.rotation)

    def within(self, low: int, high: int) -> Iterator[Places]:
        """Yield the places from entry ``low`` to ``high``, ascending, a chunk at a time."""
        first, last = self.before(low), self.before(high)
        for k in range(first, last, CHUNK):
            yield self.places(k, min(k + CHUNK, last))

    def _before(self, entry: int) -> int:
        """Return how many draws lie before an entry of the rotated vector."""
        k = ((entry + 1) * self.count - 1) // self.entries  # the stretch that holds it
        if k >= self.count:
            return self.count
        return k + int(self._drawn(k, k + 1)[0] < entry)

    def _drawn(self, first: int, last: int) -> Places:
        """Return the entries drawn from some stretches, in the rotated vector."""
        if last <= first:
            return np.empty(0, np.int64)
        rng = stream("sample", self.seed, self.size, self.entries)
        bits: Any = rng.bit_generator
        bits.advance(first)  # one step per number
        ends = np.arange(first, last + 1, dtype=np.int64) * self.entries // self.count
        starts = ends[:-1]
        return starts + (rng.random(last - first) * np.diff(ends)).astype(np.int64)


def size_of_sample(wanted: int | float | str, entries: int) -> int:
    """Return how many entries a whole number or a share of them is, at most all."""
    count = wanted if isinstance(wanted, int) else max(1, round(float(wanted) * entries))
    return min(count, entries)
