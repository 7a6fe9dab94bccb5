"""Claims on the synthetic Gaussian baseline."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.vocabulary import THE_FIVE
from grokcrit.paper import reference as source
from grokcrit.paper.claim_row import Claim, Tables, basis, number, select, span, verdict
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling.sampling import sampling_cv


def synthetic(tables: Tables) -> list[Claim]:
    """Judge the Gaussian baseline: its exponent, and its spread beside that of sampling alone.

    The exponent is consistent when 0.99 lies within our range over the topologies' means; the CV
    when it is below 0.3 %.
    """
    whole = tables["topologies-fss"]
    place = {"observable": "size", "statistic": "mean", "window": "aggregate", "time": None}
    fits = [f for f in select(whole, surrogate="gaussian", **place) if f["exponent"] is not None]
    exponents = np.array([f["exponent"] for f in fits])
    names = [t for t in THE_FIVE if any(f["topology"] == t for f in fits)]
    means = [float(np.mean([f["exponent"] for f in fits if f["topology"] == t])) for t in names]
    cv = float(exponents.std(ddof=1) / exponents.mean())
    null = gaussian(tables["topologies-avalanche"])
    expected = sampling_cv(scaling.ensembles(null))
    single = single_run_cv(null)
    spreads = [
        float(np.std([f["exponent"] for f in fits if f["topology"] == t], ddof=1)) for t in names
    ]
    each = ", ".join(
        f"{t} {m:.3f} (CV {s / m:.2%})" for t, m, s in zip(names, means, spreads, strict=True)
    )
    inside = min(means) - 0.005 <= 0.99 <= max(means) + 0.005
    cut = sum(f["n_truncated"] for f in fits)
    where = sorted({f["topology"] for f in fits if f["n_truncated"]})
    remark = (
        f" {cut} avalanches were cut off, on {', '.join(where)}: under 'diffuse' a node without "
        "neighbours never relaxes, and how many there are differs from graph to graph."
        if cut
        else ""
    )
    return [
        Claim(
            source.SYNTHETIC.claim,
            source.SYNTHETIC.text,
            number(float(exponents.mean())),
            f"{span(min(means), max(means))} (topologies)",
            "is the null",
            verdict(inside),
            basis(source.SYNTHETIC),
            f"Synthetic baseline by topology: {each}; single graphs give "
            f"{span(float(exponents.min()), float(exponents.max()))}.",
            float(exponents.mean()),
            min(means),
            max(means),
        ),
        Claim(
            source.SYNTHETIC_CV.claim,
            source.SYNTHETIC_CV.text,
            f"{cv:.2%}",
            "-",
            f"sampling alone {expected:.2%}",
            verdict(cv < 0.003),
            basis(source.SYNTHETIC_CV),
            f"CV of the synthetic D over {len(fits)} graphs: {cv:.2%}, sampling alone would give "
            f"{expected:.2%}; with one run's draws a fit, as in the source, {single[0]:.2%}, "
            f"sampling alone {single[1]:.2%}. By topology: {each}.{remark}",
            cv,
            null_value=expected,
        ),
    ]


def gaussian(avalanches: pa.Table) -> pa.Table:
    """Return the rows of the Gaussian null."""
    return avalanches.filter(pc.equal(avalanches["surrogate"], "gaussian"))


def single_run_cv(nulls: pa.Table) -> tuple[float, float]:
    """CV over graphs when graph seed j uses run j alone (51 draws a size), and that of sampling."""
    paired = nulls.filter(pc.equal(nulls["seed"], nulls["graph_seed"]))
    exponents = []
    for ensemble in scaling.ensembles(paired):
        bins = scaling.windows(ensemble, "aggregate")
        exponents.append(scaling.exponent(ensemble, ensemble.observe("size"), bins, "mean"))
    return float(np.std(exponents, ddof=1) / np.mean(exponents)), sampling_cv(
        scaling.ensembles(paired)
    )
