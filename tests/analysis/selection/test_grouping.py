"""Axes, conditions, labels: what is grouped, what is left out, and that both are said."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.selection.axes import DEPTH_NAMES, axes_of
from analysis.selection.conditions import select_layers
from analysis.selection.grouping import Grouping, emptied_groups, group_layers
from analysis.selection.view import Extent, flat_view
from analysis.settings import Unit
from distributed.errors import UserError
from tests.stores import Layer, Model, sample_models, tables


def group(flat: pa.Table, axis: str, max_groups: int = 100) -> Grouping:
    return group_layers(flat, axis, max_groups=max_groups)


def one_filter(**extra: object) -> Layer:
    return Layer("w", 0, 0.0, np.ones((1, 9), np.float32), dict(extra))


def test_groups_of_a_model_column_count_models_layers_filters(flat: pa.Table) -> None:
    grouping = group(flat, "task")
    sizes = {g.name: (g.models, g.layers, g.filters) for g in grouping.groups}
    expected: dict[str, tuple[int, int, int]] = {}
    for model in sample_models():
        m, n, f = expected.get(model.columns["task"], (0, 0, 0))
        expected[model.columns["task"]] = (m + 1, n + len(model.layers), f + sum(len(x.filters) for x in model.layers))
    assert sizes == expected
    assert [g.label for g in grouping.groups] == ["Classification (3)", "Denoising (2)", "Segmentation (2)"]
    assert grouping.notes == ()
    names = dict(zip(flat.column("layer_id").to_pylist(), flat.column("task").to_pylist(), strict=True))
    assert [names[i] for i in grouping.layer_ids.tolist()] == [grouping.groups[c].name for c in grouping.codes]


def test_nulls_are_left_out_and_counted(flat: pa.Table) -> None:
    grouping = group(flat, "visual_category")
    twin = sample_models()[4]
    filters = sum(len(layer.filters) for layer in twin.layers)
    assert grouping.notes == (f"visual_category: left out, no value: 1 model of 7 (2 layers, {filters} filters)",)
    assert sum(g.filters for g in grouping.groups) == Extent.of(flat).filters - filters
    assert len(grouping.layer_ids) == flat.num_rows - 2


def test_model_axis_is_by_name_and_tells_namesakes_apart(flat: pa.Table) -> None:
    grouping = group(flat, "model")
    labels = [g.label for g in grouping.groups]
    twins = sorted(f"twin [{model.model_id}]" for model in sample_models() if model.name == "twin")
    assert labels == ["alpha", "beta", "delta", "gamma", "omega", *twins]
    assert all(g.models == 1 for g in grouping.groups)


def test_layer_axis_is_by_model_then_depth(flat: pa.Table) -> None:
    labels = [g.label for g in group(flat, "layer").groups]
    assert len(labels) == flat.num_rows
    assert labels[:4] == ["alpha: conv0.weight", "alpha: conv1.weight", "alpha: conv2.weight", "beta: conv0.weight"]
    start = labels.index("omega: conv0.weight")
    assert labels[start + 10] == "omega: conv10.weight"  # by depth, not by name


def test_numbers_and_truth_values_group_in_their_order(flat: pa.Table) -> None:
    assert [g.name for g in group(flat, "num_parameters").groups] == ["0", "1000", "2000", "3000"]
    depthwise = group(flat, "is_depthwise")
    assert [g.name for g in depthwise.groups] == ["false", "true"]
    assert depthwise.notes[0].startswith("is_depthwise: left out, no value: 2 models of 7 (5 layers")
    depths = [int(g.name) for g in group(flat, "conv_depth").groups]
    assert depths == sorted(depths)
    assert [g.name for g in group(flat, "extracted_at").groups] == ["2026-11-01T00:00:00+00:00"]


def test_depth_deciles_are_closed_above() -> None:
    values = {0.0: 0, 0.1: 0, 0.1000001: 1, 0.2: 1, 0.3: 2, 0.6: 5, 0.7: 6, 0.70000001: 7, 0.9: 8, 0.95: 9, 1.0: 9}
    layers = [Layer(f"w{i}", i, norm, np.ones((i + 1, 9), np.float32)) for i, norm in enumerate(values)]
    flat = flat_view(*tables([Model("m", layers)]))
    grouping = group(flat, "depth")
    found = {
        flat.column("conv_depth_norm")[row].as_py(): grouping.groups[c].name for row, c in enumerate(grouping.codes)
    }
    assert found == {norm: DEPTH_NAMES[decile] for norm, decile in values.items()}
    assert DEPTH_NAMES[0] == "[0.0, 0.1]"
    assert DEPTH_NAMES[9] == "(0.9, 1.0]"
    assert [g.name for g in grouping.groups] == [name for name in DEPTH_NAMES if name in found.values()]


@given(st.integers(1, 400), st.data())
def test_depth_decile_of_any_fraction_is_exact(largest: int, data: st.DataObject) -> None:
    depth = data.draw(st.integers(0, largest))
    exact = max(0, -(-(Fraction(depth, largest) * 10) // 1) - 1)
    table = pa.table(
        {
            "conv_depth_norm": [depth / largest],
            "layer_num_filters": [1],
            "model_id": ["m"],
            "layer_id": [1],
        }
    )
    assert group(table, "depth").groups[0].name == DEPTH_NAMES[int(exact)]


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (
            "taks",
            "there is no axis 'taks'; did you mean 'task'? "
            "(there are: computed: depth, depth_first, model, layer; of models: name,",
        ),
        ("kernel_shapes", "cannot group: its values are of type map<string, int64>"),
        ("scaled_sum", "cannot group: its values are of type fixed_size_list"),
        ("license", "axis 'license' is null for all of 7 models"),
        ("conv_depth", "has 11 groups, more than max_groups=10: restrict them"),
    ],
)
def test_axes_that_cannot_be_say_why(flat: pa.Table, axis: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        group(flat, axis, max_groups=10)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_measurement_is_no_axis() -> None:
    layers = [Layer(f"w{i}", i, 0.0, np.ones((1, 9), np.float32), {"sparsity": i / 60}) for i in range(60)]
    flat = flat_view(*tables([Model("m", layers)]))
    with pytest.raises(UserError, match="axis 'sparsity' cannot group: a measurement with 60 different values"):
        group(flat, "sparsity")


def test_axes_listed_are_all_usable_or_say_why(flat: pa.Table) -> None:
    axes = axes_of(flat)
    assert {"depth", "model", "layer", "task", "groups", "layer_name", "layer_num_filters"} <= set(axes)
    assert not {"kernel_shapes", "origins", "notes", "scaled_gram"} & set(axes)
    null = {name for name in axes if name in flat.column_names and flat.column(name).null_count == flat.num_rows}
    assert "license" in null
    assert all(group(flat, axis, max_groups=1000).groups for axis in axes if axis not in null)


def test_one_group_is_flagged(flat: pa.Table) -> None:
    grouping = group(flat, "source")
    assert grouping.notes == ("source: one group only, local: there is nothing to compare it with",)


def test_groups_without_filters_are_flagged() -> None:
    models = [
        Model("a", [one_filter()], {"task": "A"}),
        Model("b", [one_filter(num_filters=0)], {"task": "B"}),
        Model("c", [one_filter()], {"task": "C"}),
    ]
    grouping = group(flat_view(*tables(models)), "task")
    assert [g.name for g in grouping.groups] == ["A", "C"]
    assert sorted(grouping.codes.tolist()) == [0, 1]
    assert grouping.notes == ("task: left out, they hold no filter: B",)


def test_damaged_depth_is_named() -> None:
    flat = flat_view(*tables([Model("broken", [Layer("w", 0, 1.5, np.ones((1, 9), np.float32))])]))
    with pytest.raises(UserError, match=r"layer 'w' of model 'broken' has conv_depth_norm 1\.5, outside 0 … 1"):
        group(flat, "depth")


def test_groups_that_where_empties_are_named(flat: pa.Table) -> None:
    chosen = select_layers(flat, "conv_depth > 2")
    assert emptied_groups(flat, chosen, "task") == (
        "task: where leaves no filter in 2 of 3 groups: Denoising, Segmentation",
    )
    assert emptied_groups(flat, flat, "task") == ()
    assert emptied_groups(flat, chosen, "depth")[0].startswith("depth: where leaves no filter in 2 of ")
    assert emptied_groups(flat, chosen, "model") == ()


def test_names_with_line_breaks_are_labels_on_one_line() -> None:
    models = [Model("m", [one_filter()], {"task": "a\nb\x1b[0m"}), Model("n", [one_filter()], {"task": ""})]
    groups = group(flat_view(*tables(models)), "task").groups
    assert [g.label for g in groups] == ["(empty) (1)", "a b\\x1b[0m (1)"]
    assert [g.name for g in groups] == ["", "a\nb\x1b[0m"]


def test_names_that_would_look_alike_are_told_apart() -> None:
    models = [Model(f"m{i}", [one_filter()], {"task": task}) for i, task in enumerate(("a b", "a\nb"))]
    grouping = group(flat_view(*tables(models)), "task")
    assert sorted(grouping.names) == ["a b", "a\\x0ab"]
    assert sorted(g.label for g in grouping.groups) == ["a b (1)", "a\\x0ab (1)"]


def test_models_of_one_lineage_are_one_unit_and_unknown_ones_their_own(flat: pa.Table) -> None:
    names = list(dict.fromkeys(flat.column("model_id").to_pylist()))
    lineage = {names[0]: "a", names[3]: "a", names[1]: "b", names[2]: "b"}
    column = pa.array([lineage.get(model) for model in flat.column("model_id").to_pylist()], pa.string())
    flat = flat.drop_columns([name for name in flat.column_names if name == "lineage"]).append_column("lineage", column)
    grouping = group_layers(flat, "depth", unit=Unit.lineage)
    key_of = dict(zip(flat.column("layer_id").to_pylist(), flat.column("model_id").to_pylist(), strict=True))
    keys = [lineage.get(key_of[layer], key_of[layer]) for layer in grouping.layer_ids.tolist()]
    pairs = set(zip(keys, grouping.units.tolist(), strict=True))
    assert len(pairs) == len({key for key, _ in pairs}) == len({unit for _, unit in pairs}) == len(names) - 2
    for code, units in enumerate(grouping.units_of_groups.tolist()):
        assert units == len({key for key, own in zip(keys, grouping.codes.tolist(), strict=True) if own == code})
    by_model = group_layers(flat, "depth")
    assert by_model.units_of_groups.tolist() == [each.models for each in by_model.groups]
    assert [each.models for each in grouping.groups] == [each.models for each in by_model.groups]
    # A baseline's layer, added later, is a unit of its own.
    more = replace(grouping, layer_ids=np.append(grouping.layer_ids, -5), codes=np.append(grouping.codes, 0))
    assert more.units[-1] == -5 >> 16
