"""Where a report comes from: files and digests, commands, cases, versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from grokcrit._version import __version__
from grokcrit.base.summary import Row, Summary
from grokcrit.report import html
from grokcrit.report.inputs import File, Material
from grokcrit.tables import provenance


def origin(made: Material) -> list[str]:
    """Make the parts of the section on provenance."""
    records = list(chain([file.record for file in made.files if file.record]))
    command = provenance.command_line or "grokcrit.report.report, called from Python"
    parts = [
        html.paragraph(
            f"Made by grokcrit {__version__} at {provenance.now()} with: {command}. The same "
            "command on equal files gives an equal page but for that time, which SOURCE_DATE_EPOCH "
            "fixes."
        ),
        html.table(Summary("Files read", [file_row(file) for file in made.files])),
    ]
    if made.others:
        parts.append(
            html.paragraph(
                "Also in the folder, of other experiments, not shown here: "
                f"{', '.join(made.others)}."
            )
        )
    if records:
        parts.append(html.table(Summary("Commands that made the tables", made_by(records))))
        parts += [html.table(each, fold=True) for each in options(records)]
        parts.append(html.table(Summary("Versions", versions(records))))
    unknown = [file.name for file in made.files if not file.record and file.stage != "claims"]
    if unknown:
        parts.append(
            html.paragraph(f"Without a record of how they were made: {', '.join(unknown)}.")
        )
    return parts


def chain(records: Sequence[provenance.Record]) -> Iterator[provenance.Record]:
    """Yield every record behind some records, inputs first, each once."""
    seen = set()

    def walk(several: Sequence[provenance.Record]) -> Iterator[provenance.Record]:
        for record in several:
            yield from walk(record.get("inputs", []))
            key = json.dumps(record, sort_keys=True)
            if key not in seen:
                seen.add(key)
                yield record

    return walk(records)


def file_row(file: File) -> Row:
    """Make the row of a file."""
    return {
        "file": file.name,
        "stage": file.stage,
        "bytes": file.length,
        "SHA-256": file.digest,
    }


def made_by(records: Sequence[provenance.Record]) -> list[Row]:
    """Make a row of each command behind the tables."""
    return [
        {
            "table": str(record["schema"]),
            "command": record.get("command_line") or "from Python",
            "root seed": record.get("root_seed"),
            "grokcrit": record.get("grokcrit"),
            "created": record.get("created"),
        }
        for record in records
    ]


def options(records: Sequence[provenance.Record]) -> list[Summary]:
    """Make a table of the options of each case, and of each stage that estimates."""
    cases: dict[str, Row] = {}
    for record in records:
        cases |= record.get("cases", {})
    names = list(dict.fromkeys(name for each in cases.values() for name in each))
    found = []
    if cases:
        rows = [{"option": n} | {c: plain(o.get(n)) for c, o in cases.items()} for n in names]
        found.append(Summary("Options of each case", rows))
    rows = [
        {"table": str(record["schema"]), "option": name, "value": plain(value)}
        for record in records
        for name, value in flat(record.get("configuration", {}))
    ]
    if rows:
        found.append(Summary("Options of each command, defaults resolved", rows))
    return found


def flat(configuration: Row) -> Iterator[tuple[str, object]]:
    """Yield the options of a command; those of a sweep with the table they are in."""
    for name, value in configuration.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", each) for key, each in value.items())
        else:
            yield name, value


def plain(value: object) -> str:
    """Write the value of an option."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def versions(records: Sequence[provenance.Record]) -> list[Row]:
    """Make a row of each program, with every version that was in use."""
    found: dict[str, list[str]] = {}
    for record in records:
        for name, version in record.get("versions", {}).items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return [{"program": name, "version": ", ".join(each)} for name, each in found.items()]
