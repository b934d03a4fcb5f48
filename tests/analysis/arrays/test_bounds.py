"""The bounds of a layer's coefficients, and that the range found with them is the range of everything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.bounds import ExtremeFilters
from analysis.arrays.sketch import Sketch
from analysis.scanning.sketching import ScanOptions, sketch_of_store
from analysis.scanning.thread_workers import ThreadWorkers
from distributed.errors import StoreError
from distributed.records import LAYERS_SCHEMA
from distributed.statistics import layer_statistics
from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.analysis.scanning.stores import MadeStore, make_store
from tests.reference import scale

COLUMN_TYPE = LAYERS_SCHEMA.field("extreme_filters").type


def kept_of(filters: np.ndarray) -> list[float]:
    """What an extraction writes for a layer of (n, 9) filters."""
    weight = torch.from_numpy(np.ascontiguousarray(filters).reshape(-1, 1, 3, 3))
    return layer_statistics(weight).extreme_filters.tolist()


def with_extremes(made: MadeStore) -> pa.Table:
    ids = made.layers.column("layer_id").to_pylist()
    column = pa.array([kept_of(made.filters[layer]) for layer in ids], COLUMN_TYPE)
    return made.layers.append_column("extreme_filters", column)


def smooth_filters(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Like those of trained networks: mostly low frequencies; some of a large layer are nearly constant."""
    axis = np.stack([np.ones(3), [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    patterns = np.einsum("ai,bj->abij", axis, axis).reshape(9, 9)
    filters = rng.standard_normal((rows, 9)) * np.array([4, 2.4, 1.2, 2, 0.9, 0.6, 1, 0.5, 0.3]) @ patterns
    filters[: rows // 1000] = rng.choice([-1, 1], (rows // 1000, 1)) + 0.02 * rng.standard_normal((rows // 1000, 9))
    return (filters * 10.0 ** rng.uniform(-4, 0, (rows, 1))).astype(np.float32)


def axes_of(rng: np.random.Generator, *, near: bool) -> PrincipalAxes:
    """A random basis, ``near`` the constant kernel and the checkerboard, or not."""
    start = rng.standard_normal((9, 9))
    if near:
        start *= 0.05
        start[:, 0] += 1 / 3
        start[:, 1] += (-1.0) ** np.arange(9) / 3
        start[:, 2:] += 0.3 * rng.standard_normal((9, 7))
    components = np.linalg.qr(start)[0].T
    return PrincipalAxes(0.2 * rng.standard_normal(9), np.ascontiguousarray(components), np.full(9, 1 / 9), 100)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(0, 2**32), st.booleans())
def test_every_coefficient_lies_within_the_bounds_of_its_layer(sizes: list[int], seed: int, near: bool) -> None:
    rng = np.random.default_rng(seed)
    kinds: list[Callable[[int], np.ndarray]] = [
        lambda n: rng.standard_normal((n, 9)).astype(np.float32),
        lambda n: smooth_filters(rng, n),
        lambda n: np.repeat(rng.standard_normal((n, 1)), 9, axis=1).astype(np.float32),
        lambda n: np.zeros((n, 9), np.float32),
        lambda n: (rng.integers(-1, 2, (n, 9)) * 1e-44).astype(np.float32),
    ]
    layers = [kinds[int(rng.integers(len(kinds)))](size) for size in sizes]
    table = pa.table(
        {"layer_id": np.arange(len(layers)), "extreme_filters": pa.array(map(kept_of, layers), COLUMN_TYPE)}
    )
    axes, extremes = axes_of(rng, near=near), ExtremeFilters.from_layers(table)
    coefficients = [(scale(layer) - axes.mean) @ axes.components.T for layer in layers]
    low, high = extremes.bounds(axes)
    assert all((found >= low[i]).all() and (found <= high[i]).all() for i, found in enumerate(coefficients))
    attained = extremes.attained(axes)
    undecided = extremes.undecided(axes, attained)
    every = np.concatenate(coefficients)
    assert every.min() - 1e-12 <= attained.low.min() <= attained.high.max() <= every.max() + 1e-12
    for found, is_open in zip(coefficients, undecided, strict=True):
        assert is_open or (attained.low.min() - 2e-12 <= found.min() <= found.max() <= attained.high.max() + 2e-12)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    """Models of smooth filters; row groups that end within layers."""
    sizes = [[3000, 500, 2000], [700, 40], [9] * 30, [5000]]
    return make_store(tmp_path_factory.mktemp("smooth"), sizes, row_group=640, filters=smooth_filters)


def sketch_here(made: MadeStore, layers: pa.Table, folder: Path) -> Sketch:
    """By threads, into a copy of the store without sketches."""
    (folder / "filters").mkdir(parents=True)
    for model in made.model_ids:
        (folder / "filters" / made.path(model).name).write_bytes(made.path(model).read_bytes())
    store = Store.open(StoreSettings(str(folder)))
    return sketch_of_store(store, layers, options=ScanOptions(workers=lambda _: nullcontext(ThreadWorkers(2))))


def test_few_filters_are_read_for_the_same_range(made: MadeStore, tmp_path: Path) -> None:
    total = sum(map(len, made.filters.values()))
    whole = sketch_here(made, made.layers, tmp_path / "whole")
    few = sketch_here(made, with_extremes(made), tmp_path / "few")
    assert whole.origin is not None
    assert few.origin is not None
    assert whole.origin.rows == 2 * total
    assert total <= few.origin.rows < 1.5 * total
    assert few.basis.low == pytest.approx(whole.basis.low, abs=1e-14)
    assert few.basis.high == pytest.approx(whole.basis.high, abs=1e-14)
    np.testing.assert_array_equal(few.counts, whole.counts)
    assert not few.outside


def test_layers_of_older_versions_are_read_for_the_range(made: MadeStore, tmp_path: Path) -> None:
    table = with_extremes(made)
    column = table.column("extreme_filters").to_pylist()
    older = table.column("model_id").to_pylist()
    mixed = pa.array([None if model == older[0] else each for model, each in zip(older, column, strict=True)])
    place = table.column_names.index("extreme_filters")
    found = sketch_here(made, table.set_column(place, "extreme_filters", mixed.cast(COLUMN_TYPE)), tmp_path / "mixed")
    whole = sketch_here(made, made.layers, tmp_path / "whole")
    assert found.origin is not None
    assert found.origin.rows >= 2 * 5500 + 5000 + 740 + 270  # the first model at least is read twice
    np.testing.assert_array_equal(found.counts, whole.counts)


def test_a_range_that_is_too_small_is_noticed(made: MadeStore, tmp_path: Path) -> None:
    """The layer with the largest coefficient claims to hold none of note, and so it is not read for the range."""
    whole = sketch_here(made, made.layers, tmp_path / "whole")
    largest = int(whole.layer_ids[whole.counts[:, :, -1].any(axis=1)][0])
    table = with_extremes(made)
    ids, column = table.column("layer_id").to_pylist(), table.column("extreme_filters").to_pylist()
    column[ids.index(largest)] = [1.0, 0, 0, 0, 0, 0, 0, 0, 0] * 4
    place = table.column_names.index("extreme_filters")
    with pytest.raises(StoreError, match=r"outside the range .* extreme_filters in layers/ are of other filters"):
        sketch_here(made, table.set_column(place, "extreme_filters", pa.array(column, COLUMN_TYPE)), tmp_path / "wrong")
    assert not list((tmp_path / "wrong").glob("sketches/**/*.*"))


def test_a_range_that_is_too_large_is_noticed(tmp_path: Path) -> None:
    """Constant filters are claimed where there are none."""
    made = make_store(tmp_path / "made", [[900, 40], [500]], filters=smooth_filters)
    table = made.layers.append_column("extreme_filters", pa.array([[1.0] * 36] * 3, COLUMN_TYPE))
    with pytest.raises(StoreError, match=r"no coefficient lies at the ends .* extreme_filters in layers/ are of other"):
        sketch_here(made, table, tmp_path / "wrong")
    assert not list((tmp_path / "wrong").glob("sketches/**/*.*"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0] * 36], pa.list_(pa.float64(), 36)), "is fixed_size_list<.*double>.*expected 36 float32"),
        (pa.array([[float("nan")] * 36], COLUMN_TYPE), "holds NaN or infinity"),
    ],
)
def test_wrong_columns(column: pa.Array, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        ExtremeFilters.from_layers(pa.table({"layer_id": [1], "extreme_filters": column}))
