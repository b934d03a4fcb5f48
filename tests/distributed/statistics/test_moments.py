"""Packing, scaling, thresholds, merging."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed.formulas import random_threshold, scale_filters
from distributed.statistics import pack_lower, unpack_lower
from distributed.statistics.tensors import scatter_of
from tests.distributed.statistics import reference
from tests.reference import scale


def test_packing_is_the_lower_triangle_row_by_row() -> None:
    lower = np.tril(np.arange(81, dtype=np.float64).reshape(9, 9))
    gram = lower + lower.T - np.diag(np.diag(lower))
    packed = pack_lower(gram)
    assert packed[:6].tolist() == [gram[0, 0], gram[1, 0], gram[1, 1], gram[2, 0], gram[2, 1], gram[2, 2]]
    assert packed.shape == (45,)
    np.testing.assert_array_equal(unpack_lower(packed), gram)
    np.testing.assert_array_equal(unpack_lower(np.stack([packed, 2 * packed])), np.stack([gram, 2 * gram]))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(9, 9\)"):
        pack_lower(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="45"):
        unpack_lower(np.zeros(9))
    with pytest.raises(ValueError, match=r"\(n, 9\)"):
        scale_filters(np.zeros((2, 3, 3)))


def test_scaling_is_one_division_per_weight() -> None:
    rng = np.random.default_rng(0)
    filters = rng.standard_normal((500, 9)).astype(np.float32)
    filters[3] = 0
    filters[4] = np.float32(1e-45) * rng.integers(-5, 6, 9)
    filters[5] *= np.float32(1e38)
    found = scale_filters(filters)
    np.testing.assert_array_equal(found, scale(filters))  # to the last bit
    assert found.dtype == np.float64
    assert not found[3].any()
    assert (np.abs(np.delete(found, 3, axis=0)).max(axis=1) == 1).all()


def test_random_threshold() -> None:
    for n in (1, 2, 3, 5, 64, 10**6):
        assert random_threshold(n) == pytest.approx(reference.threshold(n), rel=1e-15)
    assert random_threshold(1) < 0
    assert random_threshold(2) < 0
    assert random_threshold(3) > 0
    assert random_threshold(10**7) < np.log10(9)


@given(data=st.data(), n=st.integers(1, 60), offset=st.sampled_from([0.0, 1.0, 1e6]))
@settings(max_examples=60, deadline=None)
def test_any_tree_of_merges_gives_the_same_scatter(data: st.DataObject, n: int, offset: float) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    columns = torch.from_numpy(rng.standard_normal((9, n)) + offset)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    parts = [scatter_of(columns[:, a:b]) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    while len(parts) > 1:
        i = data.draw(st.integers(0, len(parts) - 2))
        parts[i : i + 2] = [parts[i].merge(parts[i + 1])]
    centred = columns.numpy() - columns.numpy().mean(axis=1, keepdims=True)
    assert parts[0].count == n
    np.testing.assert_allclose(parts[0].scatter, centred @ centred.T, rtol=1e-9, atol=1e-9 * n)
    np.testing.assert_allclose(parts[0].mean, columns.numpy().mean(axis=1), rtol=1e-12, atol=1e-12)
