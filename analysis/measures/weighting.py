"""What one observation is when groups are compared: a filter (the paper), a layer, or a model.

A group's distribution is the weighted mean of its layers' histograms. By filter, wide layers and large models speak
loudest; by layer each layer counts the same, by model each model does, whatever its size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays.basis import Basis
from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Float64, Int64
from analysis.measures.drift import Distributions, distributions
from analysis.selection.grouping import Grouping
from analysis.settings import ComponentWeight, Weight
from analysis.wording import shown
from distributed.errors import UserError
from distributed.records import MODEL_BITS_SHIFT


@dataclass(frozen=True, slots=True, eq=False)
class UnitHistograms:
    """The histograms of one axis, per unit of observation (model or lineage) and group: what is dealt out or left out.

    Attributes:
        counts: (N, C, B) float64, one row per pair of a group and a unit with filters in it; already weighted
            (by filter, layer or model).
        group: (N,) 0 … G-1, rising.
        unit: (N,) 0 … U-1.
    """

    counts: Float64
    group: Int64
    unit: Int64

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return int(self.group.max()) + 1

    def rows_of(self, group: int) -> Int64:
        """Its rows."""
        return np.arange(*np.searchsorted(self.group, [group, group + 1]))

    @property
    def group_sums(self) -> Float64:
        """(G, C, B) of all units of each group."""
        # Rows are sorted by group, and every group has at least one.
        first = np.searchsorted(self.group, np.arange(self.groups))
        sums: Float64 = np.add.reduceat(self.counts, first, axis=0)
        return sums


def unit_histograms(sketch: Sketch, grouping: Grouping, weight: Weight) -> UnitHistograms:
    """(N, 9, bins) histograms, one row for each unit and group it has layers in, weighted; sorted by group, unit.

    Their sum over a group's rows is proportional to the group's distribution. With ``Weight.filters`` they are counts;
    with ``Weight.models`` each model counts the same, however many are one unit.

    Raises:
        UserError: a layer is not in the sketch.
    """
    rows = sketch.rows_of(grouping.layer_ids)
    pair, of_layer = _pairs(grouping.codes, grouping.layer_ids >> MODEL_BITS_SHIFT)
    if weight is Weight.layers:
        counts = _mean_layers(sketch, rows, of_layer, len(pair))
    else:
        codes = np.full(sketch.layer_ids.size, -1, dtype=np.int64)
        codes[rows] = of_layer
        counts = sketch.group_counts(codes, len(pair)).astype(np.float64)
        if weight is Weight.models:
            counts /= _filters(counts)
    group, owner = pair.T
    if grouping.kin:
        owners = np.zeros(len(pair), np.int64)
        owners[of_layer] = grouping.units
        merged, of_pair = _pairs(group, owners)
        total = np.zeros((len(merged), *counts.shape[1:]))
        np.add.at(total, of_pair, counts)
        counts, (group, owner) = total, merged.T
    return UnitHistograms(counts, group.copy(), np.unique(owner, return_inverse=True)[1].astype(np.int64))


def without_each(members: Float64, total: Float64) -> Float64:
    """(M, C, B) for each member the sum of all others; what is left of its own by rounding is 0."""
    rest: Float64 = total - members
    rest[rest < 1e-11 * total] = 0.0
    return rest


def group_distributions(histograms: UnitHistograms, grouping: Grouping, basis: Basis) -> Distributions:
    """What a divergence between the groups is computed from.

    Raises:
        UserError: a group lies wholly outside the range of the basis.
    """
    counts = histograms.group_sums
    empty, component = np.nonzero(counts.sum(axis=2) == 0)
    if empty.size:
        raise UserError(
            f"{grouping.axis}: no coefficient {component[0] + 1} of group {shown(grouping.groups[empty[0]].name)} "
            f"lies in the range {basis.low:.4g} … {basis.high:.4g} of the basis: take the basis of this store"
        )
    return distributions(counts, basis.explained_variance_ratio, basis.low, basis.high)


def component_weights(basis: Basis, weight: ComponentWeight) -> Float64:
    """(9,) what each component counts in a drift; they sum to 1."""
    return basis.explained_variance_ratio if weight is ComponentWeight.evr else np.full(9, 1 / 9)


def _mean_layers(sketch: Sketch, rows: Int64, pair_of_layer: Int64, pairs: int) -> Float64:
    """Sums of the layers' histograms, each divided by its number of filters."""
    total = np.zeros((pairs, *sketch.counts.shape[1:]))
    for start in range(0, len(rows), 4096):  # bounds the float copy to 20 MB
        some = slice(start, start + 4096)
        counts = sketch.counts[rows[some]].astype(np.float64)
        np.add.at(total, pair_of_layer[some], counts / _filters(counts))
    return total


def _filters(counts: Float64) -> Float64:
    """(N, 1, 1) filters in range of the first component; 1 where there is none, so that nothing is divided by 0."""
    filters: Float64 = np.maximum(counts.sum(axis=2, keepdims=True).max(axis=1, keepdims=True), 1.0)
    return filters


def _pairs(first: Int64, second: Int64) -> tuple[Int64, Int64]:
    """(P, 2) the pairs that occur, sorted, and (N,) which of them each is."""
    pairs, which = np.unique(np.stack([first, second], axis=1), axis=0, return_inverse=True)
    return pairs, which.reshape(-1).astype(np.int64)
