"""The sketch: sums over its rows, its file, and what it saves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.arrays.basis import Basis
from analysis.arrays.sketch import Sketch, merge_sketches
from analysis.scanning.sketching import ScanOptions, sketch_of_store
from analysis.scanning.task import Workers
from analysis.scanning.workers import scan_workers
from distributed.errors import StoreError, UserError
from distributed.settings import ClusterSettings
from tests.analysis.scanning.stores import MadeStore, make_store
from tests.analysis.scanning.test_scan import expected_counts

BASIS = Basis(np.zeros(9), np.eye(9), np.full(9, 1 / 9), -1.0, 1.0, 5, 100)


def random_sketch(rng: np.random.Generator, ids: list[int]) -> Sketch:
    layers = len(ids)
    sides = [rng.integers(0, 5, (layers, 9)) for _ in range(2)]
    return Sketch(np.array(sorted(ids), np.int64), rng.integers(0, 100, (layers, 9, 5)), *sides, BASIS)


def equal(a: Sketch, b: Sketch) -> None:
    for name in ("layer_ids", "counts", "below", "above"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.basis.digest == b.basis.digest


def no_workers(filters: int) -> AbstractContextManager[Workers]:
    raise AssertionError("a scan was started")


NO_SCAN = ScanOptions(workers=no_workers)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 6), min_size=1, max_size=300), st.integers(0, 2**32))
def test_sums_over_groups(codes: list[int], seed: int) -> None:
    sketch = random_sketch(np.random.default_rng(seed), list(range(len(codes))))
    groups = np.array(codes)
    found = sketch.group_counts(groups, 7)
    for group in range(7):
        np.testing.assert_array_equal(found[group], sketch.counts[groups == group].sum(axis=0))


def test_sums_over_more_layers_than_a_chunk() -> None:
    rng = np.random.default_rng(0)
    sketch, codes = random_sketch(rng, list(range(10_000))), rng.integers(-1, 3, 10_000)
    for group in range(3):
        np.testing.assert_array_equal(sketch.group_counts(codes)[group], sketch.counts[codes == group].sum(axis=0))
    for wrong in (codes[:-1], codes - 1):
        with pytest.raises(ValueError, match="group_of_layer"):
            sketch.group_counts(wrong)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, 40)), min_size=1, max_size=5), st.randoms())
def test_merging_is_adding_in_any_order(parts: list[set[int]], random: object) -> None:
    rng = np.random.default_rng(0)
    sketches = [random_sketch(rng, sorted(part)) for part in parts]
    whole = merge_sketches(sketches)
    random.shuffle(sketches)
    one_by_one = random_sketch(rng, [])
    for sketch in sketches:
        one_by_one = merge_sketches([one_by_one, sketch])
    equal(one_by_one, whole)
    assert whole.num_filters.sum() == sum(sketch.num_filters.sum() for sketch in sketches)


def test_other_bases_do_not_mix() -> None:
    one = random_sketch(np.random.default_rng(0), [1, 2])
    other = replace(one, basis=replace(BASIS, high=np.nextafter(1.0, 2)))
    with pytest.raises(UserError, match="different bases cannot be merged"):
        merge_sketches([one, other])


def test_file_round_trip_and_what_is_no_sketch(tmp_path: Path) -> None:
    path = tmp_path / "sketch.parquet"
    sketch = random_sketch(np.random.default_rng(0), list(range(5000)))
    sketch.to_parquet(path)
    equal(Sketch.from_parquet(path), sketch)
    nothing = random_sketch(np.random.default_rng(0), [])
    nothing.to_parquet(path)
    equal(Sketch.from_parquet(path), nothing)
    table = sketch.to_table()
    wrong = {
        "no basis in its metadata": table.replace_schema_metadata({}),
        "column 'below' is missing": table.drop_columns(["below"]),
        "column 'layer_id' is int32": table.set_column(0, "layer_id", table.column(0).cast(pa.int32())),
        "strictly ascending": table.take(pa.array([1, 0])),
    }
    for message, content in wrong.items():
        pq.write_table(content, path)
        with pytest.raises(UserError, match=message):
            Sketch.from_parquet(path)
    sketch.to_parquet(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read the sketch"):
        Sketch.from_parquet(path)


def test_a_missing_layer_is_named() -> None:
    sketch = random_sketch(np.random.default_rng(0), [1, 5, 9])
    np.testing.assert_array_equal(sketch.rows_of(np.array([9, 1])), [2, 0])
    with pytest.raises(UserError, match="does not hold layer 6"):
        sketch.rows_of(np.array([1, 6]))


SIZES = [[3000, 9, 9], [500] * 4, [9] * 50, [20_000]]


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path / "store", SIZES)


def check(sketch: Sketch, made: MadeStore) -> None:
    expected = expected_counts(made, sketch.basis)
    assert sketch.layer_ids.tolist() == sorted(expected)
    for row, layer in enumerate(sketch.layer_ids.tolist()):
        np.testing.assert_array_equal(sketch.counts[row], expected[layer])


def test_a_later_run_scans_nothing(made: MadeStore, caplog: pytest.LogCaptureFixture) -> None:
    entered: list[object] = []

    @contextmanager
    def workers(filters: int) -> Iterator[Workers]:
        entered.append(filters)
        with scan_workers(ClusterSettings(), filters) as found:
            yield found
        entered.append("out")

    first = sketch_of_store(made.store, made.layers, options=ScanOptions(workers=workers))
    assert entered == [25_468, "out"]
    check(first, made)
    assert first.outside == 0
    assert first.origin is not None
    assert first.origin.scanned
    assert first.origin.filters == first.num_filters.sum() == 25_468
    assert first.origin.rows == 2 * 25_468
    # The filters are gone: whoever still tries to read them fails.
    folder = made.path(made.model_ids[0]).parent
    folder.rename(folder.with_name("away"))
    with caplog.at_level(logging.INFO):
        again = sketch_of_store(made.store, made.layers, options=NO_SCAN)
    equal(again, first)
    assert again.origin is not None
    assert not again.origin.scanned
    assert "nothing scanned" in caplog.text
    fixed = sketch_of_store(made.store, made.layers, basis=first.basis, options=NO_SCAN)
    equal(fixed, first)
    with pytest.raises(StoreError, match="cannot read"):
        sketch_of_store(made.store, made.layers, bins=40)


def test_with_a_fixed_basis_only_new_models_are_scanned(tmp_path: Path) -> None:
    before = make_store(tmp_path / "store", SIZES)
    first = sketch_of_store(before.store, before.layers)
    grown = make_store(tmp_path / "store", [*SIZES, [700, 9], [50]])
    for model_id in before.model_ids:
        grown.path(model_id).unlink()
    second = sketch_of_store(grown.store, grown.layers, basis=first.basis)
    assert second.origin is not None
    assert second.origin.rows == 759
    assert second.origin.models == 2
    equal(second.take(np.isin(second.layer_ids, first.layer_ids)), first)
    assert (second.counts.sum(axis=2) + second.below + second.above == second.num_filters[:, None]).all()
    third = sketch_of_store(grown.store, grown.layers, basis=first.basis, options=NO_SCAN)
    equal(third, second)


def test_coefficients_outside_a_fixed_range_are_counted_apart(made: MadeStore) -> None:
    free = sketch_of_store(made.store, made.layers)
    narrow = replace(free.basis, low=-0.4, high=0.3)
    found = sketch_of_store(made.store, made.layers, basis=narrow)
    assert found.outside > 0
    expected = expected_counts(made, narrow)
    for row, layer in enumerate(found.layer_ids.tolist()):
        np.testing.assert_array_equal(found.counts[row], expected[layer])
    np.testing.assert_array_equal(found.num_filters, free.num_filters)


def test_damaged_sketches_are_made_again(made: MadeStore, caplog: pytest.LogCaptureFixture) -> None:
    first = sketch_of_store(made.store, made.layers)
    folder = made.path(made.model_ids[0]).parent.parent / "sketches"
    (batch,) = folder.glob("*/*.parquet")
    batch.write_bytes(batch.read_bytes()[:-100])
    again = sketch_of_store(made.store, made.layers)
    assert "its models are scanned again" in caplog.text
    assert again.origin is not None
    assert again.origin.rows == 25_468
    (kept,) = folder.glob("*.basis.json")
    kept.write_text(kept.read_text().replace("1", "2", 1))
    third = sketch_of_store(made.store, made.layers)
    assert "damaged or was edited" in caplog.text
    assert third.origin is not None
    assert third.origin.rows == 25_468
    for sketch in (again, third):
        equal(sketch, first)
    equal(sketch_of_store(made.store, made.layers, options=NO_SCAN), first)


class ReadOnlyStore:
    """A store whose ``sketches/`` refuses; everything else is the real one."""

    def __init__(self, made: MadeStore) -> None:
        self._store = made.store
        self.uri, self.read_bytes = made.store.uri, made.store.read_bytes
        self.filters_path, self.arrow_filesystem = made.store.filters_path, made.store.arrow_filesystem

    def write_bytes(self, path: str, data: bytes) -> None:
        raise PermissionError(f"read-only: {path}")

    def __reduce__(self) -> object:
        return (type(self)._of, (self._store,))

    @classmethod
    def _of(cls, store: object) -> ReadOnlyStore:
        return cls(MadeStore(store, pa.table({}), {}))


def test_a_store_that_cannot_be_written_still_works(
    made: MadeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, path = ReadOnlyStore(made), tmp_path / "sketch.parquet"
    first = sketch_of_store(store, made.layers)
    check(first, made)
    assert "could not be kept in the store" in caplog.text
    first.to_parquet(path)
    earlier = replace(NO_SCAN, sketch=Sketch.from_parquet(path))
    again = sketch_of_store(store, made.layers, options=earlier)
    equal(again, first)
    other = replace(first.basis, high=first.basis.high + 1)
    with pytest.raises(UserError, match="is on another basis"):
        sketch_of_store(store, made.layers, basis=other, options=earlier)
