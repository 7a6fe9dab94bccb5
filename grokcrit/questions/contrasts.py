"""Estimates of the cells of a design and of their contrasts, on every clock and in the phases."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from grokcrit.base.vocabulary import DIFFERENCE
from grokcrit.questions.design import Contrast, Design
from grokcrit.questions.family import Family, balanced, over_replicates
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import around, clock, memorised
from grokcrit.scaling.density import densities
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.reductions import over_runs
from grokcrit.scaling.resampling import Estimate

# Windows around two origins: grokking of the partner, also with no more snapshots on one side than
# on the other, and memorising of the run itself.
PHASES_OF = {
    "grokking": ("aggregate", "pre", "post", DIFFERENCE),
    "jump": (None, "just before", "just after", "jump at grokking"),
    "memorising": (None, "before memorising", "after memorising", "change at memorising"),
}


@dataclass(frozen=True)
class Measured:
    """Statistics of the runs of some cells, in bins that are the same for all cells."""

    cells: Mapping[str, Ensemble]
    values: Mapping[str, Reals]  # (R, bins) of each cell, of a ratio of means (2, R, bins)
    times: Ints  # (bins,) of a clock; of phases their places
    statistic: str
    draws: Sequence[Ints]
    nulls: Mapping[str, Reals]  # the same of the Gaussian null, where every cell has it
    snapshots: tuple[int, ...] = ()  # of each run in each phase, and 0 for the change
    # Estimates of cells, which many contrasts are made of.
    known: dict[tuple[str, str, int], Estimate] = field(default_factory=dict)

    def exponents(self, *names: str) -> tuple[Ints, Estimate]:
        """Return the times with data, and D of a cell or the contrast of two or four cells.

        A run without data in a bin of one cell is left out of that bin in the others, so that runs
        stay paired. Of a clock, times at which every size has data are kept.
        """

        def make(cell: Ensemble, by_run: Reals) -> Estimate:
            return resampling.exponents(cell, by_run, self.statistic, self.draws)

        shared = self._shared(names)
        if self.snapshots:
            found = self._estimates("exponents", names, shared, make)
            return self.times, contrasted([each.with_difference() for each in found])
        whole = [self._whole(name, values) for name, values in zip(names, shared, strict=True)]
        kept = functools.reduce(np.logical_and, whole)
        found = self._estimates(
            "exponents", names, [v[..., w] for v, w in zip(shared, whole, strict=True)], make
        )
        return self.times[kept], contrasted(
            [each[kept[mine]] for each, mine in zip(found, whole, strict=True)]
        )

    def _whole(self, name: str, values: Reals) -> npt.NDArray[np.bool_]:
        """Return the bins in which every size of a cell has data."""
        by_size = over_runs(self.cells[name], values, self.statistic)
        return np.asarray(~np.isnan(by_size).any(axis=1))

    def densities(self, *names: str) -> Estimate:
        """Return ln rho in each bin at each size, or its contrast of two or four cells.

        Of one cell, ln rho of its Gaussian null is subtracted; the cells of a contrast share it.
        """
        found = self._estimates("densities", names, self._shared(names), densities)
        if len(names) == 1 and self.nulls:
            found.append(densities(self.cells[names[0]], self.nulls[names[0]]))
        return contrasted(found)

    def _estimates(
        self,
        what: str,
        names: Sequence[str],
        shared: Sequence[Reals],
        make: Callable[[Ensemble, Reals], Estimate],
    ) -> list[Estimate]:
        """Return estimates of some cells, each computed once for the same values."""
        found = []
        for name, values in zip(names, shared, strict=True):
            key = what, name, hash(values.tobytes())
            if key not in self.known:
                self.known[key] = make(self.cells[name], values)
            found.append(self.known[key])
        return found

    def _shared(self, names: Sequence[str]) -> list[Reals]:
        """Return the values of some cells, NaN where one of them is."""
        several = [self.values[name] for name in names]
        lacking = np.any([np.isnan(each) for each in several], axis=0)
        return [np.where(lacking, np.nan, each) for each in several]


def contrasted(found: Sequence[Estimate]) -> Estimate:
    """Return a single estimate itself, a - b of two, or (a - b) - (c - d) of four."""
    if len(found) == 4:
        return (found[0] - found[1]) - (found[2] - found[3])
    return found[0] if len(found) == 1 else found[0] - found[1]


def on_clock(
    design: Design, name: str, observable: str, statistic: str, draws: Sequence[Ints]
) -> Measured:
    """Measure every cell on a clock, controls with the grokking epochs of their partners."""
    bins = {cell: clock(family.data, name) for cell, family in design.partnered.items()}
    times = np.unique([int(t or 0) for each in bins.values() for t in each.times]).astype(np.int64)

    def along(cell: str, members: Sequence[Ensemble]) -> Reals:
        mine = over_replicates(members, observable, bins[cell], statistic)
        wide = np.full((*mine.shape[:-1], len(times)), np.nan)
        wide[..., np.searchsorted(times, np.array(bins[cell].times, np.int64))] = mine
        return wide

    values, nulls = of_cells(design, along)
    return Measured(ensembles_of(design), values, times, statistic, draws, nulls)


def in_phases(
    design: Design, origin: str, observable: str, statistic: str, draws: Sequence[Ints]
) -> Measured:
    """Measure every cell before and after an origin, in equally many snapshots of every run."""
    cells = design.partnered

    def start(family: Family) -> Reals:
        return memorised(family.data) if origin == "memorising" else family.data.grok

    each = {name: around(family.data, start(family)) for name, family in cells.items()}
    counts = tuple(
        min((getattr(split, side) for split in each.values() if getattr(split, side)), default=0)
        for side in ("before", "after")
    )
    if origin == "jump":
        counts = (min(counts), min(counts))
    splits = {name: around(family.data, start(family), counts) for name, family in cells.items()}

    def split(cell: str, members: Sequence[Ensemble]) -> Reals:
        return balanced(members, observable, statistic, splits[cell])

    values, nulls = of_cells(design, split)
    return Measured(
        ensembles_of(design), values, np.arange(3), statistic, draws, nulls, (0, *counts, 0)
    )


def of_cells(
    design: Design, reduce: Callable[[str, Sequence[Ensemble]], Reals]
) -> tuple[dict[str, Reals], dict[str, Reals]]:
    """Reduce the runs of every cell, and of every Gaussian null if each cell has one."""
    cells = design.partnered
    values = {name: reduce(name, [family.data]) for name, family in cells.items()}
    if not all("gaussian" in family.nulls for family in cells.values()):
        return values, {}
    return values, {name: reduce(name, f.nulls["gaussian"]) for name, f in cells.items()}


def ensembles_of(design: Design) -> dict[str, Ensemble]:
    """Return the data of every cell."""
    return {name: family.data for name, family in design.partnered.items()}


def wanted(design: Design) -> list[tuple[str, Contrast | None, tuple[str, ...]]]:
    """Return what is estimated: every cell, then every contrast; its name, and its cells."""
    return [(name, None, (name,)) for name in design.cells] + [
        (each.name, each, each.cells) for each in design.contrasts
    ]
