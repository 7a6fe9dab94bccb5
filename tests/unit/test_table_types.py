"""Tables that people save again: what no value is lost in is read, and what is lost is named."""

from decimal import Decimal

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import grokcrit
from grokcrit.base.errors import TableError
from grokcrit.base.options import CascadeOptions
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import AVALANCHE, TRAIN

INTEGERS = [f.name for f in AVALANCHE.arrow if pa.types.is_integer(f.type)]


def recast(table, **kinds):
    """The table with columns of other types, their values unchanged; no record."""
    for name, kind in kinds.items():
        place = table.schema.get_field_index(name)
        values = table[name]
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        table = table.set_column(place, name, values.cast(kind))
    return table.replace_schema_metadata(None)


def reads_as(table, wanted):
    assert Inputs(table, AVALANCHE).read().equals(wanted.replace_schema_metadata(None))


def pandas_convert(frame):
    return frame.convert_dtypes()


def pandas_doubles(frame):
    return frame.astype(dict.fromkeys(INTEGERS, "float64"))


def pandas_flags(frame):
    return frame.assign(truncated=frame.truncated.astype(int), quantile=90)


@pytest.mark.parametrize("save", [pandas_convert, pandas_doubles, pandas_flags])
def test_what_pandas_makes_of_types_changes_no_value(tmp_path, avalanches, save):
    """Fault: a table is refused though nothing in it was lost, or another D comes of it."""
    pq.write_table(avalanches, tmp_path / "a.parquet")
    save(pandas.read_parquet(tmp_path / "a.parquet")).to_parquet(tmp_path / "b.parquet")
    reads_as(tmp_path / "b.parquet", avalanches)


def test_what_duckdb_makes_of_types_changes_no_value(tmp_path, avalanches):
    """Fault: decimals, as SQL writes 0.3, are refused or become 0.30000000000000004."""
    pq.write_table(avalanches, tmp_path / "a.parquet")
    duckdb.sql(
        f"copy (select * replace (0.3 as alpha, 90.0 as quantile, n_params::decimal(20,2) as "
        f"n_params, size::hugeint as size, truncated::tinyint as truncated) from "
        f"'{tmp_path}/a.parquet') to '{tmp_path}/b.parquet'"
    )
    kinds = pq.read_schema(tmp_path / "b.parquet")
    assert pa.types.is_decimal(kinds.field("alpha").type)
    reads_as(tmp_path / "b.parquet", avalanches)


def test_what_polars_makes_of_types_changes_no_value(tmp_path, avalanches):
    """Fault: categories or the large types of polars are refused."""
    frame = polars.from_arrow(avalanches).with_columns(
        polars.col("case").cast(polars.Categorical), polars.col("epoch").cast(polars.UInt8)
    )
    frame.write_parquet(tmp_path / "b.parquet")
    reads_as(tmp_path / "b.parquet", avalanches)


@pytest.mark.parametrize(
    "kinds",
    [
        {"size": pa.float64(), "seed": pa.float32()},
        {"truncated": pa.float64()},
        {"truncated": pa.decimal128(20, 1)},
        {"alpha": pa.float32(), "quantile": pa.float16()},
        {"alpha": pa.float16()},
        {"quantile": pa.int32(), "degree": pa.decimal128(20, 3)},
        {"case": pa.dictionary(pa.int8(), pa.large_string())},
        {"activity": pa.large_list(pa.float64())},
        {"activity": pa.list_(pa.decimal128(20, 0))},
    ],
    ids=str,
)
def test_a_type_that_holds_the_same_values_is_read(avalanches, kinds):
    """Fault: a type that any program may choose is refused, or read as other numbers."""
    reads_as(recast(avalanches, **kinds), avalanches)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("size", 3.5, pa.float64()),
        ("size", Decimal("3.5"), pa.decimal128(12, 1)),
        ("n_params", 2**63, pa.uint64()),
        ("epoch", 2**31, pa.int64()),
        ("truncated", 2, pa.int64()),
        ("truncated", 0.5, pa.float64()),
        ("threshold", 2**53 + 1, pa.int64()),
        ("activity", [1.5], pa.list_(pa.float64())),
    ],
)
def test_a_value_that_would_be_lost_is_refused_by_column(avalanches, name, value, kind):
    """Fault: 3.5 topplings become 3, or 2 becomes true, in silence."""
    place = avalanches.schema.get_field_index(name)
    values = pa.array([value] * avalanches.num_rows, kind)
    with pytest.raises(TableError, match=f"column '{name}' has type") as caught:
        Inputs(avalanches.set_column(place, name, values), AVALANCHE).read()
    assert str(AVALANCHE.column(name).type) in str(caught.value)


def test_nan_is_null_and_refused_where_null_is(avalanches):
    """Fault: NaN becomes a number."""
    place = avalanches.schema.get_field_index("size")
    sizes = avalanches["size"].cast(pa.float64()).to_numpy().copy()
    sizes[7] = np.nan
    with pytest.raises(TableError, match="column 'size' is null"):
        Inputs(avalanches.set_column(place, "size", pa.array(sizes)), AVALANCHE).read()


def test_an_empty_selection_has_no_rows_whatever_its_types(tmp_path, avalanches):
    """Fault: pandas guesses the types of no values, and they are said to be wrong."""
    frame = avalanches.to_pandas()
    frame.iloc[:0].to_parquet(tmp_path / "x.parquet")
    with pytest.raises(TableError, match=r"there are no rows in .*x\.parquet"):
        Inputs(tmp_path / "x.parquet", AVALANCHE)
    frame.to_parquet(tmp_path / "y.parquet")
    reads_as([tmp_path / "x.parquet", tmp_path / "y.parquet"], avalanches)


def test_all_missing_columns_are_named_at_once(avalanches):
    """Fault: a person learns of one column a run."""
    with pytest.raises(
        TableError, match=r"lacks 2 columns: 'size' \(int64\), 'duration' \(int32\)"
    ):
        Inputs(avalanches.drop_columns(["size", "duration"]), AVALANCHE)


def test_missing_columns_are_named_where_the_stage_is_not_known_either(avalanches):
    """Fault: what is no table of grokcrit by two columns is not told which."""
    bare = avalanches.drop_columns(["size", "peak"]).replace_schema_metadata(None)
    with pytest.raises(TableError, match="of stage 'avalanche' it lacks 'size', 'peak'"):
        grokcrit.diagnose(bare)


def test_a_train_table_without_its_record_needs_the_options_and_no_more(trained):
    """Fault: a filter in pandas costs the gradients; or defaults are taken for the training's."""
    bare = trained.replace_schema_metadata(None)
    options = vars(CascadeOptions()) | {"threshold_of": None}
    found = grokcrit.avalanche(bare, **options)
    assert found.equals(grokcrit.avalanche(trained))
    for name in options:
        if name != "threshold_of":
            with pytest.raises(TableError, match=f"--{name.replace('_', '-')}"):
                grokcrit.avalanche(bare, **options | {name: None})


def test_gradients_of_whole_numbers_and_of_half_precision_are_gradients(trained):
    """Fault: a type of list is refused that holds the numbers."""
    few = trained.filter(pc.is_valid(trained["gradient"])).slice(0, 4)
    place = few.schema.get_field_index("gradient")
    whole = pa.array([[k % 5 for k in range(13)]] * 4)
    back = Inputs(few.set_column(place, "gradient", whole), TRAIN).read()["gradient"]
    assert back.to_pylist() == whole.to_pylist()
    half = whole.cast(pa.list_(pa.float32())).cast(pa.list_(pa.float16()))
    back = Inputs(few.set_column(place, "gradient", half), TRAIN).read()["gradient"]
    assert back.type == pa.list_(pa.float32())
    assert back.to_pylist() == whole.to_pylist()
