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

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.kernels import SIZE, Kernels, NonFiniteFilterError
from analysis.arrays.preparation import AS_STORED, prepared
from analysis.arrays.types import Float32, Float64, Int64, UInt32
from analysis.scanning.units import FilePart, WorkUnit
from distributed.errors import StoreError
from distributed.formulas import scale_filters
from distributed.records import GRAM_LENGTH, WEIGHT_COLUMNS
from distributed.store import FilterPlace
from distributed.store.problems import without_filters

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Rows decoded at a time: nine columns of 65 536 float32 are 2.4 MB and stay in the cache between decoder and loop.
BATCH_ROWS = 1 << 16

_LOWER = np.tril_indices(SIZE)


class FilterStore(Protocol):
    """What a scan needs of ``distributed.store.Store``; must be picklable."""

    def filter_places(self) -> Callable[[str], FilterPlace]:
        """Where each model's filters are, for ``arrow_filesystem``."""

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
    """Rows first_row … of a file: nine columns, and the layer of each row where it was asked for.

    ``rows`` says which rows of the file they are, where some between them do not count.
    """

    first_row: int
    columns: list[Float32]
    layer_ids: Int64 | None
    rows: Int64 | None = None

    def row_in_file(self, row: int) -> int:
        """Of one of its rows."""
        return self.first_row + row if self.rows is None else int(self.rows[row])


def scan_extremes(
    unit: WorkUnit, filesystem: pafs.FileSystem, kernels: Kernels, axes: PrincipalAxes, policy: ReadPolicy
) -> dict[str, Any]:
    """``low`` (9,) and ``high`` (9,) of the coefficients of a unit, and the number of ``filters``.

    Raises:
        StoreError: a file cannot be read or is not what it should be.
    """

    def one(part: FilePart) -> tuple[int, Float64, Float64]:
        low, high, filters = np.full(SIZE, np.inf), np.full(SIZE, -np.inf), 0
        with PartReader(part, filesystem) as reader:
            for batch in reader.batches(kernels.batch_rows, with_layers=False):
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


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """Of L layers: ``layer_ids`` (L,), ``counts`` (L, 9, bins + 2), ``checks`` (L,); a layer may come in pieces."""

    layer_ids: Int64
    counts: UInt32
    checks: Float64

    @classmethod
    def of(cls, parts: list[_Counted], bins: int) -> _Counted:
        """All parts together, each layer once."""
        ids = np.concatenate([np.zeros(0, np.int64), *(part.layer_ids for part in parts)])
        counts = np.concatenate([np.zeros((0, SIZE, bins + 2), np.uint32), *(part.counts for part in parts)])
        checks = np.concatenate([np.zeros(0), *(part.checks for part in parts)])
        return cls(*added_by_layer(ids, counts, checks))


def added_by_layer(ids: Int64, *values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Layers and values with one entry per layer: a layer that spans several batches comes in pieces.

    Where none does they are returned as they are; adding would copy all of them, and tiny layers are many.
    """
    order = np.argsort(ids, kind="stable")
    ascending = ids[order]
    begins = np.concatenate([[True], ascending[1:] != ascending[:-1]])[: ids.size]
    if begins.all():
        return ids, *values
    first = np.flatnonzero(begins)
    return ascending[first], *(np.add.reduceat(each[order], first, axis=0, dtype=each.dtype) for each in values)


def scan_histograms(
    unit: WorkUnit, filesystem: pafs.FileSystem, kernels: Kernels, basis: Basis, policy: ReadPolicy
) -> dict[str, Any]:
    """``layer_ids`` (L,) each once, ``counts`` (L, 9, bins + 2) uint32, ``checks`` (L,), the number of ``filters``.

    Raises:
        StoreError: a file cannot be read or is not what it should be.
    """

    def one(part: FilePart) -> _Counted:
        found = []
        with PartReader(part, filesystem) as reader:
            for batch in reader.batches(kernels.batch_rows, with_layers=True):
                starts, layer_ids = reader.runs(batch)
                try:
                    result = kernels.histograms(batch.columns, starts, basis.projection, basis.binning)
                except NonFiniteFilterError as error:
                    raise reader.not_finite(batch, error.row) from None
                found.append(_Counted(layer_ids, result.counts, result.checks))
        return _Counted.of(found, basis.bins)

    total = _Counted.of([with_retries(one, part, policy) for part in unit.parts], basis.bins)
    filters = int(total.counts[:, 0].sum(dtype=np.int64))
    return {"filters": filters, "layer_ids": total.layer_ids, "counts": total.counts, "checks": total.checks}


def scan_moments(
    unit: WorkUnit, filesystem: pafs.FileSystem, kernels: Kernels, what: None, policy: ReadPolicy
) -> dict[str, Any]:
    """``layer_ids`` (L,) each once, ``sums`` (L, 9), ``grams`` (L, 45) of the scaled filters, number of ``filters``.

    Raises:
        StoreError: a file cannot be read or is not what it should be.
    """

    def one(part: FilePart) -> tuple[int, Int64, Float64]:
        ids, found, filters = [np.zeros(0, np.int64)], [np.zeros((0, SIZE + GRAM_LENGTH))], 0
        with PartReader(part, filesystem) as reader:
            for batch in reader.batches(with_layers=True):
                starts, layer_ids = reader.runs(batch)
                rows = np.stack(batch.columns, axis=1)
                bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
                if bad.size:
                    raise reader.not_finite(batch, int(bad[0]))
                scaled = scale_filters(rows)
                runs = np.split(scaled, starts[1:-1])
                ids.append(layer_ids)
                found.append(np.array([[*run.sum(axis=0), *(run.T @ run)[_LOWER]] for run in runs]))
                filters += len(scaled)
        layers, sums = added_by_layer(np.concatenate(ids), np.concatenate(found))
        return filters, layers, sums

    parts = [with_retries(one, part, policy) for part in unit.parts]
    layer_ids, found = added_by_layer(np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts]))
    filters = sum(part[0] for part in parts)
    return {"filters": filters, "layer_ids": layer_ids, "sums": found[:, :SIZE], "grams": found[:, SIZE:]}


def with_retries(read: Callable[[FilePart], Result], part: FilePart, policy: ReadPolicy) -> Result:
    """A part is read as a whole or not at all, so that a repeated attempt counts nothing twice."""
    for attempt in range(1, policy.attempts + 1):
        try:
            return read(part)
        except pa.ArrowInvalid as error:
            raise StoreError(f"{part.path} is damaged: {_line(error)}; extract model {part.model_id} again") from error
        except OSError as error:
            if attempt == policy.attempts:
                if isinstance(error, FileNotFoundError):
                    raise without_filters(part.path, part.model_id) from error
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

    def batches(self, rows: int = BATCH_ROWS, *, with_layers: bool) -> Iterator[RowBatch]:
        """The rows of the part that count, at most ``rows`` at a time, prepared as the part asks."""
        with_layers = with_layers or self._part.limits is not None
        names = [*WEIGHT_COLUMNS, "layer_id"] if with_layers else list(WEIGHT_COLUMNS)
        metadata = self._file.metadata
        first = np.cumsum([0, *(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))])
        start, stop = self._part.start, self._part.stop
        groups = np.flatnonzero((first[1:] > start) & (first[:-1] < stop)).tolist()
        if not groups:
            return
        row = int(first[groups[0]])
        # All row groups in one call: on an object store their requests are then under way together.
        for batch in self._file.iter_batches(rows, row_groups=groups, columns=names, use_threads=False):
            skipped = max(0, start - row)
            mine = batch.slice(skipped, max(0, stop - row - skipped))
            if mine.num_rows:
                prepared = self._prepared(self._checked(mine, row + skipped, with_layers))
                if prepared.columns[0].size:
                    yield prepared
            row += batch.num_rows

    def _prepared(self, batch: RowBatch) -> RowBatch:
        """What is left of a batch: without sparse filters, then rounded."""
        part, limits = self._part, None
        if part.preparation == AS_STORED:
            return batch
        if part.limits is not None:
            starts, layers = self.runs(batch)
            limits = np.repeat(part.limits[np.searchsorted(part.layer_ids, layers)], np.diff(starts))
        columns, kept = prepared(batch.columns, limits, part.preparation.rounding)
        if kept is None:
            return RowBatch(batch.first_row, columns, batch.layer_ids)
        ids = None if batch.layer_ids is None else batch.layer_ids[kept]
        return RowBatch(batch.first_row, columns, ids, batch.first_row + kept)

    def _checked(self, batch: pa.RecordBatch, row: int, with_layers: bool) -> RowBatch:
        for name in batch.schema.names:
            column = batch.column(name)
            if column.null_count:
                at = row + int(np.flatnonzero(column.is_null())[0])
                raise StoreError(f"{self._part.path}: column {name!r} holds a null in row {at:,}")
        columns = [batch.column(name).to_numpy() for name in WEIGHT_COLUMNS]
        return RowBatch(row, columns, batch.column("layer_id").to_numpy() if with_layers else None)

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
        at = batch.row_in_file(row)
        layer = self._layer_of(at) if batch.layer_ids is None else int(batch.layer_ids[row])
        if self._part.preparation.is_rounded:
            return StoreError(
                f"{self._part.path}: the filter in row {at:,} (layer {layer}) holds NaN or a weight beyond float16's "
                "65 504; take rounding=none"
            )
        return StoreError(
            f"{self._part.path}: the filter in row {at:,} (layer {layer}) holds NaN or infinity; "
            f"extract model {self._part.model_id} again"
        )

    def _layer_of(self, row: int) -> int:
        group, metadata = 0, self._file.metadata
        while row >= metadata.row_group(group).num_rows:
            row -= metadata.row_group(group).num_rows
            group += 1
        return int(self._file.read_row_group(group, columns=["layer_id"]).column(0)[row].as_py())


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
