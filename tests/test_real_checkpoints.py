"""The eleven real checkpoints, from the command line into a store and out as drifts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.bounds import ExtremeFilters
from analysis.arrays.moments import Moments
from analysis.lineage.__main__ import main as lineage
from analysis.scanning.scan import coefficient_extremes
from analysis.scanning.thread_workers import ThreadWorkers
from analysis.scanning.units import LayerIndex
from analysis.shift.__main__ import main as shift
from distributed.store import Store
from distributed.store.settings import StoreSettings
from launch.extract import main
from tests import cli, reference
from tests.checkpoints import real_models

#: 3x3 filters of each model, counted by a few plain lines of torch and onnx.
FILTERS = {
    "resnet20_cifar10": 29_744,
    "resnet32_cifar10": 51_248,
    "resnet44_cifar10": 72_752,
    "ulfg_rfb_320_pth": 7_872,
    "ulfg_rfb_320_onnx": 7_872,
    "ulfg_slim_320_onnx": 6_624,
    "carn_m": 28_032,
    "wnet_drive": 6_584,
    "deepcr_mask_f435w": 10_272,
    "deepcr_mask_f606w": 10_272,
    "minifasnet_v2": 1_312,
}


@dataclass(frozen=True)
class Extraction:
    """A store of the eleven models and what the command said."""

    store: Path
    said: cli.Said


pytestmark = pytest.mark.ray


def extract(*overrides: str, cwd: Path) -> cli.Said:
    """The command in this process, on the Ray that it is connected to."""
    return cli.called(main, *overrides, "cluster.actors=2", cwd=cwd)


@pytest.fixture(scope="module")
def extraction(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Extraction:
    folder = tmp_path_factory.mktemp("real")
    said = extract("source=local", f"source.path={checkpoints}", f"store.uri={folder}/store", cwd=folder)
    assert said.returncode == 0, said.stdout + said.stderr
    return Extraction(folder / "store", said)


def table(store: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(store / name).to_pylist()


def filters_of(store: Path, model_id: str) -> np.ndarray:
    columns = pq.read_table(store / "filters" / f"{model_id}.parquet")
    return np.stack([columns[f"w{i}"].to_numpy() for i in range(9)], axis=1)


def test_every_model_has_the_filters_the_issue_states(extraction: Extraction) -> None:
    models = table(extraction.store, "models")
    assert {m["name"]: m["num_filters"] for m in models} == FILTERS
    assert "listed 11 = extracted 11 + already there 0 + skipped 0 + failed 0" in extraction.said.stdout
    for model in models:
        assert len(filters_of(extraction.store, model["model_id"])) == FILTERS[model["name"]]


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def test_filters_equal_what_a_few_plain_lines_read(extraction: Extraction, checkpoints: Path) -> None:
    ids = {m["name"]: m["model_id"] for m in table(extraction.store, "models")}
    for model in real_models(checkpoints):
        assert len(model.filters) == FILTERS[model.name]
        ours = filters_of(extraction.store, ids[model.name])
        np.testing.assert_array_equal(sorted_rows(ours), sorted_rows(model.filters), err_msg=model.name)


def test_the_onnx_twin_has_the_same_filters_bit_for_bit(extraction: Extraction) -> None:
    ids = {m["name"]: m["model_id"] for m in table(extraction.store, "models")}
    pth, twin = (filters_of(extraction.store, ids[f"ulfg_rfb_320_{kind}"]) for kind in ("pth", "onnx"))
    np.testing.assert_array_equal(sorted_rows(pth).view(np.uint32), sorted_rows(twin).view(np.uint32))


def test_the_manifest_reaches_the_models_table(extraction: Extraction, checkpoints: Path) -> None:
    manifest = yaml.safe_load((checkpoints / "manifest.yaml").read_text())["models"]
    models = {m["name"]: m for m in table(extraction.store, "models")}
    for entry in manifest:
        model = models[entry["name"]]
        for column in ("task", "visual_category", "training_dataset", "architecture", "license", "sha256"):
            assert model[column] == entry[column], (entry["name"], column)
        assert model["bytes_total"] == (checkpoints / entry["file"]).stat().st_size
    methods = {(row["model_id"], row["depth_method"]) for row in table(extraction.store, "layers")}
    by_name = {m["model_id"]: m["name"] for m in models.values()}
    assert {(by_name[i], method) for i, method in methods} == {
        (name, "onnx" if name.endswith("onnx") else "order") for name in FILTERS
    }


def test_layers_add_up(extraction: Extraction) -> None:
    layers = table(extraction.store, "layers")
    for model in table(extraction.store, "models"):
        mine = [row for row in layers if row["model_id"] == model["model_id"]]
        assert sum(row["num_filters"] for row in mine) == model["num_filters"]
        assert sum(row["out_channels"] * row["in_channels"] for row in mine) == model["num_filters"]
        assert [row["layer_index"] for row in mine] == list(range(len(mine)))
        depths = [row["conv_depth_norm"] for row in mine]
        assert depths == sorted(depths)
        assert 0 <= depths[0] <= depths[-1] <= 1


def test_a_second_run_reads_nothing(extraction: Extraction, checkpoints: Path, tmp_path: Path) -> None:
    def written() -> dict[Path, int]:
        """All of the store, but for the record that each run leaves."""
        return {p: p.stat().st_mtime_ns for p in extraction.store.rglob("*.parquet") if p.parent.name != "runs"}

    before = written()
    again = extract("source=local", f"source.path={checkpoints}", f"store.uri={extraction.store}", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "listed 11 = extracted 0 + already there 11 + skipped 0 + failed 0" in again.stdout
    assert written() == before


def decile(depth: float) -> str:
    """[0.0, 0.1], (0.1, 0.2] … (0.9, 1.0], one comparison at a time."""
    for k in range(10):
        if depth <= (k + 1) / 10:
            return f"{'[' if k == 0 else '('}{k / 10:.1f}, {(k + 1) / 10:.1f}]"
    raise AssertionError(depth)


def shifts_of_store(store: Path, axes: list[str], without: str = "") -> dict[str, dict[tuple[str, str], float]]:
    """Every drift of every axis, the long way: all filters in memory, grouped, histogrammed, compared pair by pair."""
    models = {row["model_id"]: row for row in table(store, "models") if row["name"] != without}
    layers = {row["layer_id"]: row for row in table(store, "layers") if row["model_id"] in models}
    filters = pq.read_table(store / "filters", filters=[("layer_id", "in", list(layers))])
    rows = np.stack([filters[f"w{i}"].to_numpy() for i in range(9)], axis=1)
    basis = reference.principal(rows)
    coefficients = reference.coefficients(rows, basis)
    low, high = coefficients.min(), coefficients.max()
    owner = [layers[layer_id] for layer_id in filters["layer_id"].to_pylist()]
    shifts: dict[str, dict[tuple[str, str], float]] = {}
    for axis in axes:
        if axis == "depth":
            values = [decile(layer["conv_depth_norm"]) for layer in owner]
        elif axis in ("depth_method", "is_depthwise"):
            values = [layer[axis] for layer in owner]
        else:
            values = [models[layer["model_id"]]["name" if axis == "model" else axis] for layer in owner]
        of_row = np.array([value if value is not None else "" for value in values])
        groups = {name: coefficients[of_row == name] for name in sorted(set(of_row) - {""})}
        shifts[axis] = {
            (a, b): reference.drift(p, q, basis.explained_variance_ratio, low, high)
            for a, p in groups.items()
            for b, q in groups.items()
        }
    return shifts


@pytest.mark.parametrize(("duplicates", "without"), [("keep", ""), ("drop", "ulfg_rfb_320_pth")])
def test_every_drift_equals_the_transcription(
    extraction: Extraction, tmp_path: Path, duplicates: str, without: str
) -> None:
    axes = ["task", "visual_category", "training_dataset", "depth", "model", "depth_method"]
    named = f"axes=[{','.join(axes)}]"
    given = (f"store.uri={extraction.store}", named, f"duplicates={duplicates}", f"out={tmp_path}/shift")
    said = cli.called(shift, *given, cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    note = f"same weights count once, left out: {without} (as ulfg_rfb_320_onnx); duplicates=keep takes them"
    assert (note in said.stdout) == (duplicates == "drop")
    expected = shifts_of_store(extraction.store, axes, without)
    for axis in axes:
        rows = pq.read_table(tmp_path / "shift" / f"shift_{axis}.parquet").to_pylist()
        found = {(row["a"], row["b"]): row["drift"] for row in rows}
        assert found == pytest.approx(expected[axis], rel=1e-6, abs=1e-12), axis
        assert len(found) > 1


def test_the_twins_are_one_lineage_and_nobody_else_is(extraction: Extraction, tmp_path: Path) -> None:
    said = cli.called(lineage, f"store.uri={extraction.store}", f"out={tmp_path}/lineage", cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "11 models, 236 layers, 232,584 filters; 10 lineages, 1 tie" in said.stdout
    (row,) = pq.read_table(tmp_path / "lineage" / "ties.parquet").to_pylist()
    assert (row["model_a"], row["model_b"], row["tie"]) == ("ulfg_rfb_320_onnx", "ulfg_rfb_320_pth", "same weights")


def test_few_layers_are_read_for_the_range_of_all(extraction: Extraction) -> None:
    """Four filters a layer, kept at extraction, bound the others: trained networks need no second whole scan."""
    store = Store.open(StoreSettings(str(extraction.store)))
    layers = store.layers()
    index, axes = LayerIndex.from_table(layers), PrincipalAxes.from_moments(Moments.from_layers(layers))
    kept = ExtremeFilters.from_layers(layers)
    attained = kept.attained(axes)
    undecided = index.take(kept.undecided(axes, attained))
    assert undecided.total_filters < 0.1 * index.total_filters
    workers = ThreadWorkers(2)
    everything, _ = coefficient_extremes(store, index, axes, workers)
    few, _ = coefficient_extremes(store, undecided, axes, workers)
    found = min(few.low.min(), attained.low.min()), max(few.high.max(), attained.high.max())
    assert found == pytest.approx((everything.low.min(), everything.high.max()), abs=1e-13)
