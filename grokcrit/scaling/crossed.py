"""Graphs as a second level beside the runs: every run of a size on every graph of that size.

The graph of a seed at one size is independent of that of the same seed at another, so graphs are
resampled within each size, as runs are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import OptionError

if TYPE_CHECKING:
    from grokcrit.scaling.ensembles import Ensemble


def of_graphs(table: pa.Table, seeds: Sequence[int] | None) -> pa.Table:
    """Return the avalanches on the graphs of some seeds; None for all.

    Raise OptionError where a seed is not in the table.
    """
    if seeds is None:
        return table
    known = sorted(pc.unique(table["graph_seed"].drop_null()).to_pylist())
    if lacking := [seed for seed in seeds if seed not in known]:
        held = f"has {', '.join(map(str, known))}" if known else "has none"
        raise OptionError(
            "graph_seed",
            f"{', '.join(map(str, lacking))} is not in the avalanche table, which {held}",
        )
    return table.filter(pc.is_in(table["graph_seed"], pa.array(seeds, pa.int32())))


def check_crossed(ensemble: Ensemble) -> None:
    """Raise OptionError unless every graph of a case has the same runs and snapshots."""
    count = len(ensemble.graphs)
    if not count:
        return
    lengths = np.bincount(ensemble.run, minlength=ensemble.runs)

    def alike(values: np.ndarray[Any, Any]) -> bool:
        if len(values) % count:
            return False
        parts = values.reshape(count, -1)
        return np.array_equal(parts, np.broadcast_to(parts[0], parts.shape), equal_nan=True)

    for k in range(len(ensemble.sizes)):
        mine = ensemble.size_of == k
        of_runs = (ensemble.seed[mine], ensemble.grok[mine], lengths[mine])
        if not all(map(alike, of_runs)) or not alike(ensemble.epoch[mine[ensemble.run]]):
            seeds = ",".join(map(str, ensemble.graphs))
            raise OptionError(
                "graph_seed",
                f"must choose graphs of the same runs, snapshots and grokking epochs: those of "
                f"{seeds} differ at N = {ensemble.sizes[k]}; choose one, or make them in one "
                f"command, 'grokcrit avalanche train.parquet --graph-seed {seeds}'",
            )


def with_trained_graph(ensemble: Ensemble, order: str | None) -> Ensemble:
    """Return data with the seed of the graph that in-line training used, if it is among several.

    ``order`` is the parameter order of its avalanches.
    """
    case = {**ensemble.case, "parameter_order": order}
    options, names = ensemble.trained, ("topology", "degree", "parameter_order")
    same = all(options.get(name) == case[name] for name in names)
    inline = case["surrogate"] == "none" and options.get("probe") == "inline"
    seed = options.get("graph_seed")
    if not (inline and same and seed in ensemble.graphs):
        return ensemble
    return dataclasses.replace(ensemble, trained_on=seed)


def graphs_of(cases: Sequence[Ensemble]) -> dict[str, Any]:
    """Return the graph seeds of the first case that has several, for a record."""
    graphs = next((case.graphs for case in cases if case.graphs), ())
    return {"graphs": list(graphs)} if graphs else {}
