"""The cascades of a recorder: those of one vector and of its null models, as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from grokcrit.base.options import CascadeOptions, recorded
from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.cascades.counting import Counted, Setup, count, row_of, setups_of, surrogates_of
from grokcrit.cascades.graphs import Graph, graph, graph_of

# Null models that do not read the vector: it may be gone when they are drawn.
BLIND = ("gaussian",)


class Cascades:
    """Every setup that the options of ``avalanche`` name, on graphs that are made once."""

    def __init__(self, options: AvalancheOptions) -> None:
        self.root_seed = options.seed
        # Cascades overwrite what they run on. In this order the vector itself serves from the last
        # setup that reads it on, and with the data and Gaussian nulls no copy is made at all.
        self.setups = sorted(
            setups_of(options, recorded(CascadeOptions())),
            key=lambda each: (is_blind(each), is_data(each)),
        )
        self.last_reader = sum(not is_blind(each) for each in self.setups) - 1
        self._graphs: dict[CascadeOptions, Graph] = {}
        # Kernels are loaded, or compiled, before the training begins and not at its first row.
        ring = graph("ring", 16, 2)
        for kind in (np.float32, np.float64):
            count(np.ones((1, 16), kind), row_of({}), self.setups[0], ring.network, [])

    def graph(self, setup: Setup, n: int) -> Graph:
        """Return the graph of a setup over n nodes, made at the first call."""
        if setup.cascade not in self._graphs:
            self._graphs[setup.cascade] = graph_of(setup.cascade, n)
        return self._graphs[setup.cascade]

    def overwriting(self) -> Iterator[tuple[Setup, bool]]:
        """Yield the setups, and whether each may overwrite the vector."""
        for k, setup in enumerate(self.setups):
            yield setup, k >= self.last_reader

    def run(
        self, vector: npt.NDArray[np.floating], row: pa.Table, tensors: list[int]
    ) -> list[Counted]:
        """Return what each setup counts of one finite vector (n,), which is overwritten.

        ``row`` has the columns COPIED of the snapshot; ``tensors`` where each tensor starts.
        """
        found = []
        for setup, overwrites in self.overwriting():
            values: npt.NDArray[Any] = vector if overwrites else np.empty_like(vector)
            if not is_data(setup):
                surrogates_of(vector[None], row, setup, tensors, self.root_seed, values[None])
            elif not overwrites:
                values[:] = vector
            network = self.graph(setup, len(vector)).network
            found.append(count(values[None], row, setup, network, [], values))
        return found


def is_data(setup: Setup) -> bool:
    """Return whether a setup cascades the vector itself."""
    return setup.surrogate == "none"


def is_blind(setup: Setup) -> bool:
    """Return whether a setup draws a null model without reading the vector."""
    return setup.surrogate in BLIND
