"""Stores of any size without a single filter: models, layers and the sketch, which is all that reports read.

Everything is drawn at random, seeded, in the shapes of the published data: as many layers a model, 11 tasks, 16 visual
categories, sizes and qualities of layers. What follows from each other agrees: moments with histograms' basis, numbers
of filters with counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Float64, Int64
from analysis.scanning.kept import SketchArea, key_of
from distributed.formulas import random_threshold
from distributed.records import GRAM_LENGTH, LAYERS_SCHEMA, MODELS_SCHEMA
from distributed.references import layer_id_of, model_id_of
from distributed.store import Store
from distributed.store.settings import StoreSettings

TASKS = (
    "Classification", "Segmentation", "Detection", "Super Resolution", "Denoising", "GAN generator",
    "GAN discriminator", "Depth Estimation", "Face Recognition", "Auto-Encoder", "Style Transfer",
)  # fmt: skip
CATEGORIES = (
    "natural", "faces", "medical ct", "medical mri", "medical xray", "medical fundus", "astronomy", "satellite",
    "handwriting", "art", "fractals", "textures", "maps", "driving", "microscopy", "plants",
)  # fmt: skip
_BINS, _CHUNK = 70, 4096


def write_synthetic_store(
    folder: Path,
    models: int,
    layers_per_model: int = 33,
    seed: int = 0,
    columns: Mapping[int, Mapping[str, Any]] | None = None,
) -> Store:
    """A store of ``models`` models in ``folder``, with the sketch of all its layers kept.

    ``columns``: number of a model → columns of its row in ``models`` that are to be other than drawn.
    """
    random = np.random.default_rng(seed)
    store = Store.open(StoreSettings(str(folder)))
    store.prepare()
    kinds = np.stack([_skewed(random, len(TASKS), models), _skewed(random, len(CATEGORIES), models)], axis=1)
    number = np.maximum(2, random.poisson(layers_per_model, models))
    for index in range(models):
        row, layers = _model(random, index, int(number[index]), kinds[index])
        write_model(folder, {**row, **(columns or {}).get(index, {})}, layers)
    keep_sketch(store, random)
    return store


def write_model(folder: Path, row: dict[str, Any], layers: dict[str, Any]) -> None:
    """The files of one model, but its filters."""
    for kind, table in (
        ("layers", pa.table(layers, schema=LAYERS_SCHEMA)),
        ("models", pa.Table.from_pylist([row], schema=MODELS_SCHEMA)),
    ):
        path = folder / kind / f"{row['model_id']}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="none")


def keep_sketch(store: Store, random: np.random.Generator) -> None:
    """Histograms of every layer of ``store`` on its own basis, kept as a scan would keep them."""
    layers = store.layers()
    basis = PrincipalAxes.from_moments(Moments.from_layers(layers)).with_range(-2.9, 2.9, _BINS)
    area = SketchArea(store)
    area.write_basis(key_of(layers, _BINS), basis)
    order = np.argsort(layers.column("layer_id").to_numpy())
    ids = layers.column("layer_id").to_numpy()[order]
    sizes = layers.column("num_filters").to_numpy()[order]
    means = np.array(layers.column("scaled_sum").to_pylist())[order] / sizes[:, None]
    centres = (basis.edges[1:] + basis.edges[:-1]) / 2
    for start in range(0, len(ids), _CHUNK):
        part = slice(start, start + _CHUNK)
        at = (means[part] - basis.mean) @ basis.components.T
        spread = np.sqrt(basis.explained_variance_ratio * 2.5)
        density = np.exp(-np.abs(centres - at[..., None]) / spread[:, None])
        density /= density.sum(axis=-1, keepdims=True)
        counts = random.multinomial(sizes[part][:, None], density).astype(np.int64)
        nothing = np.zeros(counts.shape[:2], np.int64)
        area.write(Sketch(ids[part].astype(np.int64), counts, nothing, nothing, basis))


def _skewed(random: np.random.Generator, values: int, size: int) -> Int64:
    """(size,) of ``values`` kinds, the first far more often than the last."""
    share = 1.0 / np.arange(1, values + 1) ** 1.1
    return random.choice(values, size, p=share / share.sum())


def _model(random: np.random.Generator, index: int, number: int, kind: Int64) -> tuple[dict[str, Any], dict[str, Any]]:
    task, category = int(kind[0]), int(kind[1])
    family = f"family{int(random.integers(0, 60)):02d}"
    name = f"{family}_{TASKS[task].lower().replace(' ', '_')}_{index:05d}"
    model_id = model_id_of("local", name, None, "")
    layers = _layers(random, model_id, number, task + 0.5 * category)
    filters = int(np.asarray(layers["num_filters"]).sum())
    row = dict.fromkeys(MODELS_SCHEMA.names) | {
        "model_id": model_id,
        "name": name,
        "source": "hub",
        "uri": f"hub/{name}",
        "revision": f"{index:040x}",
        "file": "model.safetensors",
        "format": "safetensors",
        "sha256": f"{index:064x}",
        "reference_key": model_id,
        "library": "timm",
        "architecture": f"{family}_{int(random.integers(10, 200))}",
        "family": family,
        "task": TASKS[task],
        "visual_category": CATEGORIES[category],
        "training_dataset": f"data set {int(random.integers(0, 120))}",
        "license": ("Apache-2.0", "MIT", None)[index % 3],
        "origins": [],
        "num_parameters": 9 * filters * 2,
        "total_filters": filters,
        "num_filters": filters,
        "share_3x3": 1.0,
        "kernel_shapes": [("3x3", filters)],
        "notes": [],
        "bytes_read": 36 * filters,
        "bytes_total": 72 * filters,
        "extracted_at": datetime(2026, 11, 1, tzinfo=UTC),
        "tool_version": "synthetic",
        "num_conv_layers": number,
        "num_layers_3x3": number,
    }
    return row, layers


def _layers(random: np.random.Generator, model_id: str, number: int, shift: float) -> dict[str, Any]:
    """Columns of ``layers``: moments of filters that drift with ``shift`` and depth, made quality columns."""
    sizes = np.maximum(9, 2 ** random.uniform(4, 13, number)).astype(np.int64)
    depth = np.arange(number)
    middle = (
        0.06 * np.sin(np.arange(9) + shift) + 0.05 * (depth / number)[:, None] + random.normal(0, 0.02, (number, 9))
    )
    noise = random.normal(0, 0.45, (number, 16, 9)) + 0.3 * random.normal(0, 1, (number, 16, 1))
    second = np.einsum("lki,lkj->lij", noise, noise) / 16 + middle[:, :, None] * middle[:, None, :]
    lower = np.tril_indices(9)
    threshold = np.array([random_threshold(int(n)) for n in sizes])
    entropy = np.clip(threshold * random.beta(14, 2, number), 0, 0.954)
    sparsity = random.beta(0.4, 12, number)
    columns: dict[str, Any] = dict.fromkeys(LAYERS_SCHEMA.names, pa.nulls(number)) | {
        "layer_id": [layer_id_of(model_id, i) for i in range(number)],
        "model_id": [model_id] * number,
        "layer_index": depth,
        "name": [f"stage{i // 4}.block{i % 4}.conv.weight" for i in range(number)],
        "conv_depth": depth,
        "conv_depth_norm": depth / max(1, number - 1),
        "depth_method": ["traced"] * number,
        "out_channels": np.maximum(1, sizes // 16),
        "in_channels": np.full(number, 16),
        "is_depthwise": np.zeros(number, dtype=bool),
        "dtype": ["float32"] * number,
        "num_filters": sizes,
        "sparsity": sparsity,
        "variance_entropy": entropy,
        "variance_entropy_normalized": entropy / threshold,
        "variance_entropy_clean": entropy,
        "orthogonality": random.beta(20, 2, number),
        "norm_mean": np.exp(random.normal(-1, 0.8, number)),
        "norm_std": np.exp(random.normal(-2, 0.8, number)),
        "max_abs": np.exp(random.normal(0, 0.5, number)),
        "scaled_sum": _lists(middle * sizes[:, None], 9),
        "scaled_gram": _lists(second[:, lower[0], lower[1]] * sizes[:, None], GRAM_LENGTH),
    }
    return {name: _array(values, LAYERS_SCHEMA.field(name).type) for name, values in columns.items()}


def _lists(values: Float64, width: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(np.ascontiguousarray(values, np.float64).ravel(), width)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return array if array.type == kind else array.cast(kind)
