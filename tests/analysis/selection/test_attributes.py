"""Attributes and labels as columns of the view: of their own types, under names of their own, groups of any axis."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pytest

from analysis.selection.attributes import typed, with_attributes
from analysis.selection.axes import axes_of
from analysis.selection.grouping import group_layers
from analysis.selection.view import StoreView
from distributed.store import StoreSettings
from tests.stores import models_table, sample_models, write_store


@pytest.fixture
def store(tmp_path: Path) -> StoreSettings:
    models = sample_models()
    for model, robust in zip(models, ("true", "false", "true", None, "true", "false", "true"), strict=True):
        model.columns["origins"] = {"task": "manifest.yaml"}
        if robust is not None:
            model.columns["attributes"] = {"Robust": robust, "Task": "t", "accuracy": "0.5", "conv_depth": "7"}
    return StoreSettings(str(write_store(tmp_path / "store", models)))


def test_attributes_are_axes_and_stand_in_conditions(store: StoreSettings) -> None:
    view = StoreView.open(store)
    assert {"Robust", "attributes_Task", "accuracy", "models_conv_depth"} <= set(axes_of(view.flat))
    groups = {group.name: group.models for group in group_layers(view.flat, "Robust").groups}
    assert groups == {"false": 2, "true": 4}
    assert view.flat.schema.field("conv_depth").type == pa.int32()
    chosen = view.select("Robust and accuracy > 0.4 and models_conv_depth = 7")
    assert set(chosen.column("name").to_pylist()) == {"alpha", "gamma", "twin", "omega"}
    assert group_layers(view.flat, "task*Robust").names[0] == "Classification × false"


def test_labels_override_and_add(store: StoreSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "name,task,Robust,lab,training_dataset\nalpha,Detection,,A 1,\n*,,,B 2,\ndelta,null,,,CelebA\nx,,,,\n"
    )
    before = StoreView.open(store)
    with caplog.at_level(logging.WARNING):
        view = StoreView.open(store, str(path))
    rows = {row["model_id"]: row for row in view.models.to_pylist()}
    stored = {row["model_id"]: row for row in before.models.to_pylist()}
    alpha = next(row for row in rows.values() if row["name"] == "alpha")
    assert (alpha["task"], alpha["Robust"], alpha["lab"]) == ("Detection", True, "A 1")
    assert dict(alpha["origins"]) == {"task": "labels.csv", "lab": "labels.csv"}
    delta = next(row for row in rows.values() if row["name"] == "delta")
    assert (delta["task"], delta["visual_category"]) == (None, "natural")  # nobody's table said natural: it stays
    assert dict(delta["origins"]) == {"lab": "labels.csv", "training_dataset": "labels.csv"}
    for key, row in rows.items():
        if row["name"] not in ("alpha", "delta"):
            changed = {name for name in row if row[name] != stored[key].get(name)}
            assert changed == {"lab", "attributes", "origins"}
    assert {group.name: group.models for group in group_layers(view.flat, "lab").groups} == {"A 1": 1, "B 2": 6}
    assert set(view.select("lab = 'A 1'").column("name").to_pylist()) == {"alpha"}
    assert "1 row without a model: labels.csv line 5 (name x)" in caplog.text
    assert view.notes
    assert set(view.notes) <= set(caplog.messages)
    assert StoreView.open(store).models == before.models  # nothing was written


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", None, "-20"], pa.int64()),
        (["007", "1"], pa.string()),
        (["1", "2.5", "1e-3"], pa.float64()),
        (["nan", "1.5"], pa.string()),
        (["true", "False", None], pa.bool_()),
        (["true", "1"], pa.string()),
        ([None, None], pa.string()),
        (["9" * 30], pa.float64()),
        (["a", "1"], pa.string()),
    ],
)
def test_texts_become_what_all_of_them_are(texts: list[str | None], kind: pa.DataType) -> None:
    column = typed(texts)
    assert (column.type, column.null_count) == (kind, texts.count(None))


def test_a_name_that_is_taken_in_another_case_is_set_apart() -> None:
    models = sample_models()[:2]
    models[0].columns["attributes"] = {"NAME": "a", "License": "b", "x": "c", "X": "d"}
    found = with_attributes(models_table(models))
    assert {"attributes_NAME", "attributes_License", "X", "attributes_x"} <= set(found.column_names)
    assert with_attributes(models_table(sample_models()[2:])).column_names == models_table(models).column_names
