"""Which rows of which files a task reads: work units of similar size, from the layers table alone."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.kernels import CHECK_DIRECTION
from analysis.arrays.moments import layer_sums
from analysis.arrays.preparation import AS_STORED, Preparation, counted, sparse_limits
from analysis.arrays.types import Bool, Float64, Int64
from distributed.errors import StoreError
from distributed.store import ROW_GROUP_ROWS, FilterPlace

#: What a layer costs beside its rows, in rows: its counts (2.6 KB) are cleared, sent and added.
LAYER_COST = 256

#: What opening a file costs, in rows.
FILE_COST = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class FilePart:
    """Rows start … stop − 1 of one file.

    Attributes:
        path: as the store's Arrow file system knows it.
        model_id: whose filters they are; of several the first.
        start: first row.
        stop: end of the rows.
        rows: filters of the whole file, by the layers table or its index.
        layer_ids: (L,) int64, ascending: the layers that may be in it.
        limits: (L,) float64, see ``LayerIndex``.
        preparation: of the filters.
    """

    path: str
    model_id: str
    start: int
    stop: int
    rows: int
    layer_ids: Int64
    limits: Float64 | None = None
    preparation: Preparation = AS_STORED


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """What one task reads."""

    parts: tuple[FilePart, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LayerIndex:
    """Which layers there are.

    Attributes:
        layer_ids: (L,) int64, ascending.
        num_filters: (L,) int64, rows in the files.
        counted: (L,) int64, those of them that count.
        model_ids: (L,).
        first_rows: (L,) int64, where each layer begins in its model's file.
        file_rows: (L,) int64, filters of the whole file.
        checks: (L,) float64, ``CHECK_DIRECTION`` · ``scaled_sum``: what the filters of a layer must add up to. None
            where the table has no ``scaled_sum``, or the filters are not read as they are stored.
        limits: (L,) float64: a filter whose largest |w| is smaller is left out; None: none is.
        preparation: of the filters.
    """

    layer_ids: Int64
    num_filters: Int64
    counted: Int64
    model_ids: tuple[str, ...]
    first_rows: Int64
    file_rows: Int64
    checks: Float64 | None = None
    limits: Float64 | None = None
    preparation: Preparation = AS_STORED

    @classmethod
    def from_table(cls, layers: pa.Table, preparation: Preparation = AS_STORED) -> LayerIndex:
        """From a table with ``layer_id``, ``num_filters`` and ``model_id``; of clean filters also their columns.

        Raises:
            StoreError: a column is missing or holds nulls; a layer occurs twice.
        """
        for name in ("layer_id", "num_filters", "model_id"):
            if name not in layers.column_names:
                raise StoreError(f"layers: there is no column {name!r}; the store was not written by this project")
            if layers.column(name).null_count:
                raise StoreError(f"layers: column {name!r} holds nulls; extract those models again")
        layer_ids = layers.column("layer_id").to_numpy().astype(np.int64)
        order = np.argsort(layer_ids, kind="stable")
        layer_ids = layer_ids[order]
        twice = np.flatnonzero(layer_ids[1:] == layer_ids[:-1])
        if twice.size:
            raise StoreError(f"layers: layer {layer_ids[twice[0]]} is there twice; a file was copied within the store")
        names = layers.column("model_id").to_pylist()
        models = tuple(names[i] for i in order)
        counts = layers.column("num_filters").to_numpy().astype(np.int64)[order]
        kept, limits, checks = counts, None, None
        if preparation.is_clean:
            limits = sparse_limits(layers)[order]
            kept = counted(layers, preparation.filters).column("num_filters").to_numpy().astype(np.int64)[order]
        if "scaled_sum" in layers.column_names and not preparation.is_rounded:
            checks = layer_sums(counted(layers, preparation.filters))[1] @ CHECK_DIRECTION
        return cls(layer_ids, counts, kept, models, *_places(models, counts), checks, limits, preparation)

    @property
    def total_filters(self) -> int:
        """Filters of all layers, those that do not count included."""
        return int(self.num_filters.sum())

    @property
    def total_counted(self) -> int:
        """Filters of all layers that count."""
        return int(self.counted.sum())

    def of_models(self, models: set[str]) -> LayerIndex:
        """All layers of these models."""
        return self.take(np.array([model in models for model in self.model_ids], dtype=bool))

    def take(self, chosen: Bool) -> LayerIndex:
        """The layers where ``chosen`` (L,) is true."""
        return LayerIndex(
            self.layer_ids[chosen],
            self.num_filters[chosen],
            self.counted[chosen],
            tuple(model for model, is_chosen in zip(self.model_ids, chosen, strict=True) if is_chosen),
            self.first_rows[chosen],
            self.file_rows[chosen],
            None if self.checks is None else self.checks[chosen],
            None if self.limits is None else self.limits[chosen],
            self.preparation,
        )

    def check_filters(self, found: Int64) -> None:
        """That each layer had as many filters, ``found`` (L,), as the layers table says.

        Raises:
            StoreError: names the first model where not.
        """
        wrong = np.flatnonzero(found != self.counted)
        if wrong.size:
            i, clean = int(wrong[0]), " that are not sparse" * self.preparation.is_clean
            raise StoreError(
                f"model {self.model_ids[i]}: layer {self.layer_ids[i]} has {found[i]:,} filters{clean} in filters/, "
                f"{self.counted[i]:,} by layers/; extract the model again"
            )

    def check_sums(self, found: Float64) -> None:
        """That the filters that were read, their ``checks`` (L,), are those whose moments were taken at extraction.

        A weight that changed by more than 2e-9 + 2e-12 · filters of the layer, relative to the largest of its filter,
        is noticed; rounding stays a thousand times below.

        Raises:
            StoreError: names the first model where not.
        """
        if self.checks is None:
            return
        apart = np.abs(found - self.checks)
        wrong = np.flatnonzero(~(apart <= 1e-9 + 1e-12 * self.num_filters))
        if wrong.size:
            i = int(wrong[0])
            raise StoreError(
                f"model {self.model_ids[i]}: the filters of layer {self.layer_ids[i]} in filters/ are not those that "
                f"scaled_sum in layers/ was taken of (apart by {apart[i]:.1g}): the file is damaged or was changed; "
                "extract the model again"
            )


def scan_cost(layers: LayerIndex) -> int:
    """What all of them cost, in rows."""
    return layers.total_filters + LAYER_COST * layers.layer_ids.size + FILE_COST * len(set(layers.model_ids))


def plan_units(layers: LayerIndex, place_of: Callable[[str], FilterPlace], target: int) -> list[WorkUnit]:
    """Units that cost about as much as ``target`` rows, the largest first: small files together, large files in parts.

    Large files are divided where the store's writer ends row groups, so that none is read twice; only rows of
    ``layers`` are read, those of models that lie side by side in one file together. ``place_of`` says where a model's
    filters are.
    """
    parts: list[tuple[int, FilePart]] = []
    for file in _files(layers, place_of):
        ordered = np.asarray(file.layers)[np.argsort(layers.layer_ids[file.layers], kind="stable")]
        layer_ids, limits = layers.layer_ids[ordered], None if layers.limits is None else layers.limits[ordered]
        for start, stop, number in file.runs(layers.num_filters):
            cost = stop - start + LAYER_COST * number + FILE_COST
            pieces = max(1, round(cost / target))
            inner = [start + (stop - start) * i // pieces for i in range(1, pieces)]
            aligned = [round(row / ROW_GROUP_ROWS) * ROW_GROUP_ROWS for row in inner]
            bounds = [start, *(row for row in dict.fromkeys(aligned) if start < row < stop), stop]
            parts += [
                (
                    cost * (b - a) // (stop - start),
                    FilePart(file.path, file.model_id, a, b, file.rows, layer_ids, limits, layers.preparation),
                )
                for a, b in itertools.pairwise(bounds)
                if b > a
            ]
    return _packed(parts, target)


def _places(models: tuple[str, ...], counts: Int64) -> tuple[Int64, Int64]:
    """First row and rows of the file of each layer: a file holds its model's layers in the order of their ids."""
    ends: dict[str, int] = {}
    first = np.zeros_like(counts)
    for i, (model, count) in enumerate(zip(models, counts.tolist(), strict=True)):
        first[i] = ends.get(model, 0)
        ends[model] = int(first[i]) + count
    return first, np.array([ends[model] for model in models], np.int64)


def _models(layers: LayerIndex) -> dict[str, list[int]]:
    """Places of the layers of each model, ascending."""
    where: dict[str, list[int]] = {}
    for i, model in enumerate(layers.model_ids):
        where.setdefault(model, []).append(i)
    return where


@dataclass(slots=True)
class _File:
    """One file: its path, the first of its models, its rows; and the layers wanted of it (L), with their first rows."""

    path: str
    model_id: str
    rows: int
    layers: list[int]
    starts: list[int]

    def runs(self, num_filters: Int64) -> Iterator[tuple[int, int, int]]:
        """First row, end and number of layers of each run of layers that follow each other in the file."""
        first, end, number = self.starts[0], self.starts[0], 0
        for layer, start in sorted(zip(self.layers, self.starts, strict=True), key=lambda each: each[::-1]):
            if start != end:
                if number:
                    yield first, end, number
                first, number = start, 0
            end, number = start + int(num_filters[layer]), number + 1
        yield first, end, number


def _files(layers: LayerIndex, place_of: Callable[[str], FilterPlace]) -> Iterable[_File]:
    """The files that hold them."""
    files: dict[str, _File] = {}
    for model, places in _models(layers).items():
        place = place_of(model)
        rows = int(layers.file_rows[places[0]]) if place.file_rows is None else place.file_rows
        file = files.setdefault(place.path, _File(place.path, model, rows, [], []))
        file.layers += places
        file.starts += (layers.first_rows[places] + place.first_row).tolist()
    return files.values()


def _packed(parts: list[tuple[int, FilePart]], target: int) -> list[WorkUnit]:
    """Longest first into the emptiest unit: no unit is more than one part above the average."""
    total = sum(cost for cost, _ in parts)
    heap: list[tuple[int, int]] = [(0, i) for i in range(min(len(parts), max(1, -(-total // target))))]
    chosen: list[list[FilePart]] = [[] for _ in heap]
    costs = [0] * len(heap)
    for cost, part in sorted(parts, key=lambda each: (-each[0], each[1].path, each[1].start)):
        load, unit = heapq.heappop(heap)
        chosen[unit].append(part)
        costs[unit] = load + cost
        heapq.heappush(heap, (load + cost, unit))
    order = sorted(range(len(chosen)), key=lambda i: -costs[i])
    return [WorkUnit(tuple(chosen[i])) for i in order if chosen[i]]
