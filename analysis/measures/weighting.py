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
class ModelHistograms:
    """The histograms of one axis, per model and group: what is resampled.

    Attributes:
        counts: (N, C, B) float64, one row per pair of a group and a model with filters in it; already weighted
            (by filter, layer or model).
        group: (N,) 0 … G-1.
        model: (N,) 0 … M-1.
    """

    counts: Float64
    group: Int64
    model: Int64

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return int(self.group.max()) + 1

    @property
    def models(self) -> int:
        """M, the number of models."""
        return int(self.model.max()) + 1

    @property
    def group_sums(self) -> Float64:
        """(G, C, B) of all models of each group."""
        # Rows are sorted by group, and every group has at least one.
        first = np.searchsorted(self.group, np.arange(self.groups))
        sums: Float64 = np.add.reduceat(self.counts, first, axis=0)
        return sums

    @property
    def nested(self) -> bool:
        """Whether each model lies in one group only."""
        return len(np.unique(self.model)) == len(self.model)


def model_histograms(sketch: Sketch, grouping: Grouping, weight: Weight) -> ModelHistograms:
    """(N, 9, bins) histograms, one row for each model and group it has layers in, weighted; sorted by group, model.

    Their sum over a group's rows is proportional to the group's distribution. With ``Weight.filters`` they are counts.

    Raises:
        UserError: a layer is not in the sketch.
    """
    rows = sketch.rows_of(grouping.layer_ids)
    model = np.unique(grouping.layer_ids >> MODEL_BITS_SHIFT, return_inverse=True)[1].astype(np.int64)
    pair, pair_of_layer = np.unique(grouping.codes * (model.max() + 1) + model, return_inverse=True)
    pair_of_layer = pair_of_layer.astype(np.int64)
    group, owner = np.divmod(pair, model.max() + 1)
    if weight is Weight.layers:
        counts = _mean_layers(sketch, rows, pair_of_layer, len(pair))
    else:
        codes = np.full(sketch.layer_ids.size, -1, dtype=np.int64)
        codes[rows] = pair_of_layer
        counts = sketch.group_counts(codes, len(pair)).astype(np.float64)
        if weight is Weight.models:
            counts /= _filters(counts)
    return ModelHistograms(counts, group, owner)


def group_distributions(histograms: ModelHistograms, grouping: Grouping, basis: Basis) -> Distributions:
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
