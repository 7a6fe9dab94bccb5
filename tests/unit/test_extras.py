"""Tests that need an extra: skipped by name without it, and never skipped in every run of CI."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skipped import main, skipped_everywhere

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
import sys
sys.modules["torch"] = None  # as where it is not installed
sys.path.insert(0, {root!r})
pytest_plugins = ["tests.extras"]
"""
WHOLE = """
import pytest
import torch
pytestmark = pytest.mark.extra("torch")

def test_one():
    pass

@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slow(dtype):
    pass
"""
PARTS = """
import pytest

@pytest.mark.parametrize("k", [0, pytest.param(1, marks=pytest.mark.extra("torch"))])
def test_some(k):
    pass
"""
INI = "[pytest]\nmarkers =\n    slow: long\n    extra: needs\n"


@pytest.fixture
def outcomes(tmp_path):
    """Run pytest on a small suite; return what it kept of the outcomes."""
    (tmp_path / "conftest.py").write_text(CONFTEST.format(root=str(ROOT)))
    (tmp_path / "test_whole.py").write_text(WHOLE)
    (tmp_path / "test_parts.py").write_text(PARTS)
    (tmp_path / "pytest.ini").write_text(INI)

    def run(*options):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--outcomes=kept.json", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "kept.json").read_text())

    return run


# Fault: a module that imports torch stops the collection, or its tests vanish without a word;
# a worker of xdist writes the file of outcomes, and not the process that hears of every test.
@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "workers"])
def test_without_the_extra_every_test_that_needs_it_is_skipped_by_name(outcomes, options):
    reason = "needs torch: make test-extras"
    assert outcomes(*options) == {
        "passed": ["test_parts.py::test_some[0]"],
        "skipped": {
            "test_parts.py::test_some[1]": reason,
            "test_whole.py::test_one": reason,
            "test_whole.py::test_slow": reason,
        },
    }


# Fault: tests of a module that is not imported are chosen by `-m` as if they had no marks.
def test_what_is_slow_stays_slow_in_a_module_that_is_not_imported(outcomes):
    kept = outcomes("-m", "extra and not slow")
    assert sorted(kept["skipped"]) == ["test_parts.py::test_some[1]", "test_whole.py::test_one"]


# Fault: a test that no run of CI executes, or one that ran elsewhere, is taken for the other.
def test_what_no_run_passed_is_named_and_what_one_passed_is_not(tmp_path, capsys):
    fresh = {
        "passed": ["a.py::test_x[1]"],
        "skipped": {"a.py::test_x[2]": "r2", "b.py::test_y": "ry", "c.py": "rc", "d.py": "rd"},
    }
    extras = {"passed": ["b.py::test_y[3]", "c.py::test_z"], "skipped": {}}
    assert skipped_everywhere([fresh, extras]) == {"a.py::test_x[2]": "r2", "d.py": "rd"}
    for k, run in enumerate((fresh, extras)):
        (tmp_path / f"{k}.json").write_text(json.dumps(run))
    assert main([str(tmp_path / "0.json"), str(tmp_path / "1.json")]) == 1
    assert "a.py::test_x[2]: r2" in capsys.readouterr().err
    assert main([str(tmp_path / "1.json")]) == 0
