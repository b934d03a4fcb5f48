"""Two-dimensional histograms of pairs of coefficients against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.arrays.kernels import Binning, NonFiniteFilterError, Projection
from analysis.arrays.kernels.pairs import count_pairs
from tests import reference
from tests.stores import random_filters

LOW, HIGH = -2.5, 2.75


def projection() -> Projection:
    rotation, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((9, 9)))
    return Projection(rotation, np.linspace(-0.2, 0.3, 9))


def by_numpy(filters: np.ndarray, where: Projection, pair: tuple[int, int], bins: int) -> np.ndarray:
    """``numpy.histogram2d`` of the float64 coefficients."""
    coefficients = reference.scale(filters) @ where.matrix.T + where.offset
    first, second = coefficients[:, pair[0]], coefficients[:, pair[1]]
    return np.histogram2d(first, second, bins=bins, range=[[LOW, HIGH]] * 2)[0]


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 5000])
def test_pairs_are_counted_as_numpy_does(rows: int) -> None:
    generator = np.random.default_rng(rows)
    filters = random_filters(generator, rows)
    cuts = np.sort(generator.integers(0, rows + 1, 4))
    starts = np.array([0, *cuts, rows])
    targets = np.array([1, 0, -1, 1, 2])
    pairs = np.array([[0, 1], [4, 2], [8, 7]])
    counts = np.zeros((4, 3, 30, 30), np.uint32)
    columns = [np.ascontiguousarray(filters[:, k]) for k in range(9)]
    count_pairs(columns, starts, targets, projection(), Binning(LOW, HIGH, 30), pairs, counts)
    for target in range(4):
        runs = [filters[starts[r] : starts[r + 1]] for r in range(5) if targets[r] == target]
        mine = np.concatenate([np.zeros((0, 9), np.float32), *runs])
        for p, pair in enumerate(pairs):
            np.testing.assert_array_equal(counts[target, p], by_numpy(mine, projection(), tuple(pair), 30))
    before = counts.copy()
    count_pairs(columns, starts, targets, projection(), Binning(LOW, HIGH, 30), pairs, counts)
    np.testing.assert_array_equal(counts, 2 * before)  # added to, not replaced


def test_outside_the_range_in_either_component_is_not_counted() -> None:
    filters = random_filters(np.random.default_rng(1), 2000)
    columns = [np.ascontiguousarray(filters[:, k]) for k in range(9)]
    counts = np.zeros((1, 1, 10, 10), np.uint32)
    targets, starts = np.zeros(1, np.int64), np.array([0, 2000])
    count_pairs(columns, starts, targets, projection(), Binning(-0.3, 0.4, 10), np.array([[0, 3]]), counts)
    coefficients = (reference.scale(filters) @ projection().matrix.T + projection().offset)[:, [0, 3]]
    inside = ((coefficients >= -0.3) & (coefficients <= 0.4)).all(axis=1).sum()
    assert counts.sum() == inside
    assert 0 < inside < 2000


def test_kernel_refuses_what_it_cannot_count() -> None:
    columns = [np.ones(300, np.float32) for _ in range(9)]
    columns[4][290] = np.inf
    good = {
        "columns": columns,
        "starts": np.array([0, 300]),
        "targets": np.array([0]),
        "projection": projection(),
        "binning": Binning(LOW, HIGH, 12),
        "pairs": np.array([[0, 1]]),
        "counts": np.zeros((1, 1, 12, 12), np.uint32),
    }
    with pytest.raises(NonFiniteFilterError) as caught:
        count_pairs(**good)  # type: ignore[arg-type]
    assert caught.value.row == 290
    for change in (
        {"starts": np.array([0, 299])},
        {"targets": np.array([1])},
        {"targets": np.array([0, 0])},
        {"pairs": np.array([[0, 9]])},
        {"counts": np.zeros((1, 1, 12, 13), np.uint32)},
        {"columns": columns[:8]},
    ):
        with pytest.raises(ValueError, match=r"must|needed"):
            count_pairs(**{**good, **change})  # type: ignore[arg-type]
