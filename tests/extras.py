"""A pytest plugin: tests that need an extra are skipped without it, and outcomes can be kept.

``@pytest.mark.extra("torch")`` names what a test needs. Where it is not installed the test is
skipped, and the reason names the extra and the command that runs the test. A module that imports
an extra sets ``pytestmark``: without the extra it is never imported, and each of its test
functions is listed as skipped.

``--outcomes FILE`` writes which tests passed and which were skipped; ``tests.skipped`` reads it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# The module that shows whether an extra is installed.
MODULES = {
    "torch": "torch",
    "safetensors": "safetensors",
    "dask": "distributed",
    "hub": "huggingface_hub",
    "huggingface": "transformers",
    "lightning": "lightning",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "signals": "weightwatcher",
}
OWN = ("extra", "slow", "browser")


def missing(marks: list[pytest.Mark]) -> list[str]:
    """Return the extras that the marks name and that are not installed."""
    named = [name for mark in marks if mark.name == "extra" for name in mark.args]
    if unknown := set(named) - set(MODULES):
        raise pytest.UsageError(f"no such extra: {', '.join(sorted(unknown))}")
    return [name for name in MODULES if name in named and find_spec(MODULES[name]) is None]


def own_marks(node: ast.expr) -> list[pytest.Mark]:
    """Return the marks of this suite in a decorator or a list, none for any other expression."""
    if isinstance(node, ast.List):
        return [mark for each in node.elts for mark in own_marks(each)]
    source = ast.unparse(node)
    if source.split("(")[0] not in {f"pytest.mark.{name}" for name in OWN}:
        return []
    return [eval(source, {"pytest": pytest}).mark]


class WithoutExtra(pytest.File):
    """A module that cannot be imported here: its test functions, by name."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield one item per test function, whatever its parameters."""
        for node in ast.parse(self.path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                item = NotRun.from_parent(self, name=node.name)
                for decorator in node.decorator_list:
                    for mark in own_marks(decorator):
                        item.add_marker(getattr(pytest.mark, mark.name)(*mark.args))
                yield item


class NotRun(pytest.Item):
    """A test function of a module that was not imported; its mark skips it."""

    def runtest(self) -> None:
        """Fail: the mark of the module skips every such item first."""
        raise AssertionError("not skipped")

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the test lies."""
        return self.path, 0, self.name


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> WithoutExtra | None:
    """Do not import a module whose own mark names an extra that is not installed."""
    for node in ast.parse(module_path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            marks = own_marks(node.value)
            if missing(marks):
                made = WithoutExtra.from_parent(parent, path=module_path)
                for mark in marks:
                    made.add_marker(getattr(pytest.mark, mark.name)(*mark.args))
                return made
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests whose extras are not installed."""
    for item in items:
        if absent := missing(list(item.iter_markers("extra"))):
            reason = f"needs {' and '.join(absent)}: make test-extras"
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that keeps the outcomes."""
    parser.addoption("--outcomes", type=Path, help="write which tests passed and were skipped")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the outcomes in the process that hears of every test, not in its workers."""
    if config.option.outcomes and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(config.option.outcomes))


class Outcomes:
    """What became of each test."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.passed: list[str] = []
        self.skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that passed or was skipped."""
        if report.when == "call" and report.passed:
            self.passed.append(report.nodeid)
        self.pytest_collectreport(report)

    def pytest_collectreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Note what was skipped, a whole module too."""
        if report.skipped and not hasattr(report, "wasxfail"):
            _, _, reason = report.longrepr
            self.skipped[report.nodeid] = reason.removeprefix("Skipped: ")

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        kept = {"passed": sorted(self.passed), "skipped": dict(sorted(self.skipped.items()))}
        self.path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
