"""The table of a sweep, from the text of its file."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import grokcrit


def swept(text: str) -> pa.Table:
    """Run a sweep in this process and return its joint table."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "sweep.toml"
        plan.write_text(text)
        return pq.read_table(grokcrit.sweep(plan, Path(folder) / "out", threads=1).table)
