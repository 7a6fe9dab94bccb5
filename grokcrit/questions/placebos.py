"""Placebos: would any split in time, or any run's grokking epoch, show the same?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokcrit.base.rng import stream
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DIFFERENCE
from grokcrit.plot.panel import Panel
from grokcrit.plot.sources import EmptyPanelError, Request, Sources
from grokcrit.questions import judge
from grokcrit.questions.family import Course, gap_of, over_replicates, phases
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer, Asked, Question, Shown
from grokcrit.questions.rows import (
    PHASES_AND_CHANGE,
    ends,
    finding,
    groups,
    index,
    interval,
    known,
    labelled,
    missing,
    of,
    of_bins,
    one,
    p_of,
    shown,
)
from grokcrit.scaling import fits, resampling
from grokcrit.scaling.clocks import BIN, Windows, windows
from grokcrit.scaling.crossings import lasting_rise
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.reductions import over_runs
from grokcrit.scaling.times import rise_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERMUTED = "grokking epochs permuted among the runs of a size"


def of_curves(asked: Asked) -> list[Row]:
    """Split every run elsewhere: at one epoch for all, at the grokking epoch of another run."""
    family, options = asked.family, asked.options
    # A cutoff is a ratio of two means, and its placebos would repeat those of the mean.
    if asked.statistic == "cutoff" or np.isnan(family.data.grok).all():
        return []
    rows = splits(asked)
    for level in asked.levels:
        gap = gap_of(asked.own.epoch, asked.gaussian.epoch if asked.gaussian else None, level)
        if gap is not None:
            found = split_crossings(gap, options.splits, options.confidence)
            rows += labelled(found, window="epoch", part=level)
    base = family.nulls.get("gaussian")
    data = shuffled([family.data], asked.observable, asked.statistic)
    null = shuffled(base, asked.observable, asked.statistic) if base else None
    return rows + permuted(asked, data, null)


def splits(asked: Asked) -> list[Row]:
    """Split every run that groks at one common epoch instead of its own grokking epoch.

    ``own-minus-split``: how much more the own epoch separates the phases, with the p of no more.
    """
    data, own, confidence = asked.family.data, asked.own.phases, asked.options.confidence
    rows: list[Row] = []
    for epoch in asked.options.splits:
        grok = np.where(np.isnan(data.grok), np.nan, float(epoch))
        common = dataclasses.replace(data, grok=grok)
        found = phases([common], asked.observable, asked.statistic, asked.draws)
        places = [{"window": w, "time": epoch} for w in PHASES_AND_CHANGE[1:]]
        made = of_bins("placebo-split", found[1:], confidence, places, [False, False, True])
        made += of_bins("own-minus-split", own[3:] - found[3:], confidence, places[-1:])
        rows += labelled(made, method="one epoch for all runs")
    return rows


def split_crossings(gap: Course, epochs: Sequence[int], confidence: float) -> list[Row]:
    """Time from a common epoch to the lasting rise of a gap of D(t), with the p of none."""
    if not len(gap.times):
        return []
    value = float(lasting_rise(gap.middle, gap.estimate.value))
    drawn = lasting_rise(gap.middle, gap.estimate.draws)
    drawn = drawn[~np.isnan(drawn)]
    low, high = rise_interval(gap.middle, gap.estimate, confidence)
    rows = []
    for epoch in epochs:
        row = finding("placebo-split-crossing", value - epoch, time=epoch, n=len(drawn))
        if len(drawn) and not np.isnan(value):
            beyond = min((drawn <= epoch).sum(), (drawn >= epoch).sum())
            row["p"] = float(min(1.0, 2 * (1 + beyond) / (1 + len(drawn))))
            row |= {"ci_low": missing(low - epoch), "ci_high": missing(high - epoch)}
        rows.append(row | {"method": "one epoch for all runs"})
    return rows


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """Statistics of every run under the grokking epoch of every run of its size."""

    pre: Reals  # (R, J): under the j-th grokked run's epoch, J the most grokked runs of a size
    post: Reals  # (R, J)
    aligned: Reals  # (R, J, bins)
    times: Reals  # (bins,): middle of each aligned bin
    donors: list[Ints]  # of each size, its grokked runs


def shuffled(members: Sequence[Ensemble], observable: str, statistic: str) -> Shuffled:
    """Compute everything that a permutation can need, once: permutations only pick from it."""
    ensemble = members[0]
    grokked = ~np.isnan(ensemble.grok)
    donors = [np.flatnonzero(grokked & (ensemble.size_of == k)) for k in range(len(ensemble.sizes))]
    most = max((len(d) for d in donors), default=0)
    first = np.floor((ensemble.epoch.min() - np.nanmax(ensemble.grok)) / BIN) * BIN
    last = ensemble.epoch.max() - np.nanmin(ensemble.grok)
    bins = np.arange(first, last + 1, BIN)
    pre, post = (np.full((ensemble.runs, most), np.nan) for _ in range(2))
    aligned = np.full((ensemble.runs, most, len(bins)), np.nan)
    for j in range(most):
        grok = np.full(ensemble.runs, np.nan)
        for mine in donors:
            if j < len(mine):
                grok[mine] = ensemble.grok[mine[j]]
        other = dataclasses.replace(ensemble, grok=grok)
        start = np.floor((ensemble.epoch - np.nan_to_num(grok)[ensemble.run]) / BIN) * BIN
        place = np.searchsorted(bins, start)
        inside = ~np.isnan(grok)[ensemble.run]
        kinds = (
            windows(other, "pre"),
            windows(other, "post"),
            Windows("aligned", bins.astype(int).tolist(), np.where(inside, place, -1)),
        )
        values = [over_replicates(members, observable, kind, statistic) for kind in kinds]
        pre[:, j], post[:, j], aligned[:, j] = values[0][:, 0], values[1][:, 0], values[2]
    return Shuffled(pre, post, aligned, bins + BIN / 2, donors)


def permutations(donors: Iterable[Ints], runs: int, count: int, key: tuple[int, ...]) -> Ints:
    """Draw which donor each run gets, shape (runs, count); the first column leaves all in place."""
    rng = stream("placebo", *key)
    picks = np.zeros((runs, count + 1), np.int64)
    for mine in donors:
        order = np.argsort(rng.random((count, len(mine))), axis=1).T
        picks[mine, 0], picks[mine, 1:] = np.arange(len(mine)), order
    return picks


def picked(values: Reals, picks: Ints) -> Reals:
    """Take each run's statistic under the donor it got: (R, J, ...) to (R, count, ...)."""
    index = picks.reshape(*picks.shape, *([1] * (values.ndim - 2)))
    return np.take_along_axis(values, index, axis=1)


def permuted(asked: Asked, data: Shuffled, null: Shuffled | None) -> list[Row]:
    """Give every run the grokking epoch of a run of its size, drawn without replacement.

    The interval is the central range of the permuted values, p the two-sided share as far out.
    """
    ensemble, statistic, options = asked.family.data, asked.statistic, asked.options
    key = options.seed, *map(int, ensemble.sizes)
    picks = permutations(data.donors, ensemble.runs, options.permutations, key)

    def exponents(values: Reals) -> Reals:
        by_size = over_runs(ensemble, values, statistic)
        return fits.exponents(ensemble.sizes, by_size)

    def contrast(of: Shuffled) -> Reals:
        return exponents(picked(of.post, picks)) - exponents(picked(of.pre, picks))

    def course(of: Shuffled) -> Reals:
        # Some permutations at once: of 150 runs and 6,700 epochs all would take gigabytes.
        count = max(1, resampling.CHUNK // (8 * ensemble.runs * len(of.times)))
        found = []
        for first in range(0, picks.shape[1], count):
            flat = picked(of.aligned, picks[:, first : first + count]).reshape(ensemble.runs, -1)
            by_size = over_runs(ensemble, flat, statistic)
            whole = ~np.isnan(by_size).any(axis=1)
            found.append(np.where(whole, fits.exponents(ensemble.sizes, by_size), np.nan))
        return np.concatenate(found).reshape(-1, len(of.times))

    rows = [against("placebo-permuted", contrast(data), options.confidence)]
    rows[0]["window"] = DIFFERENCE
    own = course(data)
    for level in asked.levels:
        gaps = own - (course(null) if level == "gaussian" and null is not None else 1.0)
        rises = np.array([rise_of(data.times, gap) for gap in gaps])
        row = against("placebo-permuted-crossing", rises, options.confidence)
        rows.append(row | {"window": "aligned", "part": level})
    return rows


def rise_of(times: Reals, gap: Reals) -> float:
    """Lasting rise of one curve with gaps."""
    there = ~np.isnan(gap)
    return float(lasting_rise(times[there], gap[there])) if there.sum() > 1 else np.nan


def against(quantity: str, values: Reals, confidence: float) -> Row:
    """Compare the first of some values with the others."""
    found, others = values[0], values[1:][~np.isnan(values[1:])]
    row = finding(quantity, float(found), n=len(others), method=PERMUTED)
    if len(others):
        low, high = np.quantile(others, (0.5 - confidence / 2, 0.5 + confidence / 2))
        row |= {"ci_low": float(low), "ci_high": float(high)}
        if not np.isnan(found):
            # What a permutation leaves as it was counts as equal, whatever rounding does.
            slack = 1e-12 * max(1.0, abs(found))
            farther = min((others <= found + slack).sum(), (others >= found - slack).sum())
            row["p"] = min(1.0, 2 * (1 + int(farther)) / (1 + len(others)))
    return row


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up D before and after: true split, common splits, permuted grokking epochs."""
    out = []
    quantities = ("exponent", "placebo-split", "own-minus-split", "placebo-permuted")
    chosen = of(rows, *quantities, statistic="mean", surrogate="none")
    for key, mine in groups(chosen, *shown, "observable").items():
        times = sorted({r["time"] for r in of(mine, "placebo-split")} - {None})
        if not times:
            continue
        labels = dict(zip((*shown, "observable"), key, strict=True))
        place = index(mine, "quantity", "window", "time")
        names = [("own grokking epoch", "exponent", None)]
        names += [(f"all at epoch {t}", "placebo-split", t) for t in times]
        for name, quantity, time in names:
            before, after, change = (place[quantity, w, time] for w in ("pre", "post", DIFFERENCE))
            own = place["own-minus-split", DIFFERENCE, time]
            row = labels | {"split": name, "before": before["value"], "after": after["value"]}
            row |= {
                "change": change["value"],
                "interval": ends(change),
                "p": judge.adjusted(change),
            }
            out.append(row | {"own - this": own["value"], "p own - this": judge.adjusted(own)})
        permuted = place["placebo-permuted", DIFFERENCE, None]
        told = {"interval": ends(permuted), "p own - this": judge.adjusted(permuted)}
        out.append(dict.fromkeys(out[-1]) | labels | {"split": "epochs permuted in a size", **told})
    title = "placebos: D of the mean before and after other splits than each run's grokking epoch"
    return Summary(title, out, formats={"p": ".2g", "p own - this": ".2g"})


def more(row: Row) -> bool:
    """Return whether the runs' own grokking epochs separate D more than a common split does."""
    return row["value"] > 0 and judge.apart(judge.adjusted(row))


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn where a placebo separates the phases no less than grokking does."""
    chosen = {"observable": "size", "statistic": "mean"}
    p = [r["p"] for r in of(rows, "placebo-permuted", **chosen) if r["p"] is not None]
    alike = [each for each in p if not judge.apart(each)]
    equal = {r["time"] for r in known(rows, "own-minus-split", **chosen) if not more(r)}
    return warn("placebo-permuted", [f"{min(alike):.2g}"] if alike else []) + warn(
        "placebo-split", sorted(equal)
    )


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say yes where own epochs change D more than permuted ones and than every common split."""
    size = [row for row in rows if row["observable"] == "size"]
    permuted = one(size, "placebo-permuted", DIFFERENCE)
    common = [r for r in known(size, "own-minus-split", window=DIFFERENCE) if r["p"] is not None]
    words, tied = [], True
    if permuted is not None and permuted["p"] is not None and permuted["ci_low"] is not None:
        tied = judge.apart(judge.adjusted(permuted)) and permuted["value"] > permuted["ci_high"]
        words.append(
            "With the grokking epochs permuted among the runs of a size, D changes by "
            f"{shown(ends(permuted))}; with their own, by {shown(permuted['value'])} "
            f"({p_of(permuted)}): {'more' if tied else 'not more'}."
        )
    if common:
        times = ", ".join(str(r["time"]) for r in common)
        words.append(f"One split for all runs was tried at epoch {times}.")
        equal = [r for r in common if not more(r)]
        for r in equal:
            larger = r["value"] < 0 and judge.apart(judge.adjusted(r))
            words.append(
                f"A split at epoch {r['time']} changes D "
                f"{'more' if larger else 'no less, within the error'}: own epochs minus this split "
                f"{shown(r['value'])} ({interval(r)}, {p_of(r)})."
            )
        if not equal:
            words.append("Each of them changes D less than the runs' own grokking epochs do.")
        tied = tied and not equal
    if not words:
        return []
    question = "Is the change tied to each run's own grokking epoch?"
    return [Answer("own-epoch", question, "Yes" if tied else "Not shown", tuple(words))]


def panel(ax: Axes, sources: Sources, request: Request) -> Axes:
    """Draw the change of D at common splits, beside that at each run's own grokking epoch."""
    from grokcrit.plot import style

    place = {"window": DIFFERENCE, "surrogate": "none"}
    own = sources.asked(request, quantity="exponent", **place)
    split = known(sources.asked(request, quantity="placebo-split", **place), "placebo-split")
    if not split or not own or own[0]["value"] is None:
        raise EmptyPanelError(
            "there are no placebos to show; 'grokcrit diagnose avalanche.parquet' makes them"
        )
    split.sort(key=lambda row: row["time"])
    ax.axhline(own[0]["value"], color=style.BLUE, label="own grokking epochs")
    if own[0]["ci_low"] is not None:
        ax.axhspan(own[0]["ci_low"], own[0]["ci_high"], color=style.BLUE, **style.BAND)
    looks = {**style.PHASES["post"], "linestyle": "none"}
    time, value = ([row[name] for row in split] for name in ("time", "value"))
    ax.plot(time, value, **looks, label="one epoch for all runs")
    for r in split:
        if r["ci_low"] is not None:
            ax.plot([r["time"], r["time"]], [r["ci_low"], r["ci_high"]], color=looks["color"])
    permuted = sources.asked(request, quantity="placebo-permuted", window=DIFFERENCE)
    if permuted and permuted[0]["ci_low"] is not None:
        ax.axhspan(
            permuted[0]["ci_low"],
            permuted[0]["ci_high"],
            facecolor="none",
            edgecolor=style.INK,
            linestyle=":",
            label="own epochs permuted, central range",
        )
    ax.axhline(0, **style.UNITY)
    ax.margins(x=0.06)
    exponent = style.exponent_label(request.statistic, request.observable)
    ax.set(xlabel="split (epoch)", ylabel=f"change of {exponent}")
    style.legend_above(ax, 1, title=f"bars, band: {sources.confidence('diagnostics')}")
    return ax


def describe(rows: Sequence[Row]) -> str:
    """Say how much D changes at each common split."""
    place = {"observable": "size", "statistic": "mean", "window": DIFFERENCE}
    found = sorted(known(rows, "placebo-split", **place), key=lambda row: row["time"])
    told = "; ".join(f"epoch {r['time']}: {r['value']:.3f}" for r in found)
    return f"Change of D of the mean size at one split for all runs, {told}."


QUESTION = Question(
    quantities={
        "placebo-split": "D before and after one common epoch (`time`) for all runs",
        "own-minus-split": "how much more the runs' own grokking epochs separate the phases; p of "
        "no more",
        "placebo-split-crossing": "time from a common epoch to the lasting rise of D(t)",
        "placebo-permuted": "post - pre; the interval is the central range under grokking epochs "
        "permuted among the runs of a size, p two-sided",
        "placebo-permuted-crossing": "the same for the lasting rise of the aligned D(t)",
    },
    training="grokking epochs",
    of_curves=of_curves,
    section=section,
    timed=("placebo-split", "own-minus-split"),
    about="A placebo splits the training elsewhere than at the grokking epoch. Where it separates "
    "D before from D after as well as grokking does, the separation is no evidence of grokking.",
    cautions=cautions,
    answers=answers,
    panels={"placebos": Panel(panel, ("diagnostics",), height=2.9)},
    shown=(
        Shown(
            "placebos",
            "Splits that know nothing of grokking",
            "How much D changes at one epoch for all runs, beside how much it changes at each "
            "run's own grokking epoch, and at those epochs exchanged among the runs of a size.",
            describe,
        ),
    ),
)
