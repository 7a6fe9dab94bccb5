"""Run the commands shown in the README and in docs/, and write what they print back.

    python docs/refresh.py           rewrite what has changed (also tables.md and commands.md)
    python docs/refresh.py --figures also draw the figures in docs/images anew

A fenced block marked ``console`` holds lines ``$ command`` and below each what it printed on
standard output. All blocks of a page run in order in one folder, empty but for the examples where a
command names them. tests/pipeline/test_docs.py
runs the same commands and compares.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/method.md",
    "docs/controls.md",
    "docs/nulls.md",
    "docs/ingest.md",
    "docs/sweep.md",
    "docs/simulate.md",
    "docs/commands.md",
)
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
IMAGES = ("fig1.png", "fig2.png", "fig3.png")


@dataclass(frozen=True)
class Example:
    """A command and what a page says it prints."""

    command: str
    output: str


def examples(page: str) -> Iterator[list[Example]]:
    """Yield the examples of each console block of a page."""
    for block in BLOCK.findall(page):
        parts = re.split(r"^\$ (.*)$", block, flags=re.MULTILINE)[1:]
        yield [
            Example(command, output.strip("\n"))
            for command, output in zip(parts[::2], parts[1::2], strict=True)
        ]


def run(command: str, folder: Path) -> str:
    """Run a command as a reader would, in a folder; return its standard output."""
    examples = folder / "examples"
    if "examples/" in command and not examples.exists():
        examples.symlink_to(ROOT / "examples")
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("CI", "FORCE_COLOR")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1, 2) or "Traceback" in done.stderr:
        raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stderr}")
    return tidy(done.stdout)


def tidy(output: str) -> str:
    """Drop trailing blanks and blank lines around."""
    return "\n".join(line.rstrip() for line in output.splitlines()).strip("\n")


def commands_page() -> str:
    """The skeleton of docs/commands.md: the help of every command, to be filled by running it."""
    from grokcrit.cli.app import COMMANDS

    lines = [
        "# The commands",
        "",
        "Written by `make docs` from the commands themselves.",
        "",
        "Exit codes: 0 done; 1 the data or the run is at fault; 2 the command line is; 130 Ctrl-C,",
        "which ends `watch` with 0.",
        "Standard output carries the result (a table, or one JSON object under `--json`); progress",
        "and warnings go to standard error. Outputs appear whole or not at all.",
        "",
        "```console",
        "$ grokcrit --help",
        "```",
        "",
    ]
    for name in COMMANDS:
        lines += [f"## {name}", "", "```console", f"$ grokcrit {name} --help", "```", ""]
    return "\n".join(lines)


def layers() -> list[list[str]]:
    """Return the folders of the library, layer by layer from the top, as import-linter has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (found,) = [c["layers"] for c in contracts["contracts"] if c["type"] == "layers"]
    return [[name.strip() for name in layer.split("|")] for layer in found]


def architecture() -> str:
    """Return the tree of docs/architecture.md: layers, folders, and what each says it is."""
    lines = ["    grokcrit/"]
    for number, layer in enumerate(layers(), 1):
        for name in layer:
            module = ast.parse((ROOT / "grokcrit" / name / "__init__.py").read_text())
            told = (ast.get_docstring(module) or "").splitlines()[0]
            lines.append(f"      {number}  {name + '/':<11} {told}")
    return "\n".join(lines)


def diagnostics() -> str:
    """Return the table of docs/diagnostics.md: what each question estimates."""
    from grokcrit.questions import questions

    lines = ["| question (`--only`) | `quantity` | what it is |", "|---|---|---|"]
    for name, question in questions().items():
        for names, meaning in question.quantities.items():
            quoted = ", ".join(f"`{each}`" for each in names.split(", "))
            lines.append(f"| {name} | {quoted} | {meaning} |")
            name = ""
    return "\n".join(lines)


# Parts of a page that are written from the code, each between two marks of its name.
GENERATED = {
    "docs/architecture.md": {"layers": architecture},
    "docs/diagnostics.md": {"questions": diagnostics},
}


def generated(page: str, text: str) -> str:
    """Return a page with its generated parts written again."""
    for name, write in GENERATED.get(page, {}).items():
        marks = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        head, rest = text.split(marks[0])
        text = head + marks[0] + write() + marks[1] + rest.split(marks[1])[1]
    return text


def refreshed(page: str, folder: Path) -> str:
    """Run a page's commands and put their output below them."""

    def rewrite(block: re.Match[str]) -> str:
        (shown,) = examples(block[0])
        parts = []
        for example in shown:
            output = run(example.command, folder)
            parts.append(f"$ {example.command}\n" + (f"{output}\n\n" if output else ""))
        return "```console\n" + "".join(parts).rstrip("\n") + "\n```"

    return BLOCK.sub(rewrite, page)


def main() -> None:
    """Rewrite every page."""
    import grokcrit.tasks.swept  # noqa: F401  the table of a sweep is among the tables
    from grokcrit.tables.schemas import markdown

    (ROOT / "docs/tables.md").write_text(markdown())
    (ROOT / "docs/commands.md").write_text(commands_page())
    for name in GENERATED:
        (ROOT / name).write_text(generated(name, (ROOT / name).read_text()))
    for name in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            path = ROOT / name
            path.write_text(refreshed(path.read_text(), Path(folder)))
            if name == "README.md" and "--figures" in sys.argv:
                for image in IMAGES:
                    made = (Path(folder) / image).read_bytes()
                    (ROOT / "docs/images" / image).write_bytes(made)
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
