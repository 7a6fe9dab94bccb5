"""Straightness: is ln(statistic) against ln(N) a line?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokcrit.base.parallel import Stop
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import PHASES
from grokcrit.questions import judge
from grokcrit.questions.family import Family
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer, Asked, Question, Task
from grokcrit.questions.rows import (
    COLUMNS,
    PHASE_NAMES,
    finding,
    groups,
    index,
    known,
    labelled,
    of,
    of_bins,
    one,
    p_of,
    shown,
)
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.ensembles import Ensemble, Reals
from grokcrit.scaling.fits import exponent, fit
from grokcrit.scaling.lines import Lines, lines_of
from grokcrit.scaling.reductions import over_runs, over_snapshots
from grokcrit.scaling.resampling import Estimate

JOHANSEN = "chi^2 about the line, errors from runs; n: degrees of freedom"


def of_family(family: Family, options: DiagnoseOptions) -> list[Task]:
    """Fit the largest of all avalanches in each phase, with which gamma is compared."""
    data = family.data

    def task(_: Stop) -> list[Row]:
        rows = []
        for observable in options.observable:
            values = data.observe(observable)
            for window in data.phases:
                largest = exponent(data, values, windows(data, window), "max")
                rows.append(finding("exponent", largest, window=window))
                rows[-1] |= {"observable": observable, "statistic": "max"}
        return labelled(rows, **data.case)

    return [task]


def of_curves(asked: Asked) -> list[Row]:
    """Fit the exponent between neighbouring sizes, and the curvature, of each phase.

    ``local-exponent`` is ln(s_2 / s_1) / ln(N_2 / N_1), named by the smaller size; ``curvature``
    the coefficient of (ln N)^2 in a quadratic fit, with the p of zero; ``bend`` the change of slope
    from the smallest size to the largest.
    """
    data, confidence = asked.family.data, asked.options.confidence
    values = data.observe(asked.observable)
    rows: list[Row] = []
    for window in data.phases:
        bins = windows(data, window)
        by_run = over_snapshots(data, values, bins, asked.statistic)
        by_size = over_runs(data, by_run, asked.statistic)
        # Sums over the sizes depend in their last bits on how those lie in memory: side by side.
        drawn = np.ascontiguousarray(resampling.resample(data, by_run, asked.draws))
        lines = lines_of(data, by_run, asked.statistic)
        lack = lines.lack_of_fit
        found = [
            finding("lack-of-fit", lack.chi2[0], p=lack.p[0], n=lack.freedom[0], method=JOHANSEN)
        ]
        found += curvature(data, lines, by_size, drawn, confidence)
        found += local(data, lines.shares[:, 0], by_size[0], drawn[:, 0], confidence)
        rows += labelled(found, window=window)
    return rows


def curvature(
    ensemble: Ensemble, lines: Lines, by_size: Reals, drawn: Reals, confidence: float
) -> list[Row]:
    """Make the rows of the curvature."""
    bend = Estimate(
        fit(ensemble.sizes, by_size).curvature,
        fit(ensemble.sizes, drawn).curvature,
        lines.influences(power=2),
        ensemble.size_of,
    )
    if np.isnan(bend.value).all():
        return [finding("curvature", None), finding("bend", None)]
    range_of_x = np.log(ensemble.sizes[-1] / ensemble.sizes[0])
    rows = of_bins("curvature", bend, confidence, [{}])
    ends = {
        k: None if rows[0][k] is None else 2 * range_of_x * rows[0][k]
        for k in ("value", "ci_low", "ci_high")
    }
    return [*rows, finding("bend", ends.pop("value"), **ends, p=rows[0]["p"])]


def local(
    ensemble: Ensemble, shares: Reals, by_size: Reals, drawn: Reals, confidence: float
) -> list[Row]:
    """Make the rows of the exponents between neighbouring sizes; ``shares`` (R,) of the runs."""
    step = np.diff(np.log(ensemble.sizes.astype(np.float64)))

    def slopes(statistic: Reals) -> Reals:
        there = np.nan_to_num(statistic, nan=-1.0) > 0
        logs = np.where(there, np.log(np.where(there, statistic, 1.0)), np.nan)
        return np.diff(logs, axis=-1) / step

    k = ensemble.size_of
    pair = np.arange(len(step))
    # A run moves the slope above its size down and the one below it up, and no other.
    sign = (k[:, None] == pair + 1).astype(float) - (k[:, None] == pair)
    influences = np.where(sign != 0, sign * shares[:, None] / step, np.nan)
    estimate = Estimate(slopes(by_size), slopes(drawn), influences, k)
    places = [
        {"n_params": int(n), "part": f"{n} to {m}"}
        for n, m in zip(ensemble.sizes[:-1], ensemble.sizes[1:], strict=True)
    ]
    return of_bins("local-exponent", estimate, confidence, places, tested=False)


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up the curvature, and the smallest and largest exponent between neighbouring sizes."""
    out = []
    chosen = of(rows, "lack-of-fit", "curvature", "bend", "local-exponent")
    for key, mine in groups(chosen, *shown, "observable", "statistic", "window").items():
        place = index(mine, "quantity")
        found = sorted(known(mine, "local-exponent"), key=lambda row: row["value"])
        local = found or [dict.fromkeys(COLUMNS)]
        curved = place["curvature",]
        row = dict(zip((*shown, "observable", "statistic", "window"), key, strict=True))
        fit = place["lack-of-fit",]
        row |= {"chi^2": fit["value"], "dof": fit["n"], "p of fit": judge.adjusted(fit)}
        row |= {"curvature": curved["value"], "p": judge.adjusted(curved)}
        row["change of slope"] = place["bend",]["value"]
        row |= {"least local": local[0]["value"], "at N": local[0]["part"]}
        row |= {"greatest local": local[-1]["value"], "at N ": local[-1]["part"]}
        out.append(row)
    title = "straightness: is ln(statistic) against ln(N) a line?"
    return Summary(title, out, formats={"p": ".2g", "p of fit": ".2g", "chi^2": ".1f"})


def cautions(rows: Sequence[Row]) -> list[Notice]:
    """Warn of bent lines, and where gamma exceeds D."""
    bent = [judge.named(r) for r in of(rows, "bend") if judge.bent(r["value"], judge.adjusted(r))]
    size = of(rows, "exponent", observable="size", surrogate="none")
    keys = (*judge.FAMILY, "window")
    largest = index(of(size, "exponent", statistic="max"), *keys)
    above = [
        r["window"]
        for r in of(size, "exponent", statistic="mean")
        if judge.exceeds(r["value"], largest[tuple(r[k] for k in keys)]["value"])
    ]
    return warn("curved", bent) + warn("gamma-above-D", above)


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Say no where the slope changes by 0.1 or more over the sizes, with p < 0.05."""
    size = [row for row in rows if row["observable"] == "size"]
    found = [row for window in PHASES if (row := one(size, "bend", window))]
    if not found:
        return []
    bent = any(judge.bent(row["value"], judge.adjusted(row)) for row in found)
    fits = [row for window in PHASES if (row := one(size, "lack-of-fit", window))]
    misfit = any(judge.apart(judge.adjusted(row)) for row in fits)
    amounts = "; ".join(
        f"{PHASE_NAMES[r['window']]} {shown(r['value'])} ({p_of(r)})" for r in found
    )
    words = f"From the smallest size to the largest the slope changes by: {amounts}."
    tests = "; ".join(
        f"{PHASE_NAMES[r['window']]} {r['value']:.1f} on {r['n']} degrees of freedom ({p_of(r)})"
        for r in fits
    )
    if tests:
        words += f" chi^2 of the line: {tests}."
    if bent or misfit:
        words += " One exponent sums up a curve there, and depends on which sizes are taken."
    known_p = any(judge.adjusted(row) is not None for row in (*found, *fits))
    word = "No misfit is seen" if known_p else "It cannot be told"
    question = "Is it a power law: is ln(size) against ln(N) a straight line?"
    return [Answer("straight", question, "No" if bent or misfit else word, (words,))]


QUESTION = Question(
    quantities={
        "lack-of-fit": "chi^2 of ln(statistic) about the line with the errors from runs, `n` its "
        "degrees of freedom, with its p",
        "local-exponent": "between a size (`n_params`) and the next",
        "curvature, bend": "coefficient of (ln N)^2; the change of slope from the smallest to the "
        "largest size",
    },
    primary={"quantity": "lack-of-fit", "observable": "size", "statistic": "mean"}
    | {"surrogate": "none", "window": ("post", "aggregate")},
    of_family=of_family,
    of_curves=of_curves,
    section=section,
    about="An exponent means something where ln(statistic) against ln(N) is a line. The change of "
    "slope is from the smallest size to the largest; local exponents are between neighbouring "
    "sizes.",
    cautions=cautions,
    answers=answers,
)
