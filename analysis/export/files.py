"""The files of ``analysis.export``, streamed: memory holds the small tables and some batches of filters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from analysis.export.measure import Chosen, measure
from analysis.export.settings import ExportSettings, Format
from analysis.export.target import new_file, new_folder
from analysis.output.names import folder_named
from analysis.selection.view import Extent


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: ``extent`` of the models in it, ``files`` and ``size`` in bytes, in ``seconds``."""

    target: Path
    extent: Extent
    files: int
    size: int
    seconds: float


def export(settings: ExportSettings) -> Exported:
    """Write the export; it is there as a whole, or nothing is.

    Raises:
        UserError: the place is taken by something else, the disk refuses, or see ``measure``.
        StoreError: see ``measure``.
    """
    began = time.monotonic()
    target = folder_named(settings.out)
    chosen = measure(settings)
    if settings.format is Format.cnn_filter_db:
        from analysis.export.cnn_filter_db import is_export, write_hdf5  # needs the extra [hdf5]

        with new_file(target, is_export) as path:
            write_hdf5(chosen, path)
    else:
        with new_folder(target) as path:
            _write_folder(chosen, settings, path)
    files = [target] if target.is_file() else [each for each in target.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files)
    return Exported(target, chosen.extent, len(files), size, time.monotonic() - began)


def _write_folder(chosen: Chosen, settings: ExportSettings, folder: Path) -> None:
    match settings.format:
        case Format.store:
            from analysis.export.store_copy import write_store

            write_store(chosen, settings.level, folder)
        case Format.huggingface:
            from analysis.export.hub_dataset import write_dataset

            write_dataset(chosen, settings, folder)
        case _:
            from analysis.export.tables import write_tables

            write_tables(chosen, settings.level, settings.format, folder)
