"""Errors, in a few kinds; cli/app.py prints them. A message says what, where, what to do."""

from __future__ import annotations

import os
import re


class GrokcritError(Exception):
    """The data or the run is at fault. The command line exits with ``exit_code``."""

    exit_code = 1

    @property
    def id(self) -> str:
        """The name of its kind, for scripts: ``values`` of a ValuesError."""
        name = type(self).__name__.removesuffix("Error")
        return re.sub(r"(?<=.)([A-Z])", r"-\1", name).lower()


class OptionError(GrokcritError):
    """An option ``name``, shown as ``--name``, is at fault; ``problem`` ends the sentence."""

    exit_code = 2

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"{name} {problem}")


class TableError(GrokcritError):
    """A table cannot be read, is damaged, or does not hold what its schema promises."""


class UnreadableError(TableError):
    """A file cannot be opened or read."""


class UnwritableError(TableError):
    """A file or folder cannot be made or written."""


class DamagedError(TableError):
    """A file is not what was written."""


class EmptyError(TableError):
    """There is nothing in it that could be used."""


class StageError(TableError):
    """A table is of another stage or schema."""


class ColumnError(TableError):
    """A column is missing, there twice, or of a wrong type."""


class ValuesError(TableError):
    """A value is null, not finite, or out of the range of its column."""


class RepeatedError(TableError):
    """The same row, file or tensor is there twice."""


class RecordError(TableError):
    """The records of the inputs do not say what is needed, or contradict one another."""


class ShapeError(TableError):
    """A vector has another length or shape than it must have."""


class PackageError(TableError):
    """A file needs a package that is not installed."""


class RunError(GrokcritError):
    """A training run cannot go on: its loss or its gradient is not finite."""


class RecorderError(GrokcritError):
    """A training has no gradient that the recorder could take."""


class FitError(GrokcritError):
    """There is nothing that can be fitted."""


class PlanError(GrokcritError):
    """A sweep file is at fault: it is as much the command line as the options are."""

    exit_code = 2


def reason(error: OSError) -> str:
    """Return what the system says of an error; where it says nothing, the error itself."""
    return os.strerror(error.errno) if error.errno else " ".join(str(error).split())
