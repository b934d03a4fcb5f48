"""Swaps of sides: exact p-values equal brute force, clusters swap whole, drawn ones are near and the same each time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.measures.adjusting import adjusted
from analysis.measures.drift import DIVERGENCES
from analysis.measures.sign_flips import Chance, SwapPlan, clusters_of, drift_chance, mean_difference_chance


def brute_force(differences: np.ndarray, weights: np.ndarray, clusters: np.ndarray) -> float:
    """Every swap of every cluster, plainly."""
    names = sorted(set(clusters.tolist()))
    observed = abs(np.sum(weights * differences))
    found = []
    for signs in itertools.product([1, -1], repeat=len(names)):
        sign = dict(zip(names, signs, strict=True))
        found.append(abs(sum(w * d * sign[c] for w, d, c in zip(weights, differences, clusters.tolist(), strict=True))))
    return float(np.mean(np.array(found) >= observed - 1e-12))


@pytest.mark.parametrize("seed", range(6))
def test_exact_p_values_are_those_of_all_swaps(seed: int) -> None:
    generator = np.random.default_rng(seed)
    number = int(generator.integers(1, 10))
    differences = generator.normal(0.6, 1, number)
    weights = generator.choice([1.0, 0.5, 1 / 3], number)
    clusters = generator.integers(0, max(1, number - 2), number) * 7
    plan = SwapPlan()
    assert mean_difference_chance(differences, weights, clusters, plan).p_value == brute_force(
        differences, weights, clusters
    )
    alone = np.arange(number)
    signed = mean_difference_chance(differences, np.ones(number), alone, plan).p_value
    assert signed == brute_force(differences, np.ones(number), alone)
    if number > 1:
        peer = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        )
        assert signed == pytest.approx(peer.pvalue)


def test_equal_sides_have_p_1() -> None:
    plan, zeros = SwapPlan(), np.zeros(5)
    assert mean_difference_chance(zeros, np.ones(5), np.arange(5), plan).p_value == 1
    counts = np.random.default_rng(1).integers(1, 9, (5, 9, 12)).astype(float)
    measure = DIVERGENCES["kl"].resampled(np.full(9, 1 / 9), 0, 1)
    assert drift_chance(counts, counts.copy(), measure, plan) == Chance(1, 0)
    assert np.isnan(mean_difference_chance(zeros[:0], zeros[:0], np.arange(0), plan).p_value)


@pytest.mark.parametrize("divergence", ["kl", "js"])
@pytest.mark.parametrize("factor", [1.0, 0.37])
def test_exact_p_of_a_drift_is_that_of_all_swaps(divergence: str, factor: float) -> None:
    """Of counts, whose sums are exact, and of weighted ones."""
    generator = np.random.default_rng(3)
    first = generator.poisson(30, (6, 9, 12)) * factor
    second = generator.poisson(30 + 3 * np.arange(12), (6, 9, 12)) * factor
    second[4:], first[4:] = first[4:].copy(), second[4:].copy()  # two clusters the other way round
    measure = DIVERGENCES[divergence].resampled(generator.dirichlet(np.ones(9)), -1, 1)
    found = []
    for swapped in itertools.product([False, True], repeat=6):
        at = np.array(swapped)[:, None, None]
        sides = np.where(at, second, first).sum(axis=0), np.where(at, first, second).sum(axis=0)
        found.append(measure.pairs(sides[0][None], sides[1][None])[0])
    expected = np.mean(np.array(found) >= found[0] * (1 - 1e-9))
    assert 2 / 64 < expected < 1
    chance = drift_chance(first, second, measure, SwapPlan())
    assert chance.p_value == expected
    assert chance.high == pytest.approx(np.quantile(found[:32], 0.95, method="inverted_cdf"))


def test_drawn_swaps_are_near_all_of_them_and_the_same_each_time() -> None:
    generator = np.random.default_rng(5)
    differences, one, alone = generator.normal(0.4, 1, 12), np.ones(12), np.arange(12)
    exact = SwapPlan(most=2048)
    assert exact.are_all(12)
    assert not SwapPlan(most=2047).are_all(12)
    p = mean_difference_chance(differences, one, alone, exact).p_value
    drawn = [
        mean_difference_chance(differences, one, alone, SwapPlan(most=2000, seed=seed)).p_value for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert max(abs(each - p) for each in drawn) < 4 * np.sqrt(p * (1 - p) / 2000)
    # No p-value of drawn swaps is 0, however large the difference.
    assert mean_difference_chance(np.full(40, 5.0), np.ones(40), np.arange(40), SwapPlan(most=99)).p_value == 0.01


def test_p_values_under_the_null_are_uniform() -> None:
    generator = np.random.default_rng(8)
    plan = SwapPlan(most=500)
    p = np.array(
        [mean_difference_chance(generator.normal(size=9), np.ones(9), np.arange(9), plan).p_value for _ in range(2000)]
    )
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 2000)


def test_pairs_that_share_a_unit_are_one_cluster() -> None:
    assert clusters_of(np.array([0, 2, 4]), np.array([1, 3, 5])).tolist() == [0, 1, 2]
    # A star, a chain of three, and one by itself.
    first = np.array([9, 9, 9, 1, 2, 3, 20])
    second = np.array([5, 6, 7, 2, 3, 4, 21])
    assert clusters_of(first, second).tolist() == [0, 0, 0, 1, 1, 1, 2]
    long = np.random.default_rng(0).permutation(500)
    assert set(clusters_of(long[:-1], long[1:])) == {0}


def test_adjusted_p_values_are_those_of_scipy() -> None:
    p = np.random.default_rng(2).random(11) ** 2
    np.testing.assert_allclose(adjusted(p), stats.false_discovery_control(p))
    with_gaps = np.insert(p, [0, 5], np.nan)
    found = adjusted(with_gaps)
    assert np.isnan(found[[0, 6]]).all()
    np.testing.assert_allclose(found[np.isfinite(found)], stats.false_discovery_control(p))
