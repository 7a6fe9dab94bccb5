"""Real processes: every CLI test runs the installed command as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests import warm

ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NUMBA_DISABLE_JIT")},
    "COLUMNS": "100",
}
COMMAND = [sys.executable, "-m", "grokcrit"]


def grokcrit(
    *arguments: object, cwd: Path, code: int = 0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, expect an exit code, and never a traceback.

    An environment of its own may change what is imported: such a command starts from nothing.
    """
    words = [str(each) for each in arguments]
    if env is None:
        done = warm.run(words, cwd, ENVIRONMENT)
    else:
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=cwd,
            env={**ENVIRONMENT, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=warm.PATIENCE,
        )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a command that failed: standard error holds it and nothing else."""
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("grokcrit: ")
    return lines[0]


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder, with this Python and its grokcrit."""
    programs = [f"PYTHON={sys.executable}", f"GROKCRIT={sys.executable} -m grokcrit"]
    return subprocess.run(
        ["make", "-C", str(folder), *programs, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def writes_into(process: subprocess.Popen[str], folder: Path) -> bool:
    """Whether a process has begun a file there: one under a temporary name, or one with none."""
    if list(folder.glob(".grokcrit-*.tmp")):
        return True
    for handle in Path(f"/proc/{process.pid}/fd").glob("*"):
        with suppress(OSError):  # closed meanwhile
            target = str(handle.readlink())
            if target.startswith(f"{folder}/") and target.endswith("(deleted)"):
                return True
    return False
