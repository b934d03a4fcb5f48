"""The sketch of a store: histograms per layer on one basis. Every axis, subset and bootstrap is a sum over its rows."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.arrays.basis import Basis
from analysis.arrays.kernels import SIZE
from analysis.arrays.preparation import AS_STORED, Preparation
from analysis.arrays.types import Bool, Int64
from distributed.errors import UserError

_BASIS_KEY, _PREPARATION_KEY = b"basis", b"preparation"

#: Layers summed at a time: bounds the copy to 20 MB.
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class SketchOrigin:
    """How a sketch came about.

    Attributes:
        scanned: whether any filter was read.
        text: the same for people, one line.
        filters: filters read by the scan for histograms; 0 if none was needed.
        models: models read by it.
        seconds: wall time of all scans.
        rows: filters read by all scans together (the range of coefficients needs one of its own).
    """

    scanned: bool
    text: str
    filters: int = 0
    models: int = 0
    seconds: float = 0.0
    rows: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Counts of the coefficients of L layers in the bins of one basis.

    Attributes:
        layer_ids: (L,) int64, strictly ascending.
        counts: (L, 9, bins) int64.
        below: (L, 9) int64, coefficients below the range; 0 everywhere unless the basis came from other filters.
        above: (L, 9) int64, coefficients above it.
        basis: what they are coefficients of.
        origin: how it was made or found, where ``analysis.scanning.sketching`` did; not part of the file.
        preparation: what was done to the filters before.
    """

    layer_ids: Int64
    counts: Int64
    below: Int64
    above: Int64
    basis: Basis
    origin: SketchOrigin | None = None
    preparation: Preparation = AS_STORED

    def __post_init__(self) -> None:
        layers = self.layer_ids.size
        shapes = (self.layer_ids.shape, self.counts.shape, self.below.shape, self.above.shape)
        if shapes != ((layers,), (layers, SIZE, self.basis.bins), (layers, SIZE), (layers, SIZE)):
            raise ValueError(f"the shapes of a sketch do not fit together: {shapes} with {self.basis.bins} bins")
        if np.any(self.layer_ids[1:] <= self.layer_ids[:-1]):
            raise ValueError("layer_ids must be strictly ascending")

    @property
    def num_filters(self) -> Int64:
        """(L,) filters of each layer: each has one coefficient per component, in a bin or outside."""
        filters: Int64 = self.counts[:, 0, :].sum(axis=1) + self.below[:, 0] + self.above[:, 0]
        return filters

    @property
    def provenance(self) -> str:
        """Where it comes from, for people, one line."""
        return f"basis {self.basis.digest[:12]}" if self.origin is None else self.origin.text

    @property
    def outside(self) -> int:
        """Coefficients outside the range, of all layers and components."""
        return int(self.below.sum() + self.above.sum())

    def rows_of(self, layer_ids: Int64) -> Int64:
        """Row of each layer.

        Raises:
            UserError: one is not in the sketch.
        """
        rows = np.searchsorted(self.layer_ids, layer_ids)
        known = np.isin(layer_ids, self.layer_ids)
        if not known.all():
            raise UserError(f"the sketch does not hold layer {layer_ids[~known][0]}: make it again from this store")
        return rows.astype(np.int64)

    def take(self, rows: Int64 | Bool) -> Sketch:
        """These rows (ascending indices or a mask)."""
        parts = (self.layer_ids[rows], self.counts[rows], self.below[rows], self.above[rows])
        return Sketch(*parts, self.basis, preparation=self.preparation)

    def group_counts(self, group_of_layer: Int64, groups: int | None = None) -> Int64:
        """(G, 9, bins) sums over the layers of each group; ``group_of_layer`` (L,) is 0 … G − 1, or −1 for none."""
        return _sums(self.counts, group_of_layer, groups)

    def to_table(self) -> pa.Table:
        """Columns ``layer_id``, ``counts`` (9 x bins int64, component by component), ``below`` (9), ``above`` (9).

        The basis lies as JSON in the schema's metadata, beside what was done to the filters.
        """
        columns = {
            "layer_id": pa.array(self.layer_ids),
            "counts": pa.FixedSizeListArray.from_arrays(self.counts.reshape(-1), SIZE * self.basis.bins),
            "below": pa.FixedSizeListArray.from_arrays(self.below.reshape(-1), SIZE),
            "above": pa.FixedSizeListArray.from_arrays(self.above.reshape(-1), SIZE),
        }
        metadata = {_BASIS_KEY: self.basis.to_json().encode(), _PREPARATION_KEY: self.preparation.identity.encode()}
        return pa.table(columns).replace_schema_metadata(metadata)

    def to_parquet(self, target: Path | io.BytesIO | pa.NativeFile) -> None:
        """Write ``to_table`` as Parquet with checksums."""
        # Level 1: counts are small numbers, a higher one gains little.
        options = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}
        pq.write_table(self.to_table(), target, row_group_size=_CHUNK, write_page_checksum=True, **options)

    @classmethod
    def from_parquet(cls, source: Path | pa.NativeFile, origin: str | None = None) -> Sketch:
        """Read what ``to_parquet`` wrote; ``origin`` names it in errors.

        Raises:
            UserError: it cannot be read, or is not a whole sketch.
        """
        origin = origin or str(source)
        try:
            table = pq.read_table(source, page_checksum_verification=True, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"cannot read the sketch {origin}: {' '.join(str(error).split())}") from error
        metadata = table.schema.metadata or {}
        if _BASIS_KEY not in metadata:
            raise UserError(f"{origin} is not a sketch: there is no basis in its metadata")
        basis = Basis.from_json(metadata[_BASIS_KEY].decode(errors="replace"), origin)
        widths = {"layer_id": 1, "counts": SIZE * basis.bins, "below": SIZE, "above": SIZE}
        flat = {name: _flat_int64(table, name, width, origin) for name, width in widths.items()}
        try:
            preparation = Preparation.of(metadata.get(_PREPARATION_KEY, b"").decode(errors="replace"))
            return cls(
                flat["layer_id"],
                flat["counts"].reshape(-1, SIZE, basis.bins),
                flat["below"].reshape(-1, SIZE),
                flat["above"].reshape(-1, SIZE),
                basis,
                preparation=preparation,
            )
        except ValueError as error:
            raise UserError(f"{origin} is not a sketch: {error}") from error


def merge_sketches(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of the filters of all; counts of a layer that occurs in several are added.

    Raises:
        UserError: they are on different bases, or of filters that were prepared differently.
        ValueError: there is none.
    """
    parts = list(sketches)
    if not parts:
        raise ValueError("there is no sketch to merge")
    basis = parts[0].basis
    for part in parts[1:]:
        if part.basis.digest != basis.digest:
            raise UserError(
                f"sketches on different bases cannot be merged ({basis.digest[:12]}… and {part.basis.digest[:12]}…): "
                "make both on one basis with basis=FILE"
            )
        if part.preparation != parts[0].preparation:
            raise UserError(f"sketches of {parts[0].preparation} and of {part.preparation} cannot be merged")
    layer_ids = np.unique(np.concatenate([part.layer_ids for part in parts]))
    counts = np.zeros((layer_ids.size, SIZE, basis.bins), np.int64)
    below, above = np.zeros((layer_ids.size, SIZE), np.int64), np.zeros((layer_ids.size, SIZE), np.int64)
    for part in parts:
        rows = np.searchsorted(layer_ids, part.layer_ids)
        counts[rows] += part.counts
        below[rows] += part.below
        above[rows] += part.above
    return Sketch(layer_ids, counts, below, above, basis, preparation=parts[0].preparation)


def _sums(values: Int64, codes: Int64, groups: int | None) -> Int64:
    """Sums over the first dimension by code, a chunk of sorted rows at a time."""
    if codes.shape != values.shape[:1]:
        raise ValueError(f"group_of_layer is {codes.shape}, expected ({values.shape[0]},)")
    total = int(codes.max(initial=-1)) + 1 if groups is None else groups
    if codes.size and (codes.min() < -1 or codes.max() >= total):
        raise ValueError(f"group_of_layer must be -1 … {total - 1}")
    result = np.zeros((total, *values.shape[1:]), np.int64)
    order = np.argsort(codes, kind="stable")
    order = order[np.searchsorted(codes[order], 0) :]
    for at in range(0, order.size, _CHUNK):
        rows = order[at : at + _CHUNK]
        of_row = codes[rows]
        first = np.flatnonzero(np.concatenate([[True], of_row[1:] != of_row[:-1]]))
        result[of_row[first]] += np.add.reduceat(values[rows], first, axis=0)
    return result


def _flat_int64(table: pa.Table, name: str, width: int, origin: str) -> Int64:
    if name not in table.column_names:
        raise UserError(f"{origin} is not a sketch: column {name!r} is missing")
    column = table.column(name)
    kind = pa.int64() if width == 1 else pa.list_(pa.int64(), width)
    if column.type != kind or column.null_count:
        raise UserError(f"{origin} is not a sketch: column {name!r} is {column.type}, expected {kind} without nulls")
    array = column.combine_chunks()
    values: Int64 = (array if width == 1 else array.flatten()).to_numpy(zero_copy_only=False)
    if values.size != width * table.num_rows:
        raise UserError(f"{origin} is not a sketch: column {name!r} holds nulls")
    return values
