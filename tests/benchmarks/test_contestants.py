"""What the benchmarks compare gives the same numbers; the stores they make are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch

from analysis.shift import ShiftSettings, measure_shift
from benchmarks.bare import OURS, RIVAL, Network, judged, summary
from benchmarks.matrix import RATIO, model_counts, numpy_pair, scipy_pair
from benchmarks.published import published_shift
from benchmarks.synthetic import LAYOUTS, make_store, plan_models
from benchmarks.tables import duckdb_counts, polars_counts
from distributed.formats.base import TensorEntry
from distributed.graph.tracing import trace
from distributed.records import WEIGHT_COLUMNS
from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.reference import moments


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [10_000, 1_234_567, 30_000_000])
def test_planned_stores_hold_what_was_asked(layout: str, rows: int) -> None:
    models = plan_models(rows, layout)
    sizes = [[out * each for out, each in model.shapes] for model in models]
    assert sum(map(sum, sizes)) == rows
    assert min(map(min, sizes)) > 0
    assert len({model.model_id for model in models}) == len(models)
    largest_layer, largest_model = max(map(max, sizes)), max(map(sum, sizes))
    if layout == "one-model":
        assert largest_model == rows * 6 // 10
    if layout == "one-layer":
        assert largest_layer >= 0.29 * rows
    if layout == "tiny-layers":
        assert sum(size == 9 for model in sizes for size in model) >= min(20_000, rows // 36)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    made = make_store(place, 2_000_000, processes=1)
    assert made.rows == 2_000_000
    return place


def test_moments_of_made_stores_are_those_of_their_filters(folder: Path) -> None:
    store = Store.open(StoreSettings(str(folder)))
    layers = store.layers()
    assert sum(layers.column("num_filters").to_pylist()) == 2_000_000
    assert store.models().num_rows > 1
    row = layers.slice(3, 1).to_pylist()[0]
    table = pq.read_table(store.filters_path(row["model_id"]))
    ids = table.column("layer_id").to_numpy()
    filters = np.stack([table.column(name).to_numpy()[ids == row["layer_id"]] for name in WEIGHT_COLUMNS], axis=1)
    total, gram = moments(filters)
    np.testing.assert_allclose(row["scaled_sum"], total, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(row["scaled_gram"], gram, rtol=1e-9, atol=1e-9)


def test_the_published_procedure_and_the_engines_agree_with_ours(folder: Path, tmp_path: Path) -> None:
    axes = ["task", "depth"]
    result = measure_shift(
        ShiftSettings(StoreSettings(str(folder)), axes=tuple(axes), out=str(tmp_path / "out"), replicates=0)
    )
    theirs = published_shift(folder, axes)
    for shift in result.shifts:
        # Float32 against float64: coefficients within 1e-7 of an edge change their bin.
        expected = np.sort(np.ravel(theirs["matrices"][shift.axis]))
        np.testing.assert_allclose(np.sort(shift.drift.ravel()), expected, rtol=2e-3, atol=2e-4)
    sketch = result.sketch
    for engine in (duckdb_counts, polars_counts):
        rows = np.array(engine(folder, sketch.basis, tmp_path), np.int64)
        counts = np.zeros_like(sketch.counts)
        np.add.at(counts, (np.searchsorted(sketch.layer_ids, rows[:, 0]), rows[:, 1], rows[:, 2]), rows[:, 3])
        assert np.abs(counts - sketch.counts).sum() <= 4


def test_the_pairwise_loops_agree() -> None:
    counts = model_counts(2).astype(float)
    p, q = counts / counts.sum(axis=-1, keepdims=True) + 1e-9
    assert RATIO.sum() == pytest.approx(1, abs=0.01)
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    assert scipy_pair(p, q) == pytest.approx(numpy_pair(p, q), rel=1e-12)


def test_a_state_dict_alone_is_judged_by_its_trace() -> None:
    facts = trace("timm:test_resnet")
    with torch.device("meta"):
        state = timm.create_model("test_resnet").state_dict()
    entries = [TensorEntry(name, tuple(tensor.shape), "float32") for name, tensor in state.items()]
    missing = entries.pop(next(i for i, entry in enumerate(entries) if entry.shape[2:] == (3, 3)))
    unused = TensorEntry("zz.conv.weight", (2, 5, 3, 3), "float32")
    whole = Network("timm", "whole", [missing, *entries], facts)
    for row in judged(whole):
        assert (row["missing"], row["extra"]) == (0, 0)
        assert row["filters"] == sum(e.shape[0] * e.shape[1] for e in whole.entries if e.shape[2:] == (3, 3))
        assert 0.9 < row["tau"] <= 1
    broken = Network("timm", "broken", [*whole.entries, unused], facts)
    assert [(row["missing"], row["extra"]) for row in judged(broken)] == [(0, 10)] * 3
    told = {row["order"]: row for row in summary([*judged(whole), *judged(broken)])}
    assert {row["exact"] for row in told.values()} == {1}
    assert told[OURS]["tau"] >= told[RIVAL]["tau"]
