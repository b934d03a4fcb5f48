"""Percentiles with ties and missing values."""

from __future__ import annotations

import numpy as np

from analysis.measures.placement import percentiles


def test_percentiles_of_ties_and_missing_values() -> None:
    among = np.array([1.0, 2.0, 2.0, np.nan, 5.0])
    found = percentiles(np.array([0.0, 2.0, 9.0, np.nan]), among)
    np.testing.assert_allclose(found, [0, 50, 100, np.nan])
    assert np.isnan(percentiles(np.array([1.0]), np.array([np.nan]))).all()
