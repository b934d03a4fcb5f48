"""Symmetry of filters: known kernels have exactly their shares, whatever their scale; independent weights theirs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn

from analysis.arrays.moments import Moments
from analysis.measures.symmetry import DCT, INDEPENDENT, Symmetry, symmetry_of
from tests import reference

SOBEL = np.outer([1, 2, 1], [-1, 0, 1])
LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
DIAGONAL = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]])


def measured(filters: np.ndarray) -> Symmetry:
    scaled = reference.scale(np.asarray(filters, np.float32).reshape(-1, 9))
    gram = scaled.T @ scaled
    return symmetry_of(Moments.from_sums(np.array([len(scaled)]), scaled.sum(0)[None], gram[np.tril_indices(9)][None]))


@pytest.mark.parametrize(
    ("kernel", "rotation", "left_right", "up_down", "antisymmetric"),
    [
        (SOBEL, 1, 1, 0, 0.5),  # transposed, it is the other Sobel, orthogonal to it
        (SOBEL.T, 1, 0, 1, 0.5),
        (LAPLACIAN, 0, 0, 0, 0),
        (np.ones((3, 3)), 0, 0, 0, 0),
        (DIAGONAL, 1, 0.5, 0.5, 1),
        (np.outer([-1, 0, 1], [-1, 0, 1]), 0, 1, 1, 0),
    ],
)
def test_known_kernels_have_their_shares(
    kernel: np.ndarray, rotation: float, left_right: float, up_down: float, antisymmetric: float
) -> None:
    scales = np.random.default_rng(0).normal(size=(50, 1, 1)) * 100
    found = measured(kernel * scales)
    names = ("odd_rotation", "odd_left_right", "odd_up_down", "antisymmetric")
    expected = dict(zip(names, (rotation, left_right, up_down, antisymmetric), strict=True))
    assert found.odd == pytest.approx(expected, abs=1e-7)  # float32 weights
    assert found.dct.sum() == pytest.approx(1, abs=1e-12)


def test_shares_are_those_of_the_filters_themselves() -> None:
    """Energies of odd parts and of SciPy's DCT, filter by filter."""
    random = np.random.default_rng(3)
    filters = (random.normal(size=(500, 9)) @ random.normal(size=(9, 9))).astype(np.float32)
    found = measured(filters)
    kernels = reference.scale(filters).reshape(-1, 3, 3)
    energy = (kernels**2).sum()
    for name, other in (
        ("odd_rotation", kernels[:, ::-1, ::-1]),
        ("odd_left_right", kernels[:, :, ::-1]),
        ("odd_up_down", kernels[:, ::-1]),
        ("antisymmetric", kernels.transpose(0, 2, 1)),
    ):
        assert found.odd[name] == pytest.approx((((kernels - other) / 2) ** 2).sum() / energy, rel=1e-12)
    frequencies = (dctn(kernels, axes=(1, 2), norm="ortho") ** 2).sum(axis=0) / energy
    np.testing.assert_allclose(found.dct, frequencies, rtol=1e-12)
    np.testing.assert_allclose(
        found.orders, [frequencies[np.add.outer(range(3), range(3)) == k].sum() for k in range(5)]
    )
    assert found.energy == pytest.approx(energy / 500)
    # Flips in terms of frequencies: half waves in odd number.
    assert found.odd["odd_left_right"] == pytest.approx(found.dct[:, 1].sum())
    assert found.odd["odd_rotation"] == pytest.approx(found.dct[0::2, 1].sum() + found.dct[1, 0::2].sum())


def test_independent_weights_have_the_share_of_their_dimensions() -> None:
    assert pytest.approx({"odd_rotation": 4 / 9, **dict.fromkeys(list(INDEPENDENT)[1:], 1 / 3)}) == INDEPENDENT
    found = measured(np.random.default_rng(1).normal(size=(200_000, 9)))
    assert found.odd == pytest.approx(dict(INDEPENDENT), abs=0.002)
    np.testing.assert_allclose(found.dct, 1 / 9, atol=0.002)
    np.testing.assert_allclose(DCT @ DCT.T, np.eye(9), atol=1e-15)


def test_filters_without_energy_have_no_shares() -> None:
    found = measured(np.zeros((4, 9)))
    assert found.energy == 0
    assert np.isnan([*found.odd.values(), *found.dct.ravel()]).all()
