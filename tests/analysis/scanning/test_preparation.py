"""Clean, rounded and ranged sketches against the plain definitions; kept ones are never taken for each other."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from analysis.arrays.preparation import Preparation
from analysis.arrays.sketch import Sketch, merge_sketches
from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
from analysis.settings import Filters, Rounding
from distributed.errors import StoreError, UserError
from distributed.references import layer_id_of
from distributed.store import Store, StoreSettings
from tests import reference, stores
from tests.stores import Layer, Model, write_store

CLEAN, HALF = Preparation(Filters.clean), Preparation(Filters.all, Rounding.float16)
BOTH = Preparation(Filters.clean, Rounding.float16)


def no_scan(filters: int) -> object:
    raise AssertionError(f"a scan of {filters} filters")


@pytest.fixture
def models() -> list[Model]:
    """Layers with no, some and only sparse filters; one of them all zero."""
    generator = np.random.default_rng(3)
    made = []
    for number in range(3):
        some = generator.standard_normal((600, 9)) * generator.uniform(0.5, 2, (600, 1))
        some[generator.random(600) < 0.3 * number] *= 1e-3
        one_large = generator.standard_normal((50, 9)) * 1e-6
        one_large[7] = 1
        layers = [Layer("a", 0, 0.0, some), Layer("b", 1, 0.5, one_large), Layer("c", 2, 1.0, np.zeros((4, 9)))]
        made.append(Model(f"model {number}", layers, given_id=f"{(number + 1) << 20:016x}"))
    return made


def prepared(layer: Layer, preparation: Preparation) -> np.ndarray:
    filters = layer.filters
    if preparation.is_clean:
        largest = float(np.abs(filters).max())
        filters = filters[np.abs(filters.astype(np.float64)).max(axis=1) >= (largest / 100 if largest else np.inf)]
    return filters.astype(np.float16).astype(np.float32) if preparation.is_rounded else filters


@pytest.mark.parametrize("preparation", [CLEAN, HALF, BOTH], ids=lambda each: each.identity)
def test_equals_the_plain_definitions(tmp_path: Path, models: list[Model], preparation: Preparation) -> None:
    store = Store.open(StoreSettings(str(write_store(tmp_path / "store", models, row_group=256))))
    sketch = sketch_of_store(store, store.layers(), SketchKind(preparation=preparation))
    by_id = {
        layer_id_of(model.model_id, i): prepared(layer, preparation)
        for model in models
        for i, layer in enumerate(model.layers)
    }
    everything = np.concatenate(list(by_id.values()))
    basis = reference.principal(everything)
    np.testing.assert_allclose(
        sketch.basis.explained_variance_ratio, basis.explained_variance_ratio, rtol=0, atol=1e-12
    )
    coefficients = reference.coefficients(everything, basis)
    np.testing.assert_allclose((sketch.basis.low, sketch.basis.high), (coefficients.min(), coefficients.max()))
    for layer, count in zip(sketch.layer_ids.tolist(), sketch.num_filters.tolist(), strict=True):
        assert count == len(by_id[layer])
        found = sketch.counts[sketch.rows_of(np.array([layer]))[0]]
        own = (reference.scale(by_id[layer]) - sketch.basis.mean) @ sketch.basis.components.T
        for k in range(9):
            expected, _ = np.histogram(own[:, k], 70, (sketch.basis.low, sketch.basis.high))
            # A coefficient within rounding of an edge may lie on either side.
            assert np.abs(np.cumsum(found[k] - expected)).max() <= 1
    again = sketch_of_store(
        store,
        store.layers(),
        SketchKind(preparation=preparation),
        options=ScanOptions(workers=no_scan),  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(again.counts, sketch.counts)


def test_sketches_on_one_basis_are_not_mixed_up(
    tmp_path: Path, models: list[Model], caplog: pytest.LogCaptureFixture
) -> None:
    """A basis held fixed is the same for all and for clean filters: what is kept on it is not."""
    store = Store.open(StoreSettings(str(write_store(tmp_path / "store", models))))
    layers = store.layers()
    basis = sketch_of_store(store, layers).basis
    kinds = {each: SketchKind(basis=basis, preparation=each) for each in (Preparation(), CLEAN, HALF, BOTH)}
    first = {each: sketch_of_store(store, layers, kind) for each, kind in kinds.items()}
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for each, kind in kinds.items():
            again = sketch_of_store(store, layers, kind, options=ScanOptions(workers=no_scan))  # type: ignore[arg-type]
            np.testing.assert_array_equal(again.counts, first[each].counts)
            assert again.preparation == each
    assert not caplog.records
    assert first[CLEAN].num_filters.sum() < first[Preparation()].num_filters.sum()
    with pytest.raises(UserError, match="cannot be merged"):
        merge_sketches([first[CLEAN], first[Preparation()]])
    path = tmp_path / "clean.parquet"
    first[CLEAN].to_parquet(path)
    given = Sketch.from_parquet(path)
    assert given.preparation == CLEAN
    with pytest.raises(UserError, match="given sketch is of filters that are not sparse"):
        sketch_of_store(store, layers, kinds[HALF], options=ScanOptions(sketch=given))


def test_a_given_range_leaves_out_what_lies_beyond(tmp_path: Path, models: list[Model]) -> None:
    store = Store.open(StoreSettings(str(write_store(tmp_path / "store", models))))
    free, narrow = (sketch_of_store(store, store.layers(), SketchKind(span=span)) for span in ((), (-1.0, 1.5)))
    assert (narrow.basis.low, narrow.basis.high) == (-1.0, 1.5)
    assert narrow.outside > 0
    assert free.outside == 0
    np.testing.assert_array_equal(narrow.num_filters, free.num_filters)
    np.testing.assert_array_equal(narrow.basis.components, free.basis.components)


def test_stores_of_older_versions_say_what_they_lack(tmp_path: Path, models: list[Model]) -> None:
    store = Store.open(StoreSettings(str(write_store(tmp_path / "store", models))))
    older = store.layers().drop_columns(["clean_sum", "clean_gram", "num_clean"])
    with pytest.raises(StoreError, match="9 of 9 layers have no 'num_clean': an older version extracted them"):
        sketch_of_store(store, older, SketchKind(preparation=CLEAN))
    assert sketch_of_store(store, older).num_filters.sum() == 3 * 654


def test_a_weight_beyond_float16_is_named(tmp_path: Path) -> None:
    filters = stores.random_filters(np.random.default_rng(0), 30)
    filters[11, 4] = 1e5
    model = Model("large", [Layer("a", 0, 0.0, filters)], given_id=f"{1 << 20:016x}")
    store = Store.open(StoreSettings(str(write_store(tmp_path / "store", [model]))))
    with pytest.raises(StoreError, match=r"row 11 .* beyond float16's 65 504; take rounding=none"):
        sketch_of_store(store, store.layers(), SketchKind(preparation=HALF))
