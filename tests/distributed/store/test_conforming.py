"""Tables that other tools have read and written again are read as if they had not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distributed.errors import StoreError
from distributed.records import LAYERS_SCHEMA, MODELS_SCHEMA
from distributed.store import Store
from tests.distributed.store import build
from tests.distributed.store.build import MODEL_ID


@pytest.fixture
def filled(local_store: Store) -> Store:
    layers = build.weights(0)
    local_store.write_model(MODEL_ID, build.batches(MODEL_ID, layers), build.finish(MODEL_ID, layers))
    return local_store


def by_pandas(path: Path) -> None:
    pd.read_parquet(path).to_parquet(path)


def by_pandas_with_arrow_types(path: Path) -> None:
    pd.read_parquet(path, dtype_backend="pyarrow").to_parquet(path, index=False, compression="zstd")


def by_polars(path: Path) -> None:
    pl.read_parquet(path).write_parquet(path)


def by_duckdb(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.register("rows", connection.sql(f"select * from '{path}'").to_arrow_table())
        connection.sql(f"copy rows to '{path}' (format parquet, compression snappy)")


def by_pyarrow(path: Path) -> None:
    """Large texts, dictionaries, other units, another order, a column more."""
    table = pq.read_table(path)
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_string(field.type):
            column = column.cast(pa.large_string()) if index % 2 else column.dictionary_encode()
        elif pa.types.is_timestamp(field.type):
            column = column.cast(pa.timestamp("ns", tz="Europe/Berlin"))
        elif pa.types.is_int64(field.type) and not table.column(index).null_count:
            column = column.cast(pa.int32()) if "id" not in field.name else column
        elif pa.types.is_fixed_size_list(field.type):
            column = column.cast(pa.large_list(field.type.value_type))
        table = table.set_column(index, field.name, column)
    table = table.select(list(reversed(table.column_names))).append_column("mine", pa.array(["x"] * len(table)))
    pq.write_table(table, path, compression="gzip")


def as_maps(path: Path) -> None:
    """As versions before 0.2 wrote it."""
    table = _in_our_types(path)
    pq.write_table(table, path)


def _in_our_types(path: Path) -> pa.Table:
    from distributed.store.conforming import conformed

    table = pq.read_table(path)
    arrays = [conformed(table.column(field.name), field.type) for field in MODELS_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=MODELS_SCHEMA)


REWRITERS = [by_pandas, by_pandas_with_arrow_types, by_polars, by_duckdb, by_pyarrow]


@pytest.mark.parametrize("rewrite", [*REWRITERS, as_maps])
def test_models_written_by_other_tools(filled: Store, rewrite: Callable[[Path], None]) -> None:
    before = filled.models()
    rewrite(Path(filled.uri, "models", f"{MODEL_ID}.parquet"))
    after = filled.models()
    assert after.select(before.column_names).equals(before)
    assert after.schema.names[: len(MODELS_SCHEMA)] == MODELS_SCHEMA.names


@pytest.mark.parametrize("rewrite", REWRITERS)
def test_layers_written_by_other_tools(filled: Store, rewrite: Callable[[Path], None]) -> None:
    before = filled.layers()
    rewrite(Path(filled.uri, "layers", f"{MODEL_ID}.parquet"))
    after = filled.layers()
    assert after.select(before.column_names).equals(before)
    assert after.schema.names[: len(LAYERS_SCHEMA)] == LAYERS_SCHEMA.names


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("num_filters", pa.array(["52"])),  # a text is no number, whatever it says
        ("num_filters", pa.array([52.5])),
        ("name", pa.array([1])),
        ("kernel_shapes", pa.array([[1, 2]])),
        ("extracted_at", pa.array(["2026-11-23"])),
        ("scaled_sum", pa.array([[1.0, 2.0]])),
    ],
)
def test_other_values_are_refused_by_name(filled: Store, column: str, values: pa.Array) -> None:
    table = "layers" if column in LAYERS_SCHEMA.names and column != "name" and column != "num_filters" else "models"
    path = Path(filled.uri, table, f"{MODEL_ID}.parquet")
    found = pq.read_table(path)
    changed = found.set_column(found.schema.get_field_index(column), column, pa.concat_arrays([values] * len(found)))
    pq.write_table(changed, path)
    with pytest.raises(StoreError, match=f"column '{column}': expected .*, found "):
        filled.models() if table == "models" else filled.layers()
