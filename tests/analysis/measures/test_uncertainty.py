"""Nulls, floors and p-values: against enumeration, and what they promise on simulated data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.measures.uncertainty import Resampling, floors, permutation_null, uncertainty_of
from analysis.settings import Adjust
from tests.analysis.measures.simulated import KL, between, drift_of, models, nested, shared


def test_the_null_of_two_against_two_is_the_six_deals() -> None:
    random = np.random.default_rng(0)
    both = nested(models(random, 2), models(random, 2, shift=1.0))
    drifts = []
    for chosen in itertools.combinations(range(4), 2):
        others = [i for i in range(4) if i not in chosen]
        sides = (both.counts[list(rows)].sum(axis=0)[None] for rows in (chosen, others))
        drifts.append(between(*sides)[0])
    exact = np.mean(np.array(drifts) >= drifts[0] * (1 - 1e-9))
    null = permutation_null(both, between, Resampling(6000), random)
    assert null.p_value[0, 1] == pytest.approx(exact, abs=0.02)
    assert null.p_value[0, 1] == null.p_value[1, 0]
    assert null.familywise[0, 1] == null.p_value[0, 1]  # a single pair
    assert np.abs(np.array(drifts) - null.median[0, 1]).min() < 1e-9  # one of the deals
    assert null.high[0, 1] == pytest.approx(max(drifts), rel=1e-9)


def test_the_null_of_shared_models_is_swaps_within_models() -> None:
    """Three models, each with a part in both groups, as on the depth axis: eight swaps."""
    random = np.random.default_rng(1)
    first, second = models(random, 3), models(random, 3, shift=0.5)
    drifts = []
    for swaps in itertools.product([False, True], repeat=3):
        mask = np.array(swaps)[:, None, None]
        sides = (np.where(mask, *parts).sum(axis=0)[None] for parts in ((second, first), (first, second)))
        drifts.append(between(*sides)[0])
    exact = np.mean(np.array(drifts) >= drifts[0] * (1 - 1e-9))
    null = permutation_null(shared(first, second), between, Resampling(6000), random)
    assert null.p_value[0, 1] == pytest.approx(exact, abs=0.02)


def test_the_floor_of_four_models_is_the_median_of_three_halvings() -> None:
    random = np.random.default_rng(2)
    found = nested(models(random, 4), models(random, 3), models(random, 1))
    halvings = [
        between(*(found.counts[rows].sum(axis=0)[None] for rows in ([0, i], [j for j in (1, 2, 3) if j != i])))[0]
        for i in (1, 2, 3)
    ]
    floor = floors(found, between, Resampling(4001), np.random.default_rng(0))
    assert floor[0, 0] == pytest.approx(sorted(halvings)[1], rel=1e-9)
    assert floor[0, 1] == floor[1, 0] == max(floor[0, 0], floor[1, 1])
    assert np.isnan(floor[2]).all()
    assert np.isnan(floor[:2, 2]).all()


def test_p_values_keep_their_promise_when_there_is_no_shift() -> None:
    """Of many matrices without any true shift, about 5 % of the p-values are under 0.05, not more."""
    random = np.random.default_rng(2)
    p_values = [
        permutation_null(nested(models(random, 6), models(random, 6)), between, Resampling(199), random).p_value[0, 1]
        for _ in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.10
    assert 0.4 <= np.mean(p_values) <= 0.6


def test_a_true_shift_is_found_and_the_interval_excludes_the_null() -> None:
    random = np.random.default_rng(3)
    histograms = nested(models(random, 8), models(random, 8, shift=2.0), models(random, 8))
    for adjust in Adjust:
        result = uncertainty_of(histograms, KL, Resampling(500, adjust=adjust))
        assert result.p_value[0, 1] < 0.01
        assert result.q_value[0, 1] < 0.05
        assert result.p_value[0, 2] > 0.05
        assert result.low[0, 1] > max(result.null_high[0, 1], result.floor[0, 1])
        assert result.debiased[0, 1] < drift_of(histograms)


def test_a_group_of_one_model_has_no_interval() -> None:
    random = np.random.default_rng(5)
    result = uncertainty_of(nested(models(random, 1), models(random, 5), models(random, 5)), KL, Resampling(100))
    for unknown in (result.low, result.high, result.debiased, result.floor):
        assert np.isnan(unknown[0, 1:]).all()
        assert np.isnan(unknown[1:, 0]).all()
        assert np.isfinite(unknown[1, 2])
    assert np.diag(result.low).tolist() == np.diag(result.debiased).tolist() == [0.0] * 3


def test_the_seed_decides() -> None:
    random = np.random.default_rng(8)
    histograms = nested(models(random, 4), models(random, 4))
    first, again, other = (uncertainty_of(histograms, KL, Resampling(50, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.floor, again.floor)
    np.testing.assert_array_equal(first.p_value, again.p_value)
    assert (first.null_high != other.null_high).any()
    np.testing.assert_array_equal(first.high, other.high)  # nothing random in it
