"""The script of `make test-pythons`, with Pythons, a make and a git that only pretend."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRETEND = {
    "git": '[ "$1" != clone ] || mkdir -p "$4"',
    "make": 'for last; do :; done; case "$2 $last" in *"$FAILING") exit 1;; esac',
    "python3.11": "exit 127",  # as a shim of pyenv for what is not installed
}


@pytest.fixture
def pythons(tmp_path):
    """Run the script where these versions are found; return the exit code and the last lines."""
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/pythons", tmp_path / "tests")
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "dirname", "mktemp", "mkdir", "rm", "sh"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))

    def program(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(*versions, failing="none"):
        for name, text in PRETEND.items():
            program(tmp_path / "bin" / name, text)
        for version in versions:
            name = f"home/.pyenv/versions/{version}.4/bin/python"
            program(tmp_path / name, f"echo {version}")
        done = subprocess.run(
            [tmp_path / "tests/pythons"],
            env={
                "PATH": str(tmp_path / "bin"),
                "HOME": str(tmp_path / "home"),
                "TMPDIR": str(tmp_path),
                "FAILING": failing,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        said = [line.split(",")[0] for line in done.stdout.splitlines()]
        return done.returncode, said

    return run


# Fault: a shim of pyenv is taken for the Python that it stands for.
def test_each_python_found_is_tried_and_the_others_are_named(pythons):
    said = ["Python 3.11: not here", "Python 3.12: ok", "Python 3.13: not here"]
    assert pythons("3.12") == (0, said)


# Fault: a version that fails is hidden by a later one that does not.
@pytest.mark.parametrize("step", ["install", "smoke", "test"])
def test_a_version_that_fails_fails_the_script_and_the_next_is_tried(pythons, step):
    said = ["Python 3.11: failed", "Python 3.12: not here", "Python 3.13: ok"]
    assert pythons("3.11", "3.13", failing=f"/3.11 {step}") == (1, said)


# Fault: no Python at all counts as a success.
def test_no_python_at_all_fails(pythons):
    code, said = pythons()
    assert code == 1
    assert said == [f"Python 3.{k}: not here" for k in (11, 12, 13)]
