"""Warnings that several commands and questions give: each text once, by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokcrit.base.degenerate import KEY, most_zeros
from grokcrit.base.summary import Notice
from grokcrit.saved.tensor_names import some
from grokcrit.scaling.blocks import FEWEST, LENGTH, Cut
from grokcrit.scaling.ensembles import ABSENT
from grokcrit.tables import provenance
from grokcrit.tables.provenance import whole

if TYPE_CHECKING:
    import pyarrow as pa

ADD_NULL = "'grokcrit avalanche train.parquet --surrogate none,gaussian'"
REMEDY = "use --threshold-of nonzero for the percentile of the other entries"
KEEP = "keep all with --keep-buffers, or one with --include '*' --include NAME"
EQUAL = "the {} sizes of {} have {} different n_params, and a fit takes {}"
# What follows a slash tells warnings of one id apart.
TEXTS = {
    "curved": "ln(statistic) against ln(N) is significantly bent ({}): one exponent sums up a "
    "curve, and depends on the sizes chosen",
    "gamma-above-D": "in {} gamma (mean) exceeds D (largest); the mean is never larger than the "
    "maximum, so this cannot last as N grows: it is a finite-size effect",
    "no-null": f"there is no Gaussian null to compare exponents with; add it with {ADD_NULL}",
    "null-of-other-runs": "the Gaussian null is not of the same runs, snapshots and grokking "
    f"epochs as the data, so the two are not compared; make both in one command, {ADD_NULL}",
    "null-of-other-runs/named": "{}: not of the same runs, snapshots and grokking epochs as the "
    "data, so left out; make them in one command with the data",
    "null-of-other-sizes": "data and Gaussian null are fitted over different sizes ({}), so their "
    "difference is also one of sizes: at some sizes one of the two has no data, or only 0",
    "truncated": "{} of {} avalanches were cut off at --max-steps with nodes still above the "
    "threshold: their sizes are too small",
    "few-sizes": "halves of {} sizes have no exponent, which takes three; five sizes make two "
    "halves",
    "halves-disagree": "the change of D at grokking has opposite signs on the smaller and on the "
    "larger half of the sizes ({}): one exponent sums up two regimes; look at the halves",
    "undersampled": "the fourth moment is known to no better than 20 % ({}): D and tau of moments "
    "are uncertain beyond their intervals; take more avalanches or runs",
    "quiet": "{} of {} avalanches are quiet: size 0, nothing toppled",
    "zero-threshold": "the threshold is 0 in {} of {} avalanches, whose sizes mean nothing; they "
    "are left out: cascade them with --threshold-of nonzero, or keep them with "
    "--keep-zero-threshold",
    "zero-threshold/trained": "the threshold is 0 in {} of {} cascades, because more than the "
    "percentile's share of the gradient is exactly 0; their sizes mean nothing: " + REMEDY,
    "zero-threshold/cascaded": "the threshold is 0 in {} of {} avalanches{}; their sizes mean "
    "nothing, and fits leave them out: " + REMEDY,
    "equal-values": "in {} of {} gradients (at epochs {}) many entries have one magnitude within "
    "0.1 %, as after Adam's first update; rounding decides what exceeds the threshold, so their "
    "sizes mean nothing: filter these epochs out of the table",
    "absent": "{} left out: the avalanche table has no {}",
    "absent/columns": "not in the table: {}; what is made of these is left out",
    "thin-window": "no fit in {}: fewer than three sizes have data",
    "sizes-excluded": "{} times a size was left out of a fit: no data, or 0",
    "never-grokked": "{} of {} runs never grok",
    "never-grokked/trained": "{} of {} runs never grokked: they enter neither phase, and form the "
    "window 'ungrokked'",
    "never-grokked/fitted": "{} runs of a case never grokked",
    "single-run": "a size has one run: no interval and no p can be given; make a second run, or "
    "cut a long one into --blocks",
    "blocks": "one run per size: cut into blocks, which stand for runs ({})",
    "blocks/asked": "every run was cut into blocks, which stand for runs ({})",
    "too-few-blocks": "one run per size, too short to be cut into {} blocks of {} autocorrelation "
    "times ({}): there is no interval; make more runs or longer ones",
    "lacking-size": "bins in which a size has no data: {}",
    "lacking-size/fitted": "times without a fit, a size has no data: {}",
    "unmatched": "{}: no record tells in what these cases differ, so whatever differs between them "
    "is taken for generalising; train them with 'grokcrit train --controls', or record with "
    "control=",
    "unpaired": "{}: left out of the controls, for it has other runs than the cells it belongs to, "
    "or names a case that is not there; give all cells the same widths and seeds",
    "base-never-groks": "runs of a base never grok ({}): they, and their partners in the controls, "
    "are left out of every window around grokking; train longer",
    "control-groks": "{}: runs of this control grok, so its difference is not one of generalising; "
    "give it less to learn from",
    "placebo-permuted": "with the grokking epochs permuted among the runs of a size, D of the mean "
    "size changes as much as with their own (p {})",
    "placebo-split": "one split for all runs separates D of the mean size no less than each run's "
    "own grokking epoch does: at epoch {}",
    "not-floating": "tensors of whole numbers are left out: {}",
    "no-match": "no tensor has a name that matches {}; check --include and --exclude",
    "buffers": f"buffers are left out, so they do not count in N: {{}}; {KEEP}",
    "unchanging": "tensors that never change (buffers, frozen layers, or changes too small for "
    f"their precision) are left out, so they do not count in N: {{}}; {KEEP}",
    "empty": "tensors without entries are left out: {}",
    "tied": "tensors that a file holds under two names are counted once; names left out: {}",
    "order": "steps were counted in the order given, in which {} comes before {}; name the steps "
    "with --pattern if that is not their order",
    "equal-samples": f"{EQUAL}: take a share instead, --sample 1%",
    "equal-sizes": f"{EQUAL}: take tensors that grow",
    "failed-points": "{} of {} points failed, the first: {}",
    "thin-window/sweep": "{} of {} points have no fit before or after grokking: too few of their "
    "runs grok, or all at once",
    "zero-threshold/sweep": "the threshold is 0 in avalanches of {} of {} points; they are left "
    'out of the fits: sweep with threshold_of = "nonzero"',
    "truncated/trees": "{} of {} trees were cut off at more than 2^50 individuals: choose a "
    "smaller --size or --branching",
    "truncated/sweep": "at {} of {} points more than {:.0%} of the avalanches were cut off at "
    "max_steps, at most {:.0%}: their sizes are too small there, and D cannot be trusted",
    "crossing-without-grokking": "D(t) crosses the Gaussian null at {} of {} points where no run "
    "groks: a crossing need not have to do with grokking",
    "left-out": "some runs do not count, and scores are of the others ({}): train longer, and give "
    "controls the widths and seeds of their base",
    "few-runs": "there are fewer than {} runs that grok or controls in a half of the seeds ({}): "
    "scores without an interval are only indications; train more seeds",
    "no-controls": "nothing is scored on {}: no case is its control, or no run of one counts; "
    "train controls with the same widths and seeds, and name the base with --control",
    "smoke": "smoke scale: tiny sizes, few runs; the numbers mean nothing",
}


def warn(name: str, *values: Any, names: tuple[str, ...] = ()) -> list[Notice]:
    """Return the warning of a name, filled in; nothing where its first value is 0 or empty."""
    if values and not values[0]:
        return []
    # A list is written with commas, each item once.
    written = [", ".join(dict.fromkeys(map(str, v))) if isinstance(v, list) else v for v in values]
    return [Notice(name.partition("/")[0], TEXTS[name].format(*written), names)]


def recorded(record: Any) -> dict[str, Any]:
    """Return what a record says of degenerate gradients; empty if nothing, or nothing sound."""
    found = record.get(KEY) if isinstance(record, dict) else None
    if not isinstance(found, dict):
        return {}
    counts = all(whole(found.get(name, 0)) for name in ("gradients", "zero_threshold", "equal"))
    epochs, zeros = found.get("equal_epochs", []), found.get("zeros", {})
    sound = (
        counts
        and isinstance(epochs, list)
        and all(map(whole, epochs))
        and isinstance(zeros, dict)
        and all(
            isinstance(pair, list) and len(pair) == 2 and all(map(whole, pair)) and pair[1]
            for pair in zeros.values()
        )
    )
    return found if sound else {}


def record_of(table: pa.Table) -> dict[str, Any]:
    """Return the record of a table; empty if it has none."""
    return provenance.decode(table.schema.metadata, "the table") or {}


def cascaded(table: pa.Table, count: int, total: int) -> list[Notice]:
    """Warn of degenerate gradients; ``count`` of ``total`` avalanches have a threshold of 0."""
    known, where = recorded(record_of(table)), ""
    if known.get("zeros"):
        share, tensors = most_zeros(known["zeros"])
        named = f" ({', '.join(tensors)})" if len(known["zeros"]) > 1 else ""
        where = f", because {share:.0%} of their entries are exactly 0{named}"
    return warn("zero-threshold/cascaded", count, total, where) + equal_values(known)


def equal_values(known: dict[str, Any]) -> list[Notice]:
    """Warn of gradients whose entries have one magnitude, as a record has them."""
    epochs = list(map(str, known.get("equal_epochs", [])))
    counts = known.get("equal"), known.get("gradients")
    return warn("equal-values", *counts, some(epochs), names=tuple(epochs))


def cut_runs(record: dict[str, Any]) -> list[Notice]:
    """Say how runs were cut into blocks, as a record has it; nothing if they were not."""
    cuts = [Cut(**each) for each in record.get("blocks", [])]
    alike: dict[tuple[int, int], list[Cut]] = {}
    for each in cuts:
        if each.blocks:
            alike.setdefault((each.blocks, each.avalanches), []).append(each)
    done = [
        f"N = {', '.join(str(c.n_params) for c in mine)}: {blocks} blocks of {length} avalanches, "
        f"{length / max(c.time for c in mine):.0f} autocorrelation times each"
        for (blocks, length), mine in alike.items()
    ]
    short = [f"N = {c.n_params}: {c.avalanches / c.time:.0f} in all" for c in cuts if not c.blocks]
    asked = record["configuration"].get("blocks") if cuts else None
    said = warn("blocks/asked" if asked else "blocks", "; ".join(done))
    return said + (warn("too-few-blocks", FEWEST, LENGTH, "; ".join(short)) if short else [])


def absent_from(table: pa.Table) -> list[Notice]:
    """Say which observables an estimate leaves out, as its record has them, and what they need."""
    absent = record_of(table).get(ABSENT)
    if not isinstance(absent, dict):
        return []
    return warn("absent", list(absent), list(absent.values()))


def left_out_of(table: pa.Table) -> list[Notice]:
    """Warn of what an fss or bootstrap table leaves out, or should have, as its record says.

    First how runs were cut into blocks.
    """
    record = record_of(table)
    known = recorded(record)
    found = cut_runs(record)
    found += warn("zero-threshold", known.get("zero_threshold", 0), known.get("gradients", 0))
    for each in record.get("inputs", []):
        found += equal_values(recorded(each))
    return found + absent_from(table)
