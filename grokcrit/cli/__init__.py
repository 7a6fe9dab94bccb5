"""The command line: one file per command, which parses, calls the stage of its name, prints."""

from __future__ import annotations

import sys

from grokcrit._version import __version__


def main() -> None:
    """Run the command line; the entry point of ``grokcrit``."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:  # answered before anything else loads
        print(f"grokcrit {__version__}")
        return
    from grokcrit.base.imports import begin_command

    begin_command()
    try:
        from grokcrit.cli.app import invoke

        sys.exit(invoke(arguments))
    except KeyboardInterrupt:  # before the command has begun
        sys.exit(130)
