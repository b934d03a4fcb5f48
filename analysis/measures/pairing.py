"""Numbers of paired models: histograms pooled on two sides, means of quality, pair by pair and together.

A side is pooled over the pairs' models. ``Shared.each``: a model counts once for each pair it stands in;
``Shared.once``: once, however many these are (DESIGN §4; the robustness paper, arXiv 2204.02481, gives both).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Bool, Float64, Int64
from analysis.settings import Shared


@dataclass(frozen=True, slots=True, eq=False)
class PairedModels:
    """P pairs of M models.

    Attributes:
        first, second: (P,) 0 … M-1, the models of both sides.
        clusters: (P,) of each pair (``analysis.measures.sign_flips.clusters_of``).
        models: M.
        shared: how a model counts that stands in several pairs.
    """

    first: Int64
    second: Int64
    clusters: Int64
    models: int
    shared: Shared

    def __len__(self) -> int:
        """P."""
        return len(self.first)

    def among(self, pairs: Bool) -> PairedModels:
        """These pairs (P,) alone."""
        return PairedModels(self.first[pairs], self.second[pairs], self.clusters[pairs], self.models, self.shared)

    @property
    def weights(self) -> Float64:
        """(P,) of each pair in a mean over pairs.

        1; with ``Shared.once`` 1/k, k the larger number of pairs that one of its models stands in: one model against k
        others is one pair then, and all pairs of k against l models are min(k, l).
        """
        if self.shared is Shared.each:
            return np.ones(len(self))
        often = [np.bincount(side, minlength=self.models)[side] for side in (self.first, self.second)]
        return 1.0 / np.maximum(*often)

    def side(self, models: Int64) -> tuple[Int64, Int64, Float64]:
        """Cluster, model and multiplicity of what stands on one side, ``first`` or ``second``; each row another."""
        found, often = np.unique(np.stack([self.clusters, models]), axis=1, return_counts=True)
        counted = often.astype(np.float64) if self.shared is Shared.each else np.ones(len(often))
        return found[0], found[1], counted

    def cluster_sums(self, values: Float64) -> tuple[Float64, Float64]:
        """(C, …) sums of (M, …) values over each cluster's models on the first and on the second side."""
        number = np.unique(self.clusters)
        sums = []
        for models in (self.first, self.second):
            cluster, model, often = self.side(models)
            total = np.zeros((len(number), *values.shape[1:]))
            weighted = values[model] * often.reshape(-1, *[1] * (values.ndim - 1))
            np.add.at(total, np.searchsorted(number, cluster), weighted)
            sums.append(total)
        return sums[0], sums[1]


def sums_by(codes: Int64, number: int, values: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """(G,) sums of weight x value, and of the weights, of (N,) finite values with codes 0 … G-1.

    Summed in order of size: groups with the same values in another order have the same sums, to the last bit.
    """
    order = np.lexsort((weights, values, codes))
    codes, values, weights = codes[order], values[order], weights[order]
    sums, total = np.zeros(number), np.zeros(number)  # not bincount, which gives integers for no values
    np.add.at(sums, codes, weights * values)
    np.add.at(total, codes, weights)
    return sums, total


def means(sums: Float64 | float, weights: Float64 | float) -> Float64:
    """``sums / weights``, NaN where there is no weight."""
    result = np.full(np.shape(sums), np.nan)
    np.divide(sums, weights, out=result, where=np.asarray(weights) > 0)
    return result
