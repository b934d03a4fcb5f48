"""What is exported: the chosen models with their layers, and for a sketch the histograms of their filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.sketch import Sketch
from analysis.export.settings import ExportSettings, Level
from analysis.scanning.sketching import LAYER_COLUMNS, ScanOptions, SketchKind, sketch_of_store
from analysis.scanning.workers import scan_workers
from analysis.selection.view import Extent, StoreView
from distributed.errors import StoreError
from distributed.records import FILTERS_SCHEMA
from distributed.store import Store

#: Rows of filters read at a time: a row group of the store, 5 MB.
BATCH_ROWS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The part of a store that is exported.

    Attributes:
        store: it comes from.
        models: rows of ``models``, by ``model_id``.
        layers: their rows of ``layers``, by model and ``layer_index``.
        extent: how much that is.
        sketch: histograms of exactly these layers, on the basis of exactly these; None where none was asked for.
    """

    store: Store
    models: pa.Table
    layers: pa.Table
    extent: Extent
    sketch: Sketch | None

    @property
    def model_ids(self) -> list[str]:
        """Of the models, in their order."""
        ids: list[str] = self.models.column("model_id").to_pylist()
        return ids

    def filters(self, model_id: str) -> Iterator[pa.RecordBatch]:
        """A model's filters, ``FILTERS_SCHEMA``, in batches of ``BATCH_ROWS`` at most.

        Raises:
            StoreError: they are missing or damaged.
        """
        with self.store.open_filters(model_id) as file:
            try:
                yield from file.iter_batches(BATCH_ROWS, columns=FILTERS_SCHEMA.names, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                place, found = self.store.filters_path(model_id), " ".join(str(error).split())
                raise StoreError(f"{place} is damaged: {found}; extract the model again") from error


def measure(settings: ExportSettings) -> Chosen:
    """What is to be exported; filters are read only where histograms are asked for that the store does not keep.

    Raises:
        UserError: ``where`` is no condition, or leaves nothing.
        StoreError: the store is empty, damaged, or has no filters where they are needed.
    """
    view = StoreView.open(settings.store)
    selected = view.select(settings.where)
    ids = pc.unique(selected.column("model_id"))
    models = view.models.filter(pc.is_in(view.models.column("model_id"), value_set=ids))
    layers = view.layers.filter(pc.is_in(view.layers.column("model_id"), value_set=ids))
    whole = view.flat.filter(pc.is_in(view.flat.column("model_id"), value_set=ids))
    sketch = None
    if settings.level is Level.sketch:
        options = ScanOptions(workers=partial(scan_workers, settings.cluster))
        sketch = sketch_of_store(
            view.store, layers.select(list(LAYER_COLUMNS)), SketchKind(settings.bins), options=options
        )
    return Chosen(view.store, models, layers, Extent.of(whole), sketch)
