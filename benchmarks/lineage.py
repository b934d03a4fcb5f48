"""Lineages of thousands of models: time and memory of the whole command, and whether it finds what was planted.

    python -m benchmarks.lineage --models 647 5000

All models are of layers of the same twelve shapes, so that every layer could be like every other of a twelfth of the
store. Planted are families of fine-tunes, backbones that are frozen in ten models, re-uploads and folded copies; the
others are strangers. The second run finds in the store what the first has kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import ROOT, answer, arguments_of_child, made_folder, run_measured
from benchmarks.output import Column, Goal, Row, bars, finish, gigabytes, number
from distributed.records import FILTERS_SCHEMA, GRAM_LENGTH, LAYERS_SCHEMA, MODELS_SCHEMA, SKETCH_LENGTH, WEIGHT_COLUMNS
from distributed.references import layer_id_of, model_id_of
from distributed.statistics import layer_statistics

Weights = list[npt.NDArray[np.float32]]

#: Output and input channels of the layers, in their order; a model has them all, most three times.
SHAPES = tuple((out, inside) for out in (8, 16, 24, 32) for inside in (4, 8, 16))
LAYERS = 33

#: Of each hundred models: in families of ten fine-tunes, in tens with a frozen half, re-uploaded, folded.
_TUNED, _FROZEN, _PAIRS, _FOLDED = 20, 10, 2, 2

COLUMNS = (
    Column("models", "models", number(0)),
    Column("layers", "layers", number(0)),
    Column("what", "what"),
    Column("seconds", "seconds", number(1)),
    Column("cpu", "CPU s", number(1)),
    Column("peak", "peak memory", gigabytes),
    Column("ties", "ties", number(0)),
    Column("lineages", "lineages", number(0)),
    Column("planted", "planted", number(0)),
)


def write_families(folder: Path, models: int, seed: int = 0) -> int:
    """A store of ``models`` models, a multiple of 100, in ``folder``; how many lineages there are."""
    random = np.random.default_rng(seed)
    for kind in ("models", "layers", "filters"):
        (folder / kind).mkdir(parents=True)
    written = lineages = 0
    for _ in range(models // 100):
        for relatives in _families(random):
            for weights in relatives:
                _write(folder, f"model {written:05}", weights, random)
                written += 1
            lineages += 1
        while written % 100:
            _write(folder, f"model {written:05}", None, random)
            written += 1
            lineages += 1
    return lineages


def _drawn(random: np.random.Generator) -> Weights:
    shapes = (SHAPES[i % len(SHAPES)] for i in range(LAYERS))
    return [random.normal(0, 0.1, (*shape, 3, 3)).astype(np.float32) for shape in shapes]


def _families(random: np.random.Generator) -> Iterator[list[Weights]]:
    for _ in range(_TUNED // 10):
        base = _drawn(random)
        far = random.uniform(0.1, 1.5, 9)  # cosines of .99 to .55
        yield [base, *([w + np.float32(f) * d for w, d in zip(base, _drawn(random), strict=True)] for f in far)]
    for _ in range(_FROZEN // 10):
        base = _drawn(random)
        yield [base[: LAYERS // 2] + _drawn(random)[LAYERS // 2 :] for _ in range(10)]
    for _ in range(_PAIRS // 2):
        base = _drawn(random)
        yield [base, base]
    for _ in range(_FOLDED // 2):
        base = _drawn(random)
        yield [base, [w * random.uniform(0.1, 3, (len(w), 1, 1, 1)).astype(np.float32) for w in base]]


def _write(folder: Path, name: str, weights: Weights | None, random: np.random.Generator) -> None:
    """A model; without weights it has no filters, and marks as if it had: nothing will ever read them."""
    model_id = model_id_of("local", name, None, "")
    if weights is None:
        shapes = [SHAPES[i % len(SHAPES)] for i in range(LAYERS)]
        measured = _stranger(random, np.array([out * inside for out, inside in shapes]))
    else:
        shapes = [(len(w), w.shape[1]) for w in weights]
        rows = [asdict(layer_statistics(w)) for w in weights]
        measured = {key: [row[key] for row in rows] for key in rows[0]}
        columns = np.concatenate([w.reshape(-1, 9) for w in weights]).T
        ids = np.repeat([layer_id_of(model_id, i) for i in range(LAYERS)], [w.size // 9 for w in weights])
        filters = pa.table([ids, *columns], names=["layer_id", *WEIGHT_COLUMNS]).cast(FILTERS_SCHEMA)
        pq.write_table(filters, folder / "filters" / f"{model_id}.parquet", compression="none", use_dictionary=False)
    layers: dict[str, Any] = dict.fromkeys(LAYERS_SCHEMA.names, pa.nulls(LAYERS)) | measured
    layers |= {
        "layer_id": [layer_id_of(model_id, i) for i in range(LAYERS)],
        "model_id": [model_id] * LAYERS,
        "layer_index": range(LAYERS),
        "name": [f"conv{i}.weight" for i in range(LAYERS)],
        "conv_depth": range(LAYERS),
        "conv_depth_norm": np.arange(LAYERS) / (LAYERS - 1),
        "depth_method": ["order"] * LAYERS,
        "out_channels": [out for out, _ in shapes],
        "in_channels": [inside for _, inside in shapes],
        "dtype": ["float32"] * LAYERS,
    }
    table = [
        layers[f.name] if isinstance(layers[f.name], pa.Array) else pa.array(layers[f.name]) for f in LAYERS_SCHEMA
    ]
    casted = [each.cast(f.type) for each, f in zip(table, LAYERS_SCHEMA, strict=True)]
    pq.write_table(
        pa.table(casted, schema=LAYERS_SCHEMA), folder / "layers" / f"{model_id}.parquet", compression="none"
    )
    total = int(sum(out * inside for out, inside in shapes))
    row = dict.fromkeys(MODELS_SCHEMA.names) | {
        **{"model_id": model_id, "name": name, "source": "local", "uri": "somewhere", "file": f"{name}.pt"},
        **{"format": "torch", "reference_key": model_id, "origins": [], "num_filters": total, "kernel_shapes": []},
        **{"num_layers_3x3": LAYERS, "notes": [], "bytes_read": 36 * total, "bytes_total": 36 * total},
        **{"extracted_at": datetime(2026, 11, 1, tzinfo=UTC), "tool_version": "benchmark"},
    }
    pq.write_table(pa.Table.from_pylist([row], schema=MODELS_SCHEMA), folder / "models" / f"{model_id}.parquet")


def _stranger(random: np.random.Generator, filters: npt.NDArray[np.int64]) -> dict[str, Any]:
    moments = random.uniform(-1, 1, (LAYERS, GRAM_LENGTH)) * filters[:, None]
    sketches = random.standard_normal((LAYERS, SKETCH_LENGTH)).astype(np.float32)
    ones = np.ones(LAYERS)
    return {
        "num_filters": filters,
        **dict.fromkeys(("variance_entropy", "norm_mean", "norm_std", "max_abs"), 0.3 * ones),
        "sparsity": 0 * ones,
        "scaled_sum": pa.FixedSizeListArray.from_arrays(moments[:, :9].ravel(), 9),
        "scaled_gram": pa.FixedSizeListArray.from_arrays(moments.ravel(), GRAM_LENGTH),
        "digest": [random.bytes(32).hex() for _ in range(LAYERS)],
        "weight_sketch": pa.FixedSizeListArray.from_arrays(sketches.ravel(), SKETCH_LENGTH),
    }


def run_once(given: dict[str, Any]) -> dict[str, Any]:
    """The command's measure in this process."""
    from analysis.lineage.measure import measure
    from analysis.lineage.settings import LineageSettings
    from distributed.store import StoreSettings

    result = measure(LineageSettings(StoreSettings(given["store"])))
    return {"ties": result.ties.num_rows, "lineages": result.lineages, "layers": result.extent.layers}


def rows_of(folder: Path, models: int) -> list[Row]:
    """Two runs on a new store of ``models`` models."""
    began = time.perf_counter()
    planted = write_families(folder, models)
    print(f"{models:,} models written in {time.perf_counter() - began:.0f} s", flush=True)
    rows = []
    for what in ("found", "kept in the store"):
        found, usage = run_measured("benchmarks.lineage", {"store": str(folder)})
        row = {"models": models, "what": what, "planted": planted, **found}
        rows.append(row | {"seconds": usage.seconds, "cpu": usage.cpu_seconds, "peak": usage.peak_bytes})
    return rows


def goals(rows: Sequence[Row]) -> list[Goal]:
    """What docs/benchmarks.md promises."""
    largest = max((row for row in rows if row["what"] == "found"), key=lambda row: row["models"])
    text = f"{largest['models']:,} models in {largest['seconds']:.1f} s and {gigabytes(largest['peak'])}"
    return [
        Goal(f"{text} (goal: 5 000 in 60 s and 2 GB)", largest["seconds"] < 60 and largest["peak"] < 2e9),
        Goal("every lineage that was planted, and no other", all(row["lineages"] == row["planted"] for row in rows)),
    ]


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    bars(figure, rows, lambda row: f"{row['models']:,} models\n{row['what']}", "seconds", "Seconds for all lineages")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lineage", description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[600, 5000], help="multiples of 100")
    parser.add_argument("--folder", type=made_folder, help="where stores are made; default: a temporary folder")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/benchmarks")
    given = parser.parse_args()
    rows: list[Row] = []
    for models in given.models:
        with tempfile.TemporaryDirectory(dir=given.folder, prefix="lineage-") as place:
            rows += rows_of(Path(place) / "store", models)
    finish("lineage", given.out, rows, COLUMNS, _draw, goals(rows))


if __name__ == "__main__":
    import os

    if "BENCHMARK_RESULT" in os.environ:
        answer(run_once(arguments_of_child()))
    else:
        main()
