"""What a kept sketch saves: which filters a run reads, and that what is damaged is made again."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.arrays.sketch import Sketch
from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
from analysis.scanning.task import Workers
from analysis.scanning.workers import scan_workers
from distributed.errors import StoreError, UserError
from distributed.settings import ClusterSettings
from tests.analysis.arrays.test_sketch import equal
from tests.analysis.scanning.stores import MadeStore, make_store
from tests.analysis.scanning.test_scan import expected_counts


def no_workers(filters: int) -> AbstractContextManager[Workers]:
    raise AssertionError("a scan was started")


NO_SCAN = ScanOptions(workers=no_workers)


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
    fixed = sketch_of_store(made.store, made.layers, SketchKind(basis=first.basis), options=NO_SCAN)
    equal(fixed, first)
    with pytest.raises(StoreError, match="is not there: the store holds no filters"):
        sketch_of_store(made.store, made.layers, SketchKind(bins=40))


def test_with_a_fixed_basis_only_new_models_are_scanned(tmp_path: Path) -> None:
    before = make_store(tmp_path / "store", SIZES)
    first = sketch_of_store(before.store, before.layers)
    grown = make_store(tmp_path / "store", [*SIZES, [700, 9], [50]])
    for model_id in before.model_ids:
        grown.path(model_id).unlink()
    second = sketch_of_store(grown.store, grown.layers, SketchKind(basis=first.basis))
    assert second.origin is not None
    assert second.origin.rows == 759
    assert second.origin.models == 2
    equal(second.take(np.isin(second.layer_ids, first.layer_ids)), first)
    assert (second.counts.sum(axis=2) + second.below + second.above == second.num_filters[:, None]).all()
    third = sketch_of_store(grown.store, grown.layers, SketchKind(basis=first.basis), options=NO_SCAN)
    equal(third, second)


def test_coefficients_outside_a_fixed_range_are_counted_apart(made: MadeStore) -> None:
    free = sketch_of_store(made.store, made.layers)
    narrow = replace(free.basis, low=-0.4, high=0.3)
    found = sketch_of_store(made.store, made.layers, SketchKind(basis=narrow))
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


@pytest.mark.parametrize(
    ("kept", "said"), [("*.basis.json", "it is made again"), ("*[!n]", "all models are scanned again")]
)
def test_sketches_that_cannot_be_read_are_made_again(
    made: MadeStore, kept: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = sketch_of_store(made.store, made.layers)
    (place,) = made.path(made.model_ids[0]).parents[1].glob(f"sketches/{kept}")
    if place.is_file():
        place.unlink()
        place.mkdir()
    else:
        shutil.rmtree(place)
        place.write_text("")
    again = sketch_of_store(made.store, made.layers)
    reading, writing = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert re.fullmatch(rf"cannot read {place}: .*; {said}", reading)
    assert "could not be kept in the store" in writing
    assert again.origin is not None
    assert again.origin.scanned
    equal(again, first)


def test_a_store_that_cannot_be_written_still_works(
    made: MadeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, path = made.store, tmp_path / "sketch.parquet"
    (tmp_path / "store" / "sketches").write_text("where a folder should be")
    first = sketch_of_store(store, made.layers)
    check(first, made)
    assert "could not be kept in the store" in caplog.text
    first.to_parquet(path)
    earlier = replace(NO_SCAN, sketch=Sketch.from_parquet(path))
    again = sketch_of_store(store, made.layers, options=earlier)
    equal(again, first)
    other = replace(first.basis, high=first.basis.high + 1)
    with pytest.raises(UserError, match="is on another basis"):
        sketch_of_store(store, made.layers, SketchKind(basis=other), options=earlier)
