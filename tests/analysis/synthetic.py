"""Stores of random filters with the structure that matters to a scan: layers of many sizes, zeros, several files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from distributed.records import FILTERS_SCHEMA, WEIGHT_COLUMNS
from distributed.references import layer_id_of
from distributed.store import Store
from distributed.store.settings import StoreSettings


@dataclass(frozen=True)
class SyntheticStore:
    """A store on disk, its layers table, and the filters (n, 9) of each layer in the order of layer_id."""

    store: Store
    layers: pa.Table
    filters: dict[int, np.ndarray]

    def path(self, model_id: str) -> Path:
        return Path(self.store.filters_path(model_id))

    @property
    def model_ids(self) -> list[str]:
        return sorted(set(self.layers.column("model_id").to_pylist()))


def random_filters(rng: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, 9) float32 of a random mixture, a few of them zero, of widely different magnitudes."""
    mixing = rng.standard_normal((9, 9))
    filters = rng.standard_normal((rows, 9)) @ mixing + 0.3 * rng.standard_normal(9)
    filters *= 10.0 ** rng.uniform(-6, 3, (rows, 1))
    filters[rng.random(rows) < 0.01] = 0
    return filters.astype(np.float32)


def moments_columns(filters: Sequence[np.ndarray]) -> dict[str, pa.Array]:
    """``scaled_sum`` and ``scaled_gram`` of each layer, from the definitions."""
    sums, grams = [], []
    lower = np.tril_indices(9)
    for each in filters:
        wide = each.astype(np.float64)
        largest = np.abs(wide).max(axis=1, keepdims=True)
        scaled = wide / np.where(largest == 0, 1, largest)
        sums.append(scaled.sum(axis=0).tolist())
        grams.append((scaled.T @ scaled)[lower].tolist())
    return {
        "scaled_sum": pa.array(sums, pa.list_(pa.float64(), 9)),
        "scaled_gram": pa.array(grams, pa.list_(pa.float64(), 45)),
    }


def filters_table(layer_ids: Sequence[int], filters: Sequence[np.ndarray]) -> pa.Table:
    ids = np.repeat(np.array(layer_ids, np.int64), [each.shape[0] for each in filters])
    rows = np.concatenate(filters)
    columns = [pa.array(ids)] + [pa.array(np.ascontiguousarray(rows[:, k])) for k in range(len(WEIGHT_COLUMNS))]
    return pa.Table.from_arrays(columns, schema=FILTERS_SCHEMA)


def write_store(
    folder: Path,
    models: Sequence[Sequence[int]],
    *,
    seed: int = 0,
    row_group: int = 1 << 15,
    filters: Callable[[np.random.Generator, int], np.ndarray] = random_filters,
) -> SyntheticStore:
    """A store whose model m has layers of ``models[m]`` filters. The first models are the same whatever follows."""
    store = Store.open(StoreSettings(str(folder)))
    (folder / "filters").mkdir(parents=True, exist_ok=True)
    every: dict[int, np.ndarray] = {}
    owners: list[str] = []
    for number, sizes in enumerate(models):
        rng = np.random.default_rng([seed, number])
        model_id = f"{(number + 1) << 20:016x}"
        layers = {layer_id_of(model_id, i): filters(rng, size) for i, size in enumerate(sizes)}
        every |= layers
        owners += [model_id] * len(layers)
        table = filters_table(list(layers), list(layers.values()))
        pq.write_table(table, store.filters_path(model_id), row_group_size=row_group, use_dictionary=["layer_id"])
    columns = {
        "layer_id": pa.array(list(every), pa.int64()),
        "model_id": pa.array(owners),
        "num_filters": pa.array([each.shape[0] for each in every.values()], pa.int64()),
    }
    return SyntheticStore(store, pa.table(columns | moments_columns(list(every.values()))), every)
