"""Stores made in a test: the three tables with their real schemas, of filters that are given as arrays.

``Model`` and ``Layer`` say what is in a store; ``layers_table``, ``models_table`` and ``filters_table`` make its
tables, ``write_store`` its files. Layers are measured as extraction does it, what else a row holds is made up, and any
column can be given another value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from distributed.records import FILTERS_SCHEMA, LAYERS_SCHEMA, MODELS_SCHEMA, WEIGHT_COLUMNS
from distributed.references import layer_id_of, model_id_of
from distributed.statistics import layer_statistics


@dataclass
class Layer:
    """One layer of a model.

    Attributes:
        name: of its parameter.
        depth, depth_norm: columns ``conv_depth`` and ``conv_depth_norm``.
        weight: (out, in, 3, 3), or (n, 9) filters, which are then those of one output channel.
        columns: of ``layers``, in place of what is measured.
    """

    name: str
    depth: int
    depth_norm: float
    weight: np.ndarray
    columns: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weight = np.array(self.weight, np.float32, order="C")
        self.weight = weight if weight.ndim == 4 else weight.reshape(1, -1, 3, 3)

    @property
    def filters(self) -> np.ndarray:
        """(n, 9) float32."""
        return self.weight.reshape(-1, 9)


@dataclass
class Model:
    """One model; ``columns`` of ``models`` in place of what is made up. Two of one name need another ``content``."""

    name: str
    layers: list[Layer]
    columns: dict[str, Any] = field(default_factory=dict)
    content: str = ""
    given_id: str = ""

    @property
    def model_id(self) -> str:
        return self.given_id or model_id_of("local", self.content or self.name, None, "")

    @property
    def filters(self) -> np.ndarray:
        """(n, 9) of all layers."""
        return np.concatenate([layer.filters for layer in self.layers])


def chain(
    name: str, weights: Mapping[str, np.ndarray], columns: Mapping[str, Any] | None = None, given_id: str = ""
) -> Model:
    """A model whose layers follow each other, the names of their parameters with their weights."""
    deepest = max(1, len(weights) - 1)
    layers = [Layer(each, depth, depth / deepest, weight) for depth, (each, weight) in enumerate(weights.items())]
    return Model(name, layers, dict(columns or {}), given_id=given_id)


def layers_table(models: Iterable[Model]) -> pa.Table:
    """The table ``layers``."""
    rows = []
    for model in models:
        for index, layer in enumerate(model.layers):
            made_up = {
                "layer_id": layer_id_of(model.model_id, index),
                "model_id": model.model_id,
                "layer_index": index,
                "name": layer.name,
                "conv_depth": layer.depth,
                "conv_depth_norm": layer.depth_norm,
                "depth_method": "order",
                "out_channels": layer.weight.shape[0],
                "in_channels": layer.weight.shape[1],
                "is_transposed": False,
                "dtype": "float32",
            }
            rows.append({**made_up, **asdict(layer_statistics(torch.from_numpy(layer.weight))), **layer.columns})
    return pa.Table.from_pylist(rows, schema=LAYERS_SCHEMA)


def model_columns(model: Model) -> dict[str, Any]:
    """Its row of ``models``."""
    filters = len(model.filters)
    made_up = {
        "model_id": model.model_id,
        "name": model.name,
        "source": "local",
        "uri": "somewhere",
        "file": f"{model.content or model.name}.pt",
        "format": "torch",
        "reference_key": model.model_id[::-1],
        "origins": {},
        "num_parameters": 9 * filters,
        "total_filters": filters,
        "num_filters": filters,
        "share_3x3": 1.0,
        "kernel_shapes": {"3x3": filters},
        "num_conv_layers": len(model.layers),
        "num_layers_3x3": len(model.layers),
        "notes": (),
        "bytes_read": 36 * filters,
        "bytes_total": 36 * filters + 100,
        "extracted_at": datetime(2026, 11, 1, tzinfo=UTC),
        "tool_version": "test",
    }
    return dict.fromkeys(MODELS_SCHEMA.names) | made_up | model.columns


def models_table(models: Iterable[Model]) -> pa.Table:
    """The table ``models``."""
    return pa.Table.from_pylist([model_columns(model) for model in models], schema=MODELS_SCHEMA)


def tables(models: Iterable[Model]) -> tuple[pa.Table, pa.Table]:
    """``models`` and ``layers`` in the order of a store's files."""
    ordered = sorted(models, key=lambda model: model.model_id)
    return models_table(ordered), layers_table(ordered)


def filters_table(model: Model) -> pa.Table:
    """Its rows of ``filters``."""
    ids = [np.full(len(layer.filters), layer_id_of(model.model_id, i)) for i, layer in enumerate(model.layers)]
    columns = dict(zip(WEIGHT_COLUMNS, np.ascontiguousarray(model.filters.T), strict=True))
    return pa.table({"layer_id": np.concatenate(ids), **columns}, schema=FILTERS_SCHEMA)


def write_store(
    folder: Path, models: Iterable[Model], *, with_filters: bool = True, row_group: int | None = None
) -> Path:
    """The folders of Parquet files; ``row_group``: rows of a row group of ``filters``."""
    for model in models:
        parts = {"models": models_table([model]), "layers": layers_table([model])}
        if with_filters:
            parts["filters"] = filters_table(model)
        for kind, table in parts.items():
            path = folder / kind / f"{model.model_id}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = row_group if kind == "filters" else None
            pq.write_table(table, path, compression="none", row_group_size=size, use_dictionary=["layer_id"])
    return folder


def random_filters(generator: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, 9) float32 of a random mixture, a few of them zero, of widely different magnitudes."""
    mixing = generator.standard_normal((9, 9))
    filters = generator.standard_normal((rows, 9)) @ mixing + 0.3 * generator.standard_normal(9)
    filters *= 10.0 ** generator.uniform(-6, 3, (rows, 1))
    filters[generator.random(rows) < 0.01] = 0
    return filters.astype(np.float32)


def blob_filters(generator: np.random.Generator, number: int, smooth: float) -> np.ndarray:
    """(number, 9) float32; ``smooth`` 0 … 1 mixes noise with blob-like kernels; a few are zero or sparse."""
    blob = np.outer([1, 2, 1], [1, 2, 1]).ravel() / 4
    filters = (1 - smooth) * generator.normal(size=(number, 9)) + smooth * generator.normal(size=(number, 1)) * blob
    filters *= generator.uniform(0.01, 3, (number, 1))
    filters[:: max(7, number // 5)] = 0
    return filters.astype(np.float32)


def sample_models() -> list[Model]:
    """Seven models of three tasks and three categories, whose distributions differ by task and depth.

    One is without a category, two are of one name; no layer has an orthogonality.
    """
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
                i,
                i / max(1, depth - 1),
                blob_filters(generator, int(generator.integers(40, 400)), smooth * (1 - 0.5 * i / depth)),
                {"is_depthwise": None if name == "twin" else i == 1, "sparsity": float(generator.random())},
            )
            for i in range(depth)
        ]
        columns = {"task": task, "visual_category": category, "num_parameters": 1000 * (index // 2)}
        models.append(Model(name, layers, columns, content=f"{name}{index}"))
    return models
