"""Crossings: when D(t) rises above its null or 1, when it changes most, and before grokking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokcrit.base.summary import Row, Summary
from grokcrit.questions.family import Course, gap_of
from grokcrit.questions.question import Answer, Asked, Question
from grokcrit.questions.rows import MEDIAN, ends, finding, groups, interval, labelled, of, one
from grokcrit.scaling import resampling
from grokcrit.scaling.crossings import SIDE, change_point, lasting_rise, sign_changes
from grokcrit.scaling.ensembles import Ensemble, Ints, Reals
from grokcrit.scaling.resampling import Widening
from grokcrit.scaling.times import NOWHERE, Ends, change_interval, minus, rise_interval

QUARTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def of_curves(asked: Asked) -> list[Row]:
    """Make the rows of crossings, change points and lead times, by epoch and since grokking."""
    data, confidence = asked.family.data, asked.options.confidence
    groks = drawn_medians(data, asked.draws)
    rows: list[Row] = []
    for place, course in enumerate(asked.own.courses):
        found: list[Row] = []
        for level in asked.levels:
            gap = gap_of(course, asked.gaussian.courses[place] if asked.gaussian else None, level)
            if gap is not None:
                found += labelled(crossings(gap, confidence, groks, data), part=level)
        found += changes(course, confidence, groks, data)
        rows += labelled(found, window=course.window)
    return rows


def crossings(gap: Course, confidence: float, groks: Reals, ensemble: Ensemble) -> list[Row]:
    """Make the rows of every crossing and of the headline: the upward one that lasts."""
    times = gap.middle
    if not len(times):
        return [finding("crossing", None, n=0)]
    value = gap.estimate.value
    rows = [
        finding("every-crossing", when, method="upward" if up else "downward")
        for when, up in sign_changes(times, value)
    ]
    headline = float(lasting_rise(times, value))
    drawn = lasting_rise(times, gap.estimate.draws)
    ends = rise_interval(times, gap.estimate, confidence)
    rows.append(moment("crossing", headline, drawn, ends, "upward, lasting"))
    share = float(np.isnan(drawn).mean()) if len(drawn) else None
    rows.append(finding("share-without-crossing", share, n=len(drawn), method="of the draws"))
    if gap.window == "epoch":
        few = at_time(gap, headline)
        rows += leads("crossing", headline, ends, drawn, few, confidence, groks, ensemble)
    return rows


def changes(course: Course, confidence: float, groks: Reals, ensemble: Ensemble) -> list[Row]:
    """Make the rows of the change point."""
    times = course.middle
    when, jump, share = change_point(times, course.estimate.value)
    drawn = change_point(times, course.estimate.draws)
    ends = change_interval(times, course.estimate, confidence)
    few = at_time(course, float(when))
    # The first and the last split allowed are where a change that lies beyond them shows up.
    places = () if np.isnan(when) else (SIDE, len(times) - SIDE)
    edge = any(when == times[k - 1 : k + 1].mean() for k in places)
    method = f"change point{', at the edge' if edge else ''}"
    rows = [
        moment("change-point", float(when), drawn[0], ends, method),
        moment("change-of-D", float(jump), drawn[1], over(drawn[1], few, confidence), method),
        finding("change-explained", float(share), method="share of the variance in time"),
    ]
    if course.window == "epoch":
        rows += leads("change-point", float(when), ends, drawn[0], few, confidence, groks, ensemble)
    return rows


def at_time(course: Course, when: float) -> Widening | None:
    """Return the widening for few runs of the exponent nearest to a time."""
    if np.isnan(when):
        return None
    nearest = int(np.argmin(np.abs(course.middle - when)))
    influences = course.estimate.influences[:, nearest : nearest + 1]
    return resampling.widening(influences, course.estimate.size_of)


def over(drawn: Reals, few: Widening | None, confidence: float) -> Ends:
    """Return the interval over draws of one number; NaN without any."""
    if few is None:
        return NOWHERE
    low, high = resampling.interval(drawn[:, None], few, confidence)
    return float(low[0]), float(high[0])


def moment(quantity: str, value: float, drawn: Reals, ends: Ends, method: str) -> Row:
    """Make the row of a number; ``n`` counts the draws that have it."""
    n = int((~np.isnan(drawn)).sum())
    if np.isnan(value):
        return finding(quantity, None, n=n, method=method)
    return finding(quantity, value, ci_low=ends[0], ci_high=ends[1], n=n, method=method)


def drawn_medians(ensemble: Ensemble, draws: Sequence[Ints]) -> Reals:
    """Median grokking epoch of the runs in each resample, shape (resamples,); NaN where none."""
    groks = np.concatenate(
        [ensemble.grok[ensemble.size_of == k][drawn] for k, drawn in enumerate(draws)], axis=1
    )
    known = ~np.isnan(groks).all(axis=1)
    median = np.full(len(groks), np.nan)
    median[known] = np.nanmedian(groks[known], axis=1)
    return median


def leads(
    of: str,
    value: float,
    of_value: Ends,
    drawn: Reals,
    few: Widening | None,
    confidence: float,
    groks: Reals,
    ensemble: Ensemble,
) -> list[Row]:
    """Make the rows of the lead over runs: grokking epoch minus the time of a moment of D(t).

    The interval of the median run's is made of that of the median epoch and that of the moment.
    """
    lead = ensemble.grok[~np.isnan(ensemble.grok)] - value
    if not len(lead) or np.isnan(value):
        return [finding(f"{of}-lead", None, n=0, method=MEDIAN)]
    median = float(np.median(lead))
    ends = minus(median + value, over(groks, few, confidence), value, of_value)
    rows = [
        moment(f"{of}-lead", median, groks - drawn, ends, MEDIAN),
        finding(f"{of}-lead-share", float((lead > 0).mean()), n=len(lead), method="of the runs"),
    ]
    rows += [
        finding(f"{of}-lead", float(np.quantile(lead, q)), n=len(lead), method=f"{q:.0%} of runs")
        for q in QUARTILES
    ]
    for k, n in enumerate(ensemble.sizes):
        own = ensemble.grok[(ensemble.size_of == k) & ~np.isnan(ensemble.grok)] - value
        if len(own):
            row = finding(f"{of}-lead", float(np.median(own)), n=len(own), n_params=n)
            rows.append(row | {"method": "median run of a size"})
    return rows


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up when D(t) rises for good above its null and 1, and when it changes most."""
    out = []
    # At one snapshot a bin the mean and the maximum of a run are the same number.
    starts = ("crossing", "share-", "every-", "chang")
    means = [r for r in rows if r["quantity"].startswith(starts) and r["statistic"] == "mean"]
    keys = (*shown, "observable", "window")
    for key, mine in groups(means, *keys).items():
        for what, part in (("crossing", "gaussian"), ("crossing", "1"), ("change-point", None)):
            found = of(mine, what, part=part)
            if found:
                out.append(dict(zip(keys, key, strict=True)) | line(mine, found[0], what, part))
    formats = dict.fromkeys(("time", "interval", "lead", "interval of lead"), ".1f")
    formats |= dict.fromkeys(("draws without", "runs that grok later"), ".2f")
    title = "D(t) of the mean: lasting rise, change point; lead: grokking - time"
    return Summary(title, out, formats=formats)


def line(mine: list[Row], found: Row, what: str, part: str | None) -> Row:
    """Sum up one moment of D(t)."""
    lead = of(mine, f"{what}-lead", part=part, method=MEDIAN)
    after = of(mine, f"{what}-lead-share", part=part)
    without = of(mine, "share-without-crossing", part=part)
    every = [
        f"{'up' if r['method'] == 'upward' else 'down'} {r['value']:.0f}"
        for r in of(mine, "every-crossing", part=part)
        if r["value"] is not None
    ]
    return {
        "of": part or found["method"],
        "time": found["value"],
        "interval": ends(found),
        "draws without": without[0]["value"] if without and part else None,
        "all crossings": ", ".join(every) or None,
        "lead": lead[0]["value"] if lead else None,
        "interval of lead": ends(lead[0]) if lead else None,
        "runs that grok later": after[0]["value"] if after else None,
    }


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say when D(t) rises for good above its null, and when the median run groks."""
    size = [row for row in rows if row["observable"] == "size"]
    place = {"window": "epoch", "part": "gaussian"}
    found = of(size, "crossing", **place)
    if not found:
        return []
    question = "When does D(t) rise above that of random numbers for good?"
    share = one(size, "share-without-crossing", **place)
    without = ""
    if share is not None and share["value"] > 0:
        without = f" In {100 * share['value']:.0f} % of the bootstrap draws it never does."
    when = found[0]["value"]
    if when is None:
        words = f"D(t) does not end above its null.{without}"
        return [Answer("crossing", question, "Never", (words,))]
    words = f"Of the time of the crossing: {interval(found[0], '.0f')}.{without}"
    if found[0]["ci_low"] is None:
        words = f"The scatter of runs does not fix when: D(t) may not cross its null.{without}"
    lead = one(size, "crossing-lead", **place, method=MEDIAN)
    if lead is not None:
        side = "after" if lead["value"] > 0 else "before"
        words += (
            f" The median run groks {abs(lead['value']):.0f} epochs {side} that "
            f"(grokking minus crossing: {interval(lead, '.0f')})."
        )
    return [Answer("crossing", question, f"At epoch {when:.0f}", (words,))]


QUESTION = Question(
    quantities={
        "every-crossing": "each crossing of a level (`part`: `gaussian`, `1`), upward or downward",
        "crossing": "the headline: the upward one after which D(t) stays above to the end, "
        "interpolated; interval: the times that the scatter of runs does not reject, at least a "
        "snapshot; none where D(t) may lie above from the start, or never rise",
        "share-without-crossing": "share of the draws that have none",
        "change-point, change-of-D, change-explained": "two means fitted to D(t); at least three "
        "times on either side; interval of the time: likewise, none where no change exceeds the "
        "scatter of runs",
        "crossing-lead, change-point-lead": "grokking epoch minus that moment: median run, "
        "quantiles over runs, median run of each size",
        "crossing-lead-share, change-point-lead-share": "share of the runs that grok later",
    },
    training="D in time",
    of_curves=of_curves,
    section=section,
    about="When D(t) rises for good above the Gaussian null and above 1, and when it changes most. "
    "The lead is the median run's grokking epoch minus that time.",
    answers=answers,
)
