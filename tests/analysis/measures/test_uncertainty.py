"""Intervals, nulls, p-values: against enumeration, against SciPy, and what they promise on simulated data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from analysis.measures.divergences import symmetric_kl_of
from analysis.measures.drift import DIVERGENCES
from analysis.measures.uncertainty import (
    ModelHistograms,
    Resampling,
    bootstrap_interval,
    permutation_null,
    q_values,
    uncertainty_of,
)

COMPONENTS, BINS = 3, 12


def measure(counts: np.ndarray) -> np.ndarray:
    """(R, G, C, B) counts → (R, G, G) drifts, in the plainest way."""
    smoothed = np.where(counts > 0, counts, 1e-7)
    p = smoothed / smoothed.sum(axis=-1, keepdims=True)
    drift = symmetric_kl_of(p[:, :, None], p[:, None], 0.1).mean(axis=-1)
    empty = counts.sum(axis=(-1, -2)) == 0
    drift[empty[:, :, None] | empty[:, None, :]] = np.nan
    return drift


def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(R, C, B) counts twice → (R,) drifts."""
    return measure(np.stack([first, second], axis=1))[:, 0, 1]


#: The real one, for what needs both.
KL = DIVERGENCES["kl"].resampled(np.full(COMPONENTS, 1 / COMPONENTS), -3.0, 3.0)


def models(random: np.random.Generator, number: int, shift: float = 0.0, spread: float = 0.3) -> np.ndarray:
    """(number, C, B) histograms of 2 000 draws each; every model has its own centre: that is the clustering."""
    centres = random.normal(shift, spread, size=(number, COMPONENTS, 1))
    draws = random.normal(centres, 1.0, size=(number, COMPONENTS, 2000)).clip(-3, 3)
    edges = np.linspace(-3, 3, BINS + 1)
    return np.array([[np.histogram(c, edges)[0] for c in model] for model in draws], dtype=np.float64)


def nested(*groups: np.ndarray) -> ModelHistograms:
    sizes = [len(group) for group in groups]
    return ModelHistograms(np.concatenate(groups), np.repeat(np.arange(len(groups)), sizes), np.arange(sum(sizes)))


def test_the_null_of_two_against_two_is_the_six_deals() -> None:
    random = np.random.default_rng(0)
    both = nested(models(random, 2), models(random, 2, shift=1.0))
    drifts = []
    for chosen in itertools.combinations(range(4), 2):
        others = [i for i in range(4) if i not in chosen]
        pair = np.stack([both.counts[list(chosen)].sum(axis=0), both.counts[others].sum(axis=0)])[None]
        drifts.append(measure(pair)[0, 0, 1])
    observed = drifts[0]
    exact = np.mean(np.array(drifts) >= observed * (1 - 1e-9))
    median, high, p = permutation_null(both, between, Resampling(permutations=6000), random)
    assert p[0, 1] == pytest.approx(exact, abs=0.02)
    assert p[0, 1] == p[1, 0]
    assert np.abs(np.array(drifts) - median[0, 1]).min() < 1e-9  # one of the deals
    assert high[0, 1] == pytest.approx(max(drifts), rel=1e-9)


def test_the_null_of_shared_models_is_swaps_within_models() -> None:
    """Three models, each with a part in both groups, as on the depth axis: eight swaps."""
    random = np.random.default_rng(1)
    first, second = models(random, 3), models(random, 3, shift=0.5)
    shared = ModelHistograms(np.concatenate([first, second]), np.repeat([0, 1], 3), np.tile(np.arange(3), 2))
    assert not shared.nested
    drifts = []
    for swaps in itertools.product([False, True], repeat=3):
        mask = np.array(swaps)[:, None, None]
        pair = np.stack([np.where(mask, second, first).sum(axis=0), np.where(mask, first, second).sum(axis=0)])[None]
        drifts.append(measure(pair)[0, 0, 1])
    exact = np.mean(np.array(drifts) >= drifts[0] * (1 - 1e-9))
    _, _, p = permutation_null(shared, between, Resampling(permutations=6000), random)
    assert p[0, 1] == pytest.approx(exact, abs=0.02)


def test_p_values_keep_their_promise_when_there_is_no_shift() -> None:
    """Of many matrices without any true shift, about 5 % of the p-values are under 0.05, not more."""
    random = np.random.default_rng(2)
    resampling = Resampling(permutations=199)
    p_values = [
        permutation_null(nested(models(random, 6), models(random, 6)), between, resampling, random)[2][0, 1]
        for _ in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.10
    assert 0.4 <= np.mean(p_values) <= 0.6


def test_a_true_shift_is_found_and_the_interval_excludes_the_null() -> None:
    random = np.random.default_rng(3)
    histograms = nested(models(random, 8), models(random, 8, shift=2.0), models(random, 8))
    result = uncertainty_of(histograms, KL, Resampling(replicates=300, permutations=500))
    assert result.p_value[0, 1] < 0.01
    assert result.q_value[0, 1] < 0.05
    assert result.p_value[0, 2] > 0.05
    assert result.low[0, 1] > result.null_high[0, 1]


def test_naive_resampling_of_filters_would_be_far_too_sure() -> None:
    """The interval is as wide as models differ: with three models it must not look as if there were thousands."""
    random = np.random.default_rng(4)
    few, many = nested(models(random, 3), models(random, 3)), nested(models(random, 60), models(random, 60))
    widths = []
    for histograms in (few, many):
        low, high = bootstrap_interval(histograms, measure, Resampling(replicates=400), random)
        widths.append(high[0, 1] - low[0, 1])
    assert widths[0] > 3 * widths[1]


def test_a_group_of_one_model_has_no_interval() -> None:
    random = np.random.default_rng(5)
    result = uncertainty_of(nested(models(random, 1), models(random, 5), models(random, 5)), KL, Resampling(100, 100))
    assert np.isnan(result.low[0, 1])
    assert np.isnan(result.high[1, 0])
    assert np.isfinite(result.low[1, 2])
    assert np.diag(result.low).tolist() == [0.0] * 3


def test_the_interval_holds_the_estimate_for_clearly_shifted_groups() -> None:
    random = np.random.default_rng(6)
    histograms = nested(models(random, 10), models(random, 10, shift=1.5))
    observed = measure(np.stack([histograms.counts[:10].sum(0), histograms.counts[10:].sum(0)])[None])[0, 0, 1]
    low, high = bootstrap_interval(histograms, measure, Resampling(replicates=500), random)
    assert low[0, 1] < observed < high[0, 1]


def test_the_interval_covers_the_true_drift_of_groups_that_hardly_differ() -> None:
    """Where the plain percentile interval never does: it starts above a drift that is itself too large."""
    random = np.random.default_rng(11)
    everyone = nested(models(random, 400), models(random, 400, shift=0.15))
    halves = np.stack([everyone.counts[:400].sum(0), everyone.counts[400:].sum(0)])[None]
    true = measure(halves)[0, 0, 1]
    covered = []
    for _ in range(60):
        histograms = nested(models(random, 6), models(random, 6, shift=0.15))
        low, high = bootstrap_interval(histograms, measure, Resampling(replicates=150), random)
        covered.append(low[0, 1] <= true <= high[0, 1])
    assert np.mean(covered) >= 0.85


def test_models_with_parts_in_several_groups_are_drawn_whole() -> None:
    """If both groups hold the same models' identical parts, every replicate has drift 0 exactly."""
    random = np.random.default_rng(7)
    part = models(random, 5)
    same = ModelHistograms(np.concatenate([part, part]), np.repeat([0, 1], 5), np.tile(np.arange(5), 2))
    low, high = bootstrap_interval(same, measure, Resampling(replicates=100), random)
    assert low[0, 1] == high[0, 1] == pytest.approx(0.0, abs=1e-12)


def test_the_seed_decides() -> None:
    random = np.random.default_rng(8)
    histograms = nested(models(random, 4), models(random, 4))
    first, again, other = (uncertainty_of(histograms, KL, Resampling(50, 50, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.low, again.low)
    np.testing.assert_array_equal(first.p_value, again.p_value)
    assert (first.high != other.high).any()


def test_q_values_equal_scipy() -> None:
    p = np.random.default_rng(9).random((7, 7)) ** 3
    p = np.triu(p, 1) + np.triu(p, 1).T + np.eye(7)
    upper = np.triu_indices(7, 1)
    q = q_values(p)
    np.testing.assert_allclose(q[upper], false_discovery_control(p[upper], method="bh"), rtol=1e-12)
    np.testing.assert_array_equal(q, q.T)
    assert q_values(np.ones((1, 1))).tolist() == [[1.0]]
