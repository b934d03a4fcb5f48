"""Models dealt out again: both sides' sums, and the null of a whole matrix, against the plainest way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.measures.dealing import deal_again
from analysis.measures.drift import DIVERGENCES
from analysis.measures.uncertainty import Resampling, permutation_null
from analysis.measures.weighting import UnitHistograms

RATIO = np.array([0.5, 0.3, 0.2])
KL = DIVERGENCES["kl"].resampled(RATIO, -3.0, 3.0)


def mixed(whole: bool) -> UnitHistograms:
    """Three groups; models 0 … 8 lie in two of them, the others in one; some bins are empty."""
    random = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [12, 9, 20])
    model = np.concatenate([np.arange(12), np.r_[0:5, 20:24], np.r_[5:9, 30:46]])
    counts = random.poisson(0.8, size=(len(group), 3, 11)).astype(np.float64)
    return UnitHistograms(counts if whole else counts / 7.0, group, model)


def plain_sides(found: UnitHistograms, a: int, b: int, deals: int, random: np.random.Generator) -> list[np.ndarray]:
    """(2, C, B) per deal, model by model: uniform numbers for the models of one side, then swaps for those of both."""
    rows_a, rows_b = np.flatnonzero(found.group == a), np.flatnonzero(found.group == b)
    both = sorted(set(found.unit[rows_a]) & set(found.unit[rows_b]))
    alone = [r for r in (*rows_a, *rows_b) if found.unit[r] not in both]
    to_a = len(rows_a) - len(both)
    chances, swaps = random.random((deals, len(alone))), random.integers(0, 2, size=(deals, len(both)))
    result = []
    for chance, swap in zip(chances, swaps, strict=True):
        sides = np.zeros((2, *found.counts.shape[1:]))
        for place, row in enumerate(np.array(alone)[np.argsort(chance)]):
            sides[int(place >= to_a)] += found.counts[row]
        for model, swapped in zip(both, swap, strict=True):
            for side, rows in enumerate((rows_a, rows_b)):
                sides[side ^ swapped] += found.counts[rows[found.unit[rows] == model][0]]
        result.append(sides)
    return result


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("a", "b"), [(0, 1), (0, 2), (1, 2)])
def test_sums_of_both_sides_are_those_of_the_models_dealt_to_them(a: int, b: int, whole: bool) -> None:
    found = mixed(whole)
    plain = np.stack(plain_sides(found, a, b, 40, np.random.default_rng(1)))
    rows_a, rows_b = np.flatnonzero(found.group == a), np.flatnonzero(found.group == b)
    deals = deal_again(found, rows_a, rows_b, 40, np.random.default_rng(1), are_whole=whole)
    first, second = np.empty((30, 3, 11)), np.empty((30, 3, 11))
    deals.sums(10, first, second)
    if whole:
        np.testing.assert_array_equal(first, plain[10:, 0])
        np.testing.assert_array_equal(second, plain[10:, 1])
    np.testing.assert_allclose(first, plain[10:, 0], rtol=1e-14)
    np.testing.assert_allclose(second, plain[10:, 1], rtol=1e-14)
    # An empty bin has another density than one with the smallest rest of a difference.
    np.testing.assert_array_equal(first == 0, plain[10:, 0] == 0)
    np.testing.assert_array_equal(second == 0, plain[10:, 1] == 0)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", list(DIVERGENCES))
def test_the_null_is_that_of_plain_loops_over_the_same_random_numbers(name: str, whole: bool) -> None:
    """Whatever the number of threads: deals are drawn pair by pair, in order."""
    found, measure = mixed(whole), DIVERGENCES[name].resampled(RATIO, -3.0, 3.0)
    random = np.random.default_rng(2)
    made = permutation_null(found, measure.pairs, Resampling(150), np.random.default_rng(2))
    for a, b in itertools.combinations(range(3), 2):
        sides = np.stack(plain_sides(found, a, b, 150, random))
        null = measure.matrices(sides)[:, 0, 1]
        observed = measure.matrices(np.stack([found.counts[found.group == g].sum(axis=0) for g in (a, b)])[None])[
            0, 0, 1
        ]
        assert made.p_value[a, b] == made.p_value[b, a] == (1 + (null >= observed * (1 - 1e-9)).sum()) / 151
        assert made.median[a, b] == pytest.approx(np.median(null), rel=1e-12)
        assert made.high[a, b] == pytest.approx(np.quantile(null, 0.95), rel=1e-12)


def test_pairs_of_which_one_has_no_count_in_a_component_have_no_drift() -> None:
    counts = np.random.default_rng(3).poisson(4.0, size=(4, 3, 11)).astype(np.float64)
    other = counts[::-1].copy()
    other[2, 1] = 0
    drifts = KL.pairs(counts, other)
    assert np.isnan(drifts).tolist() == [False, False, True, False]
    assert KL.pairs(counts, counts).tolist() == [0.0] * 4
