"""Count, mean and scatter of the scaled filters: all that a basis needs, by adding small rows (DESIGN §5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.arrays.types import Float64, Int64
from distributed.errors import StoreError
from distributed.records import GRAM_LENGTH

_LOWER = np.tril_indices(9)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of ``count`` scaled filters x: ``mean`` (9,) and ``scatter`` (9, 9) = Σ (x − mean)(x − mean)ᵀ, float64."""

    count: int
    mean: Float64
    scatter: Float64

    @classmethod
    def empty(cls) -> Moments:
        """Of no filter."""
        return cls(0, np.zeros(9), np.zeros((9, 9)))

    @classmethod
    def from_sums(cls, counts: Int64, sums: Float64, grams: Float64) -> Moments:
        """From any number of parts: ``counts`` (L,), ``sums`` (L, 9) = Σ x, ``grams`` (L, 45) = lower half of Σ x xᵀ.

        Chan, Golub & LeVeque's merge (1979) of all parts at once: scatters about the parts' own means, plus the
        parts' means about the common mean. Every sum is exactly rounded (``math.fsum``), so that the result depends
        neither on order nor on the number of parts beyond the last digit.
        """
        filled = counts > 0
        n = counts[filled].astype(np.float64)
        sums, grams = sums[filled], grams[filled]
        if n.size == 0:
            return cls.empty()
        total = int(counts[filled].sum())
        mean = _exact_sums(sums) / total
        means = sums / n[:, None]
        within = grams - means[:, _LOWER[0]] * sums[:, _LOWER[1]]
        apart = means - mean
        between = n[:, None] * apart[:, _LOWER[0]] * apart[:, _LOWER[1]]
        return cls(total, mean, _symmetric(_exact_sums(np.concatenate([within, between]))))

    @classmethod
    def from_layers(cls, layers: pa.Table) -> Moments:
        """Of all layers in a table with ``layer_id``, ``num_filters``, ``scaled_sum``, ``scaled_gram``.

        Raises:
            StoreError: a column is missing, of another shape, or holds nulls or non-finite values.
        """
        counts, sums, grams = layer_sums(layers)
        return cls.from_sums(counts, sums, grams)

    @property
    def covariance(self) -> Float64:
        """(9, 9) = scatter / (count − 1).

        Raises:
            ValueError: there are fewer than two filters.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 filters, not {self.count}")
        return self.scatter / (self.count - 1)


def layer_sums(layers: pa.Table) -> tuple[Int64, Float64, Float64]:
    """``num_filters`` (L,), ``scaled_sum`` (L, 9), ``scaled_gram`` (L, 45) of a layers table, sorted by ``layer_id``.

    Raises:
        StoreError: see ``Moments.from_layers``.
    """
    order = np.argsort(_flat(layers, "layer_id", 1).astype(np.int64), kind="stable")
    counts = _flat(layers, "num_filters", 1).astype(np.int64)
    sums = _flat(layers, "scaled_sum", 9).astype(np.float64).reshape(-1, 9)
    grams = _flat(layers, "scaled_gram", GRAM_LENGTH).astype(np.float64).reshape(-1, GRAM_LENGTH)
    for name, values in (("scaled_sum", sums), ("scaled_gram", grams)):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            layer = layers.column("layer_id")[int(bad[0])].as_py()
            raise StoreError(f"layers: {name} of layer {layer} is not finite; extract its model again")
    return counts[order], sums[order], grams[order]


def _flat(layers: pa.Table, name: str, width: int) -> npt.NDArray[np.generic]:
    if name not in layers.column_names:
        raise StoreError(f"layers: there is no column {name!r}; the store was not written by this project")
    column = layers.column(name).combine_chunks()
    if column.null_count:
        raise StoreError(f"layers: column {name!r} holds {column.null_count} nulls; extract those models again")
    if width > 1:
        if not (pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type)):
            raise StoreError(f"layers: column {name!r} is {column.type}, expected a list of {width} float64")
        values = column.flatten()
        if len(values) != width * len(column) or values.null_count:
            raise StoreError(f"layers: column {name!r} does not hold {width} values in every row")
        column = values
    array: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return array


def _exact_sums(values: Float64) -> Float64:
    return np.array([math.fsum(column) for column in values.T.tolist()])


def _symmetric(lower: Float64) -> Float64:
    full = np.zeros((9, 9))
    full[_LOWER] = lower
    full.T[_LOWER] = lower
    return full
