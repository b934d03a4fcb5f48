"""Columns of the store in the types of ``distributed.records``, whatever a tool in between has made of them.

A data frame or a SQL engine that reads a table and writes it again keeps the values but not the types: texts become
``large_string`` or dictionaries, times change their unit, lists lose their length. Maps no common reader writes back;
on disk they are lists of (key, value), which all do.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def as_stored(table: pa.Table) -> pa.Table:
    """The table as it is written: maps as lists of (key, value)."""
    for index, field in enumerate(table.schema):
        if pa.types.is_map(field.type):
            pairs = pa.list_(pa.struct([pa.field("key", field.type.key_type), pa.field("value", field.type.item_type)]))
            column = table.column(index).cast(pairs)
            table = table.set_column(index, pa.field(field.name, pairs, field.nullable), column)
    return table


def conformed(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """``column`` with the same values as ``kind``.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: its values are no such values, or would change.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type == kind or pa.types.is_null(column.type):
        return column.cast(kind)
    if _family(column.type) not in _TAKEN_FOR[_family(kind)]:
        raise pa.ArrowInvalid(f"{column.type} is not {kind}")
    if pa.types.is_map(kind):
        return pa.chunked_array([_map_of(chunk, kind) for chunk in column.chunks], kind)
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        column = pc.assume_timezone(column, "UTC")
    return column.cast(kind)


def _family(kind: pa.DataType) -> str:
    tests = {
        "truth": pa.types.is_boolean,
        "whole": pa.types.is_integer,
        "number": pa.types.is_floating,
        "time": pa.types.is_timestamp,
        "map": pa.types.is_map,
    }
    found = next((name for name, test in tests.items() if test(kind)), None)
    if found is None and any(
        test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    ):
        return "text"
    if found is None and any(
        test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    ):
        return "list"
    return found or str(kind)


#: What is read as each family of ours; casts are safe, so that no value changes on the way.
_TAKEN_FOR = {
    "truth": {"truth"},
    "whole": {"whole", "number"},  # pandas makes whole numbers with a null among them floats
    "number": {"number", "whole"},
    "time": {"time"},
    "text": {"text"},
    "list": {"list"},
    "map": {"map", "list"},
}


def _map_of(pairs: pa.Array, kind: pa.DataType) -> pa.Array:
    """A list of structs (key, value) as a map; null stays null."""
    if pa.types.is_map(pairs.type):
        return pairs.cast(kind)
    if not pa.types.is_struct(pairs.type.value_type) or pairs.type.value_type.names != ["key", "value"]:
        raise pa.ArrowInvalid(f"{pairs.type} is not {kind}")
    plain = pairs.cast(pa.list_(pairs.type.value_type))
    flat = plain.flatten()
    sizes = pc.fill_null(pc.list_value_length(plain), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array([0, *sizes.cumsum().tolist()], pa.int32())
    keys, values = flat.field(0).cast(kind.key_type), flat.field(1).cast(kind.item_type)
    return pa.MapArray.from_arrays(offsets, keys, values, type=kind, mask=plain.is_null())
