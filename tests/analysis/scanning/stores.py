"""Stores for scans: layers of many sizes, zeros, files of many row groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from distributed.references import layer_id_of
from distributed.store import Store, StoreSettings
from tests import stores
from tests.stores import Layer, Model, random_filters


@dataclass(frozen=True)
class MadeStore:
    """A store on disk, its layers table without extreme filters, and the filters (n, 9) of each layer by its id."""

    store: Store
    layers: pa.Table
    filters: dict[int, np.ndarray]

    def path(self, model_id: str) -> Path:
        return Path(self.store.filters_path(model_id))

    @property
    def model_ids(self) -> list[str]:
        return sorted(set(self.layers.column("model_id").to_pylist()))


def make_store(
    folder: Path,
    sizes: Sequence[Sequence[int]],
    *,
    seed: int = 0,
    row_group: int = 1 << 15,
    filters: Callable[[np.random.Generator, int], np.ndarray] = random_filters,
) -> MadeStore:
    """A store whose model m has layers of ``sizes[m]`` filters. The first models are the same whatever follows."""
    models = []
    for number, of_model in enumerate(sizes):
        rng = np.random.default_rng([seed, number])
        layers = [Layer(f"conv{i}.weight", i, 0.0, filters(rng, size)) for i, size in enumerate(of_model)]
        models.append(Model(f"model {number}", layers, given_id=f"{(number + 1) << 20:016x}"))
    stores.write_store(folder, models, row_group=row_group)
    by_id = {layer_id_of(m.model_id, i): layer.filters for m in models for i, layer in enumerate(m.layers)}
    # Without them every filter is read for the range.
    table = stores.layers_table(models).drop_columns(["extreme_filters"])
    return MadeStore(Store.open(StoreSettings(str(folder))), table, by_id)
