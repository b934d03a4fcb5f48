"""p-values controlled for the number of pairs, and verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from analysis.measures.adjusting import Largest, q_values
from analysis.measures.uncertainty import Resampling, permutation_null
from analysis.measures.verdicts import verdicts
from analysis.settings import Adjust
from tests.analysis.measures.simulated import KL, models, nested


def square(pairs: list[float] | np.ndarray, groups: int) -> np.ndarray:
    found = np.ones((groups, groups))
    found[np.triu_indices(groups, 1)] = pairs
    found.T[np.triu_indices(groups, 1)] = pairs
    return found


@pytest.mark.parametrize("adjust", [Adjust.bh, Adjust.by])
def test_q_values_equal_scipy(adjust: Adjust) -> None:
    p = square(np.random.default_rng(9).random(21) ** 3, 7)
    upper = np.triu_indices(7, 1)
    q = q_values(p, adjust)
    np.testing.assert_allclose(q[upper], false_discovery_control(p[upper], method=str(adjust)), rtol=1e-12)
    np.testing.assert_array_equal(q, q.T)
    assert q_values(np.ones((1, 1)), adjust).tolist() == [[1.0]]


def test_q_values_by_hand() -> None:
    """Three pairs: BH multiplies by 3, 3/2, 1; BY by 1 + 1/2 + 1/3 besides."""
    p = square([0.01, 0.04, 0.03], 3)
    assert q_values(p)[np.triu_indices(3, 1)].tolist() == pytest.approx([0.03, 0.04, 0.04])
    by = q_values(p, Adjust.by)[np.triu_indices(3, 1)]
    assert by.tolist() == pytest.approx([0.03 * 11 / 6, 0.04 * 11 / 6, 0.04 * 11 / 6])


def test_the_largest_drift_by_hand() -> None:
    """Two pairs of other scales: with the observed drift each null is 0 … 20, median 10, 95 % quantile 19."""
    largest = Largest(20)
    null = np.delete(np.arange(21.0), 19)
    first = largest.note(19.0, null)
    second = largest.note(1000.0 * 15, 1000.0 * np.delete(np.arange(21.0), 15)[::-1])
    assert (first, second) == pytest.approx((1.0, 5 / 9))
    # Deal by deal the larger of (d - 10) / 9: the first null rises, the second falls, so from 20 down to 10 and back.
    larger = np.maximum(null, np.delete(np.arange(21.0), 15)[::-1])
    assert largest.p_value(first) == (1 + (larger >= 19).sum()) / 21
    assert largest.p_value(second) == (1 + (larger >= 15).sum()) / 21


def test_of_deals_that_are_nearly_all_alike_another_is_beyond_measure() -> None:
    largest = Largest(100)
    assert largest.note(2.0, np.r_[np.zeros(98), 2.0, 2.0]) == np.inf
    assert largest.p_value(np.inf) == 3 / 101
    assert Largest(3).note(1.0, np.ones(3)) == 0.0


def test_the_largest_drift_finds_hardly_any_pair_falsely_and_planted_ones_as_well_as_bonferroni() -> None:
    """Groups of other sizes, one more far from all of them: false are pairs of the five."""
    random = np.random.default_rng(0)
    sizes, trials = (4, 5, 6, 8, 12), 150
    falsely, found, bonferroni = 0, 0, 0
    for _ in range(trials):
        near = [models(random, size) for size in sizes]
        null = permutation_null(nested(*near, models(random, 10, shift=1.2)), KL.pairs, Resampling(199), random)
        pairs = np.triu_indices(6, 1)
        false = pairs[1] < 5
        adjusted, p = null.familywise[pairs], null.p_value[pairs]
        assert (adjusted >= p).all()
        falsely += bool((adjusted[false] <= 0.05).any())
        found += int((adjusted[~false] <= 0.05).sum())
        bonferroni += int((p[~false] * len(p) <= 0.05).sum())
    assert falsely / trials <= 0.08
    assert found > 0.7 * 5 * trials
    assert bonferroni == 0  # 199 deals cannot: 15 / 200 > 0.05


def test_verdicts() -> None:
    low = np.array([[0.03, 0.03, 0.0, 0.0, 0.02, np.nan]])
    high = np.array([[0.09, 0.09, 0.01, 0.09, 0.09, np.nan]])
    q = np.array([[0.05, 0.06, 1.0, 0.01, 0.01, 0.01]])
    assert verdicts(low, high, q, 0.02).tolist() == [
        ["shift", "undecided", "no shift", "undecided", "undecided", "undecided"]
    ]
