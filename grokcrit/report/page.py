"""The page: its sections in order, the verdict first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from grokcrit.base.parallel import Progress
from grokcrit.base.summary import Notice, Summary
from grokcrit.questions import choices
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer
from grokcrit.report import html
from grokcrit.report.document import document
from grokcrit.report.figures import Drawn, draw, drawings, tell_runs, wanted
from grokcrit.report.inputs import Material, gather
from grokcrit.report.origin import origin
from grokcrit.report.verdict import cases, from_bootstrap, verdict
from grokcrit.report.words import ADDS, LACKS, TERMS
from grokcrit.stages.bootstrap import bootstrap_summary
from grokcrit.stages.diagnose import diagnose_summary
from grokcrit.stages.fss import fss_summary
from grokcrit.stages.robustness import is_grid, robustness_summary
from grokcrit.summaries import avalanche_summary
from grokcrit.tables import files, provenance
from grokcrit.tables.reading import TableLike

# Bytes. Figures that would lead beyond it are left out, and the page says which.
CAP = 5_000_000
CLAIM_COLUMNS = {
    "claim": "claim",
    "agrees": "agrees?",
    "source": "source",
    "ours": "ours",
    "interval": "interval",
    "null": "null",
    "basis": "basis",
}


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    answers
        The verdict.
    missing
        What the tables lack, a sentence each.
    warnings
        What a reader must beware of.
    left_out
        Figures that are not there, with the reason.
    length
        Of the page, bytes.
    """

    answers: list[Answer]
    missing: list[str]
    warnings: list[Notice] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    length: int = 0


def report(
    tables_or_folder: TableLike | Sequence[TableLike],
    out: str | os.PathLike[str],
    *,
    scale: str | None = None,
    where: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write one self-contained page about tables of grokcrit.

    Parameters
    ----------
    tables_or_folder
        A folder, as `grokcrit reproduce` fills it or of one's own, or tables and files of any
        stages. Of a folder that holds several tables of a stage, the one named after its stage.
    out
        The page, written whole or not at all.
    scale
        Of a reproduction; None to read it from claims.md.
    where
        Case columns and the value each must have, where the tables hold several cases; of a sweep,
        any option.
    progress
        Called with (figures done, in all).

    Returns
    -------
    Report
        What the page says in short.

    Raises
    ------
    TableError
        An input is damaged, foreign or ambiguous; the page cannot be written.
    OptionError
        No table holds the case that is asked for.
    """
    made = gather(tables_or_folder, where)
    made.scale = scale or made.scale
    summaries = summarise(made)
    short = Report(judge(made), missing(made), beware(summaries, made))
    drawn, chosen = [], [each for each in drawings() if wanted(made, each)]
    for done, drawing in enumerate(chosen):
        if progress:
            progress(done, len(chosen))
        drawn.append(draw(made, drawing))
    parts = {
        "verdict": verdict_section(made, short),
        "terms": terms_section(made),
        "claims": claims_section(made),
        "figures": "",
        **number_sections(summaries),
        "warnings": warnings_section(short.warnings),
        "provenance": html.section("provenance", "Provenance", *origin(made)),
    }
    room = CAP - len(document(parts).encode())
    drawn = [fitting(each, drawn[:k], room) for k, each in enumerate(drawn)]
    parts["figures"] = figures_section(drawn)
    content = document(parts).encode()
    with files.replacing(out) as file:
        file.write(content)
    left_out = [f"{each.drawing.title}: {each.reason}" for each in drawn if each.reason]
    return Report(short.answers, short.missing, short.warnings, left_out, len(content))


def fitting(drawn: Drawn, earlier: Sequence[Drawn], room: int) -> Drawn:
    """Leave a figure out where it would make the page too long."""
    # A caption and an alternative text are shorter than this.
    used = sum(len(each.uri) + 4000 for each in (*earlier, drawn))
    if used <= room:
        return drawn
    name = drawn.drawing.name
    reason = f"left out to keep the page under {CAP / 1e6:g} MB; 'grokcrit plot {name}' draws it"
    return Drawn(drawn.drawing, reason=drawn.reason or reason)


def summarise(made: Material) -> dict[str, Summary]:
    """Sum up every table, by its name."""
    found = {}
    accounts: Mapping[str, Callable[[pa.Table], Summary]] = {
        "fss": fss_summary,
        "bootstrap": bootstrap_summary,
        "avalanche": avalanche_summary,
    }
    for stage, account in accounts.items():
        table = made.whole(stage)
        if table is not None and table.num_rows:
            found[stage] = account(table)
    sweep = made.whole("sweep")
    if sweep is not None:
        found["sweep"] = choices.summary(sweep, made.confidence("sweep"))
    for name, table in made.diagnostics.items():
        if table.num_rows:
            account = robustness_summary if is_grid(table) else diagnose_summary
            found[f"diagnostics: {name}"] = account(table)
    return found


def estimates(made: Material) -> list[dict[str, Any]]:
    """Return what the verdict is made from."""
    rows = made.rows
    if any(row["quantity"] == "exponent" for row in rows):
        return rows
    return [*rows, *from_bootstrap(made.whole("bootstrap"))]


def judge(made: Material) -> list[Answer]:
    """Answer what the numbers answer, of one experiment and of a sweep."""
    sweep = made.whole("sweep")
    return [
        *(judge_case(made) if made.experiment else []),
        *(choices.answers(sweep) if sweep else []),
    ]


def judge_case(made: Material) -> list[Answer]:
    """Answer what the numbers answer; where there are several cases, none of them alone."""
    rows = estimates(made)
    found = cases(rows)
    if len(found) < 2:
        return verdict(rows, made.claims)
    apart = [k for k in found[0] if len({case[k] for case in found}) > 1]
    held = "; ".join(
        f"{k} {', '.join(dict.fromkeys(str(case[k]) for case in found))}" for k in apart
    )
    first = " ".join(f"--where {k}={found[0][k]}" for k in apart)
    words = (
        f"The tables hold {len(found)} cases ({held}). A verdict is of one case: choose it, for "
        f"example with {first}."
    )
    none = Answer("cases", "What is D?", f"{len(found)} cases, no single answer", (words,))
    return [none, *verdict([], made.claims)]


def missing(made: Material) -> list[str]:
    """Say what is not there, and which command adds it."""
    if not made.experiment:
        return []
    there = {*made.tables, *(["diagnostics"] if made.diagnostics else [])}
    said = [
        f"No {stage} table was given ({LACKS[stage]}); '{command}' makes it."
        for stage, command in ADDS.items()
        if stage not in there
    ]
    rows = made.rows
    nulls = {row["surrogate"] for row in rows if row["quantity"] == "fraction-kept"}
    if rows and "permute" not in nulls:
        said.append(
            f"The diagnostics hold no null model but the Gaussian; '{ADDS['avalanche']}' and then "
            f"'{ADDS['diagnostics']}' add them."
        )
    if made.claims is None:
        said.append(
            "The source's claims are not set beside these numbers; 'grokcrit reproduce' does that."
        )
    return said


def beware(summaries: Mapping[str, Summary], made: Material) -> list[Notice]:
    """Collect the warnings; of one kind those of the diagnostics, which know most."""
    order = sorted(summaries, key=lambda name: not name.startswith("diagnostics"))
    found: list[Notice] = []
    for name in order:
        known = {notice.id for notice in found}
        found += [notice for notice in summaries[name].warnings if notice.id not in known]
    if made.scale == "smoke":
        found = warn("smoke") + found
    return found


def verdict_section(made: Material, short: Report) -> str:
    """Answer first, in words; then what is missing."""
    parts = []
    if made.scale == "smoke":
        words = "This is the smoke scale: tiny sizes and few runs. Its numbers mean nothing."
        parts.append(html.tag("p", html.tag("strong", html.text(words)), class_="notice"))
    if made.where:
        words = f"Only what has {shown_conditions(made.where)} is on this page."
        parts.append(html.tag("p", html.tag("strong", html.text(words)), class_="notice"))
    if short.answers:
        parts.append(
            html.paragraph(
                "D is how fast avalanches of a network's gradient grow with the network's size "
                "(see Terms). What follows is said by fixed rules from the numbers, and goes no "
                f"further than they do. {levels(made)}"
            )
        )
        items = []
        for answer in short.answers:
            words = html.tag("p", html.tag("strong", html.text(f"{answer.word}.")))
            because = "".join(html.paragraph(each) for each in answer.because)
            items.append(html.tag("dt", html.text(answer.question)))
            items.append(html.tag("dd", words, because) + "\n")
        parts.append(html.tag("dl", *items, class_="answers"))
    else:
        parts.append(html.paragraph("These tables answer no question about D by themselves."))
    if short.missing:
        parts += [html.tag("h3", "What is missing"), html.listed(short.missing)]
    return html.section("verdict", "Verdict", *parts)


def shown_conditions(where: Mapping[str, Any]) -> str:
    """Name the values that were asked for."""
    return ", ".join(f"{name} = {'null' if v is None else v}" for name, v in where.items())


def levels(made: Material) -> str:
    """Say how wide the intervals are, as far as the records know."""
    records = [file.record for file in made.files if file.record]
    levels = [provenance.confidence(record) for record in records]
    known = sorted({level for level in levels if level is not None})
    named = " or ".join(f"{100 * level:g} %" for level in known)
    return f"Intervals are of {named} confidence." if known else ""


def terms_section(made: Material) -> str:
    """Explain what was done and the words that are used."""
    items = "".join(
        html.tag("dt", html.text(term)) + html.tag("dd", html.text(words)) + "\n"
        for term, words in TERMS
    )
    told = tell_runs(made)
    lead = [html.paragraph(f"Measured here: {told}")] if told else []
    return html.section("terms", "Terms", *lead, html.tag("dl", items))


def claims_section(made: Material) -> str:
    """Set the source beside ours."""
    if not made.claims:
        return ""
    rows = [
        {head: row[name].replace("+-", "±") for name, head in CLAIM_COLUMNS.items()}
        for row in made.claims
    ]
    note = (
        "The source is arXiv 2604.04655. Basis: stated in it, or reported by summaries of it. "
        "“calibrated, not evidence” marks numbers that the defaults were chosen to come near. "
        "yes and no: within two standard errors or not; consistent and not seen: of claims in "
        "words."
    )
    words = html.listed(row["words"].replace("+-", "±") for row in made.claims)
    table = html.table(Summary("The source beside ours", rows), fold=False)
    return html.section(
        "claims",
        "Source against ours",
        html.paragraph(note),
        table,
        html.folded("Every claim in words", words),
    )


def figures_section(drawn: Sequence[Drawn]) -> str:
    """Show the figures; say which are not there, and why."""
    shown = [figure(each) for each in drawn if each.uri]
    absent = [f"{each.drawing.title}: {each.reason}." for each in drawn if each.reason]
    if absent:
        shown += [html.tag("h3", "Figures that could not be drawn"), html.listed(absent)]
    return html.section("figures", "Figures", *shown)


def figure(drawn: Drawn) -> str:
    """Make a figure with its caption and its alternative text."""
    drawing = drawn.drawing
    image = f'<img src="{drawn.uri}" alt="{html.text(drawn.alt)}">'
    caption = html.tag("strong", html.text(f"{drawing.title}.")) + " " + html.text(drawing.caption)
    told = html.folded("This figure in words", html.paragraph(drawn.alt))
    if drawing.wide:  # two columns of panels: on a phone they scroll rather than shrink
        card = html.scrolling(f"Figure: {drawing.title}", image, "card")
    else:
        card = html.tag("div", image, class_="card")
    body = card + html.tag("figcaption", caption, told)
    return html.tag("figure", body, class_="wide" if drawing.wide else "narrow") + "\n"


def number_sections(summaries: Mapping[str, Summary]) -> dict[str, str]:
    """Make the sections of tables: exponents first, then what the diagnostics found."""
    titles = {
        "fss": "D = slope of ln(statistic) against ln(N), with the Gaussian null",
        "bootstrap": "Run bootstrap: exponents, and their differences to the null",
        "avalanche": None,
    }
    shown = [
        html.table(summaries[name], title) for name, title in titles.items() if name in summaries
    ]
    parts = {}
    if "sweep" in summaries:
        tables = [html.table(each) for each in (summaries["sweep"], *summaries["sweep"].more)]
        parts["sweep"] = html.section("sweep", "The sweep", *tables)
    if shown:
        parts["exponents"] = html.section("exponents", "Exponents", *shown)
    for name, summary in summaries.items():
        if not name.startswith("diagnostics: "):
            continue
        for each in (summary, *summary.more):
            if each.rows:
                place = f"diagnostics-{len(parts)}"
                parts[place] = diagnostics_section(place, each)
    return parts


def diagnostics_section(place: str, summary: Summary) -> str:
    """Make the section of one question of the diagnostics."""
    title = summary.title.partition(":")[0]
    about = [html.paragraph(summary.about)] if summary.about else []
    return html.section(place, title[0].upper() + title[1:], *about, html.table(summary))


def warnings_section(warnings: Sequence[Notice]) -> str:
    """List the warnings."""
    if not warnings:
        return html.section("warnings", "Warnings", html.paragraph("There are none."))
    items = [
        html.tag("li", html.tag("code", html.text(w.id)), html.text(f": {w.text}.")) + "\n"
        for w in warnings
    ]
    return html.section("warnings", "Warnings", html.tag("ul", *items))
