"""Small models to write, made from a seed: on ``tests.stores``, as what a writer takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from distributed.references import layer_id_of
from distributed.store import ModelRow, Reject, RowGroups
from tests import stores

MODEL_ID = "00112233445566aa"
OTHER_ID = "ffeeddccbbaa9988"


def weights(seed: int = 0, shapes: tuple[tuple[int, int], ...] = ((4, 3), (8, 4), (8, 1))) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((*shape, 3, 3)).astype(np.float32) for shape in shapes]


def batches(model_id: str, layers: list[np.ndarray]) -> Iterator[pa.RecordBatch]:
    groups = RowGroups()
    for index, weight in enumerate(layers):
        yield from groups.add(layer_id_of(model_id, index), weight.reshape(-1, 9))
    yield from groups.rest()


def layers_table(model_id: str, layers: list[np.ndarray]) -> pa.Table:
    return stores.layers_table([_model(model_id, layers)])


def model_row(model_id: str, layers: list[np.ndarray], name: str = "tiny") -> ModelRow:
    columns = stores.model_columns(_model(model_id, layers, name))
    return ModelRow(**{field.name: columns[field.name] for field in fields(ModelRow)})


def _model(model_id: str, layers: list[np.ndarray], name: str = "tiny") -> stores.Model:
    """With a value of every kind in its row."""
    columns = {
        "file": "model.safetensors",
        "format": "safetensors",
        "sha256": "ab" * 32,
        "library": "torch",
        "task": "Segmentation",
        "license": "mit",
        "origins": {"task": "manifest.yaml", "license": "README.md"},
        "op_counts": {"aten.relu": 2, "aten.convolution": len(layers)},
        "notes": ("left out optimizer state 'optimizer'",),
        "extracted_at": datetime(2026, 11, 23, 12, 30, 15, 250_000, tzinfo=UTC),
    }
    return stores.chain(name, {f"conv{i}.weight": weight for i, weight in enumerate(layers)}, columns, model_id)


def finish(model_id: str, layers: list[np.ndarray], name: str = "tiny") -> Callable[[], tuple[ModelRow, pa.Table]]:
    return lambda: (model_row(model_id, layers, name), layers_table(model_id, layers))


def reject(reference_key: str = "0123456789abcdef", message: str = "no learned 3x3 convolution") -> Reject:
    return Reject(
        reference_key=reference_key,
        name="vit",
        source="hub",
        uri="someone/vit",
        revision="c0ffee",
        file="model.safetensors",
        reason="no_3x3_convolution",
        message=message,
        tensor=None,
        expected="(out, in, 3, 3)",
        found="2-D weights only",
        retryable=False,
        attempts=1,
        recorded_at=datetime(2026, 11, 23, tzinfo=UTC),
        tool_version="0.2.0",
    )
