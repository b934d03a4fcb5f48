"""Sides of pairs: a model counts once a pair or once, by hand; sums that know no order."""

from __future__ import annotations

import numpy as np

from analysis.measures.pairing import PairedModels, means, sums_by
from analysis.settings import Shared

#: Model 0 against 1, 2 and 3; model 4 against 5.
FIRST, SECOND, CLUSTERS = np.array([0, 0, 0, 4]), np.array([1, 2, 3, 5]), np.array([0, 0, 0, 1])
VALUES = np.array([[1.0], [10.0], [20.0], [40.0], [7.0], [9.0]])


def paired(shared: Shared) -> PairedModels:
    return PairedModels(FIRST, SECOND, CLUSTERS, 6, shared)


def test_a_shared_model_counts_once_a_pair() -> None:
    first, second = paired(Shared.each).cluster_sums(VALUES)
    assert (first.tolist(), second.tolist()) == ([[3.0], [7.0]], [[70.0], [9.0]])
    assert paired(Shared.each).weights.tolist() == [1, 1, 1, 1]


def test_a_shared_model_counts_once() -> None:
    first, second = paired(Shared.once).cluster_sums(VALUES)
    assert (first.tolist(), second.tolist()) == ([[1.0], [7.0]], [[70.0], [9.0]])
    np.testing.assert_allclose(paired(Shared.once).weights, [1 / 3, 1 / 3, 1 / 3, 1])


def test_all_pairs_of_two_against_three_count_as_two() -> None:
    first, second = np.repeat([0, 1], 3), np.tile([2, 3, 4], 2)
    both = PairedModels(first, second, np.zeros(6, np.int64), 5, Shared.once)
    np.testing.assert_allclose(both.weights.sum(), 2)
    sums = both.cluster_sums(VALUES[:5, 0])
    assert [side.tolist() for side in sums] == [[11.0], [67.0]]


def test_a_subset_counts_what_is_left() -> None:
    left = paired(Shared.once).among(np.array([True, True, False, False]))
    assert left.weights.tolist() == [0.5, 0.5]
    assert [side.tolist() for side in left.cluster_sums(VALUES)] == [[[1.0]], [[30.0]]]


def test_a_model_on_both_sides_counts_on_both() -> None:
    chain = PairedModels(np.array([0, 1]), np.array([1, 2]), np.zeros(2, np.int64), 3, Shared.once)
    assert [side.tolist() for side in chain.cluster_sums(VALUES[:3])] == [[[11.0]], [[30.0]]]


def test_sums_do_not_depend_on_the_order() -> None:
    generator = np.random.default_rng(4)
    codes, values, weights = generator.integers(0, 3, 500), generator.normal(size=500), generator.random(500)
    expected = sums_by(codes, 4, values, weights)
    for _ in range(5):
        order = generator.permutation(500)
        for found, before in zip(sums_by(codes[order], 4, values[order], weights[order]), expected, strict=True):
            assert found.tolist() == before.tolist()
    averages = means(*expected)
    assert np.isnan(averages[3])
    for code in range(3):
        mine = codes == code
        np.testing.assert_allclose(averages[code], np.average(values[mine], weights=weights[mine]))
