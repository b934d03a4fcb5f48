"""Small models to write: real rows, real moments, made from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import torch

from distributed.records import LAYERS_SCHEMA
from distributed.references import layer_id_of
from distributed.statistics import layer_statistics
from distributed.store import ModelRow, Reject, RowGroups

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
    rows = [
        {
            "layer_id": layer_id_of(model_id, index),
            "model_id": model_id,
            "layer_index": index,
            "name": f"conv{index}.weight",
            "conv_depth": index,
            "conv_depth_norm": index / max(1, len(layers) - 1),
            "depth_method": "order",
            "out_channels": weight.shape[0],
            "in_channels": weight.shape[1],
            "groups": None,
            "is_depthwise": None,
            "is_transposed": False,
            "dtype": "float32",
            **asdict(layer_statistics(torch.from_numpy(weight))),
        }
        for index, weight in enumerate(layers)
    ]
    return pa.Table.from_pylist(rows, schema=LAYERS_SCHEMA)


def model_row(model_id: str, layers: list[np.ndarray], name: str = "tiny") -> ModelRow:
    filters = sum(w.shape[0] * w.shape[1] for w in layers)
    return ModelRow(
        model_id=model_id,
        name=name,
        source="local",
        uri="models/tiny",
        revision=None,
        file="model.safetensors",
        format="safetensors",
        sha256="ab" * 32,
        reference_key=model_id[::-1],
        library="torch",
        architecture=None,
        family=None,
        task="Segmentation",
        visual_category=None,
        training_dataset=None,
        pretraining_dataset=None,
        license="mit",
        paper=None,
        origins={"task": "manifest.yaml", "license": "README.md"},
        num_parameters=9 * filters,
        total_filters=filters,
        num_filters=filters,
        share_3x3=1.0,
        kernel_shapes={"3x3": filters},
        op_counts={"aten.relu": 2, "aten.convolution": len(layers)},
        num_conv_layers=len(layers),
        num_layers_3x3=len(layers),
        notes=("left out optimizer state 'optimizer'",),
        bytes_read=36 * filters,
        bytes_total=36 * filters + 100,
        extracted_at=datetime(2026, 11, 23, 12, 30, 15, 250_000, tzinfo=UTC),
        tool_version="0.2.0",
    )


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
