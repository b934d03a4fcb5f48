"""Descent that sketches suggest, confirmed on the weights: as many pairs as hold a lineage together, no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float32
from analysis.ties.alike import ALIKE, matched_layers
from analysis.ties.components import components
from analysis.ties.marks import Marks
from analysis.ties.pairs import DESCENT, TIES, Pairs, Tie
from distributed.errors import StoreError
from distributed.records import WEIGHT_COLUMNS

#: Filters that are read, 300 MB, for pairs that no lineage hangs on.
MORE = 1 << 23

#: Rows of ``filters`` read at a time.
_ROWS = 1 << 17


class WeightStore(Protocol):
    """What is needed of ``distributed.store.Store``."""

    def filter_batches(self, model_id: str, rows: int) -> Iterator[pa.RecordBatch]:
        """A model's filters in order."""


def confirmed(store: WeightStore, marks: Marks, pairs: Pairs) -> Pairs:
    """The pairs, without descent that the weights refute.

    What digests tie needs no confirmation. Beyond that, pairs are taken by falling cosine, and the weights of each are
    read that would join two lineages, and of others as long as ``MORE`` lasts; what the weights refute is left out. So
    each model is read about twice, however many pairs there are of k models that descend from each other; of pairs that
    are left the sketch's cosine stays.

    Raises:
        StoreError, OSError, pa.ArrowException: a model's filters can't be read.
    """
    is_descent = pairs.tie == TIES.index(Tie.descent)
    certain = pairs.take(~is_descent)
    root = components(certain.first, certain.second, len(marks.models)).tolist()

    def root_of(model: int) -> int:
        while root[model] != model:
            root[model] = root[root[model]]
            model = root[model]
        return model

    kept, is_confirmed, cosine, more = ~is_descent, pairs.confirmed.copy(), pairs.cosine.copy(), MORE
    filters = np.bincount(marks.model, marks.filters, len(marks.models)).astype(np.int64)
    candidates = np.flatnonzero(is_descent)
    order = np.lexsort((pairs.second[candidates], pairs.first[candidates], -pairs.cosine[candidates]))
    for at in candidates[order].tolist():
        first, second = int(pairs.first[at]), int(pairs.second[at])
        a, b = root_of(first), root_of(second)
        if a == b:
            more -= int(filters[first] + filters[second])
            if more < 0:
                kept[at] = True
                continue
        cosine[at] = _cosine(store, marks, first, second, int(pairs.compared[at]))
        is_confirmed[at] = kept[at] = cosine[at] >= DESCENT
        if kept[at]:
            root[max(a, b)] = min(a, b)
    return replace(pairs, confirmed=is_confirmed, cosine=cosine).take(kept)


def _cosine(store: WeightStore, marks: Marks, first: int, second: int, compared: int) -> float:
    """Mean cosine over the layers of equal shape of two models, of the weights."""
    a, b = matched_layers(marks, first, second)
    ours = _weights(store, marks.models[first], marks.layer_ids[a].tolist(), marks.filters[a].tolist())
    theirs = _weights(store, marks.models[second], marks.layer_ids[b].tolist(), marks.filters[b].tolist())
    cosines = np.array([_between(x, y) for x, y in zip(ours, theirs, strict=True)])
    return float(cosines[cosines >= ALIKE].sum() / compared)


def _between(x: Float32, y: Float32) -> float:
    lengths = np.linalg.norm(x.astype(np.float64)) * np.linalg.norm(y.astype(np.float64))
    return float(np.vdot(x.astype(np.float64), y.astype(np.float64)) / lengths) if lengths > 0 else 0.0


def _weights(store: WeightStore, model_id: str, layer_ids: list[int], sizes: list[int]) -> list[Float32]:
    """(n, 9) of each of some layers of a model."""
    parts: dict[int, list[Float32]] = {layer_id: [] for layer_id in layer_ids}
    for batch in store.filter_batches(model_id, _ROWS):
        ids = batch.column("layer_id").to_numpy()
        wanted = [layer_id for layer_id in np.unique(ids).tolist() if layer_id in parts]
        if wanted:
            rows = np.stack([batch.column(name).to_numpy() for name in WEIGHT_COLUMNS], axis=1)
            for layer_id in wanted:
                parts[layer_id].append(rows[ids == layer_id])
    found = [np.concatenate(parts[layer_id] or [np.empty((0, 9), np.float32)]) for layer_id in layer_ids]
    for layer_id, weights, size in zip(layer_ids, found, sizes, strict=True):
        if len(weights) != size:
            raise StoreError(
                f"filters of model {model_id}: layer {layer_id} has {len(weights)} rows where layers/ says {size}: "
                "extract the model again"
            )
    return found
