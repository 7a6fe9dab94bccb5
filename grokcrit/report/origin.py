"""The origin of a report: files and digests, commands, cases, versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from grokcrit._version import __version__
from grokcrit.base.summary import Row, Summary
from grokcrit.report.inputs import Material
from grokcrit.tables import provenance
from grokcrit.tables.provenance import Record


def origin(made: Material) -> dict[str, Any]:
    """Return what the section on provenance shows."""
    files = [
        {"file": each.name, "stage": each.stage, "bytes": each.length, "SHA-256": each.digest}
        for each in made.files
    ]
    given = (file.record for file in made.files if file.record)
    # Each once: the inputs of several tables may be the same.
    chained = {json.dumps(each, sort_keys=True): each for each in chain(given)}
    records = list(chained.values())
    return {
        "version": __version__,
        "command": provenance.command_line or "grokcrit.report.report, called from Python",
        "files": Summary("Files read", files),
        "commands": Summary("Commands that made the tables", commands(records)),
        "options": [of_cases(records), of_commands(records)],
        "versions": Summary("Versions", versions(records)),
        "unknown": [f.name for f in made.files if not f.record and f.stage != "claims"],
    }


def chain(records: Iterator[Record] | Sequence[Record]) -> Iterator[Record]:
    """Yield every record behind some records, inputs first."""
    for record in records:
        yield from chain(record.get("inputs", []))
        yield record


def commands(records: Sequence[Record]) -> list[Row]:
    """Return a row of each command behind the tables."""
    return [
        {
            "table": record["schema"],
            "command": record.get("command_line") or "from Python",
            "root seed": record.get("root_seed"),
            "grokcrit": record.get("grokcrit"),
            "created": record.get("created"),
        }
        for record in records
    ]


def of_cases(records: Sequence[Record]) -> Summary:
    """Return the options of each case, a column a case."""
    cases = {name: case for r in records for name, case in r.get("cases", {}).items()}
    names = dict.fromkeys(name for case in cases.values() for name in case)
    rows = [
        {"option": name} | {label: plain(case.get(name)) for label, case in cases.items()}
        for name in names
    ]
    return Summary("Options of each case", rows)


def of_commands(records: Sequence[Record]) -> Summary:
    """Return the options of each command."""
    rows = [
        {"table": record["schema"], "option": name, "value": plain(value)}
        for record in records
        for name, value in flat(record.get("configuration", {}))
    ]
    return Summary("Options of each command, defaults resolved", rows)


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


def versions(records: Sequence[Record]) -> list[Row]:
    """Return a row of each program, with every version that was in use."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in record.get("versions", {}).items():
            found.setdefault(name, {})[version] = None
    return [{"program": name, "version": ", ".join(each)} for name, each in found.items()]
