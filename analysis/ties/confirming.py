"""Descent that sketches suggest, confirmed on the weights: as many pairs as hold a lineage together, no more."""

from __future__ import annotations

from collections import OrderedDict
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

#: Filters that are read, 150 MB, for pairs that no lineage hangs on.
MORE = 1 << 22

#: Filters of models that are held beside the two that are compared, 150 MB.
_HELD = 1 << 22

#: Rows of ``filters`` read at a time.
_ROWS = 1 << 17


class WeightStore(Protocol):
    """What is needed of ``distributed.store.Store``."""

    def filter_batches(self, model_id: str, rows: int) -> Iterator[pa.RecordBatch]:
        """A model's filters in order."""


def confirmed(store: WeightStore, marks: Marks, pairs: Pairs) -> Pairs:
    """The pairs, without descent that the weights refute.

    What digests tie needs no confirmation. Beyond that, pairs are taken by falling cosine, lineage by lineage, and the
    weights of each are read that would join two parts of it, and of others as long as ``MORE`` lasts; what the weights
    refute is left out. So as many pairs are read as there are models, however many pairs k models make that descend
    from each other; of pairs that are left the sketch's cosine stays.

    Raises:
        StoreError, OSError, pa.ArrowException: a model's filters can't be read.
    """
    size = len(marks.models)
    is_descent = pairs.tie == TIES.index(Tie.descent)
    certain = pairs.take(~is_descent)
    root = components(certain.first, certain.second, size).tolist()

    def root_of(model: int) -> int:
        while root[model] != model:
            root[model] = root[root[model]]
            model = root[model]
        return model

    kept, is_confirmed, cosine, more = ~is_descent, pairs.confirmed.copy(), pairs.cosine.copy(), MORE
    filters = np.bincount(marks.model, marks.filters, size).astype(np.int64)
    lineage = components(pairs.first, pairs.second, size)[pairs.first]
    order = np.lexsort((pairs.second, pairs.first, -pairs.cosine, lineage))
    weights = _Weights(store, marks)
    for at in order[is_descent[order]].tolist():
        first, second = int(pairs.first[at]), int(pairs.second[at])
        a, b = root_of(first), root_of(second)
        if a == b:
            more -= int(filters[first] + filters[second])
            if more < 0:
                kept[at] = True
                continue
        cosine[at] = weights.cosine(first, second, int(pairs.compared[at]))
        is_confirmed[at] = kept[at] = cosine[at] >= DESCENT
        if kept[at]:
            root[max(a, b)] = min(a, b)
    return replace(pairs, confirmed=is_confirmed, cosine=cosine).take(kept)


class _Weights:
    """The weights of models, read when they are asked for; the last ones stay, up to ``_HELD`` filters."""

    def __init__(self, store: WeightStore, marks: Marks) -> None:
        self._store, self._marks = store, marks
        self._held: OrderedDict[int, dict[int, Float32]] = OrderedDict()
        self._free = _HELD

    def cosine(self, first: int, second: int, compared: int) -> float:
        """Mean cosine over the layers of equal shape of two models."""
        a, b = matched_layers(self._marks, first, second)
        ours, theirs = self._of(first), self._of(second)
        cosines = np.array([_between(ours[i], theirs[j]) for i, j in zip(a.tolist(), b.tolist(), strict=True)])
        return float(cosines[cosines >= ALIKE].sum() / compared)

    def _of(self, model: int) -> dict[int, Float32]:
        """Row of the layer → its (n, 9) weights."""
        if model in self._held:
            self._held.move_to_end(model)
            return self._held[model]
        self._held[model] = found = self._read(model)
        self._free -= sum(map(len, found.values()))
        while self._free < 0 and len(self._held) > 2:
            self._free += sum(map(len, self._held.popitem(last=False)[1].values()))
        return found

    def _read(self, model: int) -> dict[int, Float32]:
        marks, rows = self._marks, self._marks.rows_of(model).tolist()
        row_of = {int(marks.layer_ids[row]): row for row in rows}
        parts: dict[int, list[Float32]] = {row: [np.empty((0, 9), np.float32)] for row in rows}
        for batch in self._store.filter_batches(marks.models[model], _ROWS):
            ids = batch.column("layer_id").to_numpy()
            begins = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))  # rows of a layer are contiguous
            columns = [batch.column(name).to_numpy() for name in WEIGHT_COLUMNS]
            for start, stop in zip(begins.tolist(), [*begins[1:].tolist(), len(ids)], strict=True):
                if (row := row_of.get(int(ids[start]))) is not None:
                    parts[row].append(np.stack([column[start:stop] for column in columns], axis=1))
        found = {row: np.concatenate(each) for row, each in parts.items()}
        for row, each in found.items():
            if len(each) != marks.filters[row]:
                raise StoreError(
                    f"filters of model {marks.models[model]}: layer {marks.layer_ids[row]} has {len(each)} rows where "
                    f"layers/ says {marks.filters[row]}: extract the model again"
                )
        return found


def _between(x: Float32, y: Float32) -> float:
    x64, y64 = x.ravel().astype(np.float64), y.ravel().astype(np.float64)
    lengths = np.sqrt((x64 @ x64) * (y64 @ y64))
    return float(x64 @ y64 / lengths) if lengths > 0 else 0.0
