"""The script that CI runs, with a make that only writes down what it is asked for."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = """#!/bin/sh
echo "$@" >> asked
file=${PYTEST_ADDOPTS#--outcomes=}
[ -z "$file" ] || cp "outcomes/$(basename "$file")" "$file"
[ "$1" != "$FAILING" ]
"""
RAN = {"passed": ["a.py::test_x"], "skipped": {}}
SKIPPED = {"passed": [], "skipped": {"a.py::test_x": "why"}}
RUNS = ("test", "extras", "report", "examples")


@pytest.fixture
def ci(tmp_path):
    """Run the script; return it and what it asked of make, one line per call."""
    for name in (".ci/run", "tests/skipped.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in (".venv/bin", "bin", "outcomes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / "bin/make").write_text(MAKE)
    (tmp_path / "bin/make").chmod(0o755)

    def run(failing="", **outcomes):
        for name in RUNS:
            text = json.dumps(outcomes.get(name, {"passed": [], "skipped": {}}))
            (tmp_path / f"outcomes/{name}.json").write_text(text)
        path = f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", ".ci/run"],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "FAILING": failing},
            capture_output=True,
            text=True,
            check=False,
        )
        return done, (tmp_path / "asked").read_text().splitlines()

    return run


# Fault: something installs an extra before the tests, or into their environment, and hides what
# fails without it.
def test_the_tests_come_first_in_an_environment_of_their_own(ci):
    done, asked = ci()
    assert done.returncode == 0, done.stderr
    first, *rest = asked
    own = re.fullmatch(r"test VENV=(/\S+)", first)[1]
    assert not Path(own).exists()
    assert rest == ["check", "smoke", "test-extras", "test-report", "examples"]


# Fault: CI is green although a step failed.
@pytest.mark.parametrize("step", ["test", "check", "test-extras", "test-report", "examples"])
def test_a_step_that_fails_is_the_last(ci, step):
    done, asked = ci(failing=step)
    assert done.returncode != 0
    assert asked[-1].split()[0] == step


# Fault: a test that no run executes, such as one of a browser that is not there, goes unnoticed.
@pytest.mark.parametrize("where", ["extras", "report", "examples"])
def test_a_test_skipped_in_every_run_fails_and_is_named(ci, where):
    done, _ = ci(test=SKIPPED, **{where: SKIPPED})
    assert done.returncode == 1
    assert "a.py::test_x: why" in done.stderr
    assert ci(test=SKIPPED, **{where: RAN})[0].returncode == 0


# Fault: the script or the workflow calls for what the Makefile does not have.
def test_every_target_of_the_script_is_in_the_makefile(ci):
    makefile = (ROOT / "Makefile").read_text()
    for line in ci()[1]:
        assert re.search(rf"^{line.split()[0]}:|^{line.split()[0]} ", makefile, re.MULTILINE), line
    assert "bash .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()
