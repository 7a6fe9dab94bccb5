"""The commands in one application, and what becomes of each kind of failure."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from grokcrit._version import __version__
from grokcrit.base.errors import GrokcritError, OptionError, reason
from grokcrit.cli.shell import aside
from grokcrit.tables import provenance

INTERRUPTED = 130
TERMINATED = 143
# Typer's own kind of usage error has no public name but as the parent of this one.
UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="grokcrit",
    rich_markup_mode=None,  # plain help: no escapes in pipes, in CI or in shell completion
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
COMMANDS = (
    "train",
    "ingest",
    "avalanche",
    "fss",
    "bootstrap",
    "diagnose",
    "robustness",
    "warn",
    "sweep",
    "plot",
    "report",
    "reproduce",
    "simulate",
    "watch",
)
for name in COMMANDS:
    app.command()(getattr(importlib.import_module(f"grokcrit.cli.{name}"), name))


def print_version(wanted: bool) -> None:
    """Answer --version."""
    if wanted:
        print(f"grokcrit {__version__}")
        raise typer.Exit


@app.callback()
def grokcrit(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Avalanche statistics of gradients: is grokking a dimensional phase transition?

    Stages are chained through Parquet tables:

    \b
      grokcrit train                                   -o train.parquet
      grokcrit avalanche train.parquet --surrogate none,gaussian
      grokcrit fss       avalanche.parquet
      grokcrit bootstrap avalanche.parquet
      grokcrit diagnose  avalanche.parquet train.parquet
      grokcrit plot fig1 train.parquet fss.parquet     -o fig1.png
      grokcrit report    .                             -o report.html

    \b
    or in one command: grokcrit reproduce -o results/
    or over many choices: grokcrit sweep SWEEP.toml -o sweep/
    """


class TerminatedError(BaseException):
    """SIGTERM arrived; raised so that temporary files are removed on the way out."""


def on_sigterm(_number: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM and SIGHUP into an exception."""
    raise TerminatedError


def invoke(arguments: list[str]) -> int:
    """Run a command line and return its exit code: 0, 1 (data, run) or 2 (command line)."""
    provenance.command_line = shlex.join(["grokcrit", *arguments])
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), on_sigterm)
    # A stream that the caller has closed is None in Python; what is said there goes nowhere.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    # A notebook names its own backend there, which need not be installed; commands write files.
    os.environ.pop("MPLBACKEND", None)
    if not arguments:
        with contextlib.redirect_stdout(sys.stderr):
            app(["--help"], standalone_mode=False, prog_name="grokcrit")
        return 2
    try:
        code = app(arguments, standalone_mode=False, prog_name="grokcrit")
        if code == INTERRUPTED:  # how Typer hands Ctrl-C back
            leave("interrupted; nothing half-written remains", INTERRUPTED)
    except TerminatedError:
        leave("terminated; nothing half-written remains", TERMINATED)
    except SystemExit:
        # Click ends so where the reader of a help text has gone, as `| head` does.
        if not {"--help", "-h"} & set(arguments):
            raise
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return fail(error, "--json" in arguments)
    return 0


def fail(error: Exception, as_json: bool) -> int:
    """Say in one sentence what went wrong, under --json also as an object; return the exit code."""
    name, sentence, code = told(error)
    if as_json and sentence:
        with contextlib.suppress(OSError):
            print(json.dumps({"error": {"id": name, "message": sentence}}), flush=True)
    if sentence:
        say(sentence)
    if isinstance(error, OSError):
        # What waits in its buffer would fail again at the end, which Python answers with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def told(error: Exception) -> tuple[str, str, int]:
    """Return the id of a failure, the sentence, and the exit code."""
    if isinstance(error, OptionError):
        name = error.name if error.name.isupper() else "--" + error.name.replace("_", "-")
        return error.id, f"{name} {error.problem}", error.exit_code
    if isinstance(error, GrokcritError):
        return error.id, str(error), error.exit_code
    if isinstance(error, UsageError):
        message = error.format_message().rstrip(".")
        return "usage", message and f"{message}; see --help", 2
    if isinstance(error, OSError) and {"--help", "-h"} & set(sys.argv):
        return "unwritable", f"cannot write to standard output: {reason(error)}", 1
    if isinstance(error, MemoryError):
        text = "out of memory; use fewer --threads, smaller widths or fewer cases at once"
        return "memory", text, 1
    where = "(--debug shows where; please report it)"
    return "internal", f"internal error, {type(error).__name__}: {error} {where}", 1


def say(sentence: str) -> None:
    """Print a sentence to standard error, in one line whatever it quotes."""
    aside(f"grokcrit: {' '.join(sentence.split())}")


def leave(sentence: str, code: int) -> None:
    """Leave at once: threads still inside a kernel are not waited for; they hold no output."""
    say(sentence)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
