"""Types of columns as other programs write them, read where no value is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grokcrit.base.errors import ColumnError, DamagedError
from grokcrit.tables.schemas import CASE_COLUMNS, Column, Schema


def told(error: Exception) -> str:
    """Return what a library says of an error, in one line."""
    return " ".join(str(error).split()).rstrip(".")


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Map the variants of strings, lists and dictionaries to the plain ones, field names aside."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is one of lists."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )  # of list views pyarrow 26 loses the entries when it casts them


def is_list_of_reals(kind: pa.DataType) -> bool:
    """Return whether a type is one of lists of floating-point numbers."""
    return is_list(kind) and bool(pa.types.is_floating(kind.value_type))


def is_number(kind: pa.DataType) -> bool:
    """Return whether a type is one of numbers."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def check_columns(arrow: pa.Schema, schema: Schema, where: str, empty: bool) -> None:
    """Raise ColumnError for missing, repeated or, where there are rows, wrongly typed columns."""
    missing = [
        f"'{column.name}' ({column.type})"
        for column in schema.columns
        if not column.optional and column.name not in arrow.names
    ]
    if missing:
        what = "the column" if len(missing) == 1 else f"{len(missing)} columns:"
        raise ColumnError(f"{where} lacks {what} {', '.join(missing)}")
    for column in schema.columns:
        places = arrow.get_all_field_indices(column.name)
        if not places:
            continue
        if len(places) > 1:
            raise ColumnError(
                f"{where} has more than one column '{column.name}' ({column.type}); keep one"
            )
        found = plain_type(arrow.field(places[0]).type)
        if not empty and wanted_type(column, found) is None:
            raise ColumnError(
                f"{where}: column '{column.name}' has type {found}, it must have {column.type}"
            )


def wanted_type(column: Column, found: pa.DataType) -> pa.DataType | None:
    """Return the type that a column of some type is read as; None if it cannot be.

    Numbers of any type are numbers: pandas makes doubles of whole ones beside nulls, people write
    90 for 90.0, 0 and 1 for booleans, and databases decimals. Whether a value is lost is seen when
    they are cast. A column of nulls alone has no type in pandas.
    """
    if found in (column.type, column.alternative):
        return found
    if column.alternative is not None and found == pa.list_(pa.float16()):
        return column.alternative
    fits = pa.types.is_null(found) and column.nullable
    if is_number(found):
        fits = is_number(column.type) or pa.types.is_boolean(column.type)
    elif is_list(found) and is_list(column.type):
        fits = is_number(found.value_type) and is_number(column.type.value_type)
        fits |= found.value_type == column.type.value_type or pa.types.is_null(found.value_type)
    return column.type if fits else None


def normalised(block: pa.Table, schema: Schema, where: str) -> pa.Table:
    """Cast a block to the plain types, columns in the schema's order; check that it is sound."""
    arrays = []
    for column in schema.columns:
        if column.optional and column.name not in block.column_names:
            arrays.append(pa.chunked_array([pa.nulls(block.num_rows, column.type)]))
            continue
        values = block[column.name]
        try:
            values.validate(full=True)
        except pa.ArrowException as error:
            raise DamagedError(
                f"{where}: column '{column.name}' is damaged: {told(error)}"
            ) from None
        wanted = wanted_type(column, plain_type(values.type))
        try:
            if pa.types.is_integer(wanted) and column.alternative is not None:
                values = narrowest(values, column)
                wanted = values.type
            if not values.type.equals(wanted):
                values = without_loss(values, wanted, column.name in CASE_COLUMNS)
            arrays.append(values)
        except (pa.ArrowException, ValueError) as error:
            raise ColumnError(
                f"{where}: column '{column.name}' has type {plain_type(values.type)} and holds a "
                f"value that {wanted} cannot: {told(error)}"
            ) from None
    return pa.table(arrays, names=[c.name for c in schema.columns])


def narrowest(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Return whole numbers in the type of their column, or if one does not fit the wider one."""
    wide = without_loss(values, column.alternative, False)
    try:
        return wide.cast(column.type)
    except pa.ArrowInvalid:
        return wide


def without_loss(values: pa.ChunkedArray, wanted: pa.DataType, names: bool) -> pa.ChunkedArray:
    """Cast a column; NaN becomes null where the type has none. Raise where a value would be lost.

    ``names``: whether its values name a case. 0.3 in single precision then is 0.3, not the double
    that is nearest to its bits.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_float16(values.type):
        if names:  # by way of its shortest decimal, which pyarrow has for single precision alone
            found = [None if v is None else float(str(np.float16(v))) for v in values.to_pylist()]
            return pa.chunked_array([pa.array(found, pa.float64())]).cast(wanted)
        values = values.cast(pa.float32())
    real = pa.types.is_floating(wanted)
    if real and (pa.types.is_decimal(values.type) or (names and values.type == pa.float32())):
        values = values.cast(pa.string())  # pyarrow 26 makes 0.30000000000000004 of the decimal 0.3
    elif is_list(values.type) and pa.types.is_decimal(values.type.value_type):
        values = values.cast(pa.list_(pa.string()))
    if pa.types.is_floating(values.type) and not real:
        values = pc.if_else(pc.is_nan(values), None, values)
    if pa.types.is_boolean(wanted) and is_number(values.type):
        values = values.cast(pa.int64())
        odd: Any = pc.unique(pc.filter(values, pc.invert(pc.is_in(values, pa.array([0, 1])))))
        if len(odd.drop_null()):
            raise ValueError(f"{odd.drop_null()[0]} is neither 0 nor 1")
    return values.cast(wanted)
