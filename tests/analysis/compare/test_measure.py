"""One model against a store: drifts against the definitions, leave-one-out, percentiles, files, one-line errors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from scipy.stats import percentileofscore

import analysis.compare.measure as compare_module
from analysis.command import carry_out
from analysis.compare import CompareSettings, compare_model
from analysis.compare.__main__ import main, steps
from analysis.compare.measure import CompareResult
from analysis.settings import Filters
from distributed.errors import UserError
from distributed.store.settings import StoreSettings
from tests import reference, stores
from tests.analysis.shift.test_measure import decile
from tests.checkpoints import real_models
from tests.cli import called, run_command
from tests.distributed.checkpoint_files import conv, extracted
from tests.stores import Model, blob_filters, sample_models, write_store


def checkpoint(folder: Path, layers: list[np.ndarray], name: str = "mine.safetensors") -> Path:
    """A bare state dict of (n, 9) layers as convolutions of one input channel; keys sort by depth."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"layer{index}.weight": torch.from_numpy(each.reshape(-1, 1, 3, 3)) for index, each in enumerate(layers)}
    save_file(weights, folder / name)
    return folder / name


def chain(path: Path) -> None:
    """An ONNX file of two convolutions, one after the other."""
    weights = [numpy_helper.from_array(conv(seed, 6, 6).numpy(), f"w{seed}") for seed in (0, 1)]
    nodes = [helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], pads=[1, 1, 1, 1]) for i in (0, 1)]
    image, output = (helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 6, 8, 8]) for x in ("x0", "x2"))
    onnx.save(helper.make_model(helper.make_graph(nodes, "chain", [image], [output], weights)), path)


@pytest.fixture(scope="module")
def layers() -> list[np.ndarray]:
    generator = np.random.default_rng(5)
    return [blob_filters(generator, size, 0.5) for size in (300, 64, 150)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, layers: list[np.ndarray]) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"), layers)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("compare") / "store", sample_models())


@pytest.fixture(scope="module")
def result(store: Path, model: Path) -> CompareResult:
    """The first comparison: it scans, and keeps the sketch in the store."""
    return compare_model(settings_for(store, model))


def settings_for(store: Path, model: Path | str, **changes: object) -> CompareSettings:
    settings = CompareSettings(StoreSettings(str(store)), model=str(model), replicates=200)
    return replace(settings, **changes)  # type: ignore[arg-type]


class Expected:
    """Drifts by the definitions alone, on the basis and range of all filters of the store."""

    def __init__(self, models: list[Model]) -> None:
        everything = np.concatenate([layer.filters for model in models for layer in model.layers])
        self.basis = reference.principal(everything)
        coefficients = reference.coefficients(everything, self.basis)
        self.low, self.high = coefficients.min(), coefficients.max()

    def drift(self, first: list[np.ndarray], second: list[np.ndarray]) -> float:
        """Coefficients outside the range are left out by NumPy's histogram as well."""
        a, b = (reference.coefficients(np.concatenate(each), self.basis) for each in (first, second))
        return reference.drift(a, b, self.basis.explained_variance_ratio, self.low, self.high)


def filters_of(models: list[Model], **columns: str) -> list[np.ndarray]:
    key, value = next(iter(columns.items()))
    return [layer.filters for model in models if model.columns[key] == value for layer in model.layers]


def test_drift_to_groups_of_models_is_that_of_the_definition(result: CompareResult, layers: list[np.ndarray]) -> None:
    models = sample_models()
    expected = Expected(models)
    for axis, groups in (("task", 3), ("visual_category", 3)):
        rows = [row for row in result.groups.to_pylist() if row["axis"] == axis]
        assert len(rows) == groups
        for row in rows:
            assert row["drift"] == pytest.approx(expected.drift(layers, filters_of(models, **{axis: row["group"]})))
            assert row["own_filters"] == 514


def test_groups_of_layers_are_compared_with_like_layers(result: CompareResult, layers: list[np.ndarray]) -> None:
    models = sample_models()
    expected = Expected(models)
    mine = {decile(0.0): layers[0], decile(0.5): layers[1], decile(1.0): layers[2]}
    rows = {row["group"]: row for row in result.groups.to_pylist() if row["axis"] == "depth"}
    assert set(mine) <= set(rows)
    for name, row in rows.items():
        if name not in mine:
            assert row["drift"] is None
            assert row["own_filters"] == 0
            continue
        theirs = [layer.filters for model in models for layer in model.layers if decile(layer.depth_norm) == name]
        assert row["drift"] == pytest.approx(expected.drift([mine[name]], theirs))
        assert row["own_filters"] == len(mine[name])


def test_nearest_models_and_usual_drift(result: CompareResult, layers: list[np.ndarray]) -> None:
    models = sample_models()
    expected = Expected(models)
    found = {row["model_id"]: row["drift"] for row in result.nearest.to_pylist()}
    assert list(found.values()) == sorted(found.values())
    assert result.nearest.column("rank").to_pylist() == list(range(1, 8))
    for each in models:
        drift = expected.drift(layers, [layer.filters for layer in each.layers])
        assert found[each.model_id] == pytest.approx(drift)
    group = [model for model in models if model.columns["task"] == "Classification"]
    within = []
    for each in group:
        rest = [layer.filters for other in group if other is not each for layer in other.layers]
        within.append(expected.drift([layer.filters for layer in each.layers], rest))
    row = next(row for row in result.groups.to_pylist() if row["group"] == "Classification")
    assert row["usual_drift"] == pytest.approx(np.median(within))
    assert row["members_farther"] == pytest.approx(np.mean(np.array(within) > row["drift"]))


def test_labels_group_and_describe_what_it_is_compared_with(
    result: CompareResult, store: Path, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("name,lab,drift\nalpha,A,1\n[bg]*,A,2\nomega,B,3\n")
    found = compare_model(settings_for(store, model, labels=str(path), axes=("lab",), replicates=0))
    assert {row["group"]: row["models"] for row in found.groups.to_pylist()} == {"A": 3, "B": 1}
    nearest = found.nearest.to_pylist()
    assert {row["model"]: row["lab"] for row in nearest if row["lab"]} == dict.fromkeys(
        ("alpha", "beta", "gamma"), "A"
    ) | {"omega": "B"}
    assert [row["drift"] for row in nearest] == result.nearest.column("drift").to_pylist()  # no label stands for it


def test_intervals_draw_whole_models_and_keep_the_model_fixed(
    result: CompareResult, store: Path, model: Path, layers: list[np.ndarray]
) -> None:
    row = next(row for row in result.groups.to_pylist() if row["group"] == "Denoising")
    twins = [each for each in sample_models() if each.columns["task"] == "Denoising"]
    expected = Expected(sample_models())
    parts = [[layer.filters for layer in twin.layers] for twin in twins]
    # Two models: a draw is the first twice, both, or the second twice. 95 % reach the two extremes.
    possible = [expected.drift(layers, chosen) for chosen in (parts[0], parts[1], parts[0] + parts[1])]
    assert row["drift_lo"] == pytest.approx(min(possible))
    assert row["drift_hi"] == pytest.approx(max(possible))
    assert row["few_models"]
    again = compare_model(settings_for(store, model))
    assert again.groups.equals(result.groups)
    assert not compare_model(settings_for(store, model, seed=1)).groups.equals(result.groups)
    without = compare_model(settings_for(store, model, replicates=0)).groups
    assert without.column("drift_lo").null_count == without.num_rows
    assert without.column("drift").equals(result.groups.column("drift"))


def test_one_model_groups_have_no_interval(store: Path, model: Path, result: CompareResult) -> None:
    rows = compare_model(settings_for(store, model, axes=("model",))).groups.to_pylist()
    assert len(rows) == 7
    assert all(row["drift_lo"] is None and row["usual_drift"] is None and row["drift"] > 0 for row in rows)


def test_a_model_of_the_store_is_left_out(tmp_path: Path, layers: list[np.ndarray]) -> None:
    models = sample_models()
    path = checkpoint(tmp_path / "in", [layer.filters for layer in models[0].layers])
    models[0].columns["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    models[0].columns["visual_category"] = "alone"
    result = compare_model(settings_for(write_store(tmp_path / "store", models), path))
    assert result.extent.models == 6
    assert "alpha" not in result.nearest.column("model").to_pylist()
    assert "alone" not in result.groups.column("group").to_pylist()
    assert any("holds this model itself (alpha" in note for note in result.notes)
    assert any(note == "visual_category: no other model than this one in alone" for note in result.axes[1].notes)
    expected = Expected(models)  # the basis stays the store's, the model's own filters in it
    row = next(row for row in result.groups.to_pylist() if row["group"] == "Classification")
    rest = [layer.filters for m in models[1:] if m.columns["task"] == "Classification" for layer in m.layers]
    assert row["drift"] == pytest.approx(expected.drift([layer.filters for layer in models[0].layers], rest))
    with pytest.raises(UserError, match="no other model than alpha"):
        compare_model(settings_for(tmp_path / "store", path, where="name = 'alpha'"))


def test_the_averaged_copy_of_a_model_is_left_out_where_the_store_holds_that_copy(tmp_path: Path) -> None:
    """Told by the variant in its id alone: the content is unknown, as of models of which only ranges were read."""
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    plain, averaged, other = ({"conv.weight": conv(seed, 24, 8)} for seed in range(3))
    torch.save({"state_dict": plain, "state_dict_ema": averaged}, source / "both.pth")
    torch.save({"state_dict": other, "state_dict_ema": other}, source / "other.pth")
    extracted(source, store, prefer_ema=True)
    for file in (store / "models").iterdir():
        table = pq.read_table(file)
        place = table.schema.get_field_index("sha256")
        pq.write_table(table.set_column(place, table.schema.field(place), pa.nulls(1, pa.string())), file)
    asked = settings_for(store, source / "both.pth", axes=("source",), replicates=0)
    found = compare_model(replace(asked, prefer_ema=True))
    assert found.nearest.column("model").to_pylist() == ["other"]
    assert any("holds this model itself (both" in note for note in found.notes)
    assert compare_model(asked).nearest.column("model").to_pylist() in (["both", "other"], ["other", "both"])


def test_coefficients_outside_the_range_are_counted(
    result: CompareResult, store: Path, model: Path, tmp_path: Path, layers: list[np.ndarray]
) -> None:
    basis = result.model.sketch.basis
    narrow = basis.with_range(-0.4, 0.4) if hasattr(basis, "with_range") else replace(basis, low=-0.4, high=0.4)
    (tmp_path / "basis.json").write_text(narrow.to_json())
    found = compare_model(settings_for(store, model, basis=str(tmp_path / "basis.json")))
    coefficients = reference.coefficients(np.concatenate(layers), Expected(sample_models()).basis)
    outside = int(((coefficients < -0.4) | (coefficients > 0.4)).sum())
    assert found.model.sketch.outside == outside > 0
    assert any(f"{outside:,} coefficients" in note and "the drifts miss" in note for note in found.notes)


def test_the_sketch_is_used_without_a_scan(
    result: CompareResult, store: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("workers were asked for")

    monkeypatch.setattr(compare_module, "scan_workers", refuse)
    assert compare_model(settings_for(store, model)).provenance.endswith("nothing scanned")


def test_quality_is_that_of_an_extraction_and_percentiles_are_mid_ranks(result: CompareResult) -> None:
    layers = result.layers
    assert layers.column("layer").to_pylist() == ["layer0.weight", "layer1.weight", "layer2.weight"]
    assert layers.column("num_filters").to_pylist() == [300, 64, 150]
    stored = [layer.columns["sparsity"] for each in sample_models() for layer in each.layers]
    expected = [percentileofscore(stored, value, kind="mean") for value in layers.column("sparsity").to_pylist()]
    assert layers.column("sparsity_percentile").to_pylist() == pytest.approx(expected)
    # The synthetic store has no orthogonality: there is nothing to be a percentile of.
    assert layers.column("orthogonality_percentile").null_count == 3


def test_files_and_terminal(store: Path, model: Path, result: CompareResult, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert carry_out(steps(), settings_for(store, model, out=str(tmp_path / "out"))) == 0
    shown = capsys.readouterr().out
    assert "Nearest models (of 7)" in shown
    assert "mine (local): 3 layers, 514 filters" in shown
    folder = tmp_path / "out"
    assert pq.read_table(folder / "groups.parquet").equals(result.groups)
    assert pq.read_table(folder / "layers.parquet").num_rows == 3
    content = json.loads((folder / "compare.json").read_text())
    assert content["model"]["name"] == "mine"
    assert [row["model"] for row in content["nearest"]] == result.nearest.column("model").to_pylist()[:10]
    assert content["axes"]["task"][0]["drift"] == result.groups.column("drift")[0].as_py()
    for name in ("groups.png", "layers.png", "groups.csv", "nearest.csv", "layers.csv"):
        assert (folder / name).stat().st_size > 100


@pytest.fixture(scope="module")
def bad_models(tmp_path_factory: pytest.TempPathFactory, layers: list[np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "broken.pth").write_bytes(b"this is no checkpoint")
    save_file({"fc.weight": torch.ones(4, 4), "conv.weight": torch.ones(4, 4, 1, 1)}, folder / "none.safetensors")
    checkpoint(folder / "two", layers, "a.safetensors")
    checkpoint(folder / "two", layers[:1], "b.safetensors")
    bad = layers[0].copy()
    bad[7, 3] = np.nan
    checkpoint(folder, [bad], "nan.safetensors")
    return folder


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("broken.pth", "broken"),
        ("none.safetensors", "no learned 3x3 convolution"),
        ("two", r"names 2 models; choose one: .*a\.safetensors, .*b\.safetensors"),
        ("nan.safetensors", "nan"),
        ("missing.pth", "no such file or folder: check the path"),
    ],
)
def test_models_that_cannot_be_compared(
    result: CompareResult, store: Path, bad_models: Path, name: str, says: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        compare_model(settings_for(store, bad_models / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"axes": ("nonsense",)},
            r"there is no axis 'nonsense' \(there are: computed: depth, depth_first, model, layer",
        ),
        ({"axes": ()}, "axes is empty"),
        ({"divergence": "euclid"}, "divergence=euclid: there are kl, js"),
        ({"replicates": -1}, "replicates=-1"),
        ({"level": 1.0}, "level=1.0"),
        ({"where": "task ="}, "where="),
        ({"model": "timm:"}, "timm:NAME"),
        ({"model": " "}, "give a checkpoint"),
    ],
)
def test_wrong_settings(store: Path, model: Path, result: CompareResult, changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        compare_model(replace(settings_for(store, model), **changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_command_line_with_an_awkward_path(
    store: Path, layers: list[np.ndarray], result: CompareResult, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "it's = [odd], 100%", layers)
    good = called(main, f"store.uri={store}", f"model={path}", "replicates=0", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert (tmp_path / "compare" / "compare.json").is_file()


def test_torch_is_not_imported_for_safetensors_and_onnx_files(store: Path, model: Path, tmp_path: Path) -> None:
    program = """
import sys
from analysis.compare.__main__ import main
try:
    main()
finally:
    print("imported:", {"ray", "torch"} & set(sys.modules))
"""
    chain(tmp_path / "mine.onnx")
    for file in (model, tmp_path / "mine.onnx"):
        done = run_command("-c", program, f"store.uri={store}", "axes=[task]", f"model={file}", "out=o", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "imported: set()" in done.stdout


def test_real_checkpoint_is_nearest_to_its_twin(checkpoints: Path, tmp_path: Path) -> None:
    """The two face detectors with the same weights, as a pickle and as ONNX."""
    names = ("ulfg_rfb_320_pth", "resnet20_cifar10", "ulfg_slim_320_onnx")
    store = write_store(tmp_path / "store", [model for model in real_models(checkpoints) if model.name in names])
    found = compare_model(settings_for(store, checkpoints / "version-RFB-320.onnx", axes=("task",)))
    nearest = found.nearest.to_pylist()
    assert (len(nearest), nearest[0]["model"]) == (3, "ulfg_rfb_320_pth")
    assert nearest[0]["drift"] < 0.01 < nearest[1]["drift"]


def test_clean_filters_of_the_model_against_clean_ones_of_the_store(tmp_path: Path) -> None:
    """Sparse filters are left out on both sides: a model that differs by them alone is no farther than its twin."""
    generator = np.random.default_rng(2)
    weights = generator.standard_normal((40, 5, 3, 3)).astype(np.float32)
    with_sparse = np.concatenate([weights, np.float32(1e-5) * generator.standard_normal((40, 5, 3, 3))]).astype("f4")
    other = generator.standard_normal((40, 5, 3, 3)).astype(np.float32) + 1
    store = write_store(
        tmp_path / "store", [stores.chain("twin", {"a.weight": weights}), stores.chain("other", {"a.weight": other})]
    )
    path = tmp_path / "own.pth"
    torch.save({"a.weight": torch.from_numpy(with_sparse)}, path)
    drifts = {}
    for filters in Filters:
        found = compare_model(settings_for(store, path, axes=("model",), filters=filters))
        drifts[filters] = dict(
            zip(*(found.nearest.column(name).to_pylist() for name in ("model", "drift")), strict=True)
        )
        assert found.model.sketch.num_filters.sum() == (200 if filters is Filters.clean else 400)
        assert found.layers.column("num_filters").to_pylist() == [400]
    assert drifts[Filters.clean]["twin"] == 0.0
    assert drifts[Filters.all]["twin"] > 0.01
