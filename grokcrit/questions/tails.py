"""Tails: power-law fits of each size's distribution of avalanches; the crackling-noise relation."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy import special

from grokcrit.base.parallel import Stop
from grokcrit.base.rng import stream
from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.questions import judge
from grokcrit.questions.family import Family
from grokcrit.questions.question import Question, Task
from grokcrit.questions.rows import ends, finding, groups, index, labelled
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling, tails
from grokcrit.scaling.ensembles import Ensemble, Ints
from grokcrit.scaling.resampling import Widening
from grokcrit.scaling.tails import TailFit, Upper

# Observables whose distribution is fitted: they count.
FITTED = ("size", "area", "duration")
# How the cutoffs are chosen: both by the data, or the lower one alone.
CUTOFFS: dict[str, Upper] = {"both cutoffs": "free", "lower cutoff": None}
SHORT = "range too short for a reliable exponent"
# Resamples of the runs behind an interval; each searches its cutoffs again.
REFITS = 200


def of_family(family: Family, options: DiagnoseOptions) -> list[Task]:
    """Fit every distribution; compare the exponents of size and duration."""
    known = [name for name in FITTED if family.data.has(name)]
    made: list[Task] = [partial(distributions, family.data, name, options) for name in known]
    if "duration" in known:
        made.append(partial(crackling, family.data, options.confidence))
    return made


def distributions(
    ensemble: Ensemble, observable: str, options: DiagnoseOptions, stop: Stop
) -> list[Row]:
    """Fit P(s) ~ s^-tau for every size in every phase.

    The interval is over resampled runs, cutoffs sought again in each; p is the goodness of fit
    (METHOD, section 7). Likelihood ratios are positive where the power law is the better one. Both
    p take avalanches to be independent, which those of one run are not: they are indicative.
    """
    draws = resampling.draw_runs(ensemble, options.resamples, options.seed)
    values = np.nan_to_num(ensemble.observe(observable)).astype(np.int64)
    rows: list[Row] = []
    for window in ensemble.phases:
        stop.check()
        inside = scaling.windows(ensemble, window).bin_of >= 0
        for k, n in enumerate(ensemble.sizes):
            chosen = inside & (ensemble.size_of[ensemble.run] == k) & (values > 0)
            found: list[Row] = []
            for part, upper in CUTOFFS.items():
                rng = stream("tails", options.seed, observable, window, int(n), part)
                known = np.unique(values[chosen], return_counts=True)
                fit = None
                if chosen.any():
                    fit = tails.fit(*known, upper=upper, gof=options.gof, rng=rng)
                drawn = draws[k][:REFITS]
                tau = run_interval(ensemble, values, chosen, k, drawn, upper, options.confidence)
                found += labelled(rows_of(fit, tau, len(values[chosen])), part=part)
            rows += labelled(found, window=window, n_params=int(n))
    return labelled(rows, **ensemble.case, observable=observable)


def run_interval(
    ensemble: Ensemble,
    values: Ints,
    chosen: np.ndarray[tuple[int], np.dtype[np.bool_]],
    k: int,
    drawn: Ints,
    upper: Upper,
    confidence: float,
) -> tuple[float, float]:
    """Interval of tau over resampled runs, widened for few of them; NaN where there is none."""
    runs = np.flatnonzero(ensemble.size_of == k)
    if len(runs) < 2 or not chosen.any():
        return np.nan, np.nan
    distinct, place = np.unique(values[chosen], return_inverse=True)
    counts = np.zeros((len(runs), len(distinct)), np.int64)
    np.add.at(counts, (np.searchsorted(runs, ensemble.run[chosen]), place), 1)
    exponents = np.full((len(drawn), 1), np.nan)
    for d, picks in enumerate(drawn):
        total = counts[picks].sum(axis=0)
        seen = total > 0
        found = tails.search(tails.counted(distinct[seen], total[seen]), None, upper)
        if found is not None:
            exponents[d, 0] = found.exponent
    n = len(runs)
    few = Widening(
        np.array([math.sqrt(n / (n - 1))]), np.array([n - 1.0]), np.array([False]), np.zeros(1)
    )
    low, high = resampling.interval(exponents, few, confidence)
    return float(low[0]), float(high[0])


def rows_of(fit: TailFit | None, tau: tuple[float, float], n: int) -> list[Row]:
    """Make the rows of one fit."""
    if fit is None:
        return [finding("tau", None, n=n, method="no range can be fitted")]
    largest = fit.lower * 10**fit.decades
    words = f"{fit.lower} to {largest:.0f}, {fit.decades:.1f} decades"
    method = f"{words}: {SHORT}" if fit.short else words
    rows = [
        finding("tau", fit.exponent, ci_low=tau[0], ci_high=tau[1], p=fit.p, method=method),
        finding("tau-stderr", fit.stderr, method="observed information"),
        finding("tau-lower", float(fit.lower)),
        finding("tau-upper", None if fit.upper is None else float(fit.upper)),
        finding("tau-decades", fit.decades),
        finding("tau-distance", fit.distance, method="Kolmogorov-Smirnov"),
    ]
    for name, r in fit.ratios.items():
        quantity = f"ratio-{name.replace(' ', '-')}"
        rows.append(finding(quantity, r.normalised, p=r.p, method="normalised"))
    rows.append(finding("truncated-tau", fit.truncated.exponent))
    rows.append(finding("truncated-cutoff", fit.truncated.cutoff))
    return labelled(rows, n=fit.n)


def crackling(ensemble: Ensemble, confidence: float, _: Stop) -> list[Row]:
    """Compare (tau_T - 1) / (tau_S - 1) with gamma of <S>(T) ~ T^gamma, for every size.

    ``crackling-left`` and ``crackling-right`` are its sides, null where an exponent does not exist;
    the p of the right is that of their being equal, both taken to be normal and independent.
    """
    observed = (np.nan_to_num(ensemble.observe(name)) for name in ("size", "duration"))
    size, duration = (values.astype(np.int64) for values in observed)
    rows: list[Row] = []
    z = special.ndtri(0.5 + confidence / 2)
    for window in ensemble.phases:
        inside = scaling.windows(ensemble, window).bin_of >= 0
        for k, n in enumerate(ensemble.sizes):
            chosen = inside & (ensemble.size_of[ensemble.run] == k) & (size > 0)
            s, t = size[chosen], duration[chosen]
            fits = [
                tails.fit(*np.unique(v, return_counts=True), upper="free") if len(v) else None
                for v in (s, t)
            ]
            sides = tails.crackling(fits[0], fits[1], s, t)
            p = np.nan
            if sides[0] is not None and sides[1] is not None:
                error = math.hypot(sides[0].stderr, sides[1].stderr)
                p = 2 * special.ndtr(-abs(sides[0].value - sides[1].value) / error)
            for name, side in zip(("crackling-left", "crackling-right"), sides, strict=True):
                value, reach = (np.nan, np.nan) if side is None else (side.value, z * side.stderr)
                row = finding(name, value, ci_low=value - reach, ci_high=value + reach, n=len(s))
                row |= {"window": window, "n_params": int(n)}
                rows.append(row | finding(name, value, p=p if name.endswith("right") else None))
    return labelled(rows, **ensemble.case)


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up the power-law fit of each size, all snapshots; none where there is no range to fit."""
    out = []
    all_snapshots = [r for r in rows if r["window"] == "aggregate"]
    fits = [r for r in all_snapshots if r["quantity"].startswith(("tau", "ratio-"))]
    keys = (*shown, "observable", "part", "n_params")
    for key, mine in groups(fits, *keys).items():
        tau = index(mine, "quantity")["tau",]
        if tau["value"] is None:
            continue
        ratios = {r["quantity"].removeprefix("ratio-"): r for r in mine if "ratio" in r["quantity"]}
        better = [k for k, r in ratios.items() if (r["value"] or 0) < 0 and judge.apart(r["p"])]
        out.append(
            dict(zip((*shown, "observable", "free", "N"), key, strict=True))
            | {
                "tau": tau["value"],
                "interval": ends(tau),
                "p": tau["p"],
                "n": tau["n"],
                "range": tau["method"],
                "told apart, better": ", ".join(better) or None,
            }
        )
    without = sum(r["quantity"] == "tau" and r["value"] is None for r in fits)
    title = f"power-law fits P(s) ~ s^-tau of single sizes ({without} more have no range to fit)"
    return Summary(title, out, formats={"tau": ".2f", "interval": ".2f", "p": ".2f"})


QUESTION = Question(
    checks=("tau",),
    quantities={
        "tau": "exponent of P(s) ~ s^-tau of one size; interval over resampled runs, p the "
        "goodness of fit; `method` says the range, and where it is too short",
        "tau-stderr, tau-lower, tau-upper, tau-decades, tau-distance": "of the fit; samples taken "
        "as independent",
        "ratio-lognormal, ratio-exponential, ratio-truncated-power-law": "normalised "
        "log-likelihood ratio, positive where the power law is better, with its p",
        "truncated-tau, truncated-cutoff": "exponent and cutoff of the truncated power law",
        "crackling-left, crackling-right": "(tau_T - 1) / (tau_S - 1), and gamma of "
        "<S>(T) ~ T^gamma",
    },
    of_family=of_family,
    section=section,
)
