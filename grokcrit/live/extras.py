"""Libraries beyond PyTorch, each of an extra of its own."""

from __future__ import annotations

import importlib
from typing import Any


def library(name: str, extra: str) -> Any:
    """Return a module; raise ModuleNotFoundError that names the extra where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is installed, and lacks something itself
        raise ModuleNotFoundError(
            f"this needs {name.partition('.')[0]}: pip install 'grokcrit[{extra}]'", name=error.name
        ) from None
