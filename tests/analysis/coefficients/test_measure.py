"""Ridges and densities of a store against the definitions; files; one-line errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import analysis.coefficients.measure as coefficients_module
from analysis.coefficients import CoefficientsSettings, measure_coefficients
from analysis.coefficients.__main__ import steps
from analysis.coefficients.measure import CoefficientsResult
from analysis.command import carry_out
from analysis.measures.drift import distributions
from distributed.errors import UserError
from distributed.overrides import quoted_texts
from distributed.store.settings import StoreSettings
from tests import reference
from tests.stores import sample_models, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("coefficients") / "store", sample_models())


def settings_for(store: Path, **changes: object) -> CoefficientsSettings:
    return replace(CoefficientsSettings(StoreSettings(str(store)), axes=("task",)), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def result(store: Path) -> CoefficientsResult:
    return measure_coefficients(settings_for(store, axes=("task", "depth"), pairs=([1, 2], [3, 4])))


def test_ridges_are_the_distributions_that_drift_is_made_of(result: CoefficientsResult) -> None:
    everything = np.concatenate([layer.filters for model in sample_models() for layer in model.layers])
    basis = reference.principal(everything)
    coefficients = reference.coefficients(everything, basis)
    low, high = coefficients.min(), coefficients.max()
    ridges = result.ridges[0]
    for g, group in enumerate(ridges.grouping.groups):
        mine = [
            layer.filters for model in sample_models() if model.columns["task"] == group.name for layer in model.layers
        ]
        own = reference.coefficients(np.concatenate(mine), basis)
        for component in range(9):
            expected = reference.distribution(own[:, component], low, high)
            np.testing.assert_allclose(ridges.probabilities[g, component], expected, rtol=1e-9)
        counts = np.stack([np.histogram(own[:, c], bins=70, range=(low, high))[0] for c in range(9)])
        same = distributions(counts[None], result.basis.explained_variance_ratio, low, high).probabilities[0]
        np.testing.assert_allclose(ridges.probabilities[g], same, rtol=1e-9)
    table = ridges.table()
    assert table.num_rows == 3 * 9 * 70
    np.testing.assert_allclose((ridges.densities * np.diff(ridges.edges)).sum(axis=2), 1.0)
    row = table.slice((1 * 9 + 4) * 70 + 33, 1).to_pylist()[0]
    assert (row["group"], row["component"]) == ("Denoising", 5)
    assert row["probability"] == ridges.probabilities[1, 4, 33]
    assert row["low"] == ridges.edges[33]


def test_densities_of_groups_from_the_command(result: CoefficientsResult) -> None:
    everything = np.concatenate([layer.filters for model in sample_models() for layer in model.layers])
    basis = reference.principal(everything)
    part = result.densities[0]
    for g, group in enumerate(part.grouping.groups):
        mine = [
            layer.filters for model in sample_models() if model.columns["task"] == group.name for layer in model.layers
        ]
        own = reference.coefficients(np.concatenate(mine), basis)
        counts = np.histogram2d(own[:, 2], own[:, 3], bins=96, range=[[part.densities.low, part.densities.high]] * 2)[0]
        found = part.densities.counts[g, 1]
        # The basis of another linear algebra differs in the last digits: values on an edge may change sides.
        assert np.abs(found - counts).sum() <= 2
        assert found.sum() == len(own)
    rows = part.table()
    assert rows.num_rows == int((part.densities.counts > 0).sum())
    area = ((part.densities.high - part.densities.low) / 96) ** 2
    total = sum(r["density"] for r in rows.to_pylist() if (r["group"], r["first"]) == ("Denoising", 1)) * area
    assert total == pytest.approx(1.0)


def test_no_pairs_no_pass(result: CoefficientsResult, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("workers were asked for")

    monkeypatch.setattr(coefficients_module, "scan_workers", refuse)
    found = measure_coefficients(settings_for(store))
    assert found.densities == ()
    np.testing.assert_array_equal(found.ridges[0].probabilities, result.ridges[0].probabilities)


def test_layers_and_files(store: Path, result: CoefficientsResult, tmp_path: Path) -> None:
    settings = settings_for(store, pairs=([2, 1],), layers="name in ('alpha', 'gamma')", out=str(tmp_path / "out"))
    assert carry_out(steps(), settings) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"ridges_task.png", "ridges_task.csv", "densities_layer.parquet", "phenotypes_layer.csv"} <= written
    assert {"densities_layer_alpha_2-1.png", "densities_layer_gamma_2-1.png"} <= written
    looks = pq.read_table(tmp_path / "out" / "phenotypes_layer.parquet")
    assert looks.num_rows == 6
    cells = pq.read_table(tmp_path / "out" / "densities_layer.parquet").to_pylist()
    alpha = sample_models()[0]
    for layer in alpha.layers:
        counted = sum(row["count"] for row in cells if row["group"] == f"alpha: {layer.name}")
        assert counted == len(layer.filters)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pairs": ([1, 10],)}, r"\[1, 10\] is not a pair of different components"),
        ({"pairs": ([2, 2],)}, "is not a pair"),
        ({"pairs": ([1, 2, 3],)}, "is not a pair"),
        ({"layers": "true"}, "name pairs of components as well"),
        ({"pairs": ([1, 2],), "layers": "nonsense > 3"}, "layers='nonsense > 3'"),
        ({"pairs": ([1, 2],), "density_bins": 100}, "give a multiple of 24"),
        ({"pairs": ([1, 2],), "density_bins": 24000}, "density_bins=24000: give 24 to 2,400"),
        ({"pairs": [[a, b] for a in range(1, 9) for b in range(a + 1, 10)], "density_bins": 2400}, "too many cells"),
        ({"axes": ("nonsense",)}, "there is no axis 'nonsense'"),
        ({"axes": ()}, "axes is empty"),
        ({"bins": 1}, "bins=1"),
    ],
)
def test_wrong_settings(store: Path, result: CoefficientsResult, changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        measure_coefficients(settings_for(store, **changes))
    assert "\n" not in str(caught.value)


def test_sql_of_layers_is_quoted_for_hydra() -> None:
    given = ["layers=name = 'it'", "axes=[task]"]
    assert quoted_texts(given, CoefficientsSettings) == [r"layers='name = \'it\''", "axes=[task]"]
