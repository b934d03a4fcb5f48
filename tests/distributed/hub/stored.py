"""What a store holds, to be compared with another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

#: Of ``models``: what depends on when and how a model was read, not on what it is.
_VARYING = ["bytes_read", "extracted_at"]


def models_in(store: Path) -> dict[str, Any]:
    """Name → model row, layer rows, and the filters in their order; times and bytes read aside."""
    found = {}
    for file in sorted((store / "models").glob("*.parquet")):
        [row] = pq.read_table(file).drop_columns(_VARYING).to_pylist()
        layers = pq.read_table(store / "layers" / file.name).sort_by("layer_index").to_pylist()
        filters = pq.read_table(store / "filters" / file.name).combine_chunks()
        found[row["name"]] = (row, layers, filters)
    return found


def rejects_in(store: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Name → row of ``skips`` or ``failures``."""
    if not (store / kind).is_dir():
        return {}
    return {row["name"]: row for file in (store / kind).glob("*.parquet") for row in pq.read_table(file).to_pylist()}


def num_filters(store: Path) -> int:
    """Of all models."""
    files = (store / "models").glob("*.parquet")
    return sum(pc.sum(pq.read_table(file, columns=["num_filters"])["num_filters"]).as_py() for file in files)
