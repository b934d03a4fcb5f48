"""The flat view of models and layers."""

from __future__ import annotations

import pyarrow as pa

from analysis.selection.view import Extent, flat_view
from tests.stores import sample_models, tables


def test_flat_view_names_what_clashes(flat: pa.Table) -> None:
    models = {model.name: model for model in sample_models()}
    row = flat.filter(pa.compute.equal(flat.column("name"), "omega")).to_pylist()[3]
    assert row["layer_name"] == "conv3.weight"
    assert row["num_filters"] == sum(len(layer.filters) for layer in models["omega"].layers)
    assert row["layer_num_filters"] == len(models["omega"].layers[3].filters)
    assert flat.column("layer_id").to_pylist() == sorted(flat.column("layer_id").to_pylist())
    assert (Extent.of(flat).models, flat.num_rows) == (7, 28)


def test_layers_without_their_model_are_not_there() -> None:
    models, layers = tables(sample_models())
    flat = flat_view(models.slice(2), layers)
    assert Extent.of(flat).models == 5
    assert set(flat.column("model_id").to_pylist()) == set(models.slice(2).column("model_id").to_pylist())
