"""claims.md: the table of claims, each row in words, and the numbers of other training choices."""

from __future__ import annotations

from collections.abc import Sequence

from grokcrit._version import __version__
from grokcrit.base.summary import Row
from grokcrit.base.vocabulary import DISAGREE
from grokcrit.paper.claim_row import number
from grokcrit.paper.claims import COLUMNS, Claim
from grokcrit.paper.reference import ELSEWHERE


def markdown(rows: list[Claim], choices: list[Row], beware: list[str], scale: str) -> str:
    """Write the table, each row in words, and the numbers under other training choices."""
    both = [c for c in choices if c["D before"] is not None and c["D after"] is not None]
    higher = sum(c["D after"] > c["D before"] for c in both)
    lines = [
        "# The source beside ours",
        "",
        f"grokcrit {__version__}, scale {scale}. Source: arXiv 2604.04655. Basis: stated in the "
        "source, reported by summaries of it, or implied by it. How each row is judged is said in "
        "docs/method.md.",
        "",
    ]
    if scale == "smoke":
        lines += ["Smoke scale: tiny sizes, few runs. These numbers mean nothing.", ""]
    names = ["agrees?" if name == "agrees" else name for name in COLUMNS]
    lines += grid(names, [[getattr(row, name) for name in COLUMNS] for row in rows])
    for title, wanted in (
        ("What disagrees", DISAGREE),
        ("What could not be fitted", ("no fit",)),
        ("What agrees, or is consistent", ("yes", "consistent")),
    ):
        lines += section(title, [row.words for row in rows if row.agrees in wanted])
    lines += section("Beware", beware)
    lines += ["", "## Under other training choices", "", "Mean size; one choice changed at a time."]
    lines += ["", *grid(list(choices[0]), [list(choice.values()) for choice in choices])]
    lines += ["", f"D after exceeds D before under {higher} of the {len(both)} with both fits."]
    judged = {row.claim for row in rows}
    elsewhere = [f"{each.claim} ({each.text})" for each in ELSEWHERE if each.claim not in judged]
    lines += [*section("What XOR cannot answer", elsewhere), ""]
    return "\n".join(lines)


def grid(names: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> list[str]:
    """Return the lines of a table."""
    written = [[v if isinstance(v, str) else number(v) for v in row] for row in rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in [names, *written]]
    return [lines[0], "|" + "---|" * len(names), *lines[1:]]


def section(title: str, items: Sequence[str]) -> list[str]:
    """Return the lines of a section with a list; none where it is empty."""
    return ["", f"## {title}", "", *[f"- {item}" for item in items]] if items else []
