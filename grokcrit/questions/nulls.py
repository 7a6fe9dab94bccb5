"""Null models: how much of the data's exponent each of them keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE, SURROGATES
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import judge
from grokcrit.questions.family import Course
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer, Asked, Question, Shown
from grokcrit.questions.rows import (
    PHASE_COLUMNS,
    ends,
    exponents,
    finding,
    groups,
    in_phases,
    index,
    interval,
    known,
    labelled,
    of,
    of_bins,
    one,
    p_of,
    shown,
)
from grokcrit.scaling import resampling
from grokcrit.scaling.clusters import BoolArray
from grokcrit.scaling.ensembles import Reals
from grokcrit.scaling.resampling import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIELLER = "Fieller, from the run bootstrap"
UNDEFINED = "not defined: the data are not told apart from the gaussian null"  # in every table
GAUSSIAN = "the Gaussian null (random numbers on the same graph)"


def of_curves(asked: Asked) -> list[Row]:
    """Compare the data with each null model, per phase and at each time.

    ``data-minus-null`` is the difference of the exponents, with the p of zero; ``fraction-kept``
    is (D_null - D_gaussian) / (D_data - D_gaussian): 1 where the null model has everything in which
    the data differ from i.i.d. Gaussian numbers, 0 where it has none of it.
    """
    confidence, data = asked.options.confidence, asked.own
    rows = exponents(data.phases, confidence)
    for name, null in asked.nulls.items():
        base = asked.gaussian if name != "gaussian" else None
        zero = base.phases if base else None
        places = in_phases()[: len(data.phases.value)]
        found = compared(data.phases, null.phases, zero, confidence, places)
        zeros = base.courses if base else (None, None)
        for courses in zip(data.courses, null.courses, zeros, strict=True):
            found += at_times(*courses, confidence, asked.swaps)
        found += exponents(null.phases, confidence)
        rows += labelled(found, surrogate=name)
    return rows


def at_times(
    data: Course, null: Course, base: Course | None, confidence: float, swaps: BoolArray
) -> list[Row]:
    """Compare two courses at the times that all have."""
    times = np.intersect1d(data.times, null.times)
    if base is not None:
        times = np.intersect1d(times, base.times)
    places = [{"window": data.window, "time": int(time)} for time in times]

    def there(course: Course) -> Estimate:
        return course.estimate[np.isin(course.times, times)]

    zero = there(base) if base is not None else None
    return compared(there(data), there(null), zero, confidence, places, swaps)


def compared(
    data: Estimate,
    null: Estimate,
    base: Estimate | None,
    confidence: float,
    places: list[Row],
    swaps: BoolArray | None = None,
) -> list[Row]:
    """Make the rows of some bins; ``swaps`` of runs test those of a curve in time as one."""
    method = "paired draws"
    rows = of_bins("data-minus-null", data - null, confidence, places, swaps=swaps, method=method)
    if base is None:
        return rows
    value, low, high = fieller(null - base, data - base, confidence)
    for place, v, a, b in zip(places, value, low, high, strict=True):
        method = UNDEFINED if np.isnan(v) else FIELLER
        rows.append(finding("fraction-kept", v, **place, ci_low=a, ci_high=b, method=method))
    return rows


def fieller(top: Estimate, bottom: Estimate, confidence: float) -> tuple[Reals, Reals, Reals]:
    """Return the ratio of two estimates, and the low and the high end of its interval.

    The interval holds every f for which top - f bottom is indistinguishable from zero; it is
    bounded only where the bottom itself differs from zero, and all three are NaN elsewhere (E. C.
    Fieller, J. R. Stat. Soc. B 16, 175, 1954). Variances are those of the paired draws, widened for
    few runs as every interval is.
    """
    ratio = top.value / np.where(bottom.value == 0, np.nan, bottom.value)
    rest = top.influences - ratio * bottom.influences
    few = resampling.widening(rest, top.size_of)
    t2 = (few.scale * scipy.special.stdtrit(few.freedom, 0.5 + confidence / 2)) ** 2
    valid = ~np.isnan(top.draws) & ~np.isnan(bottom.draws)
    count = np.maximum(valid.sum(axis=0), 1)

    def centred(draws: Reals) -> Reals:
        kept = np.where(valid, draws, 0.0)
        return np.where(valid, kept - kept.sum(axis=0) / count, 0.0)

    dt, db = centred(top.draws), centred(bottom.draws)
    vt, vb, c = ((a * b).sum(axis=0) / count for a, b in ((dt, dt), (db, db), (dt, db)))
    square = bottom.value**2 - t2 * vb
    middle = top.value * bottom.value - t2 * c
    root = np.sqrt(np.maximum(middle**2 - square * (top.value**2 - t2 * vt), 0))
    bounded = (square > 0) & ~few.single & (valid.sum(axis=0) > 0)
    safe = np.where(bounded, square, 1.0)
    return (
        np.where(bounded, ratio, np.nan),
        np.where(bounded, (middle - root) / safe, np.nan),
        np.where(bounded, (middle + root) / safe, np.nan),
    )


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up what of the mean's exponent each null model keeps."""
    out = []
    chosen = of(rows, "data-minus-null", "fraction-kept", statistic="mean")
    for key, mine in groups(chosen, *shown, "observable", "surrogate").items():
        place = index(mine, "quantity", "window")
        row = dict(zip((*shown, "observable", "null model"), key, strict=True))
        for window, name in PHASE_COLUMNS.items():
            gap = place["data-minus-null", window]
            row |= {f"data - null, {name}": gap["value"], f"p {name}": judge.adjusted(gap)}
        for window, name in (("post", "after"), (DIFFERENCE, "change")):
            kept = place.get(("fraction-kept", window))
            row |= {f"kept, {name}": kept and kept["value"], f"95 % {name}": kept and ends(kept)}
        out.append(row)
    formats = dict.fromkeys(("p before", "p after", "p change"), ".2g")
    formats |= dict.fromkeys(("kept, after", "95 % after", "kept, change"), ".2f")
    formats["95 % change"] = ".2f"
    title = (
        "null models: D of the mean minus that of the null; the part of D - D(gaussian) it keeps"
    )
    return Summary(title, out, formats=formats)


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn where there is no Gaussian null."""
    own = [row for row in of(rows, "exponent") if judge.of_training(row)]
    if own and not of(rows, "data-minus-null", surrogate="gaussian"):
        return warn("no-null")
    return []


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say how D changes at grokking, where it lies against random numbers, and what carries it."""
    size = [row for row in rows if row["observable"] == "size"]
    return [each for each in (change(rows), against_null(size), arrangement(size)) if each]


def change(rows: Sequence[Row]) -> Answer | None:
    """Say yes where post - pre of the size is above zero with p < 0.05; add the excess."""
    words, word = [], ""
    for observable, name in (("size", "D"), ("excess", "D of the excess")):
        mine = of(rows, "exponent", observable=observable, surrogate="none")
        before, after, step = (one(mine, "exponent", w) for w in ("pre", "post", DIFFERENCE))
        if not (before and after and step):
            continue
        there = judge.apart(judge.adjusted(step))
        amount = shown(abs(step["value"]) if there else step["value"])
        way = ("rises" if step["value"] > 0 else "falls") if there else "changes"
        words.append(
            f"{name} is {shown(before['value'])} before and {shown(after['value'])} after the "
            f"grokking epoch of each run: it {way} by {amount} "
            f"(change: {interval(step)}, {p_of(step)})"
            f"{'' if there else ', which is indistinguishable from no change'}."
        )
        if observable == "size":
            word = {"rises": "Yes", "falls": "No, it is smaller", "changes": "Not shown"}[way]
    if not word:
        return None
    if len(words) > 1:
        words[1] += " The excess leaves out the first step, which the threshold fixes."
    return Answer("change", "Is D larger after grokking than before?", word, tuple(words))


def against_null(rows: Sequence[Row]) -> Answer | None:
    """Say yes where D is below the Gaussian null before and above it after, both with p < 0.05."""
    sides, words = {}, []
    for window, name in (("pre", "Before"), ("post", "After")):
        gap = one(rows, "data-minus-null", window, surrogate="gaussian")
        own = one(rows, "exponent", window, surrogate="none")
        if gap is None:
            continue
        sides[window] = (1 if gap["value"] > 0 else -1) if judge.apart(judge.adjusted(gap)) else 0
        where = {1: "above", -1: "below", 0: "indistinguishable from"}[sides[window]]
        sentence = (
            f"{name} grokking D is {where} that of {GAUSSIAN}: data minus null "
            f"{shown(gap['value'])} ({interval(gap)}, {p_of(gap)})."
        )
        if own is not None and own["ci_low"] is not None:
            low, high = own["ci_low"], own["ci_high"]
            place = "lies above" if low > 1 else "lies below" if high < 1 else "contains"
            sentence += f" Its own {interval(own)} {place} 1."
        words.append(sentence)
    if len(sides) < 2:
        return None
    crossing = sides["pre"] == -1 and sides["post"] == 1
    partly = sides["pre"] != sides["post"]
    word = "Yes" if crossing else "Only in part" if partly else "No"
    question = "Does D go from below that of random numbers to above it?"
    return Answer("against-null", question, word, tuple(words))


def kept(rows: Sequence[Row], name: str) -> tuple[str, Row | None]:
    """Return how much of the distance a null model keeps after grokking, and the row of it."""
    row = one(rows, "fraction-kept", "post", surrogate=name)
    if row is None or row["ci_low"] is None:
        return "undefined", row
    if row["ci_low"] > judge.HALF:
        return "most", row
    return ("little" if row["ci_high"] < judge.HALF else "unsettled"), row


def arrangement(rows: Sequence[Row]) -> Answer | None:
    """Judge by what `permute` and `gaussianize` keep of D(data) - D(gaussian) after grokking.

    Mostly the distribution, where `permute` keeps most (interval above one half) and `gaussianize`
    keeps little (interval below) or is not there; mostly the arrangement, where `permute` keeps
    little and `gaussianize` does not. A smaller part is left to the arrangement where the data
    differ from `permute` as well.
    """
    chosen = of(rows, "fraction-kept", window="post")
    if "permute" not in [row["surrogate"] for row in chosen]:
        return None
    question = "Does D depend on how gradient entries are arranged, or only on their distribution?"
    (moved, row), (reshaped, other) = kept(rows, "permute"), kept(rows, "gaussianize")
    if row is None:
        none = "The data are indistinguishable from the Gaussian null: there is nothing to share."
        return Answer("arrangement", question, "Not defined", (none,))
    distribution = moved == "most" and reshaped not in ("most", "unsettled")
    word = "Not settled"
    if distribution:
        word = "Mostly on their distribution"
    elif moved == "little" and reshaped != "little":
        word = "Mostly on their arrangement"
    sentence = (
        "Of the distance between data and Gaussian null after grokking, shuffling the values over "
        f"all parameters keeps {shown(row['value'], '.2f')} ({interval(row, '.2f')})"
    )
    if other is not None:
        sentence += (
            "; making their distribution normal, with the rank, place and sign of every value "
            f"unchanged, keeps {shown(other['value'], '.2f')} ({interval(other, '.2f')})"
        )
    words = [f"{sentence}."]
    gap = one(rows, "data-minus-null", "post", surrogate="permute")
    if gap is not None:
        if distribution and judge.apart(judge.adjusted(gap)):
            word += ", in a smaller part on their arrangement"
        words.append(
            f"The arrangement contributes {shown(gap['value'])} (data minus shuffled: "
            f"{interval(gap)}, {p_of(gap)})."
        )
    rest = [
        f"{r['surrogate']} {shown(r['value'], '.2f')} ({interval(r, '.2f')})"
        for r in chosen
        if r["surrogate"] not in ("permute", "gaussianize") and r["value"] is not None
    ]
    if rest:
        words.append(f"The other null models keep: {'; '.join(rest)}.")
    return Answer("arrangement", question, word, tuple(words))


def panel(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw the part of the distance to the Gaussian null that each null model keeps."""
    from grokcrit.plot import style

    # Each window a little above or below the line of its null model.
    windows = {
        "post": ("after grokking", 0.14, style.PHASES["post"]),
        DIFFERENCE: ("change at grokking", -0.14, style.PHASES["aggregate"]),
    }
    rows = sources.asked(request, quantity="fraction-kept")
    found = [r for r in known(rows, "fraction-kept", time=None) if r["window"] in windows]
    if not found:
        raise EmptyPanelError(
            "the data are indistinguishable from the Gaussian null in these windows, so the part "
            "that a null model keeps is not defined"
            if rows
            else "there is no null model but the Gaussian one; add them with "
            "'grokcrit avalanche --surrogate all' and diagnose again"
        )
    names = [n for n in SURROGATES if any(r["surrogate"] == n for r in found)]
    for window, (label, shift, looks) in windows.items():
        points = {**looks, "linestyle": "none"}
        for r in of(found, "fraction-kept", window=window):
            y = len(names) - 1 - names.index(r["surrogate"]) + shift
            ax.plot([r["ci_low"], r["ci_high"]], [y, y], color=looks["color"])
            ax.plot([r["value"]], [y], **points)
        ax.plot([], [], label=label, **points)
    ax.axvline(0, **style.UNITY)
    ax.axvline(1, **style.UNITY)
    ax.set_yticks(range(len(names)), list(reversed(names)))
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set(xlabel="part kept: 0 Gaussian null, 1 data", ylim=(-0.6, len(names) - 0.4))
    exponent = style.exponent_label(request.statistic, request.observable)
    style.legend_above(ax, 2, title=f"{exponent}; bars: {sources.confidence('diagnostics')}")
    return ax


def describe(rows: Sequence[Row]) -> str:
    """Say what each null model keeps after grokking."""
    place = {"observable": "size", "statistic": "mean", "window": "post", "time": None}
    kept = "; ".join(
        f"{r['surrogate']} {r['value']:.2f} ({r['ci_low']:.2f} to {r['ci_high']:.2f})"
        for r in known(rows, "fraction-kept", **place)
    )
    return (
        f"Part of the distance to the Gaussian null that null models keep after grokking: {kept}."
    )


QUESTION = Question(
    quantities={
        "exponent": "D of data and nulls, `mean` and `run-max`, in `aggregate`, `pre`, `post`, "
        "`post - pre`",
        "data-minus-null": "D of the data minus D of a null, per phase and at each time; p of "
        "zero, paired draws",
        "fraction-kept": "(D_null - D_gaussian) / (D_data - D_gaussian); Fieller's interval; null "
        "where the data are indistinguishable from the Gaussian null",
    },
    primary={"quantity": "data-minus-null", "observable": "size", "statistic": "mean"}
    | {"surrogate": "gaussian", "window": DIFFERENCE},
    of_curves=of_curves,
    every_null=True,
    section=section,
    about="A null model is the same gradient with something destroyed. The part of D's distance "
    "to random numbers (gaussian: i.i.d. normal numbers) that remains does not depend on what was "
    "destroyed. permute: values shuffled over all parameters; permute-layers: inside each tensor; "
    "sign-flip: random signs; gaussianize: ranks, places and signs kept, the distribution made "
    "normal. kept: 1 is all of the distance, 0 is none of it.",
    cautions=cautions,
    answers=answers,
    panels={"kept": Panel(panel, ("diagnostics",))},
    shown=(
        Shown(
            "kept",
            "What each null model keeps",
            "0: no more than random numbers of a Gaussian distribution; 1: all that the data have.",
            describe,
            training=True,
        ),
    ),
)
