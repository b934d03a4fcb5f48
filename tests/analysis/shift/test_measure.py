"""The command on a store written from the definitions: numbers, reuse, and one-line errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.arrays.sketch import Sketch
from analysis.command import carry_out
from analysis.selection.view import StoreView
from analysis.settings import Adjust, Unit
from analysis.shift import ShiftSettings, measure_shift
from analysis.shift.__main__ import main, steps
from distributed.errors import UserError
from distributed.store.settings import StoreSettings
from tests import reference
from tests.cli import called
from tests.stores import Layer, Model, sample_models, write_store

KeyOf = Callable[[Model, Layer], str | None]

BY_AXIS: dict[str, KeyOf] = {
    "task": lambda model, layer: model.columns["task"],
    "visual_category": lambda model, layer: model.columns["visual_category"],
    "depth": lambda model, layer: decile(layer.depth_norm),
    "model": lambda model, layer: model.name if model.name != "twin" else f"twin [{model.model_id}]",
    "layer": lambda model, layer: f"{BY_AXIS['model'](model, layer)}: {layer.name}",
    "is_depthwise": lambda model, layer: {None: None, True: "true", False: "false"}[layer.columns["is_depthwise"]],
}


def decile(norm: float) -> str:
    index = max(1, math.ceil(round(norm * 10, 9)))
    return "[0.0, 0.1]" if index == 1 else f"({(index - 1) / 10:.1f}, {index / 10:.1f}]"


def expected(models: list[Model], key_of: KeyOf, where: Callable[[Model, Layer], bool]) -> dict[tuple[str, str], float]:
    """Drift of every pair of groups by the reference; the basis and the range are always of all filters."""
    everything = np.concatenate([layer.filters for model in models for layer in model.layers])
    basis = reference.principal(everything)
    coefficients = reference.coefficients(everything, basis)
    low, high = coefficients.min(), coefficients.max()
    groups: dict[str, list[np.ndarray]] = {}
    for model in models:
        for layer in model.layers:
            key = key_of(model, layer)
            if key is not None and where(model, layer):
                groups.setdefault(key, []).append(reference.coefficients(layer.filters, basis))
    joined = {key: np.concatenate(parts) for key, parts in groups.items()}
    ratio = basis.explained_variance_ratio
    half = {(a, b): reference.drift(joined[a], joined[b], ratio, low, high) for a in joined for b in joined if a <= b}
    return half | {(b, a): value for (a, b), value in half.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic store, already scanned once (its sketch is kept in it)."""
    folder = write_store(tmp_path_factory.mktemp("synthetic") / "store", sample_models())
    result = measure_shift(ShiftSettings(StoreSettings(str(folder)), axes=("task",), out="nowhere"))
    assert result.sketch.origin is not None
    assert result.sketch.origin.scanned
    return folder


def settings(folder: Path, out: Path, **changes: object) -> ShiftSettings:
    return ShiftSettings(**{"store": StoreSettings(str(folder)), "out": str(out)} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", [None, "conv_depth > 0 and visual_category is not null"])
def test_every_axis_equals_the_reference(store: Path, tmp_path: Path, condition: str | None) -> None:
    def where(model: Model, layer: Layer) -> bool:
        return condition is None or (layer.depth > 0 and model.columns["visual_category"] is not None)

    result = measure_shift(settings(store, tmp_path, axes=tuple(BY_AXIS), where=condition))
    for measured, (axis, key_of) in zip(result.shifts, BY_AXIS.items(), strict=True):
        theirs = expected(sample_models(), key_of, where)
        ours = {(row["a"], row["b"]): row["drift"] for row in measured.pairs().to_pylist()}
        assert ours.keys() == theirs.keys()
        assert len(theirs) > 1
        np.testing.assert_allclose(
            [ours[k] for k in theirs], list(theirs.values()), rtol=1e-6, atol=1e-12, err_msg=axis
        )
        assert max(theirs.values()) > 0.1


def test_basis_file_is_the_pca_of_all_filters(store: Path, tmp_path: Path) -> None:
    carry_out(steps(), settings(store, tmp_path, axes=("task",), where="task = 'Denoising'"))
    content = json.loads((tmp_path / "basis.json").read_text())
    everything = np.concatenate([layer.filters for model in sample_models() for layer in model.layers])
    basis = reference.principal(everything)
    np.testing.assert_allclose(content["mean"], basis.mean, atol=1e-12)
    np.testing.assert_allclose(content["components"], basis.components, atol=1e-9)
    np.testing.assert_allclose(content["explained_variance_ratio"], basis.explained_variance_ratio, rtol=1e-9)
    coefficients = reference.coefficients(everything, basis)
    np.testing.assert_allclose(content["range"], [coefficients.min(), coefficients.max()], rtol=1e-9)
    assert (content["bins"], content["filters"]) == (70, len(everything))


def test_kept_sketch_serves_other_axes_and_conditions_without_filters_or_workers(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("workers were asked for although nothing is to be scanned")

    monkeypatch.setattr("analysis.shift.measure.scan_workers", refuse)
    filters = store / "filters"
    hidden = filters.rename(store / "elsewhere")
    try:
        result = measure_shift(settings(store, tmp_path, axes=("depth", "model"), where="conv_depth > 1"))
    finally:
        hidden.rename(filters)
    assert result.sketch.origin is not None
    assert not result.sketch.origin.scanned
    assert "nothing scanned" in result.sketch.origin.text


def test_sketch_of_an_earlier_run_serves_where_the_store_keeps_none(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = measure_shift(settings(store, tmp_path / "out", axes=("task",)))
    carry_out(steps(), settings(store, tmp_path / "out", axes=("task",)))
    bare = write_store(tmp_path / "bare", sample_models())
    again = measure_shift(settings(bare, tmp_path / "out", axes=("task",)))
    assert again.sketch.origin is not None
    assert not again.sketch.origin.scanned
    np.testing.assert_array_equal(again.shifts[0].drift, first.shifts[0].drift)
    (tmp_path / "out" / "sketch.parquet").write_bytes(b"PAR1 damaged")
    other = write_store(tmp_path / "other", sample_models())
    scanned = measure_shift(settings(other, tmp_path / "out", axes=("task",)))
    assert scanned.sketch.origin is not None
    assert scanned.sketch.origin.scanned
    assert "cannot read the sketch" in caplog.text
    np.testing.assert_array_equal(scanned.shifts[0].drift, first.shifts[0].drift)


def test_the_file_of_an_earlier_run_is_read_once(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert carry_out(steps(), settings(store, tmp_path, axes=("task",))) == 0
    real, read = Sketch.from_parquet, []

    def noted(source: object, *origin: str) -> Sketch:
        read.append(source)
        return real(source, *origin)

    monkeypatch.setattr(Sketch, "from_parquet", noted)
    assert carry_out(steps(), settings(store, tmp_path, axes=("task", "depth"))) == 0
    assert [source for source in read if isinstance(source, Path)] == [tmp_path / "sketch.parquet"]
    assert len(read) == 2  # and what the store keeps, once


def test_basis_of_another_store(store: Path, tmp_path: Path) -> None:
    carry_out(steps(), settings(store, tmp_path / "all", axes=("task",)))
    wide = [Layer("w", 0, 0.0, np.vstack([np.ones((5, 9)), -np.ones((5, 9)), np.eye(9)]).astype(np.float32))]
    few = [Model("big", wide, {"task": "A"}), *sample_models()[:1]]
    other = write_store(tmp_path / "other", few)
    result = measure_shift(settings(other, tmp_path / "x", axes=("task",), basis=str(tmp_path / "all" / "basis.json")))
    assert result.basis.digest == json.loads((tmp_path / "all" / "basis.json").read_text())["digest"]
    everything = np.concatenate([layer.filters for model in sample_models() for layer in model.layers])
    basis = reference.principal(everything)
    coefficients = reference.coefficients(everything, basis)
    groups = [reference.coefficients(wide[0].filters, basis)]
    groups += [np.concatenate([reference.coefficients(layer.filters, basis) for layer in few[1].layers])]
    low, high = float(coefficients.min()), float(coefficients.max())
    theirs = reference.drift(*groups, basis.explained_variance_ratio, low, high)
    assert result.shifts[0].drift[0, 1] == pytest.approx(theirs, rel=1e-6)
    outside = sum(int(((g < low) | (g > high)).sum()) for g in groups)
    assert (outside > 0) == any("outside the range of the basis" in note for note in result.shifts[0].notes)


def test_lineages_are_dealt_and_left_out_whole(store: Path, tmp_path: Path) -> None:
    """All models of one lineage: with one unit a side nothing is known, and the drift stays what it is."""
    asked, view = settings(store, tmp_path, axes=("task",), replicates=20), StoreView.open(StoreSettings(str(store)))
    flat = view.flat.drop_columns([name for name in view.flat.column_names if name == "lineage"])
    view = replace(view, flat=flat.append_column("lineage", flat.column("task")))
    by_model = measure_shift(asked, view).shifts[0].pairs().to_pylist()
    by_lineage = measure_shift(replace(asked, unit=Unit.lineage, adjust=Adjust.max), view).shifts[0].pairs().to_pylist()
    for theirs, ours in zip(by_model, by_lineage, strict=True):
        assert ours["drift"] == theirs["drift"]
        assert (ours["units_a"], ours["units_b"]) == (1, 1)
        if ours["a"] != ours["b"]:
            assert theirs["drift_debiased"] < theirs["drift"]
            assert ours["drift_debiased"] is ours["drift_lo"] is ours["floor"] is None
            assert ours["p_value"] == ours["q_value"] == 1.0  # both deals of two units are the same


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"axes": ("taks",)},
            "there is no axis 'taks'; did you mean 'task'? (there are: computed: depth, depth_first, model, layer;",
        ),
        ({"axes": ()}, "axes is empty"),
        ({"axes": ("paper",)}, "axis 'paper' is null for all of 7 models"),
        ({"axes": ("layer",), "max_groups": 5}, "28 groups, more than max_groups=5"),
        ({"where": "tusk = 1"}, "there is no column 'tusk'; did you mean 'task'?"),
        ({"where": "conv_depth >"}, "cannot be evaluated: Parser Error"),
        ({"where": "conv_depth > 99"}, "leaves no filter"),
        ({"basis": "missing.json"}, "cannot read the basis missing.json"),
        ({"bins": 1}, "bins=1: give 2 to 10,000"),
        ({"margin": -0.1}, "margin=-0.1: give 0 to 1,000,000"),
        ({"margin": 0.02, "replicates": 0}, "margin=0.02: a verdict needs intervals and p-values"),
        ({"store": StoreSettings("nowhere")}, "nowhere holds no models"),
    ],
)
def test_requests_that_cannot_be_end_before_a_scan(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], message: str
) -> None:
    monkeypatch.setattr("analysis.shift.measure.sketch_of_store", lambda *_, **__: pytest.fail("went on to the scan"))
    with pytest.raises(UserError) as caught:
        measure_shift(settings(store, tmp_path, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_command_line_end_to_end(store: Path, tmp_path: Path) -> None:
    where = "task = 'Segmentation' and conv_depth > 0"
    done = called(main, f"store.uri={store}", "axes=[task,depth]", f"where={where}", "out=r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Drift by depth" in done.stdout
    assert f"where {where}" in done.stdout
    assert "nothing scanned" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]  # no folders of Hydra's
    assert len([path for path in (tmp_path / "r").iterdir() if path.name[0] != "."]) == 8
    theirs = expected(
        sample_models(), BY_AXIS["depth"], lambda m, x: m.columns["task"] == "Segmentation" and x.depth > 0
    )
    rows = pq.read_table(tmp_path / "r" / "shift_depth.parquet").to_pylist()
    assert {(row["a"], row["b"]): pytest.approx(row["drift"], rel=1e-6, abs=1e-12) for row in rows} == theirs


@pytest.mark.parametrize(
    ("override", "message", "code"), [("axes=[nope]", "error: there is no axis 'nope'", 2), ("binz=3", "binz", 2)]
)
def test_command_line_errors_are_short(store: Path, tmp_path: Path, override: str, message: str, code: int) -> None:
    done = called(main, f"store.uri={store}", override, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if code == 2:
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
