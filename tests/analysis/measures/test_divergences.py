"""Each divergence against SciPy's, or its definition written again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, wasserstein_distance

from analysis.measures.divergences import jensen_shannon_of, symmetric_kl_of, total_variation_of, wasserstein_of

WIDTH = 0.1


def random_distributions(seed: int, sharpness: float = 1.0) -> np.ndarray:
    raw = np.random.default_rng(seed).gamma(1 / sharpness, size=(2, 9, 70)) + 1e-9
    return raw / raw.sum(axis=-1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sharpness=st.floats(0.5, 20))
def test_divergences_equal_scipy(seed: int, sharpness: float) -> None:
    p, q = random_distributions(seed, sharpness)
    centres = (np.arange(70) + 0.5) * WIDTH
    kl = [entropy(a, b) + entropy(b, a) for a, b in zip(p, q, strict=True)]
    js = [jensenshannon(a, b) ** 2 for a, b in zip(p, q, strict=True)]
    w1 = [wasserstein_distance(centres, centres, a, b) for a, b in zip(p, q, strict=True)]
    tv = [0.5 * np.abs(a - b).sum() for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(symmetric_kl_of(p, q, WIDTH), kl, rtol=1e-9)
    np.testing.assert_allclose(jensen_shannon_of(p, q, WIDTH), js, rtol=1e-9)
    np.testing.assert_allclose(wasserstein_of(p, q, WIDTH), w1, rtol=1e-9)
    np.testing.assert_allclose(total_variation_of(p, q, WIDTH), tv, rtol=1e-12)


@pytest.mark.parametrize(
    "divergence", [symmetric_kl_of, jensen_shannon_of, wasserstein_of, total_variation_of], ids=lambda f: f.__name__
)
def test_divergences_are_zero_for_equals_and_symmetric(divergence) -> None:
    p, q = random_distributions(1)
    assert (divergence(p, p, WIDTH) == 0).all()
    np.testing.assert_allclose(divergence(p, q, WIDTH), divergence(q, p, WIDTH), rtol=1e-12)
    assert (divergence(p, q, WIDTH) > 0).all()


def test_bounds_are_reached_by_disjoint_distributions() -> None:
    p, q = np.full((1, 4), 1e-300), np.full((1, 4), 1e-300)
    p[0, 0] = q[0, 3] = 1.0
    assert jensen_shannon_of(p, q, WIDTH)[0] == pytest.approx(np.log(2))
    assert total_variation_of(p, q, WIDTH)[0] == pytest.approx(1.0)
    assert wasserstein_of(p, q, WIDTH)[0] == pytest.approx(3 * WIDTH)
