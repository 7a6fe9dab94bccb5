"""The page: what it says is gathered here, and ``page.html.jinja`` puts it together."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from grokcrit.base.parallel import Progress
from grokcrit.base.summary import Notice, Summary
from grokcrit.questions import choices
from grokcrit.questions.notices import warn
from grokcrit.questions.question import Answer
from grokcrit.questions.rows import of, shown
from grokcrit.report.figures import Drawn, draw, drawings, tell_runs, wanted
from grokcrit.report.inputs import Material, gather
from grokcrit.report.origin import origin
from grokcrit.report.verdict import of_case
from grokcrit.report.warning import warnings_of
from grokcrit.scaling.lines import ALPHA
from grokcrit.stages.avalanche import avalanche_summary
from grokcrit.stages.bootstrap import bootstrap_summary
from grokcrit.stages.diagnose import diagnose_summary
from grokcrit.stages.fss import fss_summary
from grokcrit.stages.robustness import robustness_summary
from grokcrit.stages.warn import warn_summary
from grokcrit.tables import files, provenance
from grokcrit.tables.reading import TableLike

if TYPE_CHECKING:
    from jinja2 import Template

# Bytes. Figures that would lead beyond it are left out, and the page says which.
CAP = 5_000_000
# A caption and an alternative text are shorter than this.
CAPTION = 4000
# Tables longer than the first are folded; rows beyond the second are counted, not shown.
FOLDED, SHOWN = 40, 400
CLAIM_COLUMNS = ("claim", "agrees", "source", "ours", "interval", "null", "basis")
ADD_NULLS = "grokcrit avalanche train.parquet --surrogate all"
ADD_DIAGNOSTICS = "grokcrit diagnose avalanche.parquet train.parquet"
# What each table holds, and the command that makes it.
TABLES = {
    "train": ("runs, their accuracy and the Gini coefficient", "grokcrit train"),
    "avalanche": ("avalanches, their distributions and the null models", ADD_NULLS),
    "fss": ("exponents in the phases and in time", "grokcrit fss avalanche.parquet"),
    "bootstrap": (
        "resampled exponents and leave-one-out",
        "grokcrit bootstrap avalanche.parquet",
    ),
    "diagnostics": ("null models judged, placebos, straightness, crossings", ADD_DIAGNOSTICS),
}
# The same of avalanches behind which there is no training.
OF_AVALANCHES = {
    "avalanche": ("avalanches and their distributions", "grokcrit ingest --avalanches FILE"),
    "fss": ("exponents of the mean and the largest size", "grokcrit fss avalanche.parquet"),
    "bootstrap": TABLES["bootstrap"],
    "diagnostics": ("straightness, collapse and tails", "grokcrit diagnose avalanche.parquet"),
}
ACCOUNTS: Mapping[str, Callable[[pa.Table], Summary]] = {
    "fss": fss_summary,
    "bootstrap": bootstrap_summary,
    "avalanche": avalanche_summary,
    "warn": warn_summary,
}


@dataclass(frozen=True)
class Report:
    """The content of a page in short."""

    answers: list[Answer]  # the verdict
    missing: list[str]  # what the tables lack, a sentence each
    warnings: list[Notice] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # figures not drawn, with the reason
    length: int = 0  # of the page, bytes


def report(
    tables_or_folder: TableLike | Sequence[TableLike],
    out: str | os.PathLike[str],
    *,
    scale: str | None = None,
    where: Mapping[str, Any] | None = None,
    size_column: str | None = None,
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
        Of a reproduction; None to take it from the record of its tables.
    where
        Case columns and the value each must have, where the tables hold several cases; of a sweep,
        any option.
    size_column
        The column of the system's size, of an avalanche table of another program.
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
    made = gather(tables_or_folder, where, size_column)
    made.scale = scale or made.scale
    page, said = template(), content(made, summarise(made))
    short: Report = said["short"]
    drawn, chosen = [], [each for each in drawings() if wanted(made, each)]
    for done, drawing in enumerate(chosen):
        if progress:
            progress(done, len(chosen))
        drawn.append(draw(made, drawing))
    drawn = fitting(drawn, CAP - len(page.render(said, drawn=[]).encode()))
    short.left_out.extend(f"{each.drawing.title}: {each.reason}" for each in drawn if each.reason)
    written = page.render(said, drawn=drawn).encode()
    with files.replacing(out) as file:
        file.write(written)
    return dataclasses.replace(short, length=len(written))


def fitting(drawn: Sequence[Drawn], room: int) -> list[Drawn]:
    """Leave out the figures that would make the page too long."""
    kept = []
    for each in drawn:
        room -= len(each.uri) + CAPTION
        if room < 0:
            name = each.drawing.name
            reason = (
                f"left out to keep the page under {CAP / 1e6:g} MB; 'grokcrit plot {name}' draws it"
            )
            kept.append(Drawn(each.drawing, reason=each.reason or reason))
        else:
            kept.append(each)
    return kept


def template() -> Template:
    """Load the template of the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("grokcrit.report", ""),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["shown"] = shown
    environment.globals |= {"FOLDED": FOLDED, "SHOWN": SHOWN}
    return environment.get_template("page.html.jinja")


def content(made: Material, summaries: Mapping[str, Summary]) -> dict[str, Any]:
    """Return what the template shows, but for the figures."""
    claims = [
        {name: row[name].replace("+-", "±") for name in CLAIM_COLUMNS} for row in made.claims or ()
    ]
    diagnostics = [
        each
        for name, summary in summaries.items()
        for each in (summary, *summary.more)
        if name.startswith("diagnostics: ") and each.rows
    ]
    levels = {provenance.confidence(file.record) for file in made.files if file.record}
    return {
        "made": made,
        "alpha": ALPHA,
        "short": Report(judge(made), missing(made), beware(summaries, made)),
        "summaries": summaries,
        "diagnostics": diagnostics,
        "claims": Summary("The source's numbers and ours", claims),
        "levels": [f"{100 * level:g} %" for level in sorted(filter(None, levels))],
        "runs": tell_runs(made),
        "origin": origin(made),
        "now": provenance.now(),
    }


def summarise(made: Material) -> dict[str, Summary]:
    """Sum up every table, by its name."""
    found = {}
    for stage, account in ACCOUNTS.items():
        table = made.whole(stage)
        if table is not None and table.num_rows:
            found[stage] = account(table)
    sweep = made.whole("sweep")
    if sweep is not None:
        found["sweep"] = choices.summary(sweep, made.confidence("sweep"))
    for name, table in made.diagnostics.items():
        if table.num_rows:
            account = robustness_summary if name == "robustness" else diagnose_summary
            found[f"diagnostics: {name}"] = account(table)
    return found


def judge(made: Material) -> list[Answer]:
    """Answer what the numbers answer, of one experiment, of a sweep and of signals."""
    sweep = made.whole("sweep")
    of_sweep = choices.answers(sweep) if sweep else []
    return [*(of_case(made) if made.experiment else []), *of_sweep, *warnings_of(made)]


def missing(made: Material) -> list[str]:
    """Say what is not there, and which command adds it."""
    if not made.experiment:
        return []
    said = [
        f"No {stage} table was given ({holds}); '{command}' makes it."
        for stage, (holds, command) in (TABLES if made.of_training else OF_AVALANCHES).items()
        if stage not in made.stages
    ]
    if not made.of_training:
        return said
    rows = made.rows
    if rows and not of(rows, "fraction-kept", surrogate="permute"):
        said.append(
            f"The diagnostics hold no null model but the Gaussian; '{ADD_NULLS}' and then "
            f"'{ADD_DIAGNOSTICS}' add them."
        )
    if made.claims is None:
        said.append(
            "These numbers are not compared with the source's claims; 'grokcrit reproduce' does "
            "that."
        )
    return said


def beware(summaries: Mapping[str, Summary], made: Material) -> list[Notice]:
    """Collect the warnings; of one kind those of the diagnostics, which know most."""
    found: list[Notice] = warn("smoke") if made.scale == "smoke" else []
    for name in sorted(summaries, key=lambda name: not name.startswith("diagnostics")):
        known = {notice.id for notice in found}
        found += [notice for notice in summaries[name].warnings if notice.id not in known]
    return found
