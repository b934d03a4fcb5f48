"""Work units, reading, and the two scans by threads and through a real Ray, against NumPy."""

from __future__ import annotations

import itertools
import pickle
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.kernels import kernels_for
from analysis.arrays.moments import Moments
from analysis.scanning.reading import ReadPolicy, scan_extremes, scan_histograms
from analysis.scanning.scan import coefficient_extremes, layer_histograms
from analysis.scanning.task import Workers
from analysis.scanning.thread_workers import ThreadWorkers
from analysis.scanning.units import FilePart, LayerIndex, WorkUnit, plan_units
from distributed.errors import StoreError
from distributed.store import FilterPlace
from tests.analysis.scanning.stores import MadeStore, make_store
from tests.reference import scale

KERNELS = kernels_for("cpu")
ONCE = ReadPolicy(attempts=1)


def basis_of(made: MadeStore) -> Basis:
    axes = PrincipalAxes.from_moments(Moments.from_layers(made.layers))
    extremes = [scan_extremes(unit, pafs.LocalFileSystem(), KERNELS, axes, ONCE) for unit in units_of(made, 1 << 30)]
    return axes.with_range(min(e["low"].min() for e in extremes), max(e["high"].max() for e in extremes))


def units_of(made: MadeStore, target: int) -> list[WorkUnit]:
    return plan_units(LayerIndex.from_table(made.layers), made.store.filter_places(), target)


def expected_counts(made: MadeStore, basis: Basis) -> dict[int, np.ndarray]:
    counts = {}
    for layer, filters in made.filters.items():
        coefficients = (scale(filters) - basis.mean) @ basis.components.T
        # The extremes themselves may lie outside by their last digit, which depends on the processor's BLAS.
        inside = np.clip(coefficients, basis.low, basis.high)
        settled = np.where(np.abs(coefficients - inside) < 1e-12, inside, coefficients)
        columns = [np.histogram(c, basis.bins, (basis.low, basis.high))[0] for c in settled.T]
        counts[layer] = np.stack(columns)
    return counts


def counted(made: MadeStore, basis: Basis, target: int) -> dict[int, np.ndarray]:
    """Counts by layer, unit by unit, without Ray."""
    total: dict[int, np.ndarray] = {}
    for unit in units_of(made, target):
        found = scan_histograms(unit, pafs.LocalFileSystem(), KERNELS, basis, ONCE)
        assert len(set(found["layer_ids"].tolist())) == found["layer_ids"].size
        for layer, counts in zip(found["layer_ids"].tolist(), found["counts"], strict=True):
            total[layer] = total.get(layer, 0) + counts.astype(np.int64)
    return total


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    """300 000 filters: one layer with most of them, many layers of 9, models of every size between."""
    sizes = [[180_000, 64, 20_000], [9] * 400, [9] * 300 + [4096], [1], *([[64 * (k + 1), 4096] for k in range(20)])]
    return make_store(tmp_path_factory.mktemp("skewed"), sizes)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("small"), [[100, 50], [9] * 5, [1000]], row_group=128)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 100_000), min_size=1, max_size=6), min_size=1, max_size=12),
    st.integers(1000, 300_000),
)
def test_units_cover_every_row_once_and_are_balanced(models: list[list[int]], target: int) -> None:
    names = [f"{i:016x}" for i, layers in enumerate(models) for _ in layers]
    counts = np.array([n for layers in models for n in layers])
    table = pa.table({"layer_id": np.arange(counts.size), "num_filters": counts, "model_id": names})
    units = plan_units(LayerIndex.from_table(table), FilterPlace, target)
    covered: dict[str, list[tuple[int, int]]] = {}
    for unit in units:
        for part in unit.parts:
            covered.setdefault(part.model_id, []).append((part.start, part.stop))
    for number, layers in enumerate(models):
        ranges = sorted(covered[f"{number:016x}"])
        assert ranges[0][0] == 0
        assert ranges[-1][1] == sum(layers)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))


@pytest.mark.parametrize("target", [1 << 30, 60_000, 25_000])
def test_histograms_are_numpys_however_the_work_is_divided(skewed: MadeStore, target: int) -> None:
    basis = basis_of(skewed)
    found, expected = counted(skewed, basis, target), expected_counts(skewed, basis)
    assert found.keys() == expected.keys()
    for layer, counts in expected.items():
        np.testing.assert_array_equal(found[layer][:, 1:-1], counts)
        assert not found[layer][:, [0, -1]].any()


@pytest.fixture(params=["threads", pytest.param("ray", marks=pytest.mark.ray)])
def workers(request: pytest.FixtureRequest) -> Workers:
    if request.param == "threads":
        return ThreadWorkers(2)
    request.getfixturevalue("local_ray")
    from analysis.scanning.ray_workers import RayWorkers

    return RayWorkers()


def test_both_scans(skewed: MadeStore, workers: Workers) -> None:
    index = LayerIndex.from_table(skewed.layers)
    axes = PrincipalAxes.from_moments(Moments.from_layers(skewed.layers))
    extremes, first = coefficient_extremes(skewed.store, index, axes, workers)
    every = np.concatenate([(scale(f) - axes.mean) @ axes.components.T for f in skewed.filters.values()])
    np.testing.assert_allclose(extremes.low, every.min(axis=0), atol=1e-13)
    np.testing.assert_allclose(extremes.high, every.max(axis=0), atol=1e-13)
    basis = axes.with_range(float(extremes.low.min()), float(extremes.high.max()))
    sketch, second = layer_histograms(skewed.store, index, basis, workers)
    assert first.filters == second.filters == every.shape[0]
    assert second.rows_per_second > 0
    for layer, expected in expected_counts(skewed, basis).items():
        row = int(np.searchsorted(sketch.layer_ids, layer))
        np.testing.assert_array_equal(sketch.counts[row], expected)


def test_an_error_in_a_worker_arrives_as_it_was_raised(tmp_path: Path, workers: Workers) -> None:
    made = make_store(tmp_path, [[500], [300]])
    axes = PrincipalAxes.from_moments(Moments.from_layers(made.layers))
    path = made.path(made.model_ids[1])
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["w4"]), path)
    with pytest.raises(StoreError, match=rf"{path}: column 'w4' is missing"):
        coefficient_extremes(made.store, LayerIndex.from_table(made.layers), axes, workers)


def rewritten(made: MadeStore, change: object) -> Path:
    """The first model's file after ``change(table)``."""
    path = made.path(made.model_ids[0])
    pq.write_table(change(pq.read_table(path)), path, row_group_size=64)
    return path


def with_column(name: str, values: pa.Array) -> object:
    return lambda table: table.set_column(table.column_names.index(name), pa.field(name, values.type), values)


def with_value(name: str, row: int, value: object) -> object:
    def change(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        values[row] = value
        return with_column(name, pa.array(values, table.schema.field(name).type))(table)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["layer_id"]), "column 'layer_id' is missing"),
        (with_column("w2", pa.array(np.ones(150))), "column 'w2' is double, expected float"),
        (with_value("w7", 100, None), "column 'w7' holds a null in row 100"),
        (with_value("layer_id", 70, 12345), "layer 12345 at row 70 is not a layer of model"),
        (with_value("w0", 149, float("nan")), r"the filter in row 149 \(layer {1}\) holds NaN or infinity"),
        (with_value("w8", 3, float("inf")), r"the filter in row 3 \(layer {0}\) holds NaN or infinity"),
        (lambda table: table.slice(0, 149), "149 filters, but model .* has 150 by layers/"),
    ],
)
def test_wrong_files_are_named_with_column_and_row(tmp_path: Path, change: object, message: str) -> None:
    made = make_store(tmp_path, [[100, 50]])
    basis = basis_of(made)
    path = rewritten(made, change)
    message = message.replace("{0}", str(min(made.filters))).replace("{1}", str(max(made.filters)))
    unit = units_of(made, 1 << 30)[0]
    with pytest.raises(StoreError, match=message) as error:
        scan_histograms(unit, pafs.LocalFileSystem(), KERNELS, basis, ONCE)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    if "layer_id" not in message and "is not a layer" not in message:  # the first scan does not read layer_id
        axes = PrincipalAxes(basis.mean, basis.components, basis.explained_variance_ratio, basis.filters)
        with pytest.raises(StoreError, match=message):
            scan_extremes(unit, pafs.LocalFileSystem(), KERNELS, axes, ONCE)


def test_rows_of_a_layer_must_be_together(tmp_path: Path) -> None:
    made = make_store(tmp_path, [[100, 50]])
    basis = basis_of(made)
    rewritten(made, lambda table: table.take(pa.array(np.random.default_rng(0).permutation(150))))
    with pytest.raises(StoreError, match="rows of a layer are not together"):
        scan_histograms(units_of(made, 1 << 30)[0], pafs.LocalFileSystem(), KERNELS, basis, ONCE)


def test_corrupt_bytes_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    made = make_store(tmp_path, [[5000]])
    basis, unit, path = basis_of(made), units_of(made, 1 << 30)[0], made.path(made.model_ids[0])
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"PAR1" + b"\0" * 100, b""):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"filters/.*parquet"):
            scan_histograms(unit, pafs.LocalFileSystem(), KERNELS, basis, ONCE)


def test_a_file_that_comes_back_is_read_on_a_later_attempt(tmp_path: Path) -> None:
    made = make_store(tmp_path, [[5000]])
    basis, unit, path = basis_of(made), units_of(made, 1 << 30)[0], made.path(made.model_ids[0])
    away = path.with_suffix(".away")
    path.rename(away)
    with pytest.raises(StoreError, match="is not there: the store holds no filters"):
        scan_histograms(unit, pafs.LocalFileSystem(), KERNELS, basis, ReadPolicy(2, 0.01))
    back = threading.Timer(0.2, lambda: away.rename(path))
    back.start()
    found = scan_histograms(unit, pafs.LocalFileSystem(), KERNELS, basis, ReadPolicy(20, 0.1))
    back.join()
    assert found["filters"] == 5000


def test_the_layers_table_is_checked(small: MadeStore) -> None:
    with pytest.raises(StoreError, match="no column 'model_id'"):
        LayerIndex.from_table(small.layers.drop_columns(["model_id"]))
    with pytest.raises(StoreError, match="is there twice"):
        LayerIndex.from_table(pa.concat_tables([small.layers, small.layers]))
    index = LayerIndex.from_table(small.layers)
    with pytest.raises(StoreError, match=f"model {small.model_ids[0]}: layer {index.layer_ids[1]} has 51 filters"):
        index.check_filters(index.num_filters + np.eye(len(index.layer_ids), dtype=np.int64)[1])


def test_units_are_small_to_send(skewed: MadeStore) -> None:
    units = units_of(skewed, 60_000)
    assert max(len(pickle.dumps(unit)) for unit in units) < 20_000
    part = units[0].parts[0]
    assert isinstance(part, FilePart)
    assert replace(part, start=0).stop == part.stop


def test_reading_does_not_hold_the_files_rows(small: MadeStore) -> None:
    """Batches come one after the other from row groups: Arrow's pool holds a few of them, not the file."""
    rows = 1_500_000
    path = small.path(small.model_ids[0]).with_name("0" * 16 + ".parquet")
    filters = np.random.default_rng(0).standard_normal((rows, 9)).astype(np.float32)
    columns = {"layer_id": np.full(rows, 5)} | {f"w{k}": filters[:, k] for k in range(9)}
    pq.write_table(pa.table(columns), path, row_group_size=1 << 17, use_dictionary=["layer_id"])
    part = FilePart(str(path), "0" * 16, 0, rows, rows, np.array([5]))
    axes = PrincipalAxes(np.zeros(9), np.eye(9), np.full(9, 1 / 9), rows)
    del columns
    before, peak, done = pa.total_allocated_bytes(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, pa.total_allocated_bytes() - before)
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = scan_extremes(WorkUnit((part,)), pafs.LocalFileSystem(), KERNELS, axes, ONCE)
    done.set()
    watcher.join()
    path.unlink()
    assert found["filters"] == rows
    assert peak < 16 * 1024**2, f"{peak / 1e6:.0f} MB for a file of {rows * 36 / 1e6:.0f} MB"
