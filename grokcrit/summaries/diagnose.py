"""Account of a diagnostics table: a few tables a person can read, and what to beware of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokcrit.base.summary import Notice, Row, Summary, curved, gamma_above
from grokcrit.base.vocabulary import DIFFERENCE, PHASES, STATISTICS
from grokcrit.summaries.degenerate import left_out
from grokcrit.summaries.robustness import robustness_summary
from grokcrit.summaries.stages import ends, no_null, quietness, truncation, varying

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("part", "window", "time", "n_params", "value", "ci_low", "ci_high", "p", "n", "method")
# A warning needs an effect as well as a p: a slope that changes by a tenth from the smallest size
# to the largest, a gamma that exceeds D by a hundredth.
BEND, EXCEEDS, ALPHA = 0.1, 0.01, 0.05


def diagnose_summary(table: pa.Table) -> Summary:
    """Account of a diagnostics table, whichever command made it."""
    import pyarrow.compute as pc

    few = table.filter(pc.is_null(table["seed"]))
    names = pc.unique(few["quantity"]).to_pylist()
    if "spread" in names:
        return robustness_summary(table)
    timeless = few.filter(
        pc.or_(pc.is_null(few["time"]), pc.starts_with(few["quantity"], "placebo"))
    )
    rows = timeless.to_pylist() + (
        few.filter(pc.equal(few["quantity"], "own-minus-split")).to_pylist()
    )
    shown = varying([r for r in rows if r["topology"] is not None])
    shown = [name for name in shown if name not in ("surrogate", "replicate")]
    sections = [
        section
        for section in (
            null_section(rows, shown),
            placebo_section(rows, shown),
            straight_section(rows, shown),
            crossing_section(rows, shown),
            separation_section(rows, shown),
            collapse_section(rows, shown),
            tail_section(rows, shown),
            gini_section(rows),
        )
        if section.rows
    ]
    if not sections:
        counted = [{"quantity": n, "rows": names.count(n)} for n in names]
        sections = [Summary("diagnostics", counted)]
    first, *others = sections
    return Summary(first.title, first.rows, cautions(rows), first.formats, more=others)


class Index(dict[tuple[Any, ...], Row]):
    """Rows by some of their columns; where there is none, a row without numbers."""

    def __missing__(self, _key: tuple[Any, ...]) -> Row:
        """Return a row of nulls: a table may have lost rows that were made together."""
        return dict.fromkeys(COLUMNS)


def index(rows: list[Row], *names: str) -> Index:
    """Index rows by some of their columns."""
    return Index({tuple(row[name] for name in names): row for row in rows})


def of(rows: list[Row], *quantities: str, **wanted: Any) -> list[Row]:
    """Return the rows of some quantities whose columns have those values."""
    return [
        r for r in rows if r["quantity"] in quantities and all(r[k] == v for k, v in wanted.items())
    ]


def groups(rows: list[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Group rows by some of their columns, in the order of their first row."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def null_section(rows: list[Row], shown: list[str]) -> Summary:
    """What of the mean's exponent each null model keeps."""
    out = []
    chosen = of(rows, "data-minus-null", "fraction-kept", statistic="mean")
    for key, mine in groups(chosen, *shown, "observable", "surrogate").items():
        place = index(mine, "quantity", "window")
        row = dict(zip((*shown, "observable", "null model"), key, strict=True))
        for window, name in (("pre", "before"), ("post", "after"), (DIFFERENCE, "change")):
            gap = place["data-minus-null", window]
            row |= {f"data - null, {name}": gap["value"], f"p {name}": gap["p"]}
        for window, name in (("post", "after"), (DIFFERENCE, "change")):
            kept = place.get(("fraction-kept", window))
            row |= {f"kept, {name}": kept and kept["value"], f"95 % {name}": kept and ends(kept)}
        out.append(row)
    formats = dict.fromkeys(("p before", "p after", "p change"), ".2g")
    formats |= dict.fromkeys(("kept, after", "95 % after", "kept, change"), ".2f")
    formats["95 % change"] = ".2f"
    title = (
        "null models: D of the mean minus that of the null; the part of D - D(gaussian) it keeps"
    )
    return Summary(title, out, formats=formats)


def separation_section(rows: list[Row], shown: list[str]) -> Summary:
    """Since when cases that grok and controls that do not differ."""
    names = {"epoch": "epoch", "aligned": "t - t_grok", "relative": "% of t_grok"}
    out = []
    for row in of(rows, "separation"):
        labels = {name: row[name] for name in shown}
        out.append(
            {
                **labels,
                "control": row["part"],
                "observable": row["observable"],
                "statistic": row["statistic"],
                "time in": names[row["window"]],
                "separate at": row["value"],
                "interval": ends(row),
                "draws": row["n"],
            }
        )
    formats = {"separate at": ".0f", "interval": ".0f", "draws": ".0f"}
    return Summary("since when D(t) of grokking runs and controls differ", out, formats=formats)


def placebo_section(rows: list[Row], shown: list[str]) -> Summary:
    """D before and after under the true split, one common split, and permuted grokking epochs."""
    out = []
    chosen = of(
        rows, "exponent", "placebo-split", "own-minus-split", "placebo-permuted", statistic="mean"
    )
    chosen = [r for r in chosen if r["surrogate"] == "none"]
    for key, mine in groups(chosen, *shown, "observable").items():
        if not of(mine, "placebo-split"):
            continue
        labels = dict(zip((*shown, "observable"), key, strict=True))
        place = index(mine, "quantity", "window", "time")
        names = [("own grokking epoch", "exponent", None)]
        times = sorted({r["time"] for r in of(mine, "placebo-split")} - {None})
        names += [(f"all at epoch {t}", "placebo-split", t) for t in times]
        for name, quantity, time in names:
            before, after, change = (
                place.get((quantity, w, time)) for w in ("pre", "post", DIFFERENCE)
            )
            own = place.get(("own-minus-split", DIFFERENCE, time))
            out.append(
                labels
                | {
                    "split": name,
                    "before": before and before["value"],
                    "after": after and after["value"],
                    "change": change and change["value"],
                    "interval": change and ends(change),
                    "p": change and change["p"],
                    "own - this": own and own["value"],
                    "p own - this": own and own["p"],
                }
            )
        permuted = place["placebo-permuted", DIFFERENCE, None]
        blank = dict.fromkeys(out[-1])
        out.append(
            {
                **blank,
                **labels,
                "split": "epochs permuted in a size",
                "interval": ends(permuted),
                "p own - this": permuted["p"],
            }
        )
    title = "placebos: D of the mean before and after other splits than each run's grokking epoch"
    return Summary(title, out, formats={"p": ".2g", "p own - this": ".2g"})


def straight_section(rows: list[Row], shown: list[str]) -> Summary:
    """Curvature, and the smallest and largest exponent between neighbouring sizes."""
    out = []
    chosen = of(rows, "curvature", "bend", "local-exponent")
    for key, mine in groups(chosen, *shown, "observable", "statistic", "window").items():
        place = index(mine, "quantity")
        local = [r for r in of(mine, "local-exponent") if r["value"] is not None]
        local.sort(key=lambda r: r["value"])
        curved, bend = place["curvature",], place["bend",]
        out.append(
            dict(zip((*shown, "observable", "statistic", "window"), key, strict=True))
            | {
                "curvature": curved["value"],
                "p": curved["p"],
                "change of slope": bend["value"],
                "least local": local[0]["value"] if local else None,
                "at N": local[0]["part"] if local else None,
                "greatest local": local[-1]["value"] if local else None,
                "at N ": local[-1]["part"] if local else None,
            }
        )
    title = "straightness: is ln(statistic) against ln(N) a line?"
    return Summary(title, out, formats={"p": ".2g"})


def crossing_section(rows: list[Row], shown: list[str]) -> Summary:
    """When D(t) rises for good above its null and 1, and when it changes most."""
    out = []
    # At one snapshot a bin the mean and the maximum of a run are the same number.
    chosen = [
        r
        for r in rows
        if r["quantity"].startswith(("crossing", "share-", "every-", "chang"))
        and r["statistic"] == "mean"
    ]
    keys = (*shown, "observable", "window")
    for key, mine in groups(chosen, *keys).items():
        for what, part in (("crossing", "gaussian"), ("crossing", "1"), ("change-point", None)):
            found = of(mine, what, part=part)
            if not found:
                continue
            lead = of(mine, f"{what}-lead", part=part, method="median run")
            after = of(mine, f"{what}-lead-share", part=part)
            every = of(mine, "every-crossing", part=part)
            without = of(mine, "share-without-crossing", part=part)
            out.append(
                dict(zip(keys, key, strict=True))
                | {
                    "of": part or found[0]["method"],
                    "time": found[0]["value"],
                    "interval": ends(found[0]),
                    "draws without": without[0]["value"] if without and part else None,
                    "all crossings": ", ".join(
                        f"{'up' if r['method'] == 'upward' else 'down'} {r['value']:.0f}"
                        for r in every
                        if r["value"] is not None
                    )
                    or None,
                    "lead": lead[0]["value"] if lead else None,
                    "interval of lead": ends(lead[0]) if lead else None,
                    "runs that grok later": after[0]["value"] if after else None,
                }
            )
    formats = dict.fromkeys(("time", "interval", "lead", "interval of lead"), ".1f")
    formats |= dict.fromkeys(("draws without", "runs that grok later"), ".2f")
    title = "D(t) of the mean: lasting rise, change point; lead: grokking - time"
    return Summary(title, out, formats=formats)


def collapse_section(rows: list[Row], shown: list[str]) -> Summary:
    """D of the data collapse, and S there and at the direct exponents."""
    out = []
    keys = (*shown, "observable", "surrogate", "window")
    for key, mine in groups(of(rows, "collapse-exponent", "collapse-quality"), *keys).items():
        place = index(mine, "quantity", "part")
        found = place["collapse-exponent", None]
        row = dict(zip(keys, key, strict=True))
        row |= {"D of least S": found["value"], "interval": ends(found)}
        row["S"] = place["collapse-quality", None]["value"]
        for name in STATISTICS:
            direct = place.get(("collapse-quality", f"D of {name}"))
            row[f"S at D of {name}"] = direct and direct["value"]
        row["remark"] = None if found["value"] is not None else found["method"]
        out.append(row)
    formats = dict.fromkeys(("S", *(f"S at D of {name}" for name in STATISTICS)), ".1f")
    title = "data collapse of P(S > s) against s / N^D; S about 1: within errors"
    return Summary(title, out, formats=formats)


def tail_section(rows: list[Row], shown: list[str]) -> Summary:
    """Power-law fit of each size's distribution, all snapshots; no law where none can be fitted."""
    out = []
    fits = [
        r
        for r in rows
        if r["window"] == "aggregate" and r["quantity"].startswith(("tau", "ratio-"))
    ]
    keys = (*shown, "observable", "part", "n_params")
    for key, mine in groups(fits, *keys).items():
        place = index(mine, "quantity")
        tau = place["tau",]
        if tau["value"] is None:
            continue
        better = [
            r["quantity"].removeprefix("ratio-")
            for r in mine
            if r["quantity"].startswith("ratio-")
            and None not in (r["value"], r["p"])
            and r["value"] < 0
            and r["p"] < ALPHA
        ]
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


def gini_section(rows: list[Row]) -> Summary:
    """Medians over runs of the Gini transient, of each size and of all."""
    out = []
    chosen = [r for r in rows if r["quantity"].startswith("gini-")]
    several = len({r["case"] for r in chosen}) > 1
    for (case, n), mine in groups(chosen, "case", "n_params").items():
        middle = index([r for r in mine if r["method"] == "median run"], "quantity")
        shares = index([r for r in mine if "share" in r["quantity"]], "quantity")
        row: Row = {"case": case} if several else {}
        row |= {"N": n or "all", "runs": shares["gini-share-passed",]["n"]}
        for name in ("peak", "height", "length", "distance"):
            row[name] = middle[f"gini-{name}",]["value"]
        row["interval of distance"] = ends(middle["gini-distance",])
        row["within 10 epochs"] = shares["gini-share-near",]["value"]
        row["back below half"] = shares["gini-share-passed",]["value"]
        out.append(row)
    formats = dict.fromkeys(("peak", "length", "distance", "interval of distance"), ".0f")
    formats |= dict.fromkeys(("within 10 epochs", "back below half"), ".2f")
    title = "Gini transient: median run; peak, length, distance from grokking in epochs"
    return Summary(title, out, formats=formats)


def cautions(rows: list[Row]) -> list[Notice]:
    """Collect what a reader of the exponents must know, an effect as well as a p behind each."""
    warnings = []
    counts = index(of(rows, "truncated", "quiet", "never-grokked"), "quantity")
    cut, quiet, never = (
        (int(counts[name,]["value"] or 0), counts[name,]["n"])
        for name in ("truncated", "quiet", "never-grokked")
    )
    for row in of(rows, "zero-threshold"):
        warnings += left_out(int(row["value"]), row["n"])
    warnings += truncation(*cut) + quietness(*quiet)
    if never[0]:
        warnings.append(Notice("never-grokked", f"{never[0]} of {never[1]} runs never grok"))
    if any(r["value"] for r in of(rows, "single-run")):
        warnings.append(
            Notice("single-run", "a size has one run: no interval and no p can be given; --seeds 2")
        )
    thin = [r for r in of(rows, "thin") if r["value"]]
    if thin:
        where = ", ".join(f"{r['value']:.0f} of {r['n']} {r['window']}" for r in thin)
        warnings.append(Notice("lacking-size", f"bins in which a size has no data: {where}"))
    none = [r for r in of(rows, "separation") if r["value"] is None]
    if none:
        warnings.append(
            Notice(
                "no-separation",
                f"no separation in {len(none)} of {len(of(rows, 'separation'))} comparisons: there "
                "are no three times in a row at which both cases have every size and the interval "
                "of the difference excludes 0",
            )
        )
    warnings += bent_lines(rows) + gamma_over_d(rows)
    if of(rows, "exponent") and not of(rows, "data-minus-null", surrogate="gaussian"):
        warnings.append(no_null())
    strangers = sorted({r["part"] for r in of(rows, "null-of-other-runs")})
    if strangers:
        warnings.append(
            Notice(
                "null-of-other-runs",
                f"{', '.join(strangers)}: not of the same runs, snapshots and grokking epochs as "
                "the data, so left out; make them in one command with the data",
            )
        )
    return warnings + placebo_warnings(rows)


def bent_lines(rows: list[Row]) -> list[Notice]:
    """Warn where a line is bent, significantly and visibly."""
    return curved(
        [
            f"{r['observable']} {r['statistic']} {r['window']}"
            for r in of(rows, "bend")
            if r["p"] is not None and r["p"] < ALPHA and abs(r["value"] or 0) >= BEND
        ]
    )


def gamma_over_d(rows: list[Row]) -> list[Notice]:
    """Warn where the exponent of the mean exceeds that of the maximum."""
    keys = ("case", "topology", "graph_seed", "alpha", "quantile", "rule", "window")
    size = [
        r
        for r in of(rows, "exponent", observable="size", surrogate="none")
        if r["window"] in PHASES and r["value"] is not None
    ]
    largest = index([r for r in size if r["statistic"] == "max"], *keys)
    return gamma_above(
        [
            r["window"]
            for r in size
            if r["statistic"] == "mean"
            and (top := largest.get(tuple(r[k] for k in keys)))
            and r["value"] > top["value"] + EXCEEDS
        ]
    )


def placebo_warnings(rows: list[Row]) -> list[Notice]:
    """Say where a placebo separates the phases no less than grokking does."""
    warnings = []
    chosen = {"observable": "size", "statistic": "mean"}
    permuted = [
        r for r in of(rows, "placebo-permuted", **chosen) if r["p"] is not None and r["p"] >= ALPHA
    ]
    if permuted:
        p = min(r["p"] for r in permuted)
        warnings.append(
            Notice(
                "placebo-permuted",
                "with the grokking epochs permuted among the runs of a size, D of the mean size "
                f"changes as much as with their own (p {p:.2g})",
            )
        )
    equal = sorted(
        {
            r["time"]
            for r in of(rows, "own-minus-split", **chosen)
            if r["value"] is not None and (r["value"] <= 0 or r["p"] is None or r["p"] >= ALPHA)
        }
    )
    if equal:
        warnings.append(
            Notice(
                "placebo-split",
                "one split for all runs separates D of the mean size no less than each run's own "
                f"grokking epoch does: at epoch {', '.join(map(str, equal))}",
            )
        )
    return warnings
