"""What tells layers of one store from another: arrays with an entry per layer, from the table ``layers``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.types import Bool, Float32, Float64, Int64
from distributed.errors import StoreError
from distributed.records import GRAM_LENGTH, SKETCH_LENGTH

#: Columns of ``layers`` that marks are made from, but for the sketch.
MARK_COLUMNS = (
    *("layer_id", "model_id", "layer_index", "out_channels", "in_channels", "num_filters"),
    *("variance_entropy", "scaled_gram", "digest"),
)
SKETCH_COLUMN = "weight_sketch"


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Of N layers of M models, sorted by model and place.

    Attributes:
        models: (M,) their ids, sorted.
        model: (N,) which model a layer is of.
        layer_ids: (N,).
        shape: (N,) layers of equal (out, in, filters) have the same number, 0 … S-1.
        filters: (N,) their number.
        digest: (N,) equal weights have the same number; -1 where the store doesn't say (older versions).
        second_moments: (N, 45) ``scaled_gram`` / filters: no factor of a channel, and no sign, changes it.
        sketch: (N, 256) of the weights; NaN where the store doesn't say.
        telling: (N,) whether its filters differ in more than one direction: a layer of zeros, of a constant or of one
            filter may be equal to another by chance, and ties nothing.
    """

    models: list[str]
    model: Int64
    layer_ids: Int64
    shape: Int64
    filters: Int64
    digest: Int64
    second_moments: Float64
    sketch: Float32
    telling: Bool

    @classmethod
    def from_layers(cls, layers: pa.Table) -> Marks:
        """From a table ``layers`` with ``MARK_COLUMNS`` and the sketch, in any order.

        Raises:
            StoreError: a sketch is of another length.
        """
        ids = layers.column("model_id").to_pylist()
        order = np.lexsort((layers.column("layer_index").to_numpy(), np.array(ids, dtype=str)))
        if (np.diff(order) != 1).any():  # not as a store gives them: sketches are large, a copy is not made for nothing
            layers = layers.take(pa.array(order))
        models, model = np.unique(np.array(layers.column("model_id").to_pylist(), dtype=str), return_inverse=True)
        filters = layers.column("num_filters").to_numpy().astype(np.int64)
        out, inside = (pc.fill_null(layers.column(name), -1).to_numpy() for name in ("out_channels", "in_channels"))
        shape = np.unique(np.stack([out, inside, filters], axis=1), axis=0, return_inverse=True)[1]
        moments = _rows(layers, "scaled_gram", GRAM_LENGTH, np.float64)
        return cls(
            [str(each) for each in models],
            model.astype(np.int64),
            layers.column("layer_id").to_numpy().astype(np.int64),
            shape.astype(np.int64).ravel(),
            filters,
            _codes(layers.column("digest")),
            moments / np.maximum(filters, 1)[:, None],
            _rows(layers, SKETCH_COLUMN, SKETCH_LENGTH, np.float32),
            layers.column("variance_entropy").to_numpy() > 0,
        )

    def rows_of(self, model: int) -> Int64:
        """The layers of a model."""
        return np.arange(*np.searchsorted(self.model, [model, model + 1]))

    @property
    def unseen(self) -> Bool:
        """(M,) models with a layer that the store has no digest or sketch of."""
        lacking = (self.digest < 0) | np.isnan(self.sketch[:, 0])
        return np.bincount(self.model, lacking, len(self.models)) > 0

    @property
    def layers_of_models(self) -> Int64:
        """(M,) how many telling layers each has."""
        return np.bincount(self.model[self.telling], minlength=len(self.models)).astype(np.int64)


def _codes(column: pa.ChunkedArray) -> Int64:
    """(N,) a number for each value, -1 for null."""
    encoded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    codes: Int64 = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _rows(layers: pa.Table, name: str, width: int, kind: type) -> npt.NDArray[Any]:
    """(N, width) of a list column; a null becomes NaN."""
    result = np.full((layers.num_rows, width), np.nan, kind)
    column = layers.column(name).combine_chunks()
    known = column.is_valid().to_numpy(zero_copy_only=False)
    values = column.drop_null().flatten().to_numpy(zero_copy_only=False)
    if values.size != width * int(known.sum()):
        raise StoreError(f"layers: column {name!r} is {column.type}, expected {width} numbers a row")
    result[known] = values.reshape(-1, width)
    return result
