"""Tables of earlier versions give what those of this one give."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest

import grokcrit
from grokcrit.stages import plot
from grokcrit.stages.bootstrap import bootstrap_summary
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import BOOTSTRAP
from grokcrit.tables.writing import write

from .synthetic import random_rows, regular_rows, table


@pytest.fixture(scope="module")
def resampled():
    """Draws with and without fits, of data and null."""
    rows = [*random_rows(1, widths=(3, 5, 9), runs=2), *regular_rows(2, alpha=0.2)]
    rows += [{**row, "surrogate": "gaussian"} for row in rows]
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=40)
    assert any(None in draws for draws in made["draws"].to_pylist() if draws)
    return made


def first_version(made):
    """Return the rows of a bootstrap/1 table: draws are rows, numbered; and its Arrow schema."""
    rows = []
    for row in made.to_pylist():
        draws = row.pop("draws")
        several = [
            {**row, "kind": "draw", "index": k, "exponent": d} for k, d in enumerate(draws or ())
        ]
        rows += several if row["kind"] == "draws" else [row]
    record = json.loads(made.schema.metadata[b"grokcrit"])
    record["schema"] = "bootstrap/1"
    return rows, made.drop_columns(["draws"]).schema.with_metadata({"grokcrit": json.dumps(record)})


def in_order(made):
    names = [name for name in made.column_names if name != "draws"]
    return sorted((*(str(row[n]) for n in names), row["draws"]) for row in made.to_pylist())


@pytest.mark.parametrize("record", [True, False])
def test_rows_of_draws_become_lists_whatever_their_order(tmp_path, resampled, record):
    """Fault: draws of two cases are mixed, lost, in another order, or doubled."""
    rows, schema = first_version(resampled)
    random.Random(1).shuffle(rows)
    path = tmp_path / "former.parquet"
    schema = schema if record else schema.remove_metadata()
    write(path, [pa.Table.from_pylist(rows, schema)], schema)
    read = Inputs(path, BOOTSTRAP).read()
    assert read.schema.equals(BOOTSTRAP.arrow)
    assert in_order(read) == in_order(resampled)


def test_the_figure_and_the_summary_are_those_of_the_second_version(tmp_path, resampled):
    """Fault: a figure or a summary that knows but one of the two forms."""
    rows, schema = first_version(resampled)
    former = pa.Table.from_pylist(rows, schema)
    assert bootstrap_summary(former).rows == bootstrap_summary(resampled).rows
    curves = []
    for name, each in (("former", former), ("present", resampled)):
        path = tmp_path / f"{name}.parquet"
        write(path, [each], each.schema)
        drawn = plot.figure("fig3", path, where={"alpha": 0.2})
        curves.append([line.get_xydata() for ax in drawn.axes for line in ax.get_lines()])
    assert any(len(line) > 100 for line in curves[0])
    for one, other in zip(*curves, strict=True):
        np.testing.assert_array_equal(one, other)
