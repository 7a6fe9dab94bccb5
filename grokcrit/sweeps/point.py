"""One point of a sweep: train, cascade, estimate; a few rows of the sweep table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.options import CascadeOptions, options_of
from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import PHASES, STATISTICS
from grokcrit.questions.family import Family, course, families, phases, rise_above
from grokcrit.questions.rows import exponents, in_phases, missing, of_bins
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.ensembles import Ensemble, Ints
from grokcrit.scaling.resampling import Estimate
from grokcrit.stages.avalanche import avalanche
from grokcrit.sweeps.plan import Point, SweepEstimates
from grokcrit.tables import provenance
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import AVALANCHE
from grokcrit.tasks.swept import SWEEP, TRAINED


def measured(point: Point, trained: pa.Table, *, cache: bool) -> pa.Table:
    """Return the rows of a point, schema ``sweep/1``, from the gradients of its training."""
    found = avalanche(trained, threads=1, cache=cache, **point.configuration["avalanche"])
    inputs = Inputs(found, AVALANCHE)
    asked = point.estimates
    (family,) = families(scaling.ensembles_of(inputs, asked.keep_zero_threshold, asked.blocks))
    rows = estimates(family, point.estimates)
    facts = facts_of(family.data)
    facts["warnings"] = warnings(facts, rows, family.data.left_out)
    return to_table(point, [facts | row for row in rows], inputs.records)


def failed(point: Point, reason: str) -> pa.Table:
    """Make the one row of a point that failed."""
    return to_table(point, [{"error": reason}], [])


def to_table(point: Point, rows: list[Row], inputs: list[provenance.Record]) -> pa.Table:
    """Put the options of a point on its rows, and the record into the metadata."""
    options = {"point": point.key, **columns_of(point)}
    complete = [
        {name: missing((options | row).get(name)) for name in SWEEP.arrow.names} for row in rows
    ]
    record = provenance.record(
        SWEEP.name,
        point.configuration | {"code": provenance.code_version(), "point": point.key},
        root_seed=point.training.seed,
        inputs=inputs,
    )
    # Whoever computes a part, here or on a cluster, it is the same.
    record = provenance.without_command_line(record)
    return pa.Table.from_pylist(complete, SWEEP.arrow).replace_schema_metadata(
        provenance.encode(record)
    )


def columns_of(point: Point) -> Row:
    """Return the options of a point as the table names them."""
    known = options_of(type(point.training))
    defaults = {name: each.default for name, each in known.items() if each.added and each.swept}
    trained = defaults | dict(point.configuration["train"])
    measured = dict(point.configuration["avalanche"])
    row: Row = {"case": point.training.case, "field": "gradient"}
    row |= {f"{TRAINED}{name}": trained.pop(name) for name in (*options_of(CascadeOptions), "seed")}
    row |= trained
    row["avalanche_seed"] = measured.pop("seed")
    return row | {name: value for name, value in measured.items() if name != "surrogate"}


def estimates(family: Family, chosen: SweepEstimates) -> list[Row]:
    """Estimate the exponents of the data and of every null model, and where D(t) crosses."""
    draws = resampling.draw_runs(family.data, chosen.resamples, chosen.seed)
    groups = {"none": [family.data], **family.nulls}
    rows: list[Row] = []
    for observable in chosen.observable:
        for statistic in STATISTICS:
            found = {
                name: phases(members, observable, statistic, draws)
                for name, members in groups.items()
            }
            for name, estimate in found.items():
                base = found.get("gaussian") if name != "gaussian" else None
                made = in_windows(estimate, base, chosen.confidence)
                labels: Row = {"observable": observable, "statistic": statistic, "surrogate": name}
                # At one snapshot a time mean and run-max are the same.
                if (name, statistic) == ("none", "mean") and base is not None:
                    labels |= crossing(family, observable, draws, chosen.confidence)
                rows += [labels | row for row in made]
    return rows


def in_windows(estimate: Estimate, base: Estimate | None, confidence: float) -> list[Row]:
    """Make the rows of the windows of one estimate, and its differences to the Gaussian null."""
    rows = [row | {"exponent": row["value"]} for row in exponents(estimate, confidence)]
    if base is None:
        return rows
    gaps = of_bins("data-minus-null", estimate - base, confidence, in_phases())
    columns = {"minus_gaussian": "value", "minus_gaussian_low": "ci_low"}
    columns |= {"minus_gaussian_high": "ci_high", "minus_gaussian_p": "p"}
    return [
        row | {name: gap[of] for name, of in columns.items()}
        for row, gap in zip(rows, gaps, strict=True)
    ]


def crossing(family: Family, observable: str, draws: list[Ints], confidence: float) -> Row:
    """Say when D(t) rises for good above the Gaussian null, and whether it does so clearly."""
    what = (observable, "mean", "epoch", draws)
    courses = course([family.data], *what), course(family.nulls["gaussian"], *what)
    rise = rise_above(*courses, confidence)
    return {"crossing": rise.time, "crossing_clear": rise.clear if rise.judged else None}


def facts_of(data: Ensemble) -> Row:
    """Count the runs and avalanches of a point, and say when its runs grok."""
    grok = data.grok[~np.isnan(data.grok)]
    return {
        "n_runs": data.runs,
        "n_grokked": len(grok),
        "grok_epoch_min": int(grok.min()) if len(grok) else None,
        "grok_epoch_median": float(np.median(grok)) if len(grok) else None,
        "grok_epoch_max": int(grok.max()) if len(grok) else None,
        "n_avalanches": data.table.num_rows,
        "n_truncated": int(data.truncated.sum()),
        "n_quiet": pc.sum(pc.equal(data.table["size"], 0)).as_py() or 0,
    }


def warnings(facts: Row, rows: list[Row], left_out: int) -> list[str]:
    """Return the ids of what a reader must beware of, as the stages warn of it."""
    thin = any(row["window"] in PHASES and row["exponent"] is None for row in rows)
    alone = all(row["ci_low"] is None for row in rows)
    seen = {
        "never-grokked": facts["n_grokked"] < facts["n_runs"],
        "thin-window": thin,
        "no-interval": alone,
        "truncated": facts["n_truncated"] > 0,
        "quiet": facts["n_quiet"] > 0,
        "zero-threshold": left_out > 0,
        "no-null": not any(row["surrogate"] == "gaussian" for row in rows),
    }
    return [name for name, there in seen.items() if there]
