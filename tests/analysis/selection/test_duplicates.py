"""One weight set counts once: what is left out, what is said of it, and what stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.scanning.sketching import SketchKind, sketch_of_store
from analysis.selection.view import StoreView
from analysis.settings import Duplicates
from analysis.shift.measure import measure as measure_shift
from analysis.shift.settings import ShiftSettings
from analysis.structure.measure import measure as measure_structure
from analysis.structure.settings import StructureSettings
from distributed.store import StoreSettings
from tests import reference
from tests.stores import Model, chain, random_filters, write_store


def weights(seed: int, rows: int = 400) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {f"conv{i}": random_filters(generator, rows) for i in range(3)}


def model(name: str, seed: int, task: str, **columns: object) -> Model:
    return chain(name, weights(seed), {"task": task, **columns})


def models() -> list[Model]:
    moved = {f"other.{name}": each for name, each in reversed(weights(1).items())}  # another order, other names
    almost = weights(1)
    almost["conv1"] = np.nextafter(almost["conv1"], np.float32(np.inf))
    return [
        model("b original", 1, "x", format="torch"),
        chain("a copy", moved, {"task": "x", "format": "onnx"}),
        model("c copy", 1, "y", format="onnx"),
        chain("almost", almost, {"task": "y"}),
        model("own", 2, "y"),
        model("another", 3, "x"),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("twins") / "store", models())


@pytest.fixture(scope="module")
def view(folder: Path) -> StoreView:
    return StoreView.open(StoreSettings(str(folder)))


@pytest.mark.parametrize(
    ("where", "stay", "note"),
    [
        (None, {"a copy", "almost", "own", "another"}, "b original (as a copy), c copy (as a copy)"),
        ("format = 'torch'", {"b original"} | {"almost", "own", "another"}, None),
        ("task = 'y'", {"c copy", "almost", "own"}, None),
        (
            "model_label <> 'a copy' and conv_depth > 0",
            {"b original", "almost", "own", "another"},
            "c copy (as b original)",
        ),
    ],
)
def test_of_what_takes_part_the_first_by_name_counts(
    view: StoreView, where: str | None, stay: set[str], note: str | None
) -> None:
    selected = view.select(where, duplicates=Duplicates.drop)
    assert set(selected.column("model_label").to_pylist()) == stay
    said = view.notes_on_duplicates(where, Duplicates.drop)
    expected = f"same weights count once, left out: {note}; duplicates=keep takes them"
    assert said == ((expected,) if note else ())


def test_keep_takes_them_all_and_says_nothing(view: StoreView) -> None:
    assert view.select(None, duplicates=Duplicates.keep).num_rows == 18
    assert view.notes_on_duplicates(None, Duplicates.keep) == ()


@pytest.mark.parametrize("duplicates", Duplicates)
def test_the_basis_and_every_drift_are_those_of_what_counts(
    folder: Path, duplicates: Duplicates, tmp_path: Path
) -> None:
    left_out = {"b original", "c copy"} if duplicates is Duplicates.drop else set()
    counting = [each for each in models() if each.name not in left_out]
    where = StoreSettings(str(folder))
    found = measure_shift(
        ShiftSettings(where, axes=("task",), replicates=0, duplicates=duplicates, out=str(tmp_path / "shift"))
    )
    everything = np.concatenate([each.filters for each in counting])
    basis = reference.principal(everything)
    ratio = basis.explained_variance_ratio
    np.testing.assert_allclose(found.sketch.basis.explained_variance_ratio, ratio, rtol=1e-9)
    structure = measure_structure(StructureSettings(where, axes=("task",), duplicates=duplicates))
    assert structure.whole.moments.count == len(everything)
    assert structure.whole.principal is not None
    np.testing.assert_allclose(structure.whole.principal.explained_variance_ratio, ratio, rtol=1e-9)
    assert any("same weights count once" in note for note in structure.notes) == bool(left_out)
    x, y = (
        reference.coefficients(np.concatenate([m.filters for m in counting if m.columns["task"] == task]), basis)
        for task in ("x", "y")
    )
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    (shift,) = found.shifts
    assert shift.drift[0, 1] == pytest.approx(reference.drift(x, y, ratio, low, high), rel=1e-9)
    assert any("same weights count once" in note for note in found.notes) == bool(left_out)


def test_a_store_without_duplicates_has_one_basis_either_way(tmp_path: Path) -> None:
    folder = write_store(tmp_path / "store", [model("one", 1, "x"), model("two", 2, "y")])
    view = StoreView.open(StoreSettings(str(folder)))
    first = sketch_of_store(view.store, view.layers, SketchKind(duplicates=Duplicates.drop))
    again = sketch_of_store(view.store, view.layers, SketchKind(duplicates=Duplicates.keep))
    assert again.basis.digest == first.basis.digest
    assert again.origin is not None
    assert not again.origin.scanned


def test_a_store_of_an_older_version_has_none_that_it_knows_of(tmp_path: Path) -> None:
    older = models()
    for each in older:
        for layer in each.layers:
            layer.columns = {"digest": None, "weight_sketch": None}
    view = StoreView.open(StoreSettings(str(write_store(tmp_path / "store", older))))
    assert view.select(None, duplicates=Duplicates.drop).num_rows == 18
