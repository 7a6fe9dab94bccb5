"""The source's claims held against our tables, row by row.

Where the source gives an error, abs(difference) <= 2 sqrt(se^2 + se_source^2) agrees (METHOD,
section 5). Where it gives none, or words, the verdict is "consistent" or "not seen", by the rule
that each function states.
"""

from __future__ import annotations

from grokcrit.base.vocabulary import STATISTICS
from grokcrit.paper import claim_dynamics as dynamics
from grokcrit.paper import claim_exponents as exponents
from grokcrit.paper import claim_synthetic as synthetic
from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import Claim, Tables

__all__ = ["Claim", "claims"]


def claims(tables: Tables) -> list[Claim]:
    """Judge every claim that XOR and the synthetic control can answer.

    Parameters
    ----------
    tables
        ``train`` (without gradients), ``avalanche``, ``fss``, ``bootstrap`` of the default
        experiment; ``topologies-avalanche`` and ``topologies-fss``: five topologies x graph seeds,
        data and null; ``shadow-fss``, ``shadow-train``; ``choices-fss`` and ``choices-train``:
        other choices.
    """
    rows = [exponents.phase(source.D_BEFORE, "pre", s, tables) for s in STATISTICS]
    rows += [exponents.phase(source.D_AFTER, "post", s, tables) for s in STATISTICS]
    rows.append(exponents.phase(source.D_AGGREGATE, "aggregate", "max", tables))
    rows.append(exponents.phase(source.GAMMA, "aggregate", "mean", tables))
    rows += synthetic.synthetic(tables)
    rows.append(dynamics.grokking_epochs(tables))
    rows += dynamics.gini(tables)
    resampled = [s for s in STATISTICS if s != "max"]
    rows += [exponents.peaks(s, tables) for s in resampled]
    rows += [exponents.leave_one_out(s, tables) for s in resampled]
    rows.append(dynamics.relaxation(tables))
    rows.append(dynamics.deviation(tables))
    rows.append(exponents.crossing_topologies(tables))
    rows.append(exponents.crossing_shadow(tables))
    rows.append(dynamics.single_fits(tables))
    return rows
