"""Agreement of eigenfilters against its definitions; North's rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.moments import Moments
from analysis.measures.eigenfilters import Structure, agreement_of
from analysis.selection.grouping import Group
from tests import reference


def structures(seed: int, number: int) -> list[Structure]:
    generator = np.random.default_rng(seed)
    found = []
    for index in range(number):
        scaled = reference.scale(generator.normal(size=(60, 9)) @ generator.normal(size=(9, 9)))
        centred = scaled - scaled.mean(axis=0)
        moments = Moments(60, scaled.mean(axis=0), centred.T @ centred)
        group = Group(f"g{index}", f"g{index} (1)", 60, 1, 1)
        found.append(Structure(group, moments, PrincipalAxes.from_moments(moments)))
    return found


def test_agreement_is_its_definition() -> None:
    groups = structures(0, 5)
    found = agreement_of(groups, 4)
    for a, first in enumerate(groups):
        for b, second in enumerate(groups):
            u, v = first.principal.components, second.principal.components
            cosines = [abs(float(u[i] @ v[i])) for i in range(9)]
            weights = [(first.ratio[i] + second.ratio[i]) / 2 for i in range(9)]
            np.testing.assert_allclose(found.cosines[a, b], cosines, atol=1e-12)
            assert found.agreement[a, b] == pytest.approx(sum(w * c for w, c in zip(weights, cosines, strict=True)))
            angles = np.sort(subspace_angles(u[:4].T, v[:4].T))
            np.testing.assert_allclose(np.radians(found.angles[a, b]), angles, atol=1e-12 if a != b else 1e-7)
            assert found.similarity[a, b] == pytest.approx(float((np.cos(angles) ** 2).mean()))
    np.testing.assert_array_equal(found.agreement, found.agreement.T)
    assert (np.diag(found.agreement) == 1).all()
    assert (found.angles[np.arange(5), np.arange(5)] == 0).all()
    assert found.agreement[0, 1] < 0.9


def test_swapped_ranks_lower_agreement_but_not_the_span() -> None:
    first = structures(1, 1)[0]
    assert first.principal is not None
    swapped = first.principal.components[[1, 0, 2, 3, 4, 5, 6, 7, 8]]
    ratio = first.ratio
    other = Structure(
        first.group, first.moments, PrincipalAxes(first.moments.mean, swapped, ratio, first.moments.count)
    )
    found = agreement_of([first, other], 2)
    assert found.agreement[0, 1] == pytest.approx(1 - ratio[0] - ratio[1])
    assert found.similarity[0, 1] == pytest.approx(1)
    assert found.angles[0, 1].max() < 1e-6


def test_small_angles_keep_their_digits() -> None:
    """A plane tilted by a billionth of a radian: its cosine is exactly 1 in float64."""
    first = structures(2, 1)[0]
    assert first.principal is not None
    tilted = first.principal.components.copy()
    tilt = 1e-9
    tilted[1] = np.cos(tilt) * tilted[1] + np.sin(tilt) * first.principal.components[5]
    other = Structure(first.group, first.moments, PrincipalAxes(first.moments.mean, tilted, first.ratio, 60))
    assert np.radians(agreement_of([first, other], 2).angles[0, 1, 1]) == pytest.approx(tilt, rel=1e-6)


def test_separation_is_norths_rule() -> None:
    ratio = np.array([0.3, 0.29, 0.2, 0.1, 0.05, 0.03, 0.02, 0.009, 0.001])
    moments = Moments(200, np.zeros(9), np.diag(ratio) * 199)
    found = Structure(Group("g", "g", 200, 1, 1), moments, PrincipalAxes.from_moments(moments))
    expected = []
    for i, value in enumerate(ratio):
        others = [abs(value - ratio[j]) for j in (i - 1, i + 1) if 0 <= j < 9]
        expected.append(min(others) > value * (2 / 200) ** 0.5)
    assert found.separated.tolist() == expected
    assert expected[:3] == [False, False, True]
