"""A CSV of three columns to a report in three commands, as typed."""

import json
import re

import pytest
from pyarrow import csv

from tests.shell import grokcrit, sentence
from tests.unit.others import bare

COLUMNS = "size=S,system=L,run=seed"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a CSV of three columns, as another program writes it."""
    folder = tmp_path_factory.mktemp("pile")
    csv.write_csv(bare().rename_columns(["L", "seed", "S"]), folder / "pile.csv")
    return folder


def test_three_commands_lead_to_a_report(folder):
    """Fault: a stage stops, or warns of what only a training has."""
    commands = (
        ("ingest", "--avalanches", "pile.csv", "--columns", COLUMNS, "-o", "avalanche.parquet"),
        ("diagnose", "avalanche.parquet", "--gof", "3", "--resamples", "100"),
        ("report", "avalanche.parquet", "diagnostics.parquet"),
    )
    for words in commands:
        done = grokcrit(*words, cwd=folder)
        said = done.stdout + done.stderr
        assert not re.search(r"(?i)\b(epochs?|grok(s|ked|king)?|training|null)\b", said), said
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "720 avalanches, 12 runs of 4 sizes, N = 16 to 1024." in page
    assert page.count("<img") >= 2


def test_the_summary_says_what_there_is(folder):
    words = ("ingest", "--avalanches", "pile.csv", "--columns", COLUMNS, "-o", "a.parquet")
    shown = json.loads(grokcrit(*words, "--json", cwd=folder).stdout)
    assert shown["title"] == "720 avalanches of 4 sizes, 3 runs each"
    assert [row["N"] for row in shown["rows"]] == [16, 64, 256, 1024]
    assert {row["avalanches"] for row in shown["rows"]} == {180}
    assert [each["id"] for each in shown["warnings"]] == ["absent"]


def test_what_is_missing_is_said_in_one_sentence(folder):
    """Fault: a traceback, or one column at a time."""
    said = sentence(grokcrit("ingest", "--avalanches", "pile.csv", cwd=folder, code=1))
    for word in ("n_params", "size=NAME", "--columns", "L, seed, S"):
        assert word in said
    words = ("ingest", "--avalanches", "pile.csv", "--columns", COLUMNS, "-o", "b.parquet")
    grokcrit(*words, cwd=folder)
    said = sentence(grokcrit("fss", "b.parquet", "--observable", "area", cwd=folder, code=2))
    assert "--observable area cannot be measured" in said
    said = sentence(grokcrit("diagnose", "b.parquet", "--only", "crossings", cwd=folder, code=1))
    assert "crossings needs D in time" in said
