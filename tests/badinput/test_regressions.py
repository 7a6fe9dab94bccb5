"""What the searches found in those who read a table, each once more and alone."""

import contextlib

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from grokcrit.base.errors import RepeatedError, TableError
from grokcrit.report import page
from grokcrit.report.inputs import gather
from grokcrit.report.origin import origin
from grokcrit.stages import plot
from grokcrit.stages.robustness import robustness
from grokcrit.tables.provenance import confidence
from tests.badinput.damage import put
from tests.badinput.samples import samples


def accounts(table):
    """All that a report says of a table, but for its figures."""
    made = gather([table])
    summaries = page.summarise(made)
    page.judge(made), page.missing(made), page.beware(summaries, made), origin(made)
    return summaries


def edited(table, name, value, rows):
    """Another value in some rows of a column."""
    held = table[name].to_pylist()
    held[rows] = [value] * len(held[rows])
    return put(table, name, pa.array(held, table.schema.field(name).type))


def test_a_diagnostics_table_that_lost_any_quantity_is_told_of():
    table = samples()["diagnostics"]
    for quantity in pc.unique(table["quantity"]).to_pylist():
        assert accounts(table.filter(pc.not_equal(table["quantity"], quantity)))


@pytest.mark.parametrize("name", ["topology", "degree", "alpha", "graph_seed", "part"])
def test_diagnostics_without_a_column_of_their_case_are_told_of(name):
    table = edited(samples()["diagnostics"], name, None, slice(None, None, 3))
    with contextlib.suppress(RepeatedError):  # of two rows that this column alone told apart
        assert accounts(table)


@pytest.mark.parametrize(
    ("stage", "name", "value"),
    [
        ("fss", "curvature_p", 0.0),
        ("diagnostics", "p", 0.0),
        ("diagnostics", "value", None),
        ("sweep", "exponent", None),
    ],
)
def test_a_number_that_is_lost_beside_others_is_told_of(stage, name, value):
    assert accounts(edited(samples()[stage], name, value, slice(None, None, 3)))


def test_a_placebo_without_its_time_is_told_of():
    assert accounts(edited(samples()["diagnostics"], "time", None, slice(3, None, 7)))


def test_a_sweep_whose_points_lost_rows_is_told_of():
    table = samples()["sweep"]
    assert accounts(table.slice(table.num_rows // 3, table.num_rows // 2)) is not None
    assert accounts(table.filter(pc.not_equal(table["window"], "aggregate"))) is not None


def test_a_robustness_table_with_other_parts_and_observables_is_told_of():
    table = robustness(samples()["train"], resamples=20, graph_seeds=2, threads=1)
    for name in ("part", "observable", "value"):
        assert accounts(edited(table, name, None, slice(5, 6)))


def test_a_column_that_is_doubled_and_not_read_does_no_harm():
    table = samples()["train"]
    assert accounts(table.append_column("gradient", table["loss"])) is not None


def test_parts_that_are_not_known_are_left_out_of_a_figure():
    table = samples()["bootstrap"]
    row = pc.index(pc.equal(table["kind"], "leave-one-out"), True).as_py()
    for name, value in (("part", "other"), ("index", None)):
        changed = edited(table, name, value, slice(row, row + 1))
        assert plot.figure("leave-one-out", changed).axes


def test_a_collapse_without_its_quality_is_not_drawn():
    table = samples()["diagnostics"]
    quality = pc.equal(table["quantity"], "collapse-quality")
    few = table.filter(pc.invert(pc.and_(quality, pc.is_null(table["part"]))))
    with pytest.raises(TableError, match="there is no collapse|no collapse"):
        plot.figure("collapses", [samples()["avalanche"], few])


@pytest.mark.parametrize("level", [None, "x", [], {}, True, 2, -0.5, float("nan")])
def test_a_confidence_that_is_none_is_not_shown(level):
    assert confidence({"configuration": {"confidence": level}}) is None
    assert confidence({"configuration": {"fss": level}}) is None
