"""Tables as files of their own, for whatever reads CSV or Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from analysis.export.measure import Chosen
from analysis.export.settings import Format, Level
from distributed.records import FILTERS_SCHEMA
from distributed.store.conforming import as_stored


def write_tables(chosen: Chosen, level: Level, kind: Format, folder: Path) -> None:
    """``models``, ``layers``, and by level ``filters`` or ``histograms`` with ``basis.json``, a file each."""
    _write(kind, folder, "models", as_stored(chosen.models))
    _write(kind, folder, "layers", chosen.layers)
    if level is Level.filters:
        batches = (batch for model_id in chosen.model_ids for batch in chosen.filters(model_id))
        _stream(kind, folder / f"filters.{kind}", FILTERS_SCHEMA, batches)
    if chosen.sketch is not None:
        _write(kind, folder, "histograms", chosen.sketch.to_table())
        (folder / "basis.json").write_text(chosen.sketch.basis.to_json(), encoding="utf-8")


def _write(kind: Format, folder: Path, stem: str, table: pa.Table) -> None:
    if kind is Format.csv:
        table = flat_cells(table)
    _stream(kind, folder / f"{stem}.{kind}", table.schema, iter(table.to_batches()))


def _stream(kind: Format, path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    new = pacsv.CSVWriter if kind is Format.csv else pa.ipc.new_file
    with new(str(path), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def flat_cells(table: pa.Table) -> pa.Table:
    """The table with lists and maps as JSON texts: a cell of CSV is one value."""
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [None if value is None else json.dumps(_plain(value)) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def _plain(value: Any) -> Any:
    """Maps, which come as lists of (key, value) on disk, as JSON has them."""
    if value and isinstance(value[0], dict) and set(value[0]) == {"key", "value"}:
        return {pair["key"]: pair["value"] for pair in value}
    return value
