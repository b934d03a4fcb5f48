"""A store as an export: the files of the chosen models byte for byte, or with their histograms in place of filters."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from analysis.export.measure import Chosen
from analysis.export.settings import Level
from analysis.scanning.kept import SketchArea, key_of
from distributed.errors import StoreError
from distributed.store import Store, StoreSettings


def write_store(chosen: Chosen, level: Level, folder: Path) -> None:
    """A store of the chosen models; models last, so that each is there whole.

    Raises:
        StoreError: a file of the source cannot be read.
    """
    tables = ("filters", "layers", "models") if level is Level.filters else ("layers", "models")
    source = chosen.store.arrow_filesystem()
    for table in tables:
        (folder / table).mkdir()
        for model_id in chosen.model_ids:
            path = chosen.store.table_path(table, model_id)
            try:
                pafs.copy_files(
                    path,
                    str(folder / table / f"{model_id}.parquet"),
                    source_filesystem=source,
                    destination_filesystem=pafs.LocalFileSystem(),
                )
            except FileNotFoundError as error:
                raise StoreError(f"{path} is not there: {_reason(table)}") from error
    if chosen.sketch is not None:
        write_sketch(chosen, folder)


def write_sketch(chosen: Chosen, folder: Path) -> None:
    """Histograms and basis, where a store keeps them."""
    assert chosen.sketch is not None
    copy = Store.open(StoreSettings(str(folder)))
    area = SketchArea(copy)
    area.write(chosen.sketch)
    area.write_basis(key_of(chosen.layers, chosen.sketch.basis.bins), chosen.sketch.basis)
    shutil.rmtree(folder / ".staging", ignore_errors=True)
    if area.read_basis(key_of(chosen.layers, chosen.sketch.basis.bins)) is None:
        raise pa.ArrowInvalid("the basis was not written")


def _reason(table: str) -> str:
    return (
        "this store was exported without filters: export from the one it comes from"
        if table == "filters"
        else "something removes files from the store"
    )
