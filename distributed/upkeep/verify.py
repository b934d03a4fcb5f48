"""The action ``verify``: is every model's row, are its layers' counts and moments what its filters say?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console

from distributed.entry import FAILURES, OK
from distributed.errors import StoreError
from distributed.formulas import scale_filters
from distributed.progress import human_bytes
from distributed.records import WEIGHT_COLUMNS
from distributed.store import Store
from distributed.store.reading import parallel
from distributed.upkeep.settings import Verify

#: Moments are sums of n numbers of at most 1; both sides add in float64, in orders of their own.
_ABSOLUTE, _A_FILTER = 1e-9, 1e-12

_BATCH_ROWS = 1 << 16
_LOWER = np.tril_indices(9)


def verify(settings: Verify) -> int:
    """Print what is wrong, a line each, and the sum; returns the exit code: 1 where anything is."""
    console, store = Console(highlight=False, soft_wrap=True), Store.open(settings.store)
    rows = {row["model_id"]: row for row in store.models().to_pylist()}
    models, filters = store.files("models"), sum(row["num_filters"] for row in rows.values())
    if settings.dry_run:
        size = sum(file.size for table in ("filters", "packs") for file in store.files(table))
        console.print(f"would check {len(rows):,} models of {filters:,} filters by reading {human_bytes(size)}")
        return OK
    layers: dict[str, list[dict[str, Any]]] = {}
    for layer in store.layers(_LAYER_COLUMNS).to_pylist():
        layers.setdefault(layer["model_id"], []).append(layer)
    problems = parallel(
        store.arrow_filesystem(), lambda file: _problem(store, rows[file.key], layers.get(file.key, [])), models
    )
    wrong = [problem for problem in problems if problem]
    for problem in wrong:
        console.print(problem, markup=False)
    sound = len(rows) - len(wrong)
    console.print(f"checked {len(rows):,} models of {filters:,} filters = sound {sound:,} + wrong {len(wrong):,}")
    return FAILURES if wrong else OK


_LAYER_COLUMNS = ("model_id", "layer_id", "num_filters", "scaled_sum", "scaled_gram")


def _problem(store: Store, row: dict[str, Any], layers: list[dict[str, Any]]) -> str | None:
    """The first thing that is wrong with a model, in a line, and what to do."""
    try:
        wrong = _contradiction(row, layers) or _difference(store, row["model_id"], layers)
    except StoreError as error:
        wrong = str(error)
    except (pa.ArrowException, OSError) as error:
        wrong = f"its filters can't be read: {' '.join(str(error).split())}"
    if wrong is None:
        return None
    return f"{row['name']} ({row['model_id']}): {wrong}; remove models/{row['model_id']}.parquet and extract it again"


def _contradiction(row: dict[str, Any], layers: list[dict[str, Any]]) -> str | None:
    filters = sum(layer["num_filters"] for layer in layers)
    if (row["num_layers_3x3"], row["num_filters"]) == (len(layers), filters):
        return None
    promised = f"{row['num_filters']:,} filters in {row['num_layers_3x3']} layers"
    return f"its row promises {promised}, its layers {filters:,} in {len(layers)}"


def _difference(store: Store, model_id: str, layers: list[dict[str, Any]]) -> str | None:
    found = list(_sums(store, model_id))
    promised = [(layer["layer_id"], layer["num_filters"]) for layer in layers]
    if promised != [(each.layer_id, each.count) for each in found]:
        pairs = zip(promised, [(each.layer_id, each.count) for each in found], strict=False)
        first = next((f"{a} and {b}" for a, b in pairs if a != b), f"{len(promised)} and {len(found)} layers")
        return f"layers and filters differ in (layer_id, filters): {first}"
    for layer, each in zip(layers, found, strict=True):
        if not np.isfinite(each.total).all():
            return f"layer {each.layer_id} holds NaN or infinity"
        most = _ABSOLUTE + _A_FILTER * each.count
        for column, value in (("scaled_sum", each.total), ("scaled_gram", each.gram[_LOWER])):
            apart = np.abs(np.array(layer[column]) - value).max()
            if not apart <= most:
                return f"{column} of layer {each.layer_id} is not that of its filters (apart by {apart:.1g})"
    return None


@dataclass(slots=True)
class _LayerSums:
    """Of the filters of one layer, in the order of the file."""

    layer_id: int
    count: int
    total: NDArray[np.float64]
    gram: NDArray[np.float64]


def _sums(store: Store, model_id: str) -> Iterator[_LayerSums]:
    """Of each run of rows of one layer."""
    now: _LayerSums | None = None
    for batch in store.filter_batches(model_id, _BATCH_ROWS):
        ids = batch.column("layer_id").to_numpy()
        scaled = scale_filters(np.stack([batch.column(name).to_numpy() for name in WEIGHT_COLUMNS], axis=1))
        bounds = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
        for start, stop in itertools.pairwise(bounds):
            part = scaled[start:stop]
            if now is not None and now.layer_id != ids[start]:
                yield now
                now = None
            if now is None:
                now = _LayerSums(int(ids[start]), 0, np.zeros(9), np.zeros((9, 9)))
            now.count += stop - start
            now.total += part.sum(axis=0)
            now.gram += part.T @ part
    if now is not None:
        yield now
