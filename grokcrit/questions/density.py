"""Density: how large are avalanches at each size, as a part of N and of those of the null model?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE, PHASES
from grokcrit.plot.panel import PAGE, Layout, Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions.design import designs
from grokcrit.questions.family import Family, balanced, families
from grokcrit.questions.question import Question, Task
from grokcrit.questions.rows import (
    PHASE_COLUMNS,
    PHASE_NAMES,
    PHASES_AND_CHANGE,
    ends,
    finding,
    groups,
    index,
    labelled,
    of,
)
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.clocks import Around, around
from grokcrit.scaling.density import densities
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.resampling import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of each case and phase the sizes, and rho with the ends of its interval, (3, K).
Series: TypeAlias = dict[str, dict[str, tuple[Ints, Reals]]]

EXTENSIVE = ("size", "excess", "area", "peak")


def of_family(family: Family, options: DiagnoseOptions) -> list[Task]:
    """Measure the density of a case in the phases."""
    asked = extensive(options)
    return [partial(in_phases, family, observable, options) for observable in asked]


def extensive(options: DiagnoseOptions) -> list[str]:
    """Return the observables asked for that grow with the system, so that a density is one."""
    return [name for name in options.observable if name in EXTENSIVE]


def in_phases(family: Family, observable: str, options: DiagnoseOptions, _: Stop) -> list[Row]:
    """Make the rows of one observable: rho, and rho over that of the Gaussian null."""
    split = around(family.data, family.data.grok)
    rows: list[Row] = []
    for quantity, found in {
        "density": of_phases([family.data], observable, split),
        "density-over-null": over_null(family, observable, split),
    }.items():
        for window, estimate in zip(PHASES_AND_CHANGE, found, strict=False):
            places = sizes_of(family.data, {"window": window})
            rows += factors(quantity, estimate, options.confidence, places)
    return labelled(rows, **family.data.case, observable=observable, statistic="mean")


def of_phases(members: Sequence[Ensemble], observable: str, split: Around) -> list[Estimate]:
    """Return ln rho at each size of all snapshots, those before, after, and after minus before."""
    by_run = balanced(members, observable, "mean", split)
    return with_change(densities(members[0], by_run), len(members[0].sizes))


def over_null(family: Family, observable: str, split: Around) -> list[Estimate]:
    """Return the same less that of the Gaussian null; nothing where there is none."""
    if "gaussian" not in family.nulls:
        return []
    own = of_phases([family.data], observable, split)
    null = of_phases(family.nulls["gaussian"], observable, split)
    return [each - other for each, other in zip(own, null, strict=True)]


def with_change(phases: Estimate, sizes: int) -> list[Estimate]:
    """Split an estimate of three phases at each size into the phases, and append the change."""
    found = [phases[sizes * b : sizes * (b + 1)] for b in range(3)]
    return [*found, found[2] - found[1]]


def sizes_of(data: Ensemble, *bins: Row) -> list[Row]:
    """Name the bins of densities: every size in each of some bins."""
    return [{**place, "n_params": int(n)} for place in bins for n in data.sizes]


def factors(
    quantity: str,
    logarithm: Estimate,
    confidence: float,
    places: Sequence[Row],
    tested: bool = True,
) -> list[Row]:
    """Make a row of each bin from logarithms: a factor, and the p of 1; none without data."""
    columns = np.exp([logarithm.value, *logarithm.student(confidence)])
    p = np.where(tested, logarithm.p(), np.nan)
    return [
        finding(quantity, value, ci_low=low, ci_high=high, p=each, **place)
        for place, value, low, high, each in zip(places, *columns, p, strict=True)
        if not np.isnan(value)
    ]


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up the density over that of the null, at the smallest and the largest size."""
    out = []
    names = [name for name in shown if name != "observable"]
    mine = of(rows, "density-over-null", observable="size")
    for key, several in groups(mine, *names).items():
        sizes = sorted({row["n_params"] for row in several})
        for n in dict.fromkeys((sizes[0], sizes[-1])):
            at = index(of(several, "density-over-null", n_params=n), "window")
            row = dict(zip(names, key, strict=True)) | {"N": n}
            row |= {"all": at["aggregate",]["value"], "CI of all": ends(at["aggregate",])}
            row |= {name: at[window,]["value"] for window, name in PHASE_COLUMNS.items()}
            out.append(row | {"CI of change": ends(at[DIFFERENCE,])})
    title = "density: mean size over that of the Gaussian null; change: after over before"
    return Summary(title, out)


def panel(window: str, ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw rho over that of the Gaussian null against N, a curve per case of the table.

    Cells of a design are split at the grokking epochs of the case that can generalise.
    """
    level = DiagnoseOptions().confidence
    series: Series = {}
    for family in curves_of(sources):
        found = over_null(family, request.observable, around(family.data, family.data.grok))
        series[family.data.case["case"]] = {
            phase: (family.data.sizes, np.exp([estimate.value, *estimate.student(level)]))
            for phase, estimate in zip(PHASES, found, strict=False)
            if not np.isnan(estimate.value).all()
        }
    return draw(ax, series, window, request.observable, f"{100 * level:g} % CI")


def draw(ax: Axes, series: Series, window: str, observable: str, bars: str) -> Axes:
    """Draw the densities of one phase, on the scale that all phases need."""
    from grokcrit.plot import style

    if not any(window in phases for phases in series.values()):
        raise EmptyPanelError(
            "no case has a Gaussian null of the same snapshots in this phase; make the table with "
            "'grokcrit avalanche train.parquet --surrogate none,gaussian'"
        )
    for number, (name, phases) in enumerate(series.items()):
        if window in phases:
            sizes, points = phases[window]
            x = sizes * style.beside(number, len(series))
            style.points_with_errors(ax, x, points, name, number)
    held = np.concatenate([p.ravel() for each in series.values() for _, p in each.values()])
    ax.axhline(1, **style.UNITY)
    style.size_axis(ax)
    ax.set_yscale("log")
    ax.set_ylim(min(1.0, np.nanmin(held)) / 1.05, max(1.0, np.nanmax(held)) * 1.05)
    style.plain_log_ticks(ax.yaxis)
    symbol = style.OBSERVABLES[observable][0]
    ax.set(ylabel=rf"$\rho\,/\,\rho_\mathrm{{Gauss}}$ (mean ${symbol}/N$)")
    style.legend_above(ax, 2, title=f"{PHASE_NAMES[window]}; bars: {bars}")
    return ax


def curves_of(sources: Sources) -> list[Family]:
    """Return the cases of an avalanche table, cells of a design first, as partners of its base."""
    trained = sources.trained("avalanche")
    found = families(scaling.cases_of(sources.table("avalanche"), trained))
    cells = {
        id(design.cells[name]): each
        for design in designs(found)
        for name, each in design.partnered.items()
    }
    return [*cells.values(), *(each for each in found if id(each) not in cells)]


QUESTION = Question(
    quantities={
        "density": "rho = mean size (or excess, ...) over N at each size, over all snapshots and "
        "over equally many of every run before and after grokking; of `post - pre` the factor "
        "between the two. D = 1 + d ln rho / d ln N",
        "density-over-null": "the same over that of the Gaussian null, with the p of 1",
    },
    training="gradients of a training",
    of_family=of_family,
    section=section,
    about="The density says at each size what an exponent sums up in one number: whether "
    "avalanches are larger than those of Gaussian noise, and on which sizes they grow.",
    panels={
        name: Panel(partial(panel, window), ("avalanche",), every_case=True, height=3.2)
        for name, window in (
            ("density-before", "pre"),
            ("density-after", "post"),
            ("density-all", "aggregate"),
        )
    },
    figures={
        "density": Layout((("density-before", {}), ("density-after", {})), "ab", (PAGE, 3.4), (1,))
    },
)
