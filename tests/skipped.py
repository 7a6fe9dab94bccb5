"""Name the tests that were skipped in every run of pytest.

    python -m tests.skipped FILE...

Each file was written by ``pytest --outcomes``. The exit code is 1 if a test was skipped in one of
the runs and passed in none of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def skipped_everywhere(runs: list[dict]) -> dict[str, str]:
    """Return the tests that no run passed and at least one skipped, with the last reason.

    A module or a test function that was skipped as a whole has run if any of its tests passed.
    """
    passed = {name for run in runs for test in run["passed"] for name in (test, *wholes(test))}
    return {
        test: reason
        for run in runs
        for test, reason in run["skipped"].items()
        if test not in passed
    }


def wholes(test: str) -> tuple[str, str]:
    """Return the module of a test, and the test without its parameters."""
    module, _, name = test.partition("::")
    return module, f"{module}::{name.partition('[')[0]}"


def main(paths: list[str]) -> int:
    """Print what was skipped everywhere; return the exit code."""
    runs = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    found = skipped_everywhere(runs)
    for test, reason in found.items():
        print(f"skipped in every run: {test}: {reason}", file=sys.stderr)
    passed = {test for run in runs for test in run["passed"]}
    print(f"{len(passed)} tests passed, {len(found)} were skipped in every run")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
