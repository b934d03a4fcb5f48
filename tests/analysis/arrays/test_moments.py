"""Moments merge to the same whatever way they are divided."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.arrays.moments import Moments, layer_sums
from distributed.errors import StoreError
from tests import reference
from tests.reference import scale
from tests.stores import random_filters


def layers_of(parts: list[np.ndarray]) -> pa.Table:
    sums, grams = zip(*map(reference.moments, parts), strict=True)
    return pa.table(
        {
            "layer_id": pa.array(range(1, len(parts) + 1), pa.int64()),
            "num_filters": pa.array([len(part) for part in parts], pa.int64()),
            "scaled_sum": pa.array(list(map(list, sums)), pa.list_(pa.float64(), 9)),
            "scaled_gram": pa.array(list(map(list, grams)), pa.list_(pa.float64(), 45)),
        }
    )


def split(filters: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    edges = sorted({0, len(filters), *(cut for cut in cuts if cut < len(filters))})
    return [filters[a:b] for a, b in itertools.pairwise(edges)]


def test_equal_to_numpy() -> None:
    filters = random_filters(np.random.default_rng(0), 5000)
    found = Moments.from_layers(layers_of(split(filters, [9, 18, 3000])))
    assert found.count == 5000
    np.testing.assert_allclose(found.mean, scale(filters).mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.covariance, np.cov(scale(filters), rowvar=False), rtol=1e-12, atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 400), st.lists(st.integers(0, 400), max_size=20))
def test_any_partition_gives_the_same(rows: int, cuts: list[int]) -> None:
    filters = random_filters(np.random.default_rng(rows), rows)
    whole = Moments.from_layers(layers_of([filters]))
    parts = split(filters, cuts)
    together = Moments.from_layers(layers_of(parts))
    assert together.count == rows
    np.testing.assert_allclose(together.mean, whole.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(together.scatter, whole.scatter, rtol=1e-12, atol=1e-12 * rows)


def test_the_order_of_layers_changes_nothing() -> None:
    table = layers_of(split(random_filters(np.random.default_rng(4), 3000), list(range(0, 3000, 37))))
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    one, two = Moments.from_layers(table), Moments.from_layers(shuffled)
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.scatter, two.scatter)


def test_half_a_billion_filters_keep_twelve_digits() -> None:
    # 50 000 layers of 10 000 filters, sums that nearly cancel between layers.
    rng = np.random.default_rng(2)
    counts = np.full(50_000, 10_000)
    sums = rng.normal(0, 5000, (50_000, 9))
    sums[::2] = -sums[1::2] + rng.normal(0, 1e-3, (25_000, 9))
    lower = np.tril_indices(9)
    grams = np.zeros((50_000, 45))
    grams[:, lower[0] == lower[1]] = rng.uniform(3000, 9000, (50_000, 9))
    found = Moments.from_sums(counts, sums, grams)
    assert found.count == 500_000_000
    for k in range(9):
        assert found.mean[k] == pytest.approx(math.fsum(sums[:, k]) / 5e8, rel=1e-12)
        exact = math.fsum([*grams[:, k * (k + 3) // 2], -found.mean[k] * math.fsum(sums[:, k])])
        assert found.scatter[k, k] == pytest.approx(exact, rel=1e-12)


def test_of_nothing_there_is_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least 2 filters"):
        _ = Moments.empty().covariance


def test_damaged_layers_tables_are_named() -> None:
    table = layers_of([random_filters(np.random.default_rng(4), 10)])
    with pytest.raises(StoreError, match="no column 'scaled_gram'"):
        layer_sums(table.drop_columns(["scaled_gram"]))
    nulls = table.set_column(2, "scaled_sum", pa.array([None], pa.list_(pa.float64(), 9)))
    with pytest.raises(StoreError, match="'scaled_sum' holds 1 nulls"):
        layer_sums(nulls)
    bad = table.set_column(2, "scaled_sum", pa.array([[math.nan] * 9], pa.list_(pa.float64(), 9)))
    with pytest.raises(StoreError, match="scaled_sum of layer 1 is not finite"):
        layer_sums(bad)
    short = table.set_column(2, "scaled_sum", pa.array([[0.0] * 8], pa.list_(pa.float64())))
    with pytest.raises(StoreError, match="does not hold 9 values"):
        layer_sums(short)
