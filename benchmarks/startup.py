"""What each command loads, and what that costs beside the bare imports of its libraries.

    python benchmarks/startup.py [--rounds 5]

Every command of the default experiment runs as a process of its own, warm. In each round its wall
time, that of importing all modules that it loads, and that of the bare imports of its libraries are
taken in turn; the ratios are medians over rounds. Exits with 1 where a command loads a library that
is not on its list, or its imports take more of the bare ones than its budget.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# Libraries that take long to load; the list of each command says which it may.
HEAVY = (
    "igraph",
    "jinja2",
    "matplotlib",
    "numba",
    "pandas",
    "rich",
    "scipy.interpolate",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.special",
    "scipy.stats",
    "torch",
)
# What every command that reads or writes a table needs.
BASE = ("typer", "pydantic", "numpy", "pyarrow", "pyarrow.compute", "pyarrow.parquet")
# What the chain is compared with: these, whether a command uses them or not.
ALL = ("numba", "pyarrow", "scipy.stats", "typer", "rich")


# The first compiled loop has numba load 200 modules more.
KERNELS = 2.4


@dataclass(frozen=True)
class Command:
    """A command, the heavy libraries that it may load, its budget over their bare imports."""

    arguments: str
    libraries: tuple[str, ...]
    budget: float = 1.6

    @property
    def drawing(self) -> bool:
        """Return whether it draws."""
        return self.arguments.startswith("plot")


COMMANDS = (
    Command("train", ("numba",), KERNELS),
    Command("avalanche train.parquet", ("numba",), KERNELS),
    Command("fss avalanche.parquet", ("scipy.special",)),
    Command("bootstrap avalanche.parquet", ("scipy.special",)),
    Command("plot fig1 train.parquet fss.parquet", ("matplotlib",)),
    Command("plot fig2 avalanche.parquet fss.parquet", ("matplotlib",)),
    Command("plot fig3 bootstrap.parquet", ("matplotlib",)),
    Command("watch avalanche.parquet", ("scipy.special",)),
    Command(
        "diagnose avalanche.parquet",
        ("numba", "scipy.linalg", "scipy.optimize", "scipy.special"),
        KERNELS,
    ),
)
CHAIN = COMMANDS[:7]
WHOLE = """
import sys
sys.argv = ["grokcrit", *{arguments!r}]
from grokcrit.cli import main
main()
"""
LISTED = (
    """
import atexit, json, sys
from pathlib import Path
atexit.register(lambda: Path({out!r}).write_text(json.dumps(list(sys.modules))))
"""
    + WHOLE
)
IMPORTED = """
import importlib, sys
from grokcrit.base.imports import begin_command
begin_command()
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
"""


def python(code: str, folder: Path) -> float:
    """Run some code in a process of its own; return the seconds it took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return time.perf_counter() - start


def command_line(command: Command) -> list[str]:
    """Return the words of a command that says nothing."""
    return [*command.arguments.split(), "--quiet"]


def modules_of(command: Command, folder: Path) -> list[str]:
    """Return the modules that a command has loaded when it ends, in their order."""
    out = folder / "modules.json"
    python(LISTED.format(arguments=command_line(command), out=str(out)), folder)
    found: list[str] = json.loads(out.read_text(encoding="utf-8"))
    return found


def heavy_of(modules: list[str]) -> list[str]:
    """Return which of the heavy libraries are among some modules."""
    return [name for name in HEAVY if name in modules]


def bare(libraries: tuple[str, ...]) -> str:
    """Return the code that imports libraries and nothing else."""
    # Nothing is drawn with less of matplotlib than its figure.
    return f"import {', '.join(libraries)}".replace("matplotlib", "matplotlib.figure")


def main() -> int:
    """Measure, print, and say what is over its budget."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    over = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        modules = {command: modules_of(command, folder) for command in COMMANDS}
        codes = {}
        for command in COMMANDS:
            codes[command, "whole"] = WHOLE.format(arguments=command_line(command))
            codes[command, "imports"] = IMPORTED.format(names=modules[command])
            codes[command, "bare"] = bare((*BASE, *command.libraries))
            codes[command, "all"] = bare((*ALL, "matplotlib") if command.drawing else ALL)
        seconds = {key: [] for key in codes}
        for _ in range(rounds):
            for key, code in codes.items():
                seconds[key].append(python(code, folder))
    times = {key: statistics.median(each) for key, each in seconds.items()}
    print("| command | modules | seconds | its imports | bare imports | imports / bare |")
    print("|---|--:|--:|--:|--:|--:|")
    for command in COMMANDS:
        whole, imports, plain = (times[command, kind] for kind in ("whole", "imports", "bare"))
        pairs = zip(seconds[command, "imports"], seconds[command, "bare"], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        print(
            f"| `{command.arguments}` | {len(modules[command])} | {whole:.2f} | {imports:.2f} | "
            f"{plain:.2f} | {ratio:.2f} |"
        )
        more = set(heavy_of(modules[command])) - set(command.libraries)
        over += [f"{command.arguments} loads {', '.join(sorted(more))}"] if more else []
        if ratio > command.budget:
            over.append(f"{command.arguments}: imports / bare above {command.budget}")
    chain = [
        sum(seconds[command, "whole"][k] for command in CHAIN)
        / sum(seconds[command, "all"][k] for command in CHAIN)
        for k in range(rounds)
    ]
    whole, imports = (sum(times[c, kind] for c in CHAIN) for kind in ("whole", "all"))
    print(
        f"\nThe chain of {len(CHAIN)}: {whole:.2f} s, {statistics.median(chain):.2f} times the "
        f"{imports:.2f} s of importing {', '.join(ALL)} (and matplotlib to draw) for each."
    )
    print(*over, sep="\n")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
