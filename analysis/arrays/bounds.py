"""Between what a layer's coefficients must lie, on any basis, from four of its filters: the range needs few others.

A scaled filter f lies in the cube [-1, 1]^9, and its products with the directions d of ``records.EXTREME_DIRECTIONS``
between those of the layer's extreme filters, low <= d · f <= high. So for every number λ

    c · f = λ d · f + (c - λ d) · f <= max(λ low, λ high) + Σ|c_i - λ d_i|

(linear programming duality; λ = 0 is Hölder's inequality). The right side is convex and piecewise linear in λ with its
corners at 0 and where an entry of c - λ d vanishes, so that trying those ten gives the least of one direction exactly.

On trained networks the bound is far above the coefficients of most layers, and yet below the largest coefficient of
all: that one lies near 3 (an almost constant filter), which no component but the first can reach and few layers come
near. Such layers need not be read to know the range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.basis import PrincipalAxes
from analysis.arrays.kernels import SIZE, Extremes
from analysis.arrays.preparation import sparse_limits
from analysis.arrays.types import Bool, Float64
from analysis.settings import Filters
from distributed.errors import StoreError
from distributed.formulas import scale_filters
from distributed.records import EXTREME_DIRECTIONS, EXTREME_FILTERS

_DIRECTIONS: Float64 = np.array(EXTREME_DIRECTIONS)

#: Added to every bound: products of scaled filters are rounded in the last of 16 digits.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class ExtremeFilters:
    """Of L layers: ``scaled`` (L, 4, 9) float64, their extreme filters, scaled; NaN where a layer has none kept.

    ``counts`` (L, 4): whether each of them counts; bounds of all filters hold for a part of them as well.
    """

    scaled: Float64
    counts: Bool

    @classmethod
    def from_layers(cls, layers: pa.Table, filters: Filters = Filters.all) -> ExtremeFilters:
        """From the column ``extreme_filters``, if the table has it, rows sorted by ``layer_id``.

        With ``Filters.clean`` also from ``max_abs``.

        Raises:
            StoreError: the column has another type, or holds NaN or infinity.
        """
        length = EXTREME_FILTERS * SIZE
        weights = np.full((layers.num_rows, length), np.nan, np.float32)
        if "extreme_filters" in layers.column_names:
            column = layers.column("extreme_filters").combine_chunks()
            if column.type != pa.list_(pa.float32(), length):
                raise StoreError(f"layers: column 'extreme_filters' is {column.type}, expected {length} float32 a row")
            known = column.is_valid().to_numpy(zero_copy_only=False)
            weights[known] = column.drop_null().flatten().to_numpy().reshape(-1, length)
            if not np.isfinite(weights[known]).all():
                raise StoreError("layers: column 'extreme_filters' holds NaN or infinity; extract those models again")
        order = np.argsort(layers.column("layer_id").to_numpy(), kind="stable")
        weights = weights[order].reshape(-1, EXTREME_FILTERS, SIZE)
        counts = ~np.isnan(weights[:, :, 0])
        if filters is Filters.clean:
            counts &= np.abs(weights).max(axis=2) >= sparse_limits(layers)[order][:, None]
        return cls(scale_filters(weights.reshape(-1, SIZE)).reshape(weights.shape), counts)

    @property
    def known(self) -> Bool:
        """(L,) whether a layer has any."""
        known: Bool = ~np.isnan(self.scaled[:, 0, 0])
        return known

    def attained(self, axes: PrincipalAxes) -> Extremes:
        """Smallest and largest coefficient per component of those that count: the range holds at least them."""
        projection = axes.projection
        scaled = self.scaled[self.counts]
        coefficients = scaled @ projection.matrix.T + projection.offset
        return Extremes(coefficients.min(axis=0, initial=np.inf), coefficients.max(axis=0, initial=-np.inf))

    def bounds(self, axes: PrincipalAxes) -> tuple[Float64, Float64]:
        """Lower and upper bound (L, 9) of the coefficients of all filters of each layer."""
        projection = axes.projection
        along = np.einsum("ldk,ek->lde", self.scaled, _DIRECTIONS)
        ends = [along[:, 2 * d : 2 * d + 2, d] for d in range(len(_DIRECTIONS))]  # each (L, 2)
        upper = np.stack([_least_bound(c, ends) for c in projection.matrix], axis=1) + projection.offset
        lower = projection.offset - np.stack([_least_bound(-c, ends) for c in projection.matrix], axis=1)
        return lower - _ROUNDING, upper + _ROUNDING

    def undecided(self, axes: PrincipalAxes, found: Extremes) -> Bool:
        """(L,) layers that may hold a coefficient outside of what ``found`` spans: the range needs their filters."""
        lower, upper = self.bounds(axes)
        undecided: Bool = ~self.known | (lower < found.low.min()).any(axis=1) | (upper > found.high.max()).any(axis=1)
        return undecided


def _least_bound(component: Float64, ends: list[Float64]) -> Float64:
    """(L,) least upper bound of ``component`` · f over λ and directions; ``ends`` (L, 2) are those of d · f."""
    best = np.full(len(ends[0]), np.abs(component).sum())
    for direction, end in zip(_DIRECTIONS, ends, strict=True):
        for factor in component / direction:
            reach = np.maximum(factor * end[:, 0], factor * end[:, 1])
            best = np.fmin(best, reach + np.abs(component - factor * direction).sum())  # NaN: no filter is kept
    return best
