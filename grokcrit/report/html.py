"""HTML from plain values. What is a value is escaped here; what a function returns is HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from grokcrit.base.summary import Summary
from grokcrit.questions.rows import shown

# Tables longer than the first fold; rows beyond the second are counted, not shown.
FOLDED, SHOWN = 40, 400


def text(value: Any) -> str:
    """Escape a value."""
    return html.escape(str(value), quote=True)


def tag(name: str, *content: str, **attributes: Any) -> str:
    """Wrap HTML in an element; attributes are values, a trailing underscore of a name is cut."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{said}>{''.join(content)}</{name}>"


def paragraph(sentence: str, **attributes: Any) -> str:
    """Make a paragraph of plain text."""
    return tag("p", text(sentence), **attributes)


def listed(items: Iterable[str], kind: str = "ul") -> str:
    """Make a list of plain texts."""
    return tag(kind, *[tag("li", text(item)) + "\n" for item in items])


def section(name: str, title: str, *content: str) -> str:
    """Make a section with a heading."""
    heading = tag("h2", text(title), id=f"{name}-title")
    body = "\n".join(("", heading, *content, ""))
    return tag("section", body, id=name, aria_labelledby=f"{name}-title") + "\n"


def folded(title: str, *content: str) -> str:
    """Make a part that a reader opens; nothing is lost where it cannot be."""
    return tag("details", tag("summary", text(title)), *content)


def scrolling(label: str, content: str, more: str = "") -> str:
    """Let something wide scroll inside its own box; reachable by keyboard."""
    box = {"class_": f"scroll {more}".strip(), "role": "region", "aria_label": label, "tabindex": 0}
    return tag("div", content, **box)


def table(summary: Summary, caption: str | None = None, *, fold: bool | None = None) -> str:
    """Make a table of a summary; a very long one says how much it leaves out.

    Parameters
    ----------
    caption
        Instead of the summary's title.
    fold
        Whether a reader must open it; None where it is long.
    """
    if not summary.rows:
        return ""
    title = caption or summary.title
    title = title[0].upper() + title[1:]
    columns = summary.columns
    head = tag(
        "tr",
        *[
            tag("th", text(name.strip()), scope="col", class_="number" if numeric else None)
            for name, numeric in columns
        ],
    )
    body = [body_row(row, columns, summary.formats) for row in summary.rows[:SHOWN]]
    made = tag(
        "table",
        tag("caption", text(title)),
        tag("thead", head),
        tag("tbody", "\n", *body),
    )
    made = scrolling(title, made)
    left = len(summary.rows) - SHOWN
    if left > 0:
        made += paragraph(f"{left} more rows are in the table itself; these are the first {SHOWN}.")
    if not (len(summary.rows) > FOLDED if fold is None else fold):
        return made + "\n"
    return folded(f"{title}: {len(summary.rows)} rows", made) + "\n"


def body_row(
    row: dict[str, Any], columns: Sequence[tuple[str, bool]], forms: dict[str, str]
) -> str:
    """Make a row; its first cell names it."""
    cells = []
    for place, (name, numeric) in enumerate(columns):
        content = text(shown(row[name], forms.get(name, ".3f")))
        kind = "number" if numeric else None
        if place == 0:
            cells.append(tag("th", content, scope="row", class_=kind))
        else:
            cells.append(tag("td", content, class_=kind))
    return tag("tr", *cells) + "\n"
