"""Rows of the cells of every design and of their contrasts: D, densities, outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import RESAMPLED
from grokcrit.questions.contrasts import PHASES_OF, in_phases, on_clock, wanted
from grokcrit.questions.density import extensive, factors, sizes_of, with_change
from grokcrit.questions.design import GENERALISING, Contrast, Design, designs, unpaired
from grokcrit.questions.family import Family
from grokcrit.questions.question import Task
from grokcrit.questions.rows import finding, labelled, of_bins
from grokcrit.questions.separation import separation
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import CLOCKS, memorised
from grokcrit.scaling.ensembles import Ensemble

CELL, CELL_DENSITY, EFFECT = "cell-exponent", "cell-density", f"effect-{GENERALISING}"


def of_families(found: Sequence[Family], options: DiagnoseOptions) -> list[Task]:
    """Measure the cells of every design and their contrasts."""
    made = designs(found)
    alone = unpaired(found, made)
    tasks: list[Task] = [partial(left_alone, alone)] if alone else []
    for design in made:
        tasks.append(partial(outcomes, design))
        tasks += [partial(densities, design, name, options) for name in extensive(options)]
        tasks += [
            partial(exponents, design, observable, statistic, options)
            for observable in options.observable
            for statistic in RESAMPLED
        ]
    return tasks


def outcomes(design: Design, _: Stop) -> list[Row]:
    """Count the runs of every cell that memorise and those that grok."""
    rows = []
    for name, family in design.cells.items():
        data = family.data
        for quantity, epochs in (("memorised", memorised(data)), ("grokked", data.grok)):
            count = int((~np.isnan(epochs)).sum())
            method = "matched" if design.matched else "not matched: no record tells the options"
            rows.append(finding(quantity, float(count), n=data.runs, part=name, method=method))
    return labelled(rows, **design.cells[design.base].data.case)


def left_alone(found: Sequence[Family], _: Stop) -> list[Row]:
    """Make a row of each case that belongs to a design and is in none."""
    return [
        finding("unpaired", float(f.data.runs), part=f.data.case["case"]) | f.data.case
        for f in found
    ]


def quantity_of(contrast: Contrast | None, cell: str, effect: str) -> str:
    """Name the quantity of a cell or of a contrast."""
    return cell if contrast is None else f"{effect}-{contrast.kind}"


def exponents(
    design: Design, observable: str, statistic: str, options: DiagnoseOptions, stop: Stop
) -> list[Row]:
    """Make the rows of D of every cell and contrast, in the phases and on every clock."""
    base = design.cells[design.base].data
    draws = resampling.draw_runs(base, options.resamples, options.seed)
    swaps = resampling.draw_swaps(base, options.permutations, options.seed)
    what, level = (observable, statistic, draws), options.confidence
    rows: list[Row] = []
    for origin, windows in PHASES_OF.items():
        found = in_phases(design, origin, *what)
        for name, contrast, cells in wanted(design):
            stop.check()
            places = [{"window": w, "n": n} for w, n in zip(windows, found.snapshots, strict=True)]
            tested = [contrast is not None or k == 3 for k in range(4)]
            quantity = quantity_of(contrast, CELL, "effect")
            estimate = found.exponents(*cells)[1]
            made = of_bins(quantity, estimate, level, places, tested)
            rows += labelled(kept(made), part=name, method=contrast and contrast.how)
    for clock in CLOCKS:
        found = on_clock(design, clock, *what)
        for name, contrast, cells in wanted(design):
            stop.check()
            times, estimate = found.exponents(*cells)
            quantity = quantity_of(contrast, CELL, "effect")
            places = [{"time": int(t)} for t in times]
            curve = swaps if contrast else None  # a contrast is tested as a curve
            made = of_bins(quantity, estimate, level, places, bool(contrast), curve)
            if contrast and contrast.kind == GENERALISING and clock != "loss" and len(times):
                made.append(separation(times, estimate, level))
            since = times >= start_of(clock, base)
            if contrast and since.any():
                whole = estimate.averaged(since)
                place = {"n": int(since.sum())}
                made += of_bins(quantity, whole, level, [place])
            method = contrast and contrast.how
            rows += labelled(made, part=name, window=clock, method=method)
    return labelled(rows, **base.case, observable=observable, statistic=statistic)


def start_of(clock: str, base: Ensemble) -> float:
    """Return the time of a clock from which an effect is averaged over time.

    On the epoch when all runs of the base have grokked; since grokking or memorising from that on;
    of equal training loss over all levels.
    """
    if clock == "epoch":
        return float(np.nanmax(base.grok, initial=0.0))
    return {"relative": 100.0, "loss": -np.inf}.get(clock, 0.0)


def kept(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have a window and a value."""
    return [row for row in rows if row["window"] is not None and row["value"] is not None]


def densities(design: Design, observable: str, options: DiagnoseOptions, stop: Stop) -> list[Row]:
    """Make the rows of the density of every cell and contrast at each size."""
    base = design.cells[design.base].data
    what = observable, "mean", ()  # densities have no draws
    phases = {origin: in_phases(design, origin, *what) for origin in PHASES_OF}
    # In time only for the size itself: one row per size and time makes 20,000 for 6 cells.
    timed = CLOCKS if observable == "size" else ()
    clocks = {clock: on_clock(design, clock, *what) for clock in timed}
    rows: list[Row] = []
    for name, contrast, cells in wanted(design):
        stop.check()
        quantity = quantity_of(contrast, CELL_DENSITY, "density")
        made: list[Row] = []
        for origin, found in phases.items():
            several = with_change(found.densities(*cells), len(base.sizes))
            for window, estimate in zip(PHASES_OF[origin], several, strict=True):
                places = sizes_of(base, {"window": window})
                tested = contrast is not None or window == PHASES_OF[origin][-1]
                made += factors(quantity, estimate, options.confidence, places, tested)
        for clock, found in clocks.items():
            places = sizes_of(base, *({"window": clock, "time": int(t)} for t in found.times))
            estimate = found.densities(*cells)
            made += factors(quantity, estimate, options.confidence, places, tested=False)
        rows += labelled(kept(made), part=name, method=contrast and contrast.how)
    return labelled(rows, **base.case, observable=observable, statistic="mean")
