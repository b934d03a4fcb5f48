"""The basis: equal to scikit-learn's PCA, exact through its file, refused when damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.moments import Moments
from distributed.errors import UserError
from tests.analysis.arrays.test_moments import layers_of, split
from tests.reference import scale
from tests.stores import random_filters


def axes_of(filters: np.ndarray) -> PrincipalAxes:
    return PrincipalAxes.from_moments(Moments.from_layers(layers_of(split(filters, [10, 500]))))


@pytest.fixture(scope="module")
def basis() -> Basis:
    return axes_of(random_filters(np.random.default_rng(0), 4000)).with_range(-1.9, 2.1)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn_signs_included(seed: int) -> None:
    filters = random_filters(np.random.default_rng(seed), 20_000)
    found, expected = axes_of(filters), PCA(9, svd_solver="full").fit(scale(filters))
    np.testing.assert_allclose(found.mean, expected.mean_, atol=1e-6)
    np.testing.assert_allclose(found.components, expected.components_, atol=1e-6)
    np.testing.assert_allclose(found.explained_variance_ratio, expected.explained_variance_ratio_, atol=1e-6)
    projection = found.projection
    coefficients = scale(filters) @ projection.matrix.T + projection.offset
    np.testing.assert_allclose(coefficients, expected.transform(scale(filters)), atol=1e-6)


def test_too_little_to_compare_is_refused() -> None:
    one = random_filters(np.random.default_rng(0), 1)
    with pytest.raises(UserError, match="at least 2 filters"):
        axes_of(one)
    with pytest.raises(UserError, match="equal up to their scale"):
        axes_of(np.repeat(one, 50, axis=0) * np.float32(2.0) ** np.arange(50)[:, None].astype(np.float32))
    with pytest.raises(UserError, match="equal up to their scale"):
        axes_of(np.zeros((50, 9), np.float32))


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(st.lists(finite, min_size=99, max_size=99), st.integers(1, 500), st.integers(0, 2**62))
def test_json_round_trip_is_exact(numbers: list[float], bins: int, filters: int) -> None:
    values = np.array(numbers)
    basis = Basis(values[:9], values[9:90].reshape(9, 9), values[90:], -1 / 3, 0.1 + 0.2, bins, filters)
    again = Basis.from_json(basis.to_json())
    for name in ("mean", "components", "explained_variance_ratio"):
        np.testing.assert_array_equal(getattr(again, name), getattr(basis, name))
    assert (again.low, again.high, again.bins, again.filters) == (basis.low, basis.high, bins, filters)
    assert again.digest == basis.digest


def test_the_file_names_its_fields(basis: Basis) -> None:
    content = json.loads(basis.to_json())
    names = {"mean", "components", "explained_variance_ratio", "range", "bins", "filters", "digest", "scaling"}
    assert set(content) == names
    assert content["range"] == [-1.9, 2.1]
    assert len(content["digest"]) >= 16


def test_identity_is_everything_but_the_number_of_filters(basis: Basis) -> None:
    assert replace(basis, filters=1).digest == basis.digest
    others = [
        replace(basis, bins=71),
        replace(basis, low=np.nextafter(basis.low, 0)),
        replace(basis, high=np.nextafter(basis.high, 9)),
        replace(basis, mean=np.nextafter(basis.mean, 9)),
        replace(basis, components=-basis.components),
        replace(basis, explained_variance_ratio=basis.explained_variance_ratio[::-1]),
    ]
    assert len({basis.digest, *(other.digest for other in others)}) == 7


def test_damaged_files_are_refused_by_name(basis: Basis, tmp_path: Path) -> None:
    path = tmp_path / "basis.json"
    path.write_text(basis.to_json())
    assert Basis.read(path).digest == basis.digest
    content = json.loads(basis.to_json())
    content["mean"][3] += 1e-12
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"basis\.json is damaged or was edited"):
        Basis.read(path)
    broken = {
        "{": "not a basis",
        "[1]": "not a basis",
        "{}": "'range' is missing",
        json.dumps(content | {"range": [1, 1]}): "two rising finite numbers",
        json.dumps(content | {"mean": [1.0]}): "mean must hold",
        json.dumps(content | {"bins": 7.5}): "not a whole number",
        json.dumps(content | {"scaling": "l2"}): "scaling 'l2' is unknown",
    }
    for text, message in broken.items():
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            Basis.read(path)
    with pytest.raises(UserError, match="cannot read the basis"):
        Basis.read(tmp_path / "absent.json")


def test_it_cannot_be_changed(basis: Basis) -> None:
    with pytest.raises(ValueError, match="read-only"):
        basis.mean[0] = 1.0
