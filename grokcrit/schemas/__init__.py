"""The public name of the table schemas, which are in tables/schemas.py and tasks/swept.py."""

from grokcrit.tables.schemas import (
    AVALANCHE,
    BOOTSTRAP,
    DIAGNOSTICS,
    FSS,
    SIGNALS,
    TABLES,
    TRAIN,
    WARN,
    Column,
    Schema,
)
from grokcrit.tasks.swept import SWEEP

__all__ = [
    "AVALANCHE",
    "BOOTSTRAP",
    "DIAGNOSTICS",
    "FSS",
    "SIGNALS",
    "SWEEP",
    "TABLES",
    "TRAIN",
    "WARN",
    "Column",
    "Schema",
]
