"""Formulas that extraction and analysis share (DESIGN §4), in NumPy alone: neither torch nor a graph is needed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def random_threshold(num_filters: int) -> float:
    """T(n): the variance entropy that n random filters reach; at most 0 for n <= 2 (DESIGN §4)."""
    logistic = 1.0 + math.exp(-0.88767525 * (math.log2(num_filters) - 2.30436435))
    return 1.2618047 / logistic - 0.31050834


def sparse_below(max_abs: float) -> float:
    """Filters whose largest |w| is smaller are sparse; ``max_abs`` is their layer's. In an all-zero layer all are."""
    return max_abs / 100.0 if max_abs > 0.0 else math.inf


def scale_filters(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scaled filters, (n, 9) → (n, 9) float64: f / max|f|; an all-zero filter stays zero (DESIGN §4, Scaling).

    The definition, to the last bit: each float32 weight and the filter's largest magnitude are converted to float64
    (exact), then one IEEE 754 float64 division per weight, rounded to nearest. No reciprocal is taken, so the entry of
    largest magnitude is exactly 1 or -1, denormal filters included. ``layer_statistics`` sums exactly these values,
    and ``analysis`` must project exactly these.

    Raises:
        ValueError: not (n, 9).
    """
    if weights.ndim != 2 or weights.shape[1] != 9:
        raise ValueError(f"expected filters of shape (n, 9), found {weights.shape}")
    wide = weights.astype(np.float64)
    peak = np.abs(wide).max(axis=1, keepdims=True)
    wide /= np.where(peak > 0, peak, 1.0)
    return wide
