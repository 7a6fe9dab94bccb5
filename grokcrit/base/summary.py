"""The output of a command: tables of plain values, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Notice:
    """A warning."""

    id: str  # names its kind, for scripts and for ``--silence``
    text: str
    names: tuple[str, ...] = ()  # all that it is about, where the text lists the first few

    def as_dict(self) -> Row:
        """Return the warning as JSON holds it."""
        names = {"names": list(self.names)} if self.names else {}
        return {"id": self.id, "text": self.text} | names


@dataclass(frozen=True)
class Summary:
    """The result of a command: a table of plain values, and warnings."""

    title: str
    rows: list[Row]
    warnings: list[Notice] = field(default_factory=list)
    formats: dict[str, str] = field(default_factory=dict)  # how columns are shown
    details: list[Row] | None = None  # the rows for scripts, where they are others
    more: list[Summary] = field(default_factory=list)  # tables shown below
    about: str = ""  # explains the table in a report

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """Name of each column and whether it holds numbers."""
        return [
            (name, any(isinstance(row[name], int | float | tuple) for row in self.rows))
            for name in (self.rows[0] if self.rows else ())
        ]

    def as_dict(self, out: str | None, warnings: Sequence[Notice]) -> Row:
        """The summary as one JSON object."""
        rows = self.rows if self.details is None else self.details
        more = [{"title": s.title, "rows": s.rows} for s in self.more]
        told = {"title": self.title, "out": out, "rows": rows} | ({"more": more} if more else {})
        return told | {"warnings": [w.as_dict() for w in warnings]}


def cell(value: Any, form: str = ".3f") -> str:
    """Format a value for a person."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return format(value, form)
    if isinstance(value, list | tuple):
        return " to ".join(cell(each, form) for each in value)
    return str(value)
