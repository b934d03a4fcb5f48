"""Crossed axes, names that look alike, wrong names, and columns that somebody else added."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from analysis.selection.axes import axes_in_words, axes_of
from analysis.selection.conditions import select_layers
from analysis.selection.grouping import group_axes, group_layers
from analysis.selection.view import flat_view
from analysis.wording import shown_apart
from distributed.errors import UserError
from tests.stores import Layer, Model, sample_models, tables


def test_groups_of_crossed_axes_are_the_pairs_that_occur(flat: pa.Table) -> None:
    crossed = group_layers(flat, "task*depth")
    pairs = set(zip(flat.column("task").to_pylist(), crossed.codes_of(flat.column("layer_id").to_numpy()), strict=True))
    assert len(pairs) == len(crossed.groups)
    assert [group.name for group in crossed.groups[:2]] == [
        "Classification × [0.0, 0.1]",
        "Classification × (0.1, 0.2]",
    ]
    by_task = group_layers(flat, "task")
    for group in by_task.groups:
        parts = [g for g in crossed.groups if g.name.startswith(f"{group.name} × ")]
        assert sum(part.filters for part in parts) == group.filters
    # A layer without a value on either axis has no group.
    with_category = group_layers(flat, "visual_category*depth")
    assert sum(g.layers for g in with_category.groups) == sum(
        g.layers for g in group_layers(flat, "visual_category").groups
    )


def test_crossed_axes_hold_max_groups_and_know_single_models(flat: pa.Table) -> None:
    with pytest.raises(UserError, match=r"has \d+ groups, more than max_groups=3"):
        group_layers(flat, "task*depth", max_groups=3)
    assert group_layers(flat, "model*depth").single_models
    assert not group_layers(flat, "task*depth").single_models


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ("tsk", "there is no axis 'tsk'; did you mean 'task'?"),
        ("task x depth", r"crossed axes are written task\*depth"),
        ("task*dept", "there is no axis 'dept'; did you mean 'depth'?"),
        ("zzzz", r"there is no axis 'zzzz' \(there are: computed: depth, depth_first, model, layer; of models: "),
    ],
)
def test_wrong_axes_are_told_what_is_meant(flat: pa.Table, axis: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        group_layers(flat, axis)


def test_every_axis_is_listed_once_by_what_it_says(flat: pa.Table) -> None:
    parts = dict(part.split(": ", 1) for part in axes_in_words(flat).split("; "))
    assert list(parts) == ["computed", "of models", "of training", "of layers", "of files"]
    assert sorted(name for part in parts.values() for name in part.split(", ")) == sorted(axes_of(flat))
    assert {"conv_depth", "layer_name"} <= set(parts["of layers"].split(", "))
    assert {"name", "num_filters", "task"} <= set(parts["of models"].split(", "))
    assert "sha256" in parts["of files"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ('task = "Segmentation"', "a text stands in single quotes, as in task = 'Segmentation'"),
        ("depth > 0.5", "depth is an axis, not a column: use conv_depth"),
        ("model = 'x'", "model is an axis, not a column: use name or model_label"),
        ("tsk = 'x'", "there is no column 'tsk'; did you mean 'task'"),
    ],
)
def test_wrong_conditions_are_told_the_remedy(flat: pa.Table, where: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        select_layers(flat, where)


def test_axes_without_a_value_are_left_out_unless_none_is_left(flat: pa.Table) -> None:
    found = group_axes(flat, flat, ["task", "license", "depth"], max_groups=100)
    assert [grouping.axis for grouping in found.found] == ["task", "depth"]
    assert list(found.left_out) == ["license"]
    with pytest.raises(UserError, match="axis 'license' is null for all of 7 models"):
        group_axes(flat, flat, ["license"], max_groups=100).at_least_one()
    with pytest.raises(UserError, match="there is no axis 'nope'"):
        group_axes(flat, flat, ["task", "nope"], max_groups=100)


def test_columns_of_others_never_stand_for_ours() -> None:
    models, layers = tables(sample_models())
    ours = flat_view(models, layers)
    number = np.arange(models.num_rows)
    foreign = models
    for name in ("sparsity", "conv_depth_norm", "layer_name", "model_label", "layer_id", "depth", "mine"):
        foreign = foreign.append_column(name, pa.array([f"theirs {n}" for n in number]))
    flat = flat_view(foreign, layers.append_column("model_label", pa.array(["x"] * layers.num_rows)))
    for name in ours.column_names:
        assert flat.column(name).equals(ours.column(name)), name
    for name in (
        "models_sparsity",
        "models_layer_name",
        "models_model_label",
        "models_depth",
        "mine",
        "layers_model_label",
    ):
        assert name in flat.column_names


def test_names_that_look_alike_are_shown_apart() -> None:
    names = ["a b", "a  b", " a b", "caf\u00e9", "cafe\u0301", "fi", "\ufb01", "plain", "日本"]
    shown = shown_apart(names)
    assert len(set(shown)) == len(names)
    assert shown[0] == "a b"
    assert shown[-2:] == ["plain", "日本"]
    filters = np.random.default_rng(0).normal(size=(12, 9)).astype(np.float32)
    models = [
        Model(f"m{i}", [Layer("w.weight", 0, 0.0, filters)], {"task": name}, content=f"m{i}")
        for i, name in enumerate(names)
    ]
    labels = [group.label for group in group_layers(flat_view(*tables(models)), "task").groups]
    assert len(set(labels)) == len(names)
