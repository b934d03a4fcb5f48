"""What a worker does with a work unit: read row groups in bounded batches, check them, run a kernel over them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from analysis.basis import Basis, PrincipalAxes
from analysis.kernels import SIZE, Float32, Kernels, NonFiniteFilterError
from analysis.units import FilePart, WorkUnit
from distributed.errors import StoreError
from distributed.records import WEIGHT_COLUMNS

log = logging.getLogger(__name__)

Int64 = npt.NDArray[np.int64]
Result = TypeVar("Result")

#: Rows decoded at a time: nine columns of 65 536 float32 are 2.4 MB and stay in the cache between decoder and kernel.
BATCH_ROWS = 1 << 16


class FilterStore(Protocol):
    """What a scan needs of ``distributed.store.Store``; must be picklable."""

    def filters_path(self, model_id: str) -> str:
        """Path of a model's filters for ``arrow_filesystem``."""

    def arrow_filesystem(self) -> pafs.FileSystem:
        """The file system the store lies on."""


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """A read that fails is tried ``attempts`` times in all, after ``delay``, 2 ``delay`` … seconds."""

    attempts: int = 3
    delay: float = 0.5


#: The usual patience.
PATIENT = ReadPolicy()


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Rows first_row … of a row group: nine columns, and the layer of each row where it was asked for."""

    row_group: int
    first_row: int
    columns: list[Float32]
    layer_ids: Int64 | None


def scan_extremes(
    unit: WorkUnit, filesystem: pafs.FileSystem, kernels: Kernels, axes: PrincipalAxes, policy: ReadPolicy
) -> dict[str, Any]:
    """``low`` (9,) and ``high`` (9,) of the coefficients of a unit, and the number of ``filters``.

    Raises:
        StoreError: a file cannot be read or is not what it should be.
    """

    def one(part: FilePart) -> tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        low, high, filters = np.full(SIZE, np.inf), np.full(SIZE, -np.inf), 0
        with PartReader(part, filesystem) as reader:
            for batch in reader.batches(with_layers=False):
                try:
                    found = kernels.extremes(batch.columns, axes.projection)
                except NonFiniteFilterError as error:
                    raise reader.not_finite(batch, error.row) from None
                low, high = np.minimum(low, found.low), np.maximum(high, found.high)
                filters += batch.columns[0].size
        return filters, low, high

    parts = [with_retries(one, part, policy) for part in unit.parts]
    return {
        "filters": sum(part[0] for part in parts),
        "low": np.min([part[1] for part in parts], axis=0),
        "high": np.max([part[2] for part in parts], axis=0),
    }


def scan_histograms(
    unit: WorkUnit, filesystem: pafs.FileSystem, kernels: Kernels, basis: Basis, policy: ReadPolicy
) -> dict[str, Any]:
    """``layer_ids`` (L,) each once, ``counts`` (L, 9, bins + 2) uint32 of a unit, and the number of ``filters``.

    Raises:
        StoreError: a file cannot be read or is not what it should be.
    """

    def one(part: FilePart) -> tuple[int, list[Int64], list[npt.NDArray[np.uint32]]]:
        filters, ids, counts = 0, [], []
        with PartReader(part, filesystem) as reader:
            for batch in reader.batches(with_layers=True):
                starts, layer_ids = reader.runs(batch)
                try:
                    counts.append(kernels.histograms(batch.columns, starts, basis.projection, basis.binning))
                except NonFiniteFilterError as error:
                    raise reader.not_finite(batch, error.row) from None
                ids.append(layer_ids)
                filters += batch.columns[0].size
        return filters, ids, counts

    parts = [with_retries(one, part, policy) for part in unit.parts]
    ids = [each for part in parts for each in part[1]]
    counts = [each for part in parts for each in part[2]]
    if not ids:
        empty = np.zeros((0, SIZE, basis.bins + 2), np.uint32)
        return {"filters": 0, "layer_ids": np.zeros(0, np.int64), "counts": empty}
    layer_ids, counted = added_by_layer(np.concatenate(ids), np.concatenate(counts))
    return {"filters": sum(part[0] for part in parts), "layer_ids": layer_ids, "counts": counted}


def added_by_layer(ids: Int64, counts: npt.NDArray[np.uint32]) -> tuple[Int64, npt.NDArray[np.uint32]]:
    """One entry per layer: a layer that spans several batches comes in several pieces."""
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    first = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    if first.size == ids.size:
        return ids, counts[order]
    return ids[first], np.add.reduceat(counts[order], first, axis=0, dtype=np.uint32)


def with_retries(read: Callable[[FilePart], Result], part: FilePart, policy: ReadPolicy) -> Result:
    """A part is read as a whole or not at all, so that a repeated attempt counts nothing twice."""
    for attempt in range(1, policy.attempts + 1):
        try:
            return read(part)
        except pa.ArrowInvalid as error:
            raise StoreError(f"{part.path} is damaged: {_line(error)}; extract model {part.model_id} again") from error
        except OSError as error:
            if attempt == policy.attempts:
                raise StoreError(
                    f"cannot read {part.path}: {_line(error)} ({attempt} attempts); "
                    f"check the store or extract model {part.model_id} again"
                ) from error
            log.warning("reading %s failed, trying again: %s", part.path, _line(error))
            time.sleep(policy.delay * attempt)
    raise ValueError("a read policy needs at least one attempt")


class PartReader:
    """One file part: its checked batches, and the errors that name what is wrong with it."""

    def __init__(self, part: FilePart, filesystem: pafs.FileSystem) -> None:
        self._part = part
        # On object stores whole column chunks are fetched in few, merged requests; on disks that would only copy.
        remote = not isinstance(filesystem, pafs.LocalFileSystem)
        self._file = pq.ParquetFile(part.path, filesystem=filesystem, pre_buffer=remote)

    def __enter__(self) -> PartReader:
        try:
            self._check_schema()
        except BaseException:
            self._file.close(force=True)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close(force=True)

    def _check_schema(self) -> None:
        schema, path = self._file.schema_arrow, self._part.path
        expected = {"layer_id": pa.int64()} | dict.fromkeys(WEIGHT_COLUMNS, pa.float32())
        for name, kind in expected.items():
            if name not in schema.names:
                raise StoreError(f"{path}: column {name!r} is missing; it is not a file of filters")
            if schema.field(name).type != kind:
                raise StoreError(f"{path}: column {name!r} is {schema.field(name).type}, expected {kind}")
        rows = self._file.metadata.num_rows
        if rows != self._part.rows:
            raise StoreError(
                f"{path}: {rows:,} filters, but model {self._part.model_id} has {self._part.rows:,} by layers/; "
                "extract the model again"
            )

    def batches(self, *, with_layers: bool) -> Iterator[RowBatch]:
        """The rows of the part, at most ``BATCH_ROWS`` at a time."""
        names = [*WEIGHT_COLUMNS, "layer_id"] if with_layers else list(WEIGHT_COLUMNS)
        metadata, first = self._file.metadata, 0
        for group in range(metadata.num_row_groups):
            if self._part.start <= first < self._part.stop:
                row = first
                for batch in self._file.iter_batches(BATCH_ROWS, row_groups=[group], columns=names, use_threads=False):
                    yield self._checked(batch, group, row, with_layers)
                    row += batch.num_rows
            first += metadata.row_group(group).num_rows

    def _checked(self, batch: pa.RecordBatch, group: int, row: int, with_layers: bool) -> RowBatch:
        for name in batch.schema.names:
            if batch.column(name).null_count:
                raise StoreError(f"{self._part.path}: column {name!r} holds nulls from row {row:,} on")
        columns = [batch.column(name).to_numpy() for name in WEIGHT_COLUMNS]
        return RowBatch(group, row, columns, batch.column("layer_id").to_numpy() if with_layers else None)

    def runs(self, batch: RowBatch) -> tuple[Int64, Int64]:
        """Where each run of one layer starts, (R + 1,), and the layers, (R,).

        Raises:
            StoreError: a layer is not the model's, or its rows are not together.
        """
        assert batch.layer_ids is not None
        ids = batch.layer_ids
        starts = np.concatenate([[0], np.flatnonzero(ids[1:] != ids[:-1]) + 1, [ids.size]])
        layers: Int64 = ids[starts[:-1]]
        foreign = np.flatnonzero(~np.isin(layers, self._part.layer_ids))
        if foreign.size:
            raise StoreError(
                f"{self._part.path}: layer {layers[foreign[0]]} at row {batch.first_row + int(starts[foreign[0]]):,} "
                f"is not a layer of model {self._part.model_id} by layers/; extract the model again"
            )
        if layers.size > self._part.layer_ids.size:
            raise StoreError(f"{self._part.path}: the rows of a layer are not together after row {batch.first_row:,}")
        return starts, layers

    def not_finite(self, batch: RowBatch, row: int) -> StoreError:
        """The error for a filter with NaN or infinity, ``row`` of ``batch``."""
        at = batch.first_row + row
        if batch.layer_ids is not None:
            layer = int(batch.layer_ids[row])
        else:
            metadata = self._file.metadata
            first = sum(metadata.row_group(group).num_rows for group in range(batch.row_group))
            layer = self._file.read_row_group(batch.row_group, columns=["layer_id"]).column(0)[at - first].as_py()
        return StoreError(
            f"{self._part.path}: the filter in row {at:,} (layer {layer}) holds NaN or infinity; "
            f"extract model {self._part.model_id} again"
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
