"""Moments that merge: sums of rows in float64, whatever the partition of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distributed.records import GRAM_LENGTH

#: Row and column of each entry of a packed 9 x 9 matrix: (0,0), (1,0), (1,1), (2,0) …
_LOWER_ROWS, _LOWER_COLUMNS = np.tril_indices(9)


def pack_lower(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower triangle of a symmetric matrix, row by row: (9, 9) → (45,).

    Raises:
        ValueError: another shape.
    """
    if gram.shape != (9, 9):
        raise ValueError(f"expected a (9, 9) matrix, found shape {gram.shape}")
    return np.ascontiguousarray(gram[_LOWER_ROWS, _LOWER_COLUMNS], dtype=np.float64)


def unpack_lower(packed: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric matrix of a packed lower triangle: (45,) → (9, 9). Leading axes are kept: (…, 45) → (…, 9, 9).

    Raises:
        ValueError: the last axis is not 45 long.
    """
    packed = np.asarray(packed, dtype=np.float64)
    if packed.shape[-1:] != (GRAM_LENGTH,):
        raise ValueError(f"expected {GRAM_LENGTH} entries on the last axis, found shape {packed.shape}")
    gram = np.empty((*packed.shape[:-1], 9, 9), dtype=np.float64)
    gram[..., _LOWER_ROWS, _LOWER_COLUMNS] = packed
    gram[..., _LOWER_COLUMNS, _LOWER_ROWS] = packed
    return gram


@dataclass(frozen=True, slots=True)
class Scatter:
    """Count, mean and scatter matrix of columns of vectors, merged by Chan's formula.

    Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance". Unlike a sum of squares minus the
    square of a sum, it keeps the small variance of weights with a large common offset.

    Attributes:
        count: number of vectors.
        mean: (d,) float64.
        scatter: (d, d) float64, sum of (x - mean)(x - mean)ᵀ.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def empty(cls, dimensions: int) -> Scatter:
        """Of no vector."""
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    def merge(self, other: Scatter) -> Scatter:
        """Of both sets of vectors together."""
        if other.count == 0:
            return self
        if self.count == 0:
            return other
        count = self.count + other.count
        delta = other.mean - self.mean
        return Scatter(
            count,
            self.mean + delta * (other.count / count),
            self.scatter + other.scatter + np.outer(delta, delta) * (self.count * (other.count / count)),
        )


@dataclass(frozen=True, slots=True)
class Sums:
    """What one pass over a layer's filters leaves.

    Attributes:
        clean, sparse: of the filters that are not sparse, and of those that are; d = 9.
        norms: of the filters' L2 norms; d = 1.
        scaled_sum: (9,) float64, sum of the scaled filters.
        scaled_gram: (9, 9) float64, sum of their products, not centred.
        extremes: (4, 9) float32, the filters of the column ``extreme_filters``.
    """

    clean: Scatter
    sparse: Scatter
    norms: Scatter
    scaled_sum: NDArray[np.float64]
    scaled_gram: NDArray[np.float64]
    extremes: NDArray[np.float32]
