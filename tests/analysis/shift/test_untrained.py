"""The baseline of untrained filters in every command that compares groups."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from analysis import api
from analysis.coefficients import CoefficientsSettings, measure_coefficients
from analysis.measures.drift_matrix import by_mean_drift
from analysis.measures.layer_quality import count_untrained
from analysis.quality import QualitySettings, measure_quality
from analysis.settings import Baseline
from analysis.shift import ShiftSettings, measure_shift
from analysis.shift.files import write
from analysis.shift.pictures import drawings
from analysis.shift.terminal import certainty, extremes, from_untrained
from analysis.structure import StructureSettings, measure_structure
from distributed.errors import UserError
from distributed.store.settings import StoreSettings
from tests.analysis.pictures.checks import texts
from tests.conftest import REPOSITORY
from tests.stores import Model, chain, sample_models, write_store

BOTH = (Baseline.normal, Baseline.uniform)
NAMES = ["untrained, normal", "untrained, uniform"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreSettings:
    folder = write_store(tmp_path_factory.mktemp("untrained") / "store", sample_models())
    measure_shift(ShiftSettings(StoreSettings(str(folder)), axes=("task",), out="nowhere", replicates=0))
    return StoreSettings(str(folder))


def files(folder: str) -> set[str]:
    return {str(path) for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize("weight", ["filters", "models"])
def test_cells_of_models_stay_as_they_are_to_the_last_bit(store: StoreSettings, tmp_path: Path, weight: str) -> None:
    asked = {"axes": ("task", "depth"), "replicates": 20, "weight": weight, "out": str(tmp_path)}
    before = files(store.uri)
    plain = measure_shift(ShiftSettings(store, **asked))  # type: ignore[arg-type]
    found = measure_shift(ShiftSettings(store, baseline=(*BOTH, Baseline.normal), **asked))  # type: ignore[arg-type]
    assert files(store.uri) == before
    assert found.basis.digest == plain.basis.digest
    assert found.sketch.layer_ids.min() >= 0
    for ours, theirs in zip(found.shifts, plain.shifts, strict=True):
        own = len(theirs.groups)
        assert [group.name for group in ours.groups[own:]] == NAMES
        np.testing.assert_array_equal(ours.drift[:own, :own], theirs.drift)
        np.testing.assert_array_equal(ours.drift, ours.drift.T)
        assert (ours.drift[own:, :own] > 0).all()
        assert ours.uncertainty is not None
        for each in fields(ours.uncertainty):
            values = getattr(ours.uncertainty, each.name)
            np.testing.assert_array_equal(values[:own, :own], getattr(theirs.uncertainty, each.name))
            assert np.isnan(values[own:]).all()
        assert ours.models == theirs.models == 7
        rows = [row for row in ours.pairs().to_pylist() if row["b"] in NAMES]
        assert {(row["models_b"], row["p_value"], row["drift_lo"]) for row in rows} == {(0, None, None)}
        assert not any(row["few_models"] for row in rows if row["a"] in NAMES)
    write(found, tmp_path)
    assert pq.read_table(tmp_path / "shift_task.parquet").num_rows == 25


def test_what_is_said_of_pairs_is_of_models(store: StoreSettings) -> None:
    asked = {"axes": ("task",), "replicates": 40, "out": "nowhere"}
    (plain,) = measure_shift(ShiftSettings(store, **asked)).shifts  # type: ignore[arg-type]
    result = measure_shift(ShiftSettings(store, baseline=BOTH, **asked))  # type: ignore[arg-type]
    (found,) = result.shifts
    assert extremes(found) == extremes(plain)
    assert certainty(found) == certainty(plain)
    assert from_untrained(plain) == ()
    lines = from_untrained(found)
    assert [line.split(":")[0] for line in sorted(lines)] == [f"From {name}" for name in NAMES]
    moved = by_mean_drift(found)  # untrained groups take their place among the others
    assert (np.diff(moved.drift.mean(axis=0)) >= 0).all()
    assert sorted(from_untrained(moved)) == sorted(lines)
    assert certainty(moved) == certainty(plain)
    (picture,) = drawings(result)
    shown = texts(picture.draw())
    assert "3 groups · 7 models" in " ".join(shown)
    assert "untrained, normal" in shown


def test_a_narrow_range_counts_what_lies_beyond(store: StoreSettings) -> None:
    settings = ShiftSettings(store, axes=("task",), baseline=BOTH, span=(-1.0, 1.0), replicates=0, out="nowhere")
    (shift,) = measure_shift(settings).shifts
    notes = [note for note in shift.notes if note.startswith("baseline: ")]
    assert len(notes) == 1
    assert "outside the range of the basis" in notes[0]


def test_a_group_of_the_same_name_is_refused(tmp_path: Path) -> None:
    models = sample_models()
    models[0].columns["task"] = NAMES[0]
    folder = StoreSettings(str(write_store(tmp_path / "store", models)))
    with pytest.raises(UserError, match="task: a group is called untrained, normal as the baseline is"):
        measure_structure(StructureSettings(folder, axes=("task",), baseline=BOTH))


def test_ridges_and_structure_have_the_groups(store: StoreSettings) -> None:
    coefficients = measure_coefficients(CoefficientsSettings(store, axes=("task",), baseline=BOTH))
    (ridges,) = coefficients.ridges
    assert [group.name for group in ridges.grouping.groups][-2:] == NAMES
    np.testing.assert_allclose(ridges.probabilities[-2:].sum(axis=2), 1)
    # No component is favoured: each has the variance of one weight.
    centres = (ridges.edges[:-1] + ridges.edges[1:]) / 2 - coefficients.basis.projection.offset[:, None]
    np.testing.assert_allclose((ridges.probabilities[-2] * centres**2).sum(axis=1), 2.6925 / 9, rtol=0.02)
    (axis,) = measure_structure(StructureSettings(store, axes=("task",), baseline=BOTH)).axes
    assert [structure.group.name for structure in axis.structures][-2:] == NAMES
    assert [group.name for group in axis.grouping.groups][-2:] == NAMES
    for structure in axis.structures[-2:]:
        np.testing.assert_allclose(structure.ratio, 1 / 9, atol=0.001)
        assert not structure.separated.all()
        assert structure.symmetry.odd["odd_rotation"] == pytest.approx(4 / 9, abs=0.001)


def test_from_python(store: StoreSettings) -> None:
    pairs = api.shift(store, "task", baseline=["normal"], replicates=0)
    square = api.matrix(pairs, "task")
    assert square.index[-1] == "untrained, normal"
    assert square.index[0] == "Classification (3)"
    with pytest.raises(UserError, match=r"baseline=\['gauss'\].*expected one of \[normal, uniform\]"):
        api.shift(store, "task", baseline=["gauss"])
    shares = api.symmetry(store, ["task", "depth"], baseline=["uniform"])
    assert shares["group"].tolist().count("untrained, uniform") == 2
    assert shares["axis"].unique().tolist() == ["store", "task", "depth"]


def random_models() -> list[Model]:
    """Three of normal weights of other widths a layer, one of uniform ones, two of blurs."""
    random = np.random.default_rng(4)
    models = []
    for index in range(6):
        weights = {}
        for layer in range(4):
            filters = random.normal(size=(2500, 9)) * 10.0 ** (layer - index)
            if index == 3:
                filters = random.uniform(-1, 1, (2500, 9))
            elif index > 3:
                filters = filters @ (np.eye(9) + 0.6)
            weights[f"conv{layer}"] = filters.reshape(50, 50, 3, 3).astype(np.float32)
        models.append(chain(f"m{index}", weights, {"task": ["normal", "normal", "normal", "uniform", "b", "b"][index]}))
    return models


def test_random_layers_lie_at_the_floor_of_their_number(tmp_path: Path) -> None:
    """DESIGN §6: of 10 000 filters the plug-in drift between two samples of one distribution is .011, half of it
    theirs; and each layer's distance is within noise, where trained ones are far."""
    folder = StoreSettings(str(write_store(tmp_path / "store", random_models())))
    result = measure_shift(ShiftSettings(folder, axes=("model",), baseline=BOTH, replicates=0, out=str(tmp_path)))
    drift = result.shifts[0].drift
    assert (drift[:3, 6] < 0.011).all()
    assert (drift[:3, 6] > 0.001).all()
    assert drift[3, 7] < 0.011
    assert drift[3, 6] > 0.03  # uniform from normal
    assert (drift[4:6, 6:] > 0.5).all()
    layers = measure_quality(QualitySettings(folder, axes=("task",))).layers
    assert count_untrained(layers) == 16
    rows = layers.to_pylist()
    assert all(abs(row["distance_from_untrained"]) < row["untrained_threshold"] for row in rows if row["model"] < "m4")
    assert all(row["distance_from_untrained"] > 1 for row in rows if row["model"] >= "m4")


def test_barely_trained_samples_are_told_from_trained_ones(tmp_path: Path) -> None:
    """The GANs among the samples kept their random start (docs/results.md); the others were decayed out of it."""
    models = []
    for file in sorted((REPOSITORY / "samples" / "models").glob("*/model.safetensors")):
        tensors = {name: each.float().numpy() for name, each in load_file(file).items()}
        weights = {name: each for name, each in tensors.items() if each.ndim == 4 and each.shape[2:] == (3, 3)}
        models.append(chain(file.parent.name, weights))
    folder = write_store(tmp_path / "store", models)
    distances = api.quality(str(folder), "model").groupby("model")["distance_from_untrained"].median()
    pairs = api.shift(str(folder), "model", baseline=["normal"], replicates=0).query("b == 'untrained, normal'")
    drift = pairs.set_index("a")["drift"].drop("untrained, normal")
    gans = [name for name in distances.index if name.endswith(("-generator", "-discriminator"))]
    assert len(gans) == 4
    assert (distances[gans] < 0.01).all()
    assert (drift[gans] < 0.025).all()
    far = ["depth-estimator", "textures-dilated", "fractals-resnext", "digits-resnet", "maps-unet"]
    assert (distances[far] > 0.7).all()
    assert (drift[far] > 0.4).all()
    assert distances.rank().corr(drift.rank()) > 0.9  # moments tell what histograms tell
