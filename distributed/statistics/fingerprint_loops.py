"""The sketch of a layer's weights as a loop that numba compiles; ``fingerprint`` says what it adds up, and calls it."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, types, uint64

#: Those of SplitMix64, as in ``fingerprint``, which imports no numba.
_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

#: See ``distributed.compiled``.
ADD_SKETCH = int64(types.Array(float32, 1, "C", readonly=True), int64, uint64, types.Array(float64, 1, "C"))


def add_sketch(weights, start, seed, sums):  # type: ignore[no-untyped-def]
    """Adds (n * 9,) weights, those of filters ``start`` …, to sums (256,); returns the number of filters."""
    n = weights.size // 9
    for i in range(n):
        z = np.uint64(start + i + 1) * _GOLDEN + seed
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        z ^= z >> np.uint64(31)
        for k in range(9):
            sign = 1.0 - 2.0 * np.float64((z >> np.uint64(8 + k)) & np.uint64(1))
            sums[(z + np.uint64(k)) & np.uint64(255)] += sign * weights[9 * i + k]
    return n
