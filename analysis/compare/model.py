"""One model that need not be in any store, measured on the basis of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.basis import Basis
from analysis.arrays.kernels import SIZE, kernels_for
from analysis.arrays.preparation import AS_STORED, Preparation, prepared
from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Int64
from analysis.selection.view import flat_view
from distributed.formulas import sparse_below
from distributed.records import WEIGHT_COLUMNS
from distributed.single import ModelReference, OpenedModel


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredModel:
    """One model on a given basis.

    Attributes:
        reference: where it came from.
        model_id: what extraction would call it, unless several files of another digest stand behind it.
        sha256: digest of its content; None where only ranges were read.
        flat: one row per 3x3 layer, as ``analysis.selection.view.flat_view`` gives it, of the columns extraction knows.
        sketch: histograms of these layers; coefficients outside the basis's range are counted apart.
        notes: what was left aside and what fell back while reading.
    """

    reference: ModelReference
    model_id: str
    sha256: str | None
    flat: pa.Table
    sketch: Sketch
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return self.reference.name


def measure_model(opened: OpenedModel, basis: Basis, preparation: Preparation = AS_STORED) -> MeasuredModel:
    """Read every layer once: its statistics, and its histograms on ``basis``, of filters prepared as the store's are.

    Raises:
        UserError: a weight cannot be read or is not finite, or nothing learned is left.
    """
    kernels, counts = kernels_for("cpu"), dict[int, Int64]()

    def take(batch: pa.RecordBatch, largest: Mapping[int, float]) -> None:
        # Rows of one layer are contiguous, a batch may hold several.
        ids = batch.column("layer_id").to_numpy()
        first = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
        starts, layers = np.append(first, ids.size).astype(np.int64), ids[first].tolist()
        limits = None
        if preparation.is_clean:
            limits = np.repeat([sparse_below(largest[layer]) for layer in layers], np.diff(starts))
        columns = [batch.column(name).to_numpy() for name in WEIGHT_COLUMNS]
        columns, kept = prepared(columns, limits, preparation.rounding)
        if kept is not None:
            starts = np.searchsorted(kept, starts).astype(np.int64)
        counted = kernels.histograms(columns, starts, basis.projection, basis.binning)
        for layer, run in zip(layers, counted.counts, strict=True):
            found = run.astype(np.int64)
            counts[layer] = counts[layer] + found if layer in counts else found

    read, reference = opened.read(take), opened.reference
    filters = sum(int(each[0].sum()) for each in counts.values())
    model = pa.table({"model_id": [read.model_id], "name": [reference.name], "num_filters": [filters]})
    flat = flat_view(model, read.layers)
    return MeasuredModel(reference, read.model_id, read.sha256, flat, _sketch(counts, basis), read.notes)


def _sketch(counts: dict[int, Int64], basis: Basis) -> Sketch:
    ids = np.array(sorted(counts), np.int64)
    slots = np.stack([counts[layer] for layer in ids.tolist()]).reshape(ids.size, SIZE, basis.bins + 2)
    return Sketch(ids, np.ascontiguousarray(slots[:, :, 1:-1]), slots[:, :, 0].copy(), slots[:, :, -1].copy(), basis)
