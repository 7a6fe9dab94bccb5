"""Tails: power-law fits of each size's distribution of avalanches; the crackling-noise relation."""

from __future__ import annotations

from functools import partial

from grokcrit.base.stage_options import DiagnoseOptions
from grokcrit.base.summary import Row, Summary
from grokcrit.questions import judge
from grokcrit.questions.family import Family
from grokcrit.questions.question import Question, Task
from grokcrit.questions.rows import ends, groups, index, p_cell

# Observables whose distribution is fitted: they count.
FITTED = ("size", "area", "duration")


def of_family(family: Family, options: DiagnoseOptions) -> list[Task]:
    """Fit every distribution in every phase; compare the exponents of size and duration."""
    from grokcrit.questions import tail_rows  # numba, which only fits need

    data = family.data
    known = [name for name in FITTED if data.has(name)]
    made: list[Task] = [
        partial(tail_rows.distributions, data, name, window, options)
        for name in known
        for window in data.phases
    ]
    if "duration" in known:
        made.append(partial(tail_rows.crackling, data, options.confidence))
    return made


def section(rows: list[Row], shown: list[str]) -> Summary:
    """Sum up the power-law fit of each size and of all, all snapshots; none where there is none."""
    out = []
    all_snapshots = [r for r in rows if r["window"] == "aggregate"]
    fits = [r for r in all_snapshots if r["quantity"].startswith(("tau", "ratio-"))]
    keys = (*shown, "observable", "part", "n_params")
    for key, mine in groups(fits, *keys).items():
        by_name = index(mine, "quantity")
        tau, goodness = by_name["tau",], by_name["tau-goodness",]
        if tau["value"] is None:
            continue
        ratios = {r["quantity"].removeprefix("ratio-"): r for r in mine if "ratio" in r["quantity"]}
        better = [k for k, r in ratios.items() if (r["value"] or 0) < 0 and judge.apart(r["p"])]
        out.append(
            dict(zip((*shown, "observable", "free", "N"), key, strict=True))
            | {
                "tau": tau["value"],
                "interval": ends(tau),
                "p": p_cell(goodness),
                "n": tau["n"],
                "range": tau["method"],
                "told apart, better": ", ".join(better) or None,
            }
        )
    without = sum(r["quantity"] == "tau" and r["value"] is None for r in fits)
    title = f"power-law fits P(s) ~ s^-tau ({without} more have no range to fit)"
    return Summary(title, out, formats={"tau": ".3f", "interval": ".3f"})


QUESTION = Question(
    checks=("tau", "tau-goodness"),
    quantities={
        "tau": "exponent of P(s) ~ s^-tau of one size, or of all sizes together (`part`); interval "
        "over resampled runs, p the goodness of fit; `method` says the range, where it is too "
        "short, and where none can be trusted",
        "tau-stderr, tau-lower, tau-upper, tau-decades, tau-distance": "of the fit and of the "
        "range on which a power law is not rejected; samples taken as independent",
        "tau-goodness": "p of the goodness of fit of that range, and of how many drawn data sets",
        "ratio-lognormal, ratio-exponential, ratio-truncated-power-law": "normalised "
        "log-likelihood ratio, positive where the power law is better, with its p",
        "truncated-tau, truncated-cutoff": "exponent and cutoff of the truncated power law",
        "crackling-left, crackling-right": "(tau_T - 1) / (tau_S - 1), and gamma of "
        "<S>(T) ~ T^gamma",
    },
    of_family=of_family,
    section=section,
)
