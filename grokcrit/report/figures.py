"""The figures of a report: drawn anew from the tables, as data URIs, each told in words."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import GrokcritError
from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import INTERVAL, PHASES
from grokcrit.plot.sources import Runs, rows, runs
from grokcrit.questions import questions
from grokcrit.questions.choices import answers
from grokcrit.questions.question import Shown
from grokcrit.questions.rows import PHASE_NAMES, shown
from grokcrit.report.inputs import Material
from grokcrit.stages import plot

# At the default sizes an SVG is a little smaller than a PNG of 300 dots an inch, and stays sharp;
# above this length, as with a thousand runs, the PNG is the smaller one.
LONG_SVG = 600_000
GAUSSIAN_TOO = ("none", "gaussian")


@dataclass(frozen=True)
class Drawing:
    """A figure that a report shows.

    Attributes
    ----------
    name
        As `grokcrit plot` knows it.
    title, caption
        What it shows, and how to read it.
    describe
        Words for who cannot see it, with the numbers that the tables hold.
    options
        Of the figure.
    wide
        Whether it has two columns.
    of
        The diagnostics table that it shows, where it shows one, or ``sweep``.
    """

    name: str
    title: str
    caption: str
    describe: Callable[[Material], str]
    options: dict[str, Any] = field(default_factory=dict)
    wide: bool = True
    of: str = ""


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
    if drawing.of == "sweep":
        given = made.tables["sweep"]
    elif drawing.of:
        if drawing.of not in made.diagnostics:
            command = "robustness" if drawing.of == "robustness" else "diagnose"
            reason = f"there is no {drawing.of} table; 'grokcrit {command}' makes one"
            return Drawn(drawing, reason=reason)
        kept = [] if drawing.of == "robustness" else given
        given = [*kept, made.diagnostics[drawing.of]]
    try:
        drawn = plot.figure(drawing.name, given, **drawing.options)
    except GrokcritError as error:
        return Drawn(drawing, reason=str(error))
    with tempfile.TemporaryDirectory() as folder:
        content = {}
        for kind in ("svg", "png"):
            path = Path(folder) / f"figure.{kind}"
            plot.save(drawn, path, drawing.name)
            content[kind] = path.read_bytes()
            if len(content["svg"]) < LONG_SVG:
                break
    kind = min(content, key=lambda each: len(content[each]))
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    uri = f"data:{mime};base64,{base64.b64encode(content[kind]).decode()}"
    return Drawn(drawing, uri, drawing.describe(made))


def of_runs(made: Material) -> tuple[pa.Table, Runs] | None:
    """Return the runs, from the train table or else from that of the avalanches."""
    for stage in ("train", "avalanche"):
        table = made.whole(stage)
        if table is not None:
            return table, runs(table)
    return None


def tell_runs(made: Material) -> str:
    """Say how many runs there are, of which sizes, and when they grok."""
    known = of_runs(made)
    if known is None:
        return ""
    found = known[1]
    sizes = np.unique(found.n_params)
    grok = found.grok[np.isfinite(found.grok)]
    words = f"{len(found.grok)} runs of {len(sizes)} sizes, N = {sizes[0]} to {sizes[-1]}; "
    if not len(grok):
        return words + "none of them groks."
    return words + (
        f"{len(grok)} of them grok, at epochs {grok.min():.0f} to {grok.max():.0f}, "
        f"median {np.median(grok):g}."
    )


def fitted(made: Material, **equal: Any) -> list[Row]:
    """Return the fits of the size with those values."""
    table = made.whole("fss")
    assert table is not None  # a figure of fits is drawn from one
    found: list[Row] = rows(table, observable="size", replicate=0, **equal).to_pylist()
    return [row for row in found if row["exponent"] is not None]


def tell_course(made: Material, surrogate: str, window: str) -> str:
    """Say where D(t) starts, where it ends, and between what it lies."""
    found = fitted(made, statistic="mean", surrogate=surrogate, window=window)
    if not found:
        return f"{name_of(surrogate)} has no fit"
    found.sort(key=lambda row: row["time"])
    first, last = found[0], found[-1]
    low, high = (f(row["exponent"] for row in found) for f in (min, max))
    unit = "epoch" if window == "epoch" else "bin"
    return (
        f"{name_of(surrogate)} goes from {shown(first['exponent'], '.2f')} at {unit} "
        f"{first['time']} to {shown(last['exponent'], '.2f')} at {unit} {last['time']}, between "
        f"{shown(low, '.2f')} and {shown(high, '.2f')}"
    )


def name_of(surrogate: str) -> str:
    """Name the data or a null model."""
    return {"none": "the data", "gaussian": "the Gaussian null"}.get(surrogate, surrogate)


def surrogates(made: Material) -> list[str]:
    """Return the data and the null models of the fits, in the order of their names."""
    table = made.whole("fss")
    assert table is not None
    found = set(pc.unique(table["surrogate"]).to_pylist())
    return sorted(found, key=lambda name: (name != "none", name != "gaussian", name))


def tell_learning(made: Material) -> str:
    """Tell figure 1."""
    course = "; ".join(
        tell_course(made, name, "epoch") for name in surrogates(made) if name in GAUSSIAN_TOO
    )
    train = made.whole("train")
    assert train is not None
    gini = train.group_by("epoch").aggregate([("weight_gini", "mean")]).sort_by("epoch")
    mean = gini["weight_gini_mean"].to_numpy()
    top = int(np.argmax(mean))
    return (
        f"Four panels. (a) accuracy and loss of an example run against epoch. (b) grokking epochs "
        f"against N: {tell_runs(made)} (c) D(t) of the mean size against epoch: {course}. "
        f"(d) Gini coefficient of the weights against epoch: its mean over all runs starts at "
        f"{mean[0]:.3f}, is largest, {mean[top]:.3f}, at epoch {gini['epoch'][top]}, and ends at "
        f"{mean[-1]:.3f}."
    )


def tell_controls(made: Material) -> str:
    """Tell D(t) of the data and of every null model."""
    courses = "; ".join(tell_course(made, name, "epoch") for name in surrogates(made))
    return f"One panel, D(t) of the mean size against epoch: {courses}."


def tell_aligned(made: Material) -> str:
    """Tell the same against the time since grokking."""
    courses = "; ".join(tell_course(made, name, "aligned") for name in surrogates(made))
    return (
        "One panel, D(t) of the mean size against the time since each run's grokking epoch, in "
        f"bins of 10 epochs: {courses}."
    )


def tell_sizes(made: Material) -> str:
    """Tell figure 2."""
    table = made.whole("avalanche")
    assert table is not None
    data = rows(table, surrogate="none")
    sizes = sorted(pc.unique(data["n_params"]).to_pylist())
    largest = {n: pc.max(rows(data, n_params=n)["size"]).as_py() for n in (sizes[0], sizes[-1])}
    laws = []
    for surrogate in surrogates(made):
        if surrogate not in GAUSSIAN_TOO:
            continue
        for statistic in ("mean", "max"):
            found = fitted(made, surrogate=surrogate, statistic=statistic, window="aggregate")
            laws += [f"{statistic} size of {name_of(surrogate)}: D {exponent(f)}" for f in found]
    return (
        f"Three panels. (a) share of avalanches at least as large as s, a curve for each of "
        f"{len(sizes)} sizes from N = {sizes[0]}, largest avalanche {largest[sizes[0]]}, to N = "
        f"{sizes[-1]}, largest {largest[sizes[-1]]}. (b) the same curves against s divided by N to "
        f"the power D. (c) mean and largest size against N, with fitted lines: {'; '.join(laws)}."
    )


def exponent(row: Row) -> str:
    """Write an exponent and its interval."""
    ends = "" if row["ci_low"] is None else f" ({shown((row['ci_low'], row['ci_high']), '.2f')})"
    return shown(row["exponent"], ".2f") + ends


def tell_bootstrap(made: Material) -> str:
    """Tell figure 3."""
    table = made.whole("bootstrap")
    assert table is not None
    mine = rows(table, surrogate="none", observable="size", replicate=0)
    panels = []
    for letter, statistic in (("a", "mean"), ("b", "run-max")):
        found = rows(mine, statistic=statistic, kind="interval", method=INTERVAL).to_pylist()
        phases = {r["window"]: r for r in found if r["part"] is None and r["exponent"] is not None}
        told = [f"{PHASE_NAMES[w]} {exponent(phases[w])}" for w in PHASES if w in phases]
        panels.append(
            f"({letter}) densities of resampled D of the {statistic} size: "
            f"{'; '.join(told) or 'none could be fitted'}."
        )
    left = rows(mine, statistic="mean", kind="leave-one-out")
    ranges = []
    for window in PHASES:
        kept = rows(left, window=window)["exponent"].drop_null()
        if len(kept):
            low, high = pc.min(kept).as_py(), pc.max(kept).as_py()
            ranges.append(f"{PHASE_NAMES[window]} {shown((low, high), '.2f')}")
    return (
        f"Three panels. {' '.join(panels)} (c) D of the mean size with one size, seed or tenth of "
        f"the training left out: {'; '.join(ranges) or 'no fit'}."
    )


def tell_grid(made: Material) -> str:
    """Say over what range D before and after lies."""
    table = made.diagnostics["robustness"]
    found = [
        r
        for r in table.to_pylist()
        if (r["quantity"], r["observable"], r["statistic"], r["surrogate"])
        == ("spread", "size", "mean", "none")
        and r["window"] in ("pre", "post")
    ]
    shown = "; ".join(
        f"{r['part']}, {PHASE_NAMES[r['window']]}: {r['ci_low']:.2f} to {r['ci_high']:.2f}"
        for r in found
    )
    return f"D of the mean size over the grid, {shown}."


def tell_sweep(made: Material) -> str:
    """Say what a sweep shows."""
    table = made.whole("sweep")
    assert table is not None
    told = [f"{each.question} {each.word}. {' '.join(each.because)}" for each in answers(table)]
    return f"Three panels. {' '.join(told)}"


def wanted(made: Material, drawing: Drawing) -> bool:
    """Whether the tables call for a figure: of a sweep, of one experiment, or of both."""
    return "sweep" in made.tables if drawing.of == "sweep" else made.experiment


OWN: Sequence[Drawing] = (
    Drawing(
        "sweep",
        "What each choice does to D",
        "(a) D before and after grokking at each value of each option that was varied; beside it "
        "at how many points D(t) crosses the Gaussian null, in brackets clearly. (b) every point "
        "by its distance from the null before and after. (c) share of the variance between points "
        "that an option has alone, that options have only together, and that the runs alone would "
        "give.",
        tell_sweep,
        of="sweep",
    ),
    Drawing(
        "controls",
        "D in time, data and null models",
        "D(t) of the mean avalanche size at each snapshot. Where a null model runs with the data, "
        "what it destroys plays no part; where it runs apart, it does. Shaded: the epochs in which "
        "runs grok; bands: intervals.",
        tell_controls,
        wide=False,
    ),
    Drawing(
        "controls",
        "The same, by time since grokking",
        "D(t) with every run shifted so that it groks at 0. Only times at which every size has "
        "data are shown.",
        tell_aligned,
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
        "The source's first figure. (a) an example run; (b) when runs grok; (c) D(t) beside the "
        "Gaussian null and 1; (d) the Gini coefficient of the weights, how unequal they are.",
        tell_learning,
    ),
    Drawing(
        "fig2",
        "Avalanches of every size",
        "The source's second figure. (a) distribution of avalanche sizes; (b) the same, rescaled: "
        "curves of all sizes fall on one where the law holds; (c) the power laws: D is the slope.",
        tell_sizes,
    ),
    Drawing(
        "fig3",
        "How sure the exponents are",
        "The source's third figure. (a), (b) what D comes out as when runs are resampled; (c) D "
        "with one size, one seed or one part of the training left out.",
        tell_bootstrap,
    ),
)


def drawings() -> list[Drawing]:
    """Return every figure of the page: its own, and those of the questions."""
    asked = [shown for each in questions().values() for shown in each.shown]
    return [*OWN, *map(of_question, asked)]


def of_question(each: Shown) -> Drawing:
    """Return the figure of a question."""
    return Drawing(
        each.panel,
        each.title,
        each.caption,
        lambda made: each.describe(made.rows),
        wide=each.wide,
        of="diagnostics",
    )
