"""Claims on scaling itself: do lines fit, do curves collapse, is it one dimension?"""

from __future__ import annotations

from grokcrit.base.vocabulary import PHASES
from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import Claim, Tables, fit, judged, number, select, span
from grokcrit.questions import collapse, halves, judge, moments
from grokcrit.questions.rows import PHASE_NAMES, index, of, one, p_of

SIZE = {"observable": "size", "surrogate": "none"}


def fits(tables: Tables) -> Claim:
    """Judge the fits: consistent when no phase's line is rejected by the scatter of runs."""
    found = {window: fit(tables["fss"], window=window) for window in PHASES}
    known = {w: row for w, row in found.items() if row["chi2_p"] is not None}
    if not known:
        words = "Lines: too few sizes or runs for a test."
        return judged(source.FITS, ours="no test", agrees="no fit", words=words)
    rejected = [window for window, row in known.items() if judge.apart(row["chi2_p"])]
    each = "; ".join(
        f"{PHASE_NAMES[w]} R^2 {number(row['r_squared'], 4)}, chi^2 {row['chi2']:.1f} on "
        f"{row['chi2_freedom']} degrees of freedom (p {row['chi2_p']:.2g})"
        for w, row in known.items()
    )
    return judged(
        source.FITS,
        ours=f"a line is rejected in {len(rejected)} of {len(known)} phases",
        interval="R^2 "
        + span(*(f(row["r_squared"] for row in known.values()) for f in (min, max))),
        agrees=not rejected,
        words=f"Mean size: {each}. R^2 is near 1 for any sizes that grow with N; chi^2 compares "
        "what is left with the scatter of runs.",
    )


def single_exponent(tables: Tables) -> Claim:
    """Judge the collapse with D alone: consistent when it is rejected in no phase."""
    rows = select(tables["scaling-diagnostics"], **SIZE)
    quality = {
        window: row
        for window in PHASES
        if (row := one(rows, "collapse-quality", window, part="D alone")) and row["p"] is not None
    }
    if not quality:
        words = "Collapse: too few avalanches or runs."
        return judged(source.COLLAPSE, ours="no collapse", agrees="no fit", words=words)
    rejected = [window for window, row in quality.items() if not judge.collapses(row)]
    each = "; ".join(
        f"{PHASE_NAMES[w]} S {row['value']:.1f} ({p_of(row)})" for w, row in quality.items()
    )
    return judged(
        source.COLLAPSE,
        ours=f"rejected in {len(rejected)} of {len(quality)} phases",
        agrees=not rejected,
        words=f"P(S > s) of all sizes against s / N^D, D alone: {each}. With a second exponent, "
        f"N^beta P(S > s): {'; '.join(collapse.described(rows))}.",
    )


def quasi_one_dimensional(tables: Tables) -> Claim:
    """Judge "quasi-1D": consistent when D of the moments before grokking may be 1, on one scale."""
    rows = select(tables["scaling-diagnostics"], **SIZE)
    mine = of(rows, "moment", window="pre")
    d = index(mine, "part")["D",]
    if d["value"] is None or d["ci_low"] is None:
        words = "Moments: too few sizes or runs."
        return judged(source.QUASI_1D, ours="no exponent", agrees="no fit", words=words)
    told = [moments.stated(rows, window) for window in moments.phases_of(of(rows, "moment"))]
    means = of(rows, "half-exponent", statistic="mean")
    split = [each for window in ("pre", "post") if (each := halves.stated(means, window))]
    return judged(
        source.QUASI_1D,
        ours=f"D of moments {number(d['value'])}, {moments.kind_of(mine)}",
        interval=span(d["ci_low"], d["ci_high"]),
        agrees=d["ci_low"] <= 1 <= d["ci_high"],
        words=f"Moments of the size: {'; '.join(told)}. Halves of the sizes: {'; '.join(split)}.",
        value=d["value"],
        low=d["ci_low"],
        high=d["ci_high"],
    )
