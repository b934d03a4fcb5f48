"""Distances between models: Jensen–Shannon of all pairs against the plain formula, and what makes it a metric."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from analysis.measures.divergences import jensen_shannon_of, total_variation_of
from analysis.measures.drift import DIVERGENCES, Distributions, distributions
from analysis.measures.model_distance import centroid_distances, component_divergences, squared_distances

EVR = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def models() -> Distributions:
    """Forty models, some alike to rounding, two equal, one with a single filled bin."""
    random = np.random.default_rng(0)
    counts = random.poisson(1e4 * random.dirichlet(np.ones(70) / 3, (40, 3))).astype(float)
    counts[1] = counts[0]
    counts[2] = counts[0] * (1 + 1e-7 * random.normal(size=counts[0].shape))
    counts[3] = counts[0] * (1 + 1e-3 * random.normal(size=counts[0].shape))
    counts[4] = 0
    counts[4, :, 7] = 5
    return distributions(counts, EVR, -3.0, 3.0)


def test_equals_the_plain_formula_and_scipy(models: Distributions) -> None:
    p = models.probabilities
    plain = jensen_shannon_of(p[:, None], p[None], models.width)
    for component, found in enumerate(component_divergences(models, DIVERGENCES["js"])):
        np.testing.assert_allclose(found, plain[..., component], rtol=1e-9, atol=1e-16)
        assert found[5, 9] == pytest.approx(jensenshannon(p[5, component], p[9, component]) ** 2, rel=1e-12)
    squared = squared_distances(models)
    np.testing.assert_allclose(squared, plain @ EVR, rtol=1e-9, atol=1e-16)
    assert squared[0, 1] == 0.0
    assert squared[0, 2] > 0.0
    assert (squared == squared.T).all()
    assert not np.diag(squared).any()


def test_other_divergences_are_those_of_drift(models: Distributions) -> None:
    p = models.probabilities
    plain = total_variation_of(p[:, None], p[None], models.width) @ EVR
    np.testing.assert_allclose(squared_distances(models, DIVERGENCES["tv"]), plain, rtol=1e-12)
    kl = DIVERGENCES["kl"]
    np.testing.assert_allclose(squared_distances(models, kl), kl.matrix(models), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", ["js", "tv", "wasserstein"])
def test_distances_fit_a_euclidean_space(models: Distributions, name: str) -> None:
    """No negative eigenvalue, hence the triangle inequality as well."""
    squared = squared_distances(models, DIVERGENCES[name])
    centred = -0.5 * (squared - squared.mean(0) - squared.mean(1)[:, None] + squared.mean())
    values = np.linalg.eigvalsh(centred)
    assert values[0] > -1e-12 * values[-1]
    d = np.sqrt(squared)
    assert (d[:, None] <= d[:, :, None] + d[None] + 1e-12).all()


def test_symmetric_kl_is_no_metric() -> None:
    """Why it comes with a warning: the way over the second is shorter than that to the third at once."""
    three = distributions(np.array([[[10**7, 1]], [[9, 1]], [[1, 9]]]), np.ones(1), 0.0, 1.0)
    d = np.sqrt(squared_distances(three, DIVERGENCES["kl"]))
    assert d[0, 2] > 1.2 * (d[0, 1] + d[1, 2])
    d = np.sqrt(squared_distances(three))
    assert d[0, 2] < d[0, 1] + d[1, 2]


def test_centroids_lie_where_coordinates_put_them() -> None:
    random = np.random.default_rng(1)
    points, units = random.normal(size=(9, 4)), np.array([2, 0, 1, 0, 2, 2, 3, 1, 0])
    middles = np.stack([points[units == unit].mean(axis=0) for unit in range(4)])
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    expected = ((middles[:, None] - middles[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(centroid_distances(squared, units), expected, atol=1e-12)
    order = np.array([3, 1, 2, 0])
    np.testing.assert_array_equal(centroid_distances(squared[:4, :4], order), squared[np.ix_(order, order)][:4, :4])
