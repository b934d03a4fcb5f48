"""The Python face beside what its examples say: values as typed on a command line, refusals, labels, damaged files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis import api
from analysis.command import carry_out
from analysis.shift import ShiftSettings
from analysis.shift.__main__ import steps
from distributed.errors import FilterShiftError, UserError
from distributed.store import Store, StoreSettings
from tests.stores import sample_models, write_store

#: Axes of every kind: of models, of layers, of single models, crossed.
AXES = ("task", "depth", "model", "layer", "is_depthwise", "task*visual_category")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks whose names do not fit on a line, or look alike there."""
    models = sample_models()
    for model in models:
        if model.columns["task"] == "Denoising":
            model.columns["task"] = "a\nb"
    models[0].columns["task"] = "a b"
    return write_store(tmp_path_factory.mktemp("api") / "store", models)


def test_values_are_converted_as_on_the_command_line(store: Path) -> None:
    typed = api.shift(store, "task", bins="40", replicates="0", weight="models", min_models="2")
    assert typed.equals(api.shift(store, ["task"], bins=40, replicates=0, weight="models", min_models=2))
    assert not typed.equals(api.shift(store, "task", bins=70, replicates=0, weight="models", min_models=2))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda store: api.shift(store, "task", bins="seven"), "bins='seven': Value 'seven' of type 'str' could not"),
        (lambda store: api.shift(store, "task", bins=[70]), "bins=[70]: Value '[70]' of type 'list' could not"),
        (lambda store: api.shift(store, "task", bins=None), "bins=None: field 'bins' is not Optional"),
        (lambda store: api.shift(store, "task", bins=1), "bins=1: give 2 to 10,000"),
        (lambda store: api.shift(store, "task", level="high"), "level='high': Value 'high' of type 'str' could not"),
        (lambda store: api.shift(store, [["task"]]), "axes=(['task'],): give a list of names"),
        (lambda store: api.quality(store, [["task"], "depth"]), "axes=(['task'], 'depth'): give a list of names"),
        (lambda store: api.structure(store, None), "axes=(None,): "),
        (lambda store: api.coefficients(store, 5), "there is no axis '5'"),
        (lambda store: api.shift(store, "task", where=["a"]), "where=['a']: Cannot convert 'list' to string"),
        (lambda store: api.shift(store, "task", cluster=5), "cluster=5: Invalid type assigned"),
        (lambda store: api.coefficients(store, "task", pairs=[1, 2]), "pairs=[1, 2]: Invalid value assigned"),
        (lambda store: api.quality(store / "none"), "holds no models"),
    ],
)
def test_wrong_values_are_one_line(store: Path, call: Callable[[Path], object], said: str) -> None:
    with pytest.raises(FilterShiftError) as caught:
        call(store)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_matrix_has_the_labels_and_values_of_the_commands_csv(store: Path, tmp_path: Path) -> None:
    settings = ShiftSettings(StoreSettings(str(store)), axes=AXES, replicates=0, out=str(tmp_path))
    assert carry_out(steps(), settings) == 0
    pairs = api.shift(store, AXES, replicates=0)
    for axis in AXES:
        square = api.matrix(pairs, axis)
        (file,) = [path for path in tmp_path.glob("shift_*.csv") if path.read_text().startswith(f"{axis},")]
        with file.open(encoding="utf-8", newline="") as lines:
            head, *rows = csv.reader(lines)
        assert head == [axis, *square.columns]
        assert [row[0] for row in rows] == list(square.index)
        np.testing.assert_allclose(np.array([row[1:] for row in rows], float), square.to_numpy(), rtol=1e-8)
    assert {"a b (1)", r"a\x0ab (2)"} <= set(api.matrix(pairs, "task").index)


def test_damaged_filters_are_one_line(store: Path, tmp_path: Path) -> None:
    damaged = write_store(tmp_path / "store", sample_models()[:1])
    (file,) = (damaged / "filters").iterdir()
    content = bytearray(file.read_bytes())
    content[4:200] = b"\xff" * 196  # the first pages; the footer stays whole
    file.write_bytes(content)
    with pytest.raises(
        FilterShiftError, match=r"filters/\w+\.parquet is damaged: .*; extract the model again"
    ) as caught:
        api.filters(damaged)
    assert "\n" not in str(caught.value)
    assert len(api.filters(store, where="name = 'alpha'")) == len(sample_models()[0].filters)


def test_a_store_may_be_named_by_settings(store: Path) -> None:
    assert api.models(StoreSettings(str(store))).equals(api.models(str(store)))
    assert len(api.models(store)) == len(Store.open(StoreSettings(str(store))).model_ids())
    with pytest.raises(UserError, match="there is no setting 'weights'; did you mean 'weight'"):
        api.shift(store, "task", weights="models")
