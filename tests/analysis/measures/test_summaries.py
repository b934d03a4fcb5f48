"""Weighted summaries against NumPy's quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analysis.measures.summaries import QUANTILES, layer_weights, weighted_summary
from analysis.settings import Weight


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.one_of(st.floats(0.01, 50), st.integers(1, 10**6))), min_size=1, max_size=40
    )
)
def test_summaries_equal_numpy(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs, dtype=np.float64).T
    found = weighted_summary(values, weights)
    assert found.mean == pytest.approx(float((values * weights).sum() / weights.sum()), rel=1e-9, abs=1e-12)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    for name, q in QUANTILES.items():
        # At a step a last digit decides: either side of it is right.
        around = [
            float(np.quantile(values, share, weights=weights, method="inverted_cdf"))
            for share in (q - 1e-9, q, q + 1e-9)
        ]
        assert found.quantiles[name] in around


def test_rounding_of_weights_moves_no_quantile() -> None:
    """Ten layers of a tenth make one model: half the weight of two."""
    values = np.concatenate([np.zeros(10), np.ones(10)])
    assert weighted_summary(values, np.full(20, 0.1)).quantiles["median"] == 0


def test_weights_say_what_counts() -> None:
    models, sizes = np.array([0, 0, 0, 1]), np.array([10, 20, 30, 7])
    assert layer_weights(Weight.layers, models, sizes).tolist() == [1, 1, 1, 1]
    assert layer_weights(Weight.filters, models, sizes).tolist() == [10, 20, 30, 7]
    assert layer_weights(Weight.models, models, sizes) == pytest.approx([1 / 3] * 3 + [1])
