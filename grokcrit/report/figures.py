"""The figures of a report: drawn from the tables, as data URIs, each described in words."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc

from grokcrit.base.errors import GrokcritError
from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import INTERVAL, PHASES
from grokcrit.plot.sources import rows, runs
from grokcrit.questions import questions
from grokcrit.questions.choices import answers
from grokcrit.questions.question import Shown
from grokcrit.questions.rows import PHASE_NAMES, ends, of, shown
from grokcrit.report.inputs import OF_CASES, Material
from grokcrit.report.warning import warnings_of
from grokcrit.stages import plot

# At the default sizes an SVG is a little smaller than a PNG of 300 dots an inch, and stays sharp;
# above this length, as with a thousand runs, the PNG is the smaller one.
LONG_SVG = 600_000
GAUSSIAN_TOO = ("none", "gaussian")
NAMES = {"none": "the data", "gaussian": "the Gaussian null"}


@dataclass(frozen=True)
class Drawing:
    """A figure of `grokcrit plot` in a report, and its words for readers who cannot see it."""

    name: str
    title: str
    caption: str
    describe: Callable[[Material], str]
    options: dict[str, Any] = field(default_factory=dict)
    wide: bool = True
    of: str = ""  # the diagnostics table that it shows, ``sweep`` or ``warn``
    training: bool = True  # whether it shows something of a training or its null models
    source: str = ""  # which figure of the source it is


@dataclass(frozen=True)
class Drawn:
    """A figure as a data URI, or the reason why there is none."""

    drawing: Drawing
    uri: str = ""
    alt: str = ""
    reason: str = ""


def draw(made: Material, drawing: Drawing) -> Drawn:
    """Draw a figure, or say why it cannot be."""
    given = [part for parts in made.tables.values() for part in parts]
    if drawing.of in OF_CASES:
        given = made.tables[drawing.of]
    elif drawing.of:
        own = made.diagnostics.get(drawing.of)
        if own is None:
            command = "robustness" if drawing.of == "robustness" else "diagnose"
            reason = f"there is no {drawing.of} table; 'grokcrit {command}' makes one"
            return Drawn(drawing, reason=reason)
        given = [own] if drawing.of == "robustness" else [*given, own]
    try:
        figure = plot.figure(drawing.name, given, **drawing.options)
    except GrokcritError as error:
        return Drawn(drawing, reason=str(error))
    images = {}
    for kind, mime in (("svg", "svg+xml"), ("png", "png")):
        file = io.BytesIO()
        plot.write(figure, file, kind, drawing.name)
        images[mime] = file.getvalue()
        if len(images[mime]) < LONG_SVG:
            break
    mime, image = min(images.items(), key=lambda each: len(each[1]))
    uri = f"data:image/{mime};base64,{base64.b64encode(image).decode()}"
    return Drawn(drawing, uri, drawing.describe(made))


def tell_runs(made: Material) -> str:
    """Say how many runs there are, of which sizes, and when they grok."""
    table = made.whole("train") or made.whole("avalanche")
    if table is None:
        return ""
    found = runs(table)
    sizes = np.unique(found.n_params)
    grok = found.grok[np.isfinite(found.grok)]
    words = f"{len(found.grok)} runs of {len(sizes)} sizes, N = {sizes[0]} to {sizes[-1]}"
    if not made.of_training:
        return f"{table.num_rows} avalanches, {words}."
    if not len(grok):
        return f"{words}; none of them groks."
    return (
        f"{words}; {len(grok)} of them grok, at epochs {grok.min():.0f} to {grok.max():.0f}, "
        f"median {np.median(grok):g}."
    )


def fits(made: Material, window: str, only: Collection[str] = ()) -> dict[str, list[Row]]:
    """Return the fits of the size in a window, by surrogate: the data first, then the Gaussian."""
    table = made.whole("fss")
    names = set() if table is None else set(pc.unique(table["surrogate"]).to_pylist())
    order = [*GAUSSIAN_TOO, *sorted(names - set(GAUSSIAN_TOO))]
    found = made.select("fss", observable="size", replicate=0, window=window)
    known = [row for row in found if row["exponent"] is not None]
    return {
        name: [row for row in known if row["surrogate"] == name]
        for name in order
        if name in names and name in (only or names)
    }


def courses(made: Material, window: str, only: Collection[str] = ()) -> str:
    """Say where each D(t) starts, where it ends, and between what it lies."""
    unit = "epoch" if window == "epoch" else "bin"
    told = []
    for surrogate, several in fits(made, window, only).items():
        name = NAMES.get(surrogate, surrogate)
        found = [row for row in several if row["statistic"] == "mean"]
        if not found:
            told.append(f"{name} has no fit")
            continue
        found.sort(key=lambda row: row["time"])
        first, last = found[0], found[-1]
        low, high = (f(row["exponent"] for row in found) for f in (min, max))
        told.append(
            f"{name} goes from {shown(first['exponent'], '.2f')} at {unit} {first['time']} to "
            f"{shown(last['exponent'], '.2f')} at {unit} {last['time']}, between "
            f"{shown(low, '.2f')} and {shown(high, '.2f')}"
        )
    return "; ".join(told)


def tell_learning(made: Material) -> str:
    """Describe figure 1."""
    by_epoch = made.whole("train").group_by("epoch")
    gini = by_epoch.aggregate([("weight_gini", "mean")]).sort_by("epoch")
    mean = gini["weight_gini_mean"].to_numpy()
    top = int(np.argmax(mean))
    return (
        f"Four panels. (a) accuracy and loss of an example run against epoch. (b) grokking epochs "
        f"against N: {tell_runs(made)} (c) D(t) of the mean size against epoch: "
        f"{courses(made, 'epoch', GAUSSIAN_TOO)}. "
        f"(d) Gini coefficient of the weights against epoch: its mean over all runs starts at "
        f"{mean[0]:.3f}, is largest, {mean[top]:.3f}, at epoch {gini['epoch'][top]}, and ends at "
        f"{mean[-1]:.3f}."
    )


def tell_nulls(made: Material, window: str = "epoch") -> str:
    """Describe D(t) of the data and of every null model."""
    since = "the time since each run's grokking epoch, in bins of 10 epochs"
    axis = since if window == "aligned" else "epoch"
    return f"One panel, D(t) of the mean size against {axis}: {courses(made, window)}."


def tell_distributions(made: Material) -> str:
    """Describe the curves of figure 2."""
    data = rows(made.whole("avalanche"), surrogate="none")
    found = data.group_by("n_params").aggregate([("size", "max")]).sort_by("n_params").to_pylist()
    first, last = found[0], found[-1]
    return (
        f"share of avalanches at least as large as s, a curve for each of {len(found)} sizes from "
        f"N = {first['n_params']}, largest avalanche {first['size_max']}, to "
        f"N = {last['n_params']}, largest {last['size_max']}."
    )


def tell_sizes(made: Material) -> str:
    """Describe figure 2."""
    laws = [
        f"{statistic} size of {NAMES[surrogate]}: D {exponent(fit)}"
        for surrogate, several in fits(made, "aggregate", GAUSSIAN_TOO).items()
        for statistic in ("mean", "max")
        for fit in several
        if fit["statistic"] == statistic
    ]
    return (
        f"Three panels. (a) {tell_distributions(made)} (b) the same curves against s divided by N "
        f"to the power D. (c) mean and largest size against N, with fitted lines: "
        f"{'; '.join(laws)}."
    )


def exponent(row: Row) -> str:
    """Write an exponent and its interval."""
    interval = ends(row)
    return shown(row["exponent"], ".2f") + (f" ({shown(interval, '.2f')})" if interval else "")


def tell_bootstrap(made: Material) -> str:
    """Describe figure 3."""
    mine = {"surrogate": "none", "observable": "size", "replicate": 0}
    panels = []
    for letter, statistic in (("a", "mean"), ("b", "run-max")):
        wanted = {**mine, "statistic": statistic, "kind": "interval", "method": INTERVAL}
        found = made.select("bootstrap", **wanted, part=None)
        phases = {r["window"]: r for r in found if r["exponent"] is not None}
        told = [f"{PHASE_NAMES[w]} {exponent(phases[w])}" for w in PHASES if w in phases]
        panels.append(
            f"({letter}) densities of resampled D of the {statistic} size: "
            f"{'; '.join(told) or 'none could be fitted'}."
        )
    left = made.select("bootstrap", **mine, statistic="mean", kind="leave-one-out")
    ranges = []
    for window in PHASES:
        kept = [r["exponent"] for r in left if r["window"] == window and r["exponent"] is not None]
        if kept:
            ranges.append(f"{PHASE_NAMES[window]} {shown((min(kept), max(kept)), '.2f')}")
    return (
        f"Three panels. {' '.join(panels)} (c) D of the mean size with a part of the data left "
        f"out: {'; '.join(ranges) or 'no fit'}."
    )


def tell_grid(made: Material) -> str:
    """Say over what range D before and after lies."""
    place = {"observable": "size", "statistic": "mean", "surrogate": "none"}
    told = "; ".join(
        f"{r['part']}, {PHASE_NAMES[r['window']]}: {r['ci_low']:.2f} to {r['ci_high']:.2f}"
        for r in of(made.diagnostics["robustness"].to_pylist(), "spread", **place)
        if r["window"] in ("pre", "post")
    )
    return f"D of the mean size over the grid, {told}."


def tell_warnings(made: Material) -> str:
    """Say which signals are best, and what they score."""
    return " ".join(each for answer in warnings_of(made) for each in answer.because)


def tell_sweep(made: Material) -> str:
    """Say what a sweep shows."""
    found = answers(made.whole("sweep"))
    told = [f"{each.question} {each.word}. {' '.join(each.because)}" for each in found]
    return f"Three panels. {' '.join(told)}"


def wanted(made: Material, drawing: Drawing) -> bool:
    """Return whether the tables call for a figure: of several cases, of one experiment, or both."""
    if drawing.of in OF_CASES:
        return drawing.of in made.tables
    if drawing.name == "ccdf" and (made.of_training or "fss" in made.tables):
        return False  # a panel of fig2, which needs exponents
    return made.experiment and (made.of_training or not drawing.training)


OWN = (
    Drawing(
        "warn",
        "Does anything warn before a network generalises?",
        "A row per signal, the best on average first; a column per task. AUROC on held-out seeds: "
        "1 if every run that groks scores higher than every control watched as long, 0.5 for a "
        "coin. Leads: epochs from the median alarm to g, grokking, and to c, where test accuracy "
        "leaves chance, at a false alarm rate of 10 %. Cost: time of one measurement, in epochs "
        "of training.",
        tell_warnings,
        of="warn",
    ),
    Drawing(
        "sweep",
        "What each choice does to D",
        "(a) D before and after grokking at each value of each option that was varied; next to it, "
        "at how many points D(t) crosses the Gaussian null (in brackets: clearly). (b) each point "
        "by its distance from the null before and after. (c) share of the variance between points "
        "that an option has alone, that options have only together, and that the runs alone would "
        "give.",
        tell_sweep,
        of="sweep",
    ),
    Drawing(
        "nulls",
        "D in time, data and null models",
        "D(t) of the mean avalanche size at each snapshot. Where a null model follows the "
        "data, D does not depend on what it destroys; where it departs from them, D does. Shaded: "
        "the epochs in which runs grok; bands: intervals.",
        tell_nulls,
        wide=False,
    ),
    Drawing(
        "nulls",
        "The same, by time since grokking",
        "D(t) with every run shifted so that it groks at 0. Only times at which every size has "
        "data are shown.",
        partial(tell_nulls, window="aligned"),
        {"aligned": True},
        wide=False,
    ),
    Drawing(
        "robustness",
        "The same gradients, other cascades",
        "D before and after grokking on other graphs, with other alpha, percentiles, rules and "
        "orders of the parameters.",
        tell_grid,
        wide=False,
        of="robustness",
    ),
    Drawing(
        "fig1",
        "Learning, grokking, D and the weights in time",
        "(a) an example run; (b) when runs grok; (c) D(t) compared "
        "with the Gaussian null and 1; (d) the Gini coefficient of the weights, how unequal they "
        "are.",
        tell_learning,
        source="first",
    ),
    Drawing(
        "ccdf",
        "Avalanches of every size",
        "Share of avalanches at least as large as s, of every size of the system.",
        lambda made: f"One panel: {tell_distributions(made)}",
        wide=False,
        training=False,
    ),
    Drawing(
        "fig2",
        "Avalanches of every size",
        "(a) distribution of avalanche sizes; (b) the same, rescaled: "
        "curves of all sizes fall on one where the law holds; (c) the power laws: D is the slope.",
        tell_sizes,
        training=False,
        source="second",
    ),
    Drawing(
        "fig3",
        "How certain the exponents are",
        "(a), (b) the values of D when runs are resampled; (c) D with one part of the data left "
        "out, such as a size or a seed.",
        tell_bootstrap,
        training=False,
        source="third",
    ),
)


def drawings() -> list[Drawing]:
    """Return every figure of the page: its own, and those of the questions."""
    asked = [
        of_question(shown, bool(each.training))
        for each in questions().values()
        for shown in each.shown
    ]
    return [*OWN, *asked]


def of_question(each: Shown, training: bool) -> Drawing:
    """Return the figure of a question."""
    words = each.panel, each.title, each.caption, lambda made: each.describe(made.rows)
    needs = training or each.training
    return Drawing(*words, wide=each.wide, of="diagnostics", training=needs)
