"""What the pages say is true: their commands run, and print what is shown."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import grokcrit.tasks.swept  # noqa: F401  the table of a sweep is among the tables
from grokcrit.tables.schemas import markdown

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
# Pages whose commands take over ten seconds; `make examples` runs them.
LONG = ("README.md", "docs/nulls.md", "docs/ingest.md", "docs/sweep.md")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Another processor's tanh may differ in the last bit, and a threshold makes more of it.
SLACK = 0.05


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "docs/refresh.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["refresh"] = module
    spec.loader.exec_module(module)
    return module


def words(text):
    """The text without its numbers and without the lines and blanks that frame them."""
    return re.sub(r"[\s─]+", " ", NUMBER.sub("#", text)).strip()


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow) if p in LONG else p for p in PAGES]
)
def test_commands_shown_run_and_print_what_is_shown(refresh, tmp_path, page):
    for block in refresh.examples((ROOT / page).read_text()):
        for example in block:
            printed = refresh.run(example.command, tmp_path)
            assert words(printed) == words(example.output), example.command
            shown = [float(n) for n in NUMBER.findall(example.output)]
            found = [float(n) for n in NUMBER.findall(printed)]
            assert np.allclose(found, shown, rtol=SLACK, atol=SLACK), example.command


def test_the_page_of_tables_is_written_from_the_schemas():
    assert (ROOT / "docs/tables.md").read_text() == markdown()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/diagnostics.md"])
def test_what_pages_say_of_layers_and_questions_is_written_from_the_code(refresh, page):
    """Fault: a folder, a layer or a question is added, and the page tells of the old ones."""
    text = (ROOT / page).read_text()
    assert refresh.generated(page, text) == text


def test_every_folder_has_a_layer_and_the_root_holds_three_modules(refresh):
    """Fault: a room that no contract knows, or a module that nobody gave a room."""
    folders = {path.parent.name for path in (ROOT / "grokcrit").glob("*/__init__.py")}
    assert folders == {name for layer in refresh.layers() for name in layer}
    assert len(refresh.layers()) <= 10
    modules = {path.name for path in (ROOT / "grokcrit").glob("*.py")}
    assert modules == {"__init__.py", "__main__.py", "_version.py"}


def test_the_python_shown_in_the_readme_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    gradient = np.random.default_rng(0).standard_normal(2001)
    exec(code, {"gradient": gradient})


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile():
    commands = re.findall(r"^make (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands == ["reproduce", "test"]
    makefile = (ROOT / "Makefile").read_text()
    for name in commands:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE)
