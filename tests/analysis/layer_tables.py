"""Stores made in a test from weights given as arrays: the three tables, with real statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import yaml

from distributed.records import FILTERS_SCHEMA, LAYERS_SCHEMA, MODELS_SCHEMA, WEIGHT_COLUMNS
from distributed.references import layer_id_of
from distributed.statistics import layer_statistics

QUALITY = (
    "sparsity",
    "variance_entropy",
    "variance_entropy_normalized",
    "variance_entropy_clean",
    "orthogonality",
    "norm_mean",
    "norm_std",
    "max_abs",
)


@dataclass
class Model:
    """A model: its layers' (out, in, 3, 3) weights by name, and columns of ``models``."""

    name: str
    weights: Mapping[str, np.ndarray]
    columns: Mapping[str, object] = field(default_factory=dict)

    @property
    def filters(self) -> np.ndarray:
        """(n, 9)."""
        return np.concatenate([weight.reshape(-1, 9) for weight in self.weights.values()])


def model_id(index: int) -> str:
    return f"{index + 1:02x}{'0' * 14}"


def layers_table(models: Sequence[Model]) -> pa.Table:
    """The table ``layers`` of all models."""
    rows = []
    for number, model in enumerate(models):
        deepest = max(1, len(model.weights) - 1)
        for index, (name, weight) in enumerate(model.weights.items()):
            found = layer_statistics(torch.from_numpy(np.ascontiguousarray(weight, np.float32)), name)
            rows.append(
                {
                    "layer_id": layer_id_of(model_id(number), index),
                    "model_id": model_id(number),
                    "layer_index": index,
                    "name": name,
                    "conv_depth": index,
                    "conv_depth_norm": index / deepest,
                    "depth_method": "order",
                    "out_channels": weight.shape[0],
                    "in_channels": weight.shape[1],
                    "dtype": "float32",
                    "num_filters": found.num_filters,
                    **{column: getattr(found, column) for column in QUALITY},
                    "scaled_sum": found.scaled_sum.tolist(),
                    "scaled_gram": found.scaled_gram.tolist(),
                }
            )
    return pa.Table.from_pylist(rows, LAYERS_SCHEMA)


def models_table(models: Sequence[Model]) -> pa.Table:
    """The table ``models``."""
    rows = []
    for number, model in enumerate(models):
        filters = sum(weight.shape[0] * weight.shape[1] for weight in model.weights.values())
        rows.append(
            {
                "model_id": model_id(number),
                "name": model.name,
                "source": "local",
                "uri": "somewhere",
                "file": "model.pth",
                "format": "torch",
                "reference_key": model_id(number),
                "origins": {},
                "num_parameters": 9 * filters,
                "total_filters": filters,
                "num_filters": filters,
                "share_3x3": 1.0,
                "kernel_shapes": {"3x3": filters},
                "num_conv_layers": len(model.weights),
                "num_layers_3x3": len(model.weights),
                "notes": [],
                "bytes_read": 36 * filters,
                "bytes_total": 36 * filters,
                "extracted_at": datetime(2026, 11, 1, tzinfo=UTC),
                "tool_version": "test",
                **model.columns,
            }
        )
    return pa.Table.from_pylist(rows, MODELS_SCHEMA)


def write_store(folder: Path, models: Sequence[Model], *, filters: bool = False) -> Path:
    """A store on disk, by default without a single filter in it."""
    layers, rows = layers_table(models), models_table(models)
    for table in ("models", "layers", "filters"):
        (folder / table).mkdir(parents=True)
    for number, model in enumerate(models):
        mine = pc.equal(layers.column("model_id"), model_id(number))
        pq.write_table(layers.filter(mine), folder / "layers" / f"{model_id(number)}.parquet")
        pq.write_table(rows.slice(number, 1), folder / "models" / f"{model_id(number)}.parquet")
        if filters:
            ids = layers.filter(mine).column("layer_id").to_numpy()
            owners = np.repeat(ids, [weight.shape[0] * weight.shape[1] for weight in model.weights.values()])
            columns = dict(zip(WEIGHT_COLUMNS, model.filters.astype(np.float32).T, strict=True))
            table = pa.table({"layer_id": owners, **columns}, FILTERS_SCHEMA)
            pq.write_table(table, folder / "filters" / f"{model_id(number)}.parquet")
    return folder


def real_models(checkpoints: Path) -> list[Model]:
    """The real checkpoints, read by a few plain lines that know each file's nesting."""
    models = []
    for entry in yaml.safe_load((checkpoints / "manifest.yaml").read_text())["models"]:
        path = checkpoints / entry["file"]
        if path.suffix == ".onnx":
            tensors = {t.name: onnx.numpy_helper.to_array(t).copy() for t in onnx.load(path).graph.initializer}
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
            for key in ("state_dict", "model_state_dict"):
                content = content.get(key, content)
            tensors = {name: t.numpy() for name, t in content.items() if isinstance(t, torch.Tensor)}
        weights = {name: t.astype(np.float32) for name, t in tensors.items() if t.ndim == 4 and t.shape[2:] == (3, 3)}
        columns = ("task", "visual_category", "training_dataset", "architecture", "license", "sha256")
        models.append(Model(entry["name"], weights, {name: entry[name] for name in columns}))
    return models
