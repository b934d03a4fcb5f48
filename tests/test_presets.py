"""Presets: what they set in each command, that what is typed wins, and that they compute as the papers do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis import api
from analysis.coefficients import CoefficientsSettings
from analysis.compare import CompareSettings
from analysis.pairs import PairsSettings
from analysis.quality import QualitySettings, measure_quality
from analysis.report import ReportSettings
from analysis.settings import ComponentWeight, Filters, LayerWeight, Order, Rounding
from analysis.shift import ShiftSettings, measure_shift
from analysis.structure import StructureSettings, measure_structure
from distributed.composition import composed
from distributed.errors import UserError
from distributed.presets import preset_names, preset_settings
from distributed.settings import ExtractionRun
from distributed.store.settings import StoreSettings
from tests import reference
from tests.stores import Model, sample_models, write_store

ANALYSES = {
    "shift": ShiftSettings,
    "structure": StructureSettings,
    "quality": QualitySettings,
    "coefficients": CoefficientsSettings,
    "report": ReportSettings,
    "compare": CompareSettings,
    "pairs": PairsSettings,
}


@pytest.fixture(scope="module")
def models() -> list[Model]:
    """With sparse filters."""
    found = sample_models()
    for model in found:
        for layer in model.layers:
            layer.weight[0, ::3] *= np.float32(1e-4)
            layer.columns.pop("sparsity", None)
    return found


@pytest.fixture(scope="module")
def store(models: list[Model], tmp_path_factory: pytest.TempPathFactory) -> StoreSettings:
    return StoreSettings(str(write_store(tmp_path_factory.mktemp("presets") / "store", models)))


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("command", ANALYSES)
def test_every_preset_composes_with_every_command(preset: str, command: str) -> None:
    more = {"compare": ["model=x"], "pairs": ["pairs=x.csv"]}.get(command, [])
    settings = composed(command, ANALYSES[command], ["store.uri=x", f"preset={preset}", *more])
    for name, value in preset_settings(preset, command, ANALYSES[command]).items():
        found = getattr(settings, name)
        assert (list(found) if isinstance(found, tuple) else found) == value, name


def test_what_is_typed_wins() -> None:
    typed = composed("shift", ShiftSettings, ["preset=robustness", "store.uri=x", "filters=all", "axes=[task*depth]"])
    assert typed.filters is Filters.all
    assert typed.axes == ("task*depth_first",)
    later = composed("shift", ShiftSettings, ["store.uri=x", "bins=40", "preset=medical"])
    assert (later.bins, later.span, later.components) == (40, (-3.0, 3.0), ComponentWeight.equal)
    assert composed("extract", ExtractionRun, ["preset=paper"]).extract.variant == "folded"


def test_a_section_is_of_its_command_alone() -> None:
    assert composed("quality", QualitySettings, ["store.uri=x", "preset=robustness"]).weight is LayerWeight.measured
    shift = composed("shift", ShiftSettings, ["store.uri=x", "preset=paper_float16"])
    assert (shift.weight, shift.rounding, shift.order) == ("filters", Rounding.float16, Order.mean_drift)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["preset=papr"], "preset=papr: there are medical, paper, paper_float16, robustness; did you mean 'paper'"),
        (["preset=paper", "preset=medical"], "preset is given 2 times"),
    ],
)
def test_wrong_presets_say_which_there_are(arguments: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words.replace("?", r"\?")):
        composed("shift", ShiftSettings, [*arguments, "store.uri=x"])


def clean(filters: np.ndarray) -> np.ndarray:
    largest = np.abs(filters).max(axis=1)
    return filters[largest >= largest.max() / np.float64(100)]


def procedure(models: list[Model], preset: str) -> tuple[list[str], np.ndarray]:
    """The notebooks' procedure, plainly: groups by task in their order, and the matrix."""
    prepare = {"robustness": clean, "paper_float16": lambda f: f.astype(np.float16).astype(np.float32)}
    groups: dict[str, list[np.ndarray]] = {}
    for model in models:
        for layer in model.layers:
            groups.setdefault(model.columns["task"], []).append(prepare.get(preset, lambda f: f)(layer.filters))
    joined = {name: np.concatenate(parts) for name, parts in sorted(groups.items())}
    everything = np.concatenate(list(joined.values()))
    basis = reference.principal(everything)
    own = {name: reference.coefficients(filters, basis) for name, filters in joined.items()}
    low, high = min(c.min() for c in own.values()), max(c.max() for c in own.values())
    ratio = basis.explained_variance_ratio
    if preset == "medical":
        low, high, ratio = -3.0, 3.0, np.full(9, 1 / 9)
    matrix = np.array([[reference.drift(a, b, ratio, low, high) for b in own.values()] for a in own.values()])
    names = list(own)
    if preset.startswith("paper"):
        order = np.argsort(matrix.mean(axis=0))
        names, matrix = [names[i] for i in order], matrix[np.ix_(order, order)]
    return names, matrix


@pytest.mark.parametrize("preset", preset_names())
def test_drifts_are_those_of_the_published_procedure(
    models: list[Model], store: StoreSettings, preset: str, tmp_path: Path
) -> None:
    settings = composed("shift", ShiftSettings, [f"store.uri={store.uri}", f"preset={preset}", "axes=[task]"])
    (shift,) = measure_shift(settings).shifts
    names, matrix = procedure(models, preset)
    assert [group.name for group in shift.groups] == names
    np.testing.assert_allclose(shift.drift, matrix, rtol=0, atol=1e-4 if preset == "paper_float16" else 1e-9)
    pairs = api.shift(store, "task", preset=preset, replicates=0)
    np.testing.assert_array_equal(pairs["drift"].to_numpy().reshape(matrix.shape), shift.drift)


def test_order_moves_intervals_with_their_groups(store: StoreSettings) -> None:
    tables = [api.shift(store, "task", order=order, replicates=50) for order in ("name", "mean_drift")]
    by_pair = [table.sort_values(["a", "b"]).reset_index(drop=True) for table in tables]
    assert by_pair[0].equals(by_pair[1])
    assert tables[0]["a"].tolist() != tables[1]["a"].tolist()


def test_groups_count_the_filters_that_count(models: list[Model], store: StoreSettings) -> None:
    """In structure, too; and a group without any is left out."""
    found = measure_structure(StructureSettings(store, axes=("task", "depth"), filters=Filters.clean))
    kept = sum(len(clean(layer.filters)) for model in models for layer in model.layers)
    assert found.whole.moments.count == found.extent.filters == kept
    everything = np.concatenate([clean(layer.filters) for model in models for layer in model.layers])
    expected = reference.principal(everything)
    np.testing.assert_allclose(found.whole.ratio, expected.explained_variance_ratio, rtol=0, atol=1e-12)
    (by_task, _) = found.axes
    assert sum(group.filters for group in by_task.grouping.groups) == kept


def test_the_first_layer_apart(models: list[Model], store: StoreSettings) -> None:
    settings = ShiftSettings(store, axes=("depth", "task*depth"), first_layer="apart", replicates=0)  # type: ignore[arg-type]
    (depth, crossed) = measure_shift(settings).shifts
    assert (depth.axis, crossed.axis) == ("depth_first", "task*depth_first")
    first = sum(len(layer.filters) for model in models for layer in model.layers if layer.depth == 0)
    assert (depth.groups[0].name, depth.groups[0].filters) == ("first layer", first)
    lowest = [layer for model in models for layer in model.layers if layer.depth and layer.depth_norm <= 0.1]
    named = {group.name: group.filters for group in depth.groups}
    assert named["(0.0, 0.1]"] == sum(len(layer.filters) for layer in lowest)
    assert [group.name for group in depth.groups][-1] == "(0.9, 1.0]"


def test_means_by_what_a_metric_is_measured_of(models: list[Model], store: StoreSettings) -> None:
    found = measure_quality(QualitySettings(store, weight=LayerWeight.measured))
    rows = found.whole.summaries("all layers")
    layers = found.layers.to_pandas()
    sizes = layers["num_filters"]
    assert rows["sparsity"]["mean"] == pytest.approx((layers["sparsity"] * sizes).sum() / sizes.sum())
    left = sizes - (layers["sparsity"] * sizes).round()
    entropy = layers["variance_entropy_clean"]
    assert rows["variance_entropy_clean"]["mean"] == pytest.approx((entropy * left).sum() / left.sum())
    by_filters = measure_quality(QualitySettings(store, weight=LayerWeight.filters)).whole.summaries("all layers")
    assert rows["sparsity"]["mean"] == by_filters["sparsity"]["mean"]
    assert rows["variance_entropy_clean"]["mean"] != by_filters["variance_entropy_clean"]["mean"]
