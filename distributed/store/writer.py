"""One model's three files: streamed to staging, checked, published, the models row last."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from distributed.errors import StoreError
from distributed.records import FILTERS_SCHEMA, LAYERS_SCHEMA, WEIGHT_COLUMNS
from distributed.store.backends import Backend
from distributed.store.conforming import as_stored
from distributed.store.packs import PACKS
from distributed.store.problems import writing
from distributed.store.row_groups import ROW_GROUP_ROWS
from distributed.store.rows import ModelRow
from distributed.store.staging import Staging, staged

#: Weights don't compress and a dictionary of floats only costs; ``layer_id`` repeats, so its dictionary makes it free
#: (44 → 36 bytes a row) and its minimum and maximum let readers pass over row groups.
_FILTERS_OPTIONS = {
    "compression": "none",
    "use_dictionary": ["layer_id"],
    "write_statistics": ["layer_id"],
}
#: A table of few rows: a dictionary of each column would be a page more to write.
_SMALL_OPTIONS = {"compression": "none", "use_dictionary": False}

#: Gives the models row and the layers table, once every filter has been written.
Finish = Callable[[], tuple[ModelRow, pa.Table]]


@dataclass(frozen=True, slots=True)
class WriteReceipt:
    """What writing a model came to.

    Attributes:
        model_id: of the model, in the store now.
        created: this call made it; False: it was there already and nothing was changed.
        bytes: of the three files written; 0 if not created.
    """

    model_id: str
    created: bool
    bytes: int


def write_model(backend: Backend, model_id: str, batches: Iterable[pa.RecordBatch], finish: Finish) -> WriteReceipt:
    """Stage, then publish: filters, layers, and last and exclusively the models row.

    Until the last step nothing is visible in ``models/``. Filters and layers that a writer left by dying between the
    steps are replaced, by the same bytes, the next time.

    Raises:
        UnusableStoreError: the whole store can't be written.
        RetryableError: the store or the staging folder can't be written now.
        ValueError: ``finish`` contradicts what was written.
    """
    with ExitStack() as stack:
        # Only what touches the store or staging runs under their errors: those of ``batches`` and ``finish`` are the
        # model's own.
        with backend.staging_errors():
            staging = stack.enter_context(staged(backend.staging_folder(), model_id))
        written = _stage_filters(staging, batches, backend.staging_errors)
        model, layers = finish()
        _check(model_id, model, layers, written)
        files = [written.file, staging.path("layers.parquet"), staging.path("models.parquet")]
        with backend.staging_errors():
            for table, file in ((layers.combine_chunks(), files[1]), (_signed(model.to_table()), files[2])):
                with pa.OSFile(str(file), "wb") as sink:  # a path would be looked up in a file system of Arrow's first
                    pq.write_table(table, sink, **_SMALL_OPTIONS)
            size = sum(file.stat().st_size for file in files)
        with writing(backend.place):
            created = not backend.exists(row_path(model_id)) and _publish(backend, model_id, files)
    return WriteReceipt(model_id, created, size if created else 0)


def write_row(row: pa.Table, where: pa.NativeFile) -> None:
    """A row of ``models`` as a file."""
    pq.write_table(_signed(row), where, **_SMALL_OPTIONS)


def _signed(row: pa.Table) -> pa.Table:
    """No two writers' rows have the same bytes: whoever reads one back knows whose it is."""
    return as_stored(row).replace_schema_metadata({"writer": uuid.uuid4().hex})


def write_pack(backend: Backend, table: pa.Table) -> None:
    """Stage a pack (``packs.pack_table``), read it back, publish it.

    Raises:
        StoreError: what was staged is not, row for row, what it was made of.
        UnusableStoreError, RetryableError: the store or the staging folder can't be written.
    """
    name = hashlib.sha256(table.schema.metadata[b"models"]).hexdigest()[:16]  # the same models, the same pack
    with ExitStack() as stack:
        with backend.staging_errors():
            staging = stack.enter_context(staged(backend.staging_folder(), name))
            file = staging.path("pack.parquet")
            pq.write_table(table, file, row_group_size=ROW_GROUP_ROWS, **_FILTERS_OPTIONS)
            if not _bits(pq.read_table(file)).equals(_bits(table)):
                raise StoreError(f"{file} reads other rows than were written to it: the disk or memory is at fault")
        with writing(backend.place):
            backend.publish(file, f"{PACKS}/{name}.parquet")


def _bits(table: pa.Table) -> pa.Table:
    """The weights as whole numbers of the same bits: NaN equals itself, and 0 is not −0."""
    columns = [pa.array(table.column(name).to_numpy().view(np.int32)) for name in WEIGHT_COLUMNS]
    return pa.table([table.column("layer_id").combine_chunks(), *columns], names=FILTERS_SCHEMA.names)


def _publish(backend: Backend, model_id: str, files: list[Path]) -> bool:
    backend.publish(files[0], f"filters/{model_id}.parquet")
    backend.publish(files[1], f"layers/{model_id}.parquet")
    return backend.publish_new(files[2], row_path(model_id))


def row_path(model_id: str) -> str:
    """Where a model's row is, within the store: a model exists when it does."""
    return f"models/{model_id}.parquet"


@dataclass(frozen=True, slots=True)
class _Written:
    """The staged filters: the file, and (layer_id, rows) of each run of equal ids, in order."""

    file: Path
    layer_ids: NDArray[np.int64]
    counts: NDArray[np.int64]


def _stage_filters(
    staging: Staging, batches: Iterable[pa.RecordBatch], errors: Callable[[], AbstractContextManager[None]]
) -> _Written:
    """Stream ``batches`` into Parquet, a row group each.

    Raises:
        ValueError: other columns than ``FILTERS_SCHEMA``, or a batch before the last has not ``ROW_GROUP_ROWS`` rows:
            the same filters would give another file.
    """
    file = staging.path("filters.parquet")
    runs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    with errors():
        writer = _FiltersFile(file)
    rows = ROW_GROUP_ROWS
    try:
        for batch in batches:
            if not batch.schema.equals(FILTERS_SCHEMA):
                raise ValueError(f"filters must have the columns of FILTERS_SCHEMA, found {batch.schema.names}")
            if rows != ROW_GROUP_ROWS or not 0 < batch.num_rows <= ROW_GROUP_ROWS:
                raise ValueError(f"filters must come in batches of {ROW_GROUP_ROWS} rows, the last one smaller")
            rows = batch.num_rows
            runs.append(_runs(batch.column(0).to_numpy()))
            with errors():
                writer.write(batch)
        with errors():
            writer.finish()
    finally:
        writer.close()
    layer_ids, counts = _joined(runs)
    return _Written(file, layer_ids, counts)


class _FiltersFile:
    """Parquet of ``FILTERS_SCHEMA``; each batch becomes a row group."""

    def __init__(self, file: Path) -> None:
        self._sink = pa.OSFile(str(file), "wb")
        self._parquet = pq.ParquetWriter(self._sink, FILTERS_SCHEMA, **_FILTERS_OPTIONS)

    def write(self, batch: pa.RecordBatch) -> None:
        self._parquet.write_table(pa.Table.from_batches([batch]), row_group_size=ROW_GROUP_ROWS)

    def finish(self) -> None:
        """Write the footer."""
        self._parquet.close()

    def close(self) -> None:
        """Close the file, finished or not."""
        # An unfinished ParquetWriter would write its footer when collected, on a disk that may be full, and nothing but
        # this attribute keeps it from that.
        self._parquet.is_open = False
        self._sink.close()


def _runs(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values and lengths of the runs of equal values."""
    starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1)) if len(ids) else np.empty(0, np.int64)
    return ids[starts], np.diff(starts, append=len(ids))


def _joined(runs: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of consecutive batches as runs of the whole."""
    if not runs:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    values, lengths = np.concatenate([v for v, _ in runs]), np.concatenate([n for _, n in runs])
    whole, batches = _runs(values)
    ends = np.cumsum(batches)
    totals = np.diff(np.cumsum(lengths)[ends - 1], prepend=0)
    return whole, totals


def _check(model_id: str, model: ModelRow, layers: pa.Table, written: _Written) -> None:
    """The three files must tell one story.

    Raises:
        ValueError: they don't: a defect of the caller, caught before anything is visible.
    """
    if model.model_id != model_id:
        raise ValueError(f"models row is of {model.model_id}, expected {model_id}")
    if not layers.schema.equals(LAYERS_SCHEMA):
        raise ValueError(f"layers must have the columns of LAYERS_SCHEMA, found {layers.schema.names}")
    for field in LAYERS_SCHEMA:
        if not field.nullable and layers.column(field.name).null_count:
            raise ValueError(f"layers.{field.name} of model {model_id} must not be null")
    if set(layers.column("model_id").to_pylist()) - {model_id}:
        raise ValueError(f"layers of model {model_id} name another model_id")
    promised = list(zip(layers.column("layer_id").to_pylist(), layers.column("num_filters").to_pylist(), strict=True))
    found = list(zip(written.layer_ids.tolist(), written.counts.tolist(), strict=True))
    if promised != found:
        first = next(pair for pair in zip_longest(promised, found) if pair[0] != pair[1])
        raise ValueError(f"model {model_id}: layers promise (layer_id, filters) {first[0]}, filters hold {first[1]}")
    if model.num_filters != int(written.counts.sum()) or model.num_layers_3x3 != len(promised):
        raise ValueError(
            f"model {model_id}: models row promises {model.num_filters} filters in {model.num_layers_3x3} layers, "
            f"found {int(written.counts.sum())} in {len(promised)}"
        )
