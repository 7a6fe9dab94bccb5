"""The source's claims compared with our tables, row by row.

Where the source gives an error, abs(difference) <= 2 sqrt(se^2 + se_source^2) agrees (METHOD,
section 5). Where it gives none, or words, the verdict is "consistent" or "not seen", by the rule
that each function states.
"""

from __future__ import annotations

from grokcrit.base.summary import Notice, Summary
from grokcrit.base.vocabulary import DISAGREE, STATISTICS
from grokcrit.paper import claim_controls
from grokcrit.paper import claim_dynamics as dynamics
from grokcrit.paper import claim_exponents as exponents
from grokcrit.paper import claim_scaling as scaling
from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import Claim, Tables
from grokcrit.questions.notices import warn

__all__ = ["COLUMNS", "Claim", "claims", "claims_summary"]

# What of a claim a table for people shows.
COLUMNS = ("claim", "source", "ours", "interval", "null", "agrees", "basis")


def claims(tables: Tables) -> list[Claim]:
    """Judge every claim that the tables can answer.

    Tables by name, as `reproduce` makes them: ``train`` (without gradients), ``avalanche``,
    ``fss``, ``bootstrap``, ``scaling-diagnostics`` (moments, halves and collapse of the size);
    ``topologies-avalanche``, ``topologies-fss``; ``shadow-train``,
    ``shadow-fss``; ``choices-train``, ``choices-fss``. Where they were made, ``gini-diagnostics``
    of many seeds, and of the matched controls of a task ``xor-controls-diagnostics``,
    ``modadd-controls-diagnostics``.
    """
    resampled = [s for s in STATISTICS if s != "max"]
    return [
        *(exponents.phase(source.D_BEFORE, "pre", s, tables) for s in STATISTICS),
        *(exponents.phase(source.D_AFTER, "post", s, tables) for s in STATISTICS),
        exponents.phase(source.D_AGGREGATE, "aggregate", "max", tables),
        exponents.phase(source.GAMMA, "aggregate", "mean", tables),
        *exponents.synthetic(tables),
        dynamics.grokking_epochs(tables),
        *dynamics.gini(tables),
        *(exponents.peaks(s, tables) for s in resampled),
        *(exponents.leave_one_out(s, tables) for s in resampled),
        dynamics.relaxation(tables),
        dynamics.deviation(tables),
        exponents.crossing_topologies(tables),
        exponents.crossing_shadow(tables),
        dynamics.single_fits(tables),
        scaling.fits(tables),
        scaling.single_exponent(tables),
        scaling.quasi_one_dimensional(tables),
        *claim_controls.controls(tables),
    ]


def claims_summary(rows: list[Claim], scale: str) -> Summary:
    """Sum up a reproduction: the claims beside ours, a warning for each that disagrees."""
    shown = [{name: getattr(row, name) for name in COLUMNS} for row in rows]
    warnings = warn("smoke") if scale == "smoke" else []
    warnings += [Notice("disagrees", row.words) for row in rows if row.agrees in DISAGREE]
    details = [row.as_dict() for row in rows]
    return Summary("the source beside ours", shown, warnings, details=details)
