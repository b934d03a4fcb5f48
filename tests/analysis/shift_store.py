"""A small store with the real schemas, made of random filters whose distributions differ by task and depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from distributed.records import FILTERS_SCHEMA, LAYERS_SCHEMA, MODELS_SCHEMA, WEIGHT_COLUMNS
from distributed.references import layer_id_of, model_id_of
from tests import reference


@dataclass
class Layer:
    """One layer of a made-up model; ``extra`` overrides columns of ``layers``."""

    name: str
    depth: int
    depth_norm: float
    filters: np.ndarray
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Model:
    """One made-up model; ``columns`` overrides columns of ``models``."""

    name: str
    layers: list[Layer]
    columns: dict[str, Any] = field(default_factory=dict)
    content: str = ""

    @property
    def model_id(self) -> str:
        return model_id_of("local", self.content or self.name, None, "")


def random_filters(generator: np.random.Generator, number: int, smooth: float) -> np.ndarray:
    """(number, 9) float32; ``smooth`` 0 … 1 mixes noise with blob-like kernels; a few are zero or sparse."""
    blob = np.outer([1, 2, 1], [1, 2, 1]).ravel() / 4
    filters = (1 - smooth) * generator.normal(size=(number, 9)) + smooth * generator.normal(size=(number, 1)) * blob
    filters *= generator.uniform(0.01, 3, (number, 1))
    filters[:: max(7, number // 5)] = 0
    return filters.astype(np.float32)


def sample_models() -> list[Model]:
    """Seven models of three tasks and three categories; one without a category, two of one name."""
    generator = np.random.default_rng(20)
    plan = [
        ("alpha", "Classification", "natural", 0.2, 3),
        ("beta", "Classification", "faces", 0.3, 4),
        ("gamma", "Segmentation", "medical", 0.7, 3),
        ("delta", "Segmentation", "natural", 0.6, 2),
        ("twin", "Denoising", None, 0.9, 2),
        ("twin", "Denoising", "natural", 0.8, 3),
        ("omega", "Classification", "faces", 0.25, 11),
    ]
    models = []
    for index, (name, task, category, smooth, depth) in enumerate(plan):
        layers = [
            Layer(
                f"conv{i}.weight",
                depth=i,
                depth_norm=i / max(1, depth - 1),
                filters=random_filters(generator, int(generator.integers(40, 400)), smooth * (1 - 0.5 * i / depth)),
                extra={"is_depthwise": None if name == "twin" else i == 1, "sparsity": float(generator.random())},
            )
            for i in range(depth)
        ]
        columns = {"task": task, "visual_category": category, "num_parameters": 1000 * (index // 2)}
        models.append(Model(name, layers, columns, content=f"{name}{index}"))
    return models


def tables_of(model: Model) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Its rows of ``filters``, ``layers``, ``models``."""
    layer_rows, filter_tables = [], []
    for index, layer in enumerate(model.layers):
        layer_id = layer_id_of(model.model_id, index)
        sums, gram = reference.moments(layer.filters)
        row = dict.fromkeys(LAYERS_SCHEMA.names) | {
            "layer_id": layer_id,
            "model_id": model.model_id,
            "layer_index": index,
            "name": layer.name,
            "conv_depth": layer.depth,
            "conv_depth_norm": layer.depth_norm,
            "depth_method": "order",
            "out_channels": len(layer.filters),
            "in_channels": 1,
            "dtype": "float32",
            "num_filters": len(layer.filters),
            **dict.fromkeys(("sparsity", "variance_entropy", "norm_mean", "norm_std", "max_abs"), 0.5),
            "scaled_sum": sums.tolist(),
            "scaled_gram": gram.tolist(),
        }
        layer_rows.append(row | layer.extra)
        columns = dict(zip(WEIGHT_COLUMNS, np.ascontiguousarray(layer.filters.T), strict=True))
        filter_tables.append(
            pa.table({"layer_id": np.full(len(layer.filters), layer_id), **columns}, schema=FILTERS_SCHEMA)
        )
    total = sum(len(layer.filters) for layer in model.layers)
    row = dict.fromkeys(MODELS_SCHEMA.names) | {
        "model_id": model.model_id,
        "name": model.name,
        "source": "local",
        "uri": "synthetic",
        "file": f"{model.content or model.name}.pt",
        "format": "torch",
        "reference_key": model.model_id,
        "origins": [],
        "total_filters": total,
        "num_filters": total,
        "share_3x3": 1.0,
        "kernel_shapes": [("3x3", total)],
        "notes": [],
        "extracted_at": datetime(2026, 11, 1, tzinfo=UTC),
        "tool_version": "test",
        **dict.fromkeys(("num_parameters", "bytes_read", "bytes_total"), 36 * total),
        **dict.fromkeys(("num_conv_layers", "num_layers_3x3"), len(model.layers)),
    }
    return (
        pa.concat_tables(filter_tables),
        pa.Table.from_pylist(layer_rows, schema=LAYERS_SCHEMA),
        pa.Table.from_pylist([row | model.columns], schema=MODELS_SCHEMA),
    )


def model_tables(models: list[Model]) -> tuple[pa.Table, pa.Table]:
    """The ``models`` and ``layers`` tables of all of them, in the order of the store's files (by model_id)."""
    parts = [tables_of(model) for model in sorted(models, key=lambda model: model.model_id)]
    return pa.concat_tables([part[2] for part in parts]), pa.concat_tables([part[1] for part in parts])


def write_store(folder: Path, models: list[Model]) -> Path:
    """The three folders of Parquet files."""
    for model in models:
        for kind, table in zip(("filters", "layers", "models"), tables_of(model), strict=True):
            path = folder / kind / f"{model.model_id}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, compression="none")
    return folder
