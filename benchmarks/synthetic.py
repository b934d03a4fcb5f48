"""A store of random filters, made fast: layers as real networks have them, real moments, written by the store's writer.

    python -m benchmarks.synthetic --rows 20e6 FOLDER

Weights are random mixtures of nine patterns with the published share of variance (DESIGN §4), another mixture in every
layer, some filters zero. The moments in ``layers`` are those of the filters; the columns that no scan reads (quality,
depth) are set, not measured.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Float32, Float64
from distributed import __version__
from distributed.records import GRAM_LENGTH, LAYERS_SCHEMA
from distributed.references import layer_id_of
from distributed.statistics import pack_lower
from distributed.statistics.compiled_sums import compiled_sums
from distributed.store import ModelRow, RowGroups, Store
from distributed.store.settings import StoreSettings

#: Explained variance of the published data: real filters are far from isotropic.
_VARIANCES = np.array([0.3982, 0.1833, 0.1170, 0.0985, 0.0658, 0.0552, 0.0301, 0.0282, 0.0237])

#: Random rows that all layers are mixed from: drawing new ones would take five times as long as everything else.
_POOL_ROWS = 1 << 20

_TASKS = ("Classification", "Segmentation", "Detection", "Super resolution", "Depth", "Denoising")
_CATEGORIES = ("natural", "medical", "aerial", "art", "microscopy", "faces", "text", "street")

LAYOUTS = ("even", "one-model", "tiny-layers", "one-layer")

#: (out_channels, in_channels) of each layer of a model.
Shapes = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """What one process writes."""

    number: int
    shapes: Shapes
    seed: int

    @property
    def model_id(self) -> str:
        """Spread over the range, as digests are: layer ids come from the upper 47 bits."""
        return f"{(self.number * 0x9E3779B97F4A7C15) % (1 << 64):016x}"


def plan_models(rows: int, layout: str = "even", seed: int = 0) -> list[PlannedModel]:
    """Models with ``rows`` filters in all.

    ``even``: residual networks of several widths and depths, 0.3 to 5 million filters each. ``one-model``: one of them
    holds 60 % of the rows. ``tiny-layers``: 20 000 layers of 9 filters besides. ``one-layer``: one layer holds 30 % of
    the rows, 30 million where there are 100.
    """
    rng = np.random.default_rng(seed)
    if layout == "one-model":
        first = rows * 6 // 10
        models = [_cut(_many_layers(rng, first), first), *_networks(rng, rows - first)]
    elif layout == "tiny-layers":
        layers = min(20_000, rows // 36)
        tiny = [[(9, 1)] * each for each in _split(layers, 200)]
        models = [*tiny, *_networks(rng, rows - 9 * layers)]
    elif layout == "one-layer":
        channels = round((rows * 0.3) ** 0.5)
        models = [[(channels, channels)], *_networks(rng, rows - channels**2)]
    elif layout == "even":
        models = _networks(rng, rows)
    else:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    return [PlannedModel(number + 1, shapes, seed) for number, shapes in enumerate(models)]


def _split(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


def _networks(rng: np.random.Generator, rows: int) -> list[Shapes]:
    models: list[Shapes] = []
    while rows > 0:
        shapes = _cut(_network(rng), rows)
        models.append(shapes)
        rows -= sum(out * each for out, each in shapes)
    return models


def _network(rng: np.random.Generator) -> Shapes:
    """A stem and four stages, the width doubling from one to the next."""
    width = int(rng.choice([32, 48, 64, 64, 96]))
    shapes: Shapes = [(width, 3)]
    for stage, blocks in enumerate(rng.integers(1, 4, 4)):
        channels = width << stage
        shapes.append((channels, shapes[-1][0]))
        shapes += [(channels, channels)] * int(2 * blocks - 1)
    return shapes


def _many_layers(rng: np.random.Generator, rows: int) -> Shapes:
    shapes: Shapes = []
    while sum(out * each for out, each in shapes) < rows:
        shapes += _network(rng)
    return shapes


def _cut(shapes: Shapes, rows: int) -> Shapes:
    """The first layers, together at most ``rows`` filters, the last one narrowed to fit exactly."""
    kept: Shapes = []
    for out, each in shapes:
        if out * each >= rows:
            return [*kept, (rows, 1)]
        kept.append((out, each))
        rows -= out * each
    return kept


class _Weights:
    """Filters (n, 9) of layers."""

    def __init__(self) -> None:
        rng = np.random.default_rng(20220120)
        self._pool = rng.standard_normal((9, _POOL_ROWS), dtype=np.float32)
        self._pool *= rng.lognormal(0.0, 0.4, (1, _POOL_ROWS)).astype(np.float32)
        self._pool[:, rng.random(_POOL_ROWS) < 0.005] = 0
        self._patterns = np.linalg.qr(rng.standard_normal((9, 9)))[0] * np.sqrt(_VARIANCES)

    def layer(self, rng: np.random.Generator, rows: int) -> Iterator[Float32]:
        """One layer, at most ``_POOL_ROWS`` rows at a time."""
        mixing = (self._patterns + 0.1 * rng.standard_normal((9, 9))).astype(np.float32) * np.float32(0.05)
        for size in _split(rows, _POOL_ROWS):
            start = int(rng.integers(0, _POOL_ROWS - size + 1))
            yield np.ascontiguousarray((mixing @ self._pool[:, start : start + size]).T)


_weights: _Weights | None = None  # of this process


def write_models(uri: str, models: Sequence[PlannedModel]) -> None:
    """Write some models into the store at ``uri``."""
    global _weights
    _weights = _weights or _Weights()
    store = Store.open(StoreSettings(uri))
    for model in models:
        _write_model(store, model, _weights)


def _write_model(store: Store, model: PlannedModel, weights: _Weights) -> None:
    rng = np.random.default_rng([model.seed, model.number])
    moments: list[tuple[list[float], list[float]]] = []

    def batches() -> Iterator[pa.RecordBatch]:
        groups = RowGroups()
        for index, (out, each) in enumerate(model.shapes):
            total, gram = np.zeros(9), np.zeros(GRAM_LENGTH)
            for filters in weights.layer(rng, out * each):
                more = _scaled_moments(filters)
                total += more[0]
                gram += more[1]
                yield from groups.add(layer_id_of(model.model_id, index), filters)
            moments.append((total.tolist(), gram.tolist()))
        yield from groups.rest()

    store.write_model(model.model_id, batches(), lambda: (_row(model), _layers(model, moments)))


def _scaled_moments(filters: Float32) -> tuple[Float64, Float64]:
    """(9,) sum of the scaled filters and (45,) of their products, of (n, 9) filters: by the loops of extraction."""
    sums = compiled_sums([filters], 0.0)
    return sums.scaled_sum, pack_lower(sums.scaled_gram)


def _layers(model: PlannedModel, moments: list[tuple[list[float], list[float]]]) -> pa.Table:
    last = max(1, len(model.shapes) - 1)
    unmeasured = dict.fromkeys(("sparsity", "variance_entropy", "norm_mean", "norm_std", "max_abs"), 0.0)
    rows = [
        {
            "layer_id": layer_id_of(model.model_id, index),
            "model_id": model.model_id,
            "layer_index": index,
            "name": f"layer{index}.weight",
            "conv_depth": index,
            "conv_depth_norm": index / last,
            "depth_method": "order",
            "out_channels": out,
            "in_channels": each,
            "dtype": "float32",
            "num_filters": out * each,
            "scaled_sum": moments[index][0],
            "scaled_gram": moments[index][1],
            **unmeasured,
        }
        for index, (out, each) in enumerate(model.shapes)
    ]
    return pa.Table.from_pylist(rows, schema=LAYERS_SCHEMA)


def _row(model: PlannedModel) -> ModelRow:
    filters = sum(out * each for out, each in model.shapes)
    task, category = model.number % len(_TASKS), model.number // 3 % len(_CATEGORIES)
    unknown = dict.fromkeys(("library", "family", "pretraining_dataset", "license", "paper", "sha256", "revision"))
    return ModelRow(
        model_id=model.model_id,
        name=f"synthetic{model.number}",
        source="synthetic",
        uri="benchmarks/synthetic.py",
        file=f"{model.number}",
        format="safetensors",
        reference_key=model.model_id,
        architecture="residual",
        task=_TASKS[task],
        visual_category=_CATEGORIES[category],
        training_dataset=f"dataset {model.number % 11}",
        origins={},
        num_parameters=9 * filters,
        total_filters=filters,
        num_filters=filters,
        share_3x3=1.0,
        kernel_shapes={"3x3": filters},
        op_counts=None,
        num_conv_layers=len(model.shapes),
        num_layers_3x3=len(model.shapes),
        notes=(),
        bytes_read=36 * filters,
        bytes_total=36 * filters,
        extracted_at=datetime.now(UTC),
        tool_version=__version__,
        **unknown,
    )


@dataclass(frozen=True, slots=True)
class MadeStore:
    """A store that was made: ``rows`` filters of ``models`` models in ``layers`` layers, in ``seconds``."""

    uri: str
    rows: int
    models: int
    layers: int
    seconds: float


def make_store(
    folder: Path, rows: int, layout: str = "even", *, seed: int = 0, processes: int | None = None
) -> MadeStore:
    """A store in ``folder``, which should be empty; needs 36 bytes a row."""
    began = time.perf_counter()
    models = plan_models(rows, layout, seed)
    store = Store.open(StoreSettings(str(folder)))
    store.prepare()
    _scaled_moments(np.ones((1, 9), np.float32))  # compiled once, before the processes ask for it
    number = min(processes or os.cpu_count() or 1, len(models))
    by_size = sorted(models, key=lambda model: -sum(out * each for out, each in model.shapes))
    if number == 1:
        write_models(store.uri, models)
    else:
        with ProcessPoolExecutor(number, mp_context=get_context("spawn")) as pool:
            for done in [pool.submit(write_models, store.uri, [model]) for model in by_size]:
                done.result()
    return MadeStore(
        store.uri, rows, len(models), sum(len(model.shapes) for model in models), time.perf_counter() - began
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthetic", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=float, default=2e6)
    parser.add_argument("--layout", choices=LAYOUTS, default="even")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    made = make_store(arguments.folder, int(arguments.rows), arguments.layout, seed=arguments.seed)
    size = f"{made.rows:,} filters of {made.layers:,} layers and {made.models:,} models"
    print(f"{size} in {made.uri}: {made.seconds:.1f} s")


if __name__ == "__main__":
    main()
