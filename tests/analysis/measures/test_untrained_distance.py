"""Distance from untrained: 0 for untrained layers of any size, and what it is for known ones."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.arrays.untrained import untrained_filters
from analysis.measures.drift import distributions, symmetric_kl
from analysis.measures.untrained_distance import KAPPA, distance_from_untrained, untrained_threshold
from analysis.settings import Baseline
from tests import reference

LOWER = np.tril_indices(9)


def distances(scaled: np.ndarray) -> np.ndarray:
    """(R,) of R layers of n filters, (R, n, 9)."""
    grams = scaled.transpose(0, 2, 1) @ scaled
    return distance_from_untrained(np.full(len(scaled), scaled.shape[1]), grams[:, LOWER[0], LOWER[1]])


def layers(kind: Baseline, number: int, filters: int) -> np.ndarray:
    return reference.scale(untrained_filters(kind, number * filters, seed=filters)).reshape(number, filters, 9)


@pytest.mark.parametrize("kind", list(Baseline))
@pytest.mark.parametrize("filters", [2, 9, 64, 2048])
def test_untrained_layers_are_at_zero_up_to_the_stated_noise(kind: Baseline, filters: int) -> None:
    found = distances(layers(kind, max(200, min(10_000, 200_000 // filters)), filters))
    noise = found.std() / np.sqrt(len(found))
    assert found.mean() == pytest.approx(0, abs=4 * noise + (0.35 / filters if kind is Baseline.uniform else 0))
    assert filters * found.std() == pytest.approx(1.9, abs=0.35) or filters == 2
    assert (found > untrained_threshold(np.array([filters]))).mean() <= 0.002 + 1 / len(found)


def test_kappa_is_that_of_the_sample() -> None:
    energies = (reference.scale(untrained_filters(Baseline.normal)) ** 2).sum(axis=1)
    assert (energies**2).mean() / energies.mean() ** 2 == pytest.approx(KAPPA, abs=2e-4)


def test_known_layers() -> None:
    one = np.outer([1.0, -0.5, 0.25, 1.0], np.arange(1, 10) / 9)[None]
    zero, single = np.zeros((1, 4, 9)), np.eye(9)[:1][None]
    assert distances(one)[0] == pytest.approx(8 - 8 * KAPPA / (3 + KAPPA))
    assert np.isnan(distances(zero)[0])
    assert distances(single)[0] == pytest.approx(0, abs=1e-12)  # one filter says nothing
    scaled = reference.scale(np.random.default_rng(0).normal(size=(300, 9)) @ np.diag(np.arange(1.0, 10)))[None]
    energies = np.linalg.eigvalsh(scaled[0].T @ scaled[0])
    assert distances(scaled)[0] == pytest.approx(energies.var() / energies.mean() ** 2 - 8 * KAPPA / (299 + KAPPA))
    assert distances(7 * scaled)[0] == pytest.approx(distances(scaled)[0])


def test_half_of_a_small_distance_is_the_drift() -> None:
    """Of Gaussian coefficients whose variances differ a little, every component weighing the same."""
    weights = np.random.default_rng(0).normal(size=(2, 400_000, 9))
    weights[0] *= np.sqrt(1 + 0.15 * np.tile([1.0, -1.0, 0.0], 3))
    counts = [[np.histogram(column, 70, (-5, 5))[0] for column in filters.T] for filters in weights]
    drift = symmetric_kl(distributions(np.array(counts), np.full(9, 1 / 9), -5.0, 5.0))[0, 1]
    assert distances(weights[:1])[0] / 2 == pytest.approx(drift, rel=0.1)
