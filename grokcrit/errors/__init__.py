"""The public name of the errors, which are in base/errors.py."""

from grokcrit.base.errors import (
    FitError,
    GrokcritError,
    OptionError,
    PlanError,
    RecorderError,
    RunError,
    TableError,
)

__all__ = [
    "FitError",
    "GrokcritError",
    "OptionError",
    "PlanError",
    "RecorderError",
    "RunError",
    "TableError",
]
