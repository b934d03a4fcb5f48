"""One bin of layers: drift and quality between the sides of pairs, and what chance makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Bool, Float64, Int64
from analysis.measures.layer_quality import METRICS, floats
from analysis.measures.pairing import PairedModels, means, sums_by
from analysis.measures.placement import Ruler
from analysis.measures.sign_flips import NO_CHANCE, Chance, SwapPlan, drift_chance, mean_difference_chance
from analysis.measures.summaries import layer_weights, sizes_of
from analysis.measures.weighting import component_weights
from analysis.settings import LayerWeight

#: Pairs whose drift is measured at once: two float64 arrays of 1 024 x 630 are 10 MB.
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """One measure between the sides; pairs without it on both sides count nowhere. NaN where no pair has it.

    Attributes:
        pairs, clusters: how many have it.
        sides: (2,) its mean on either side, pooled over these pairs' layers; of the drift NaN.
        of_pairs: (P,) side b minus side a, or the drift, of each pair; NaN where it does not count.
        together: the drift of the pooled sides, or ``sides`` b minus a.
        mean: of ``of_pairs``, weighted (``PairedModels.weights``).
        chance: what swapped sides make of the drift of the pooled ones, or of the size of ``mean``.
        values: (2, P) of the models on both sides of each pair; of the drift NaN.
    """

    pairs: int
    clusters: int
    sides: Float64
    of_pairs: Float64
    together: float
    mean: float
    chance: Chance
    values: Float64


@dataclass(frozen=True, slots=True, eq=False)
class Bin:
    """Layers that are compared with each other: all of them, or those of one depth.

    Attributes:
        name: of it.
        drift: between the sides.
        metrics: the same of each metric of quality.
        filters: (2, P) filters of both sides of each pair.
        counts: (2, 9, B) histograms of both sides, pooled; 0 without a pair.
        rows: of the quality table on either side, each as often as it counts there.
    """

    name: str
    drift: Difference
    metrics: Mapping[str, Difference]
    filters: Int64
    counts: Float64
    rows: tuple[Int64, Int64]

    @property
    def differences(self) -> Mapping[str, Difference]:
        """All of them, by name, ``drift`` first."""
        return {"drift": self.drift, **self.metrics}


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What every bin is measured with.

    Attributes:
        paired: the pairs.
        ruler: of drifts.
        plan: how sides are swapped.
        quality: a row per layer of a paired model (``analysis.measures.layer_quality``).
        model_of_row: (L,) the model of each.
        weight: what counts the same in means of quality.
    """

    paired: PairedModels
    ruler: Ruler
    plan: SwapPlan
    quality: pa.Table
    model_of_row: Int64
    weight: LayerWeight

    def measure(self, name: str, counts: Float64, filters: Int64, layers: Bool) -> Bin:
        """One bin: (M, 9, B) weighted counts and (M,) filters of each model in it, and whether each layer (L,) is."""
        paired = self.paired
        filled = (counts.sum(axis=2) > 0).all(axis=1)  # none is where a given basis has no bin for it
        there = filled[paired.first] & filled[paired.second]
        among = paired.among(there)
        first, second = among.cluster_sums(counts)
        mine = np.flatnonzero(layers)
        rows = []
        for side in (among.first, among.second):
            _, model, often = among.side(side)
            repeats = np.zeros(paired.models, np.int64)
            repeats[model] = often
            rows.append(np.repeat(mine, repeats[self.model_of_row[mine]]))
        return Bin(
            name,
            self._drift(counts, there, first, second),
            {metric: self._metric(metric, there, mine) for metric in METRICS},
            np.stack([filters[paired.first], filters[paired.second]]),
            np.stack([first.sum(axis=0), second.sum(axis=0)]),
            (rows[0], rows[1]),
        )

    def _drift(self, counts: Float64, there: Bool, first: Float64, second: Float64) -> Difference:
        among, ruler, nothing = self.paired.among(there), self.ruler, np.full((2, len(there)), np.nan)
        of_pairs = np.full(len(there), np.nan)
        if not len(among):
            return Difference(0, 0, nothing[:, 0], of_pairs, np.nan, np.nan, NO_CHANCE, nothing)
        parts = [slice(start, start + _AT_ONCE) for start in range(0, len(among), _AT_ONCE)]
        of_pairs[there] = np.concatenate(
            [ruler.between(counts[among.first[part]], counts[among.second[part]]) for part in parts]
        )
        together = float(ruler.between(first.sum(axis=0)[None], second.sum(axis=0)[None])[0])
        weights = component_weights(ruler.basis, ruler.components)
        measure = ruler.divergence.resampled(weights, ruler.basis.low, ruler.basis.high)
        return Difference(
            len(among),
            len(first),
            nothing[:, 0],
            of_pairs,
            together,
            float(np.average(of_pairs[there], weights=among.weights)),
            drift_chance(first, second, measure, self.plan),
            nothing,
        )

    def _metric(self, metric: str, there: Bool, mine: Int64) -> Difference:
        paired, models = self.paired, self.model_of_row
        values, sizes = floats(self.quality, metric), sizes_of(self.quality, metric, self.weight)
        mine = mine[np.isfinite(values[mine]) & np.isfinite(sizes[mine])]
        weights = layer_weights(self.weight, models[mine], sizes[mine])
        sums = np.stack(sums_by(models[mine], paired.models, values[mine], weights), axis=1)
        of_models = means(*sums.T)
        both = np.stack([of_models[paired.first], of_models[paired.second]])
        both[:, ~there] = np.nan
        of_pairs = both[1] - both[0]
        known = np.isfinite(of_pairs)
        among = paired.among(known)
        sides = np.stack([means(*side.sum(axis=0)) for side in among.cluster_sums(sums)])
        return Difference(
            len(among),
            len(np.unique(among.clusters)),
            sides,
            of_pairs,
            float(sides[1] - sides[0]),
            float(means(among.weights @ of_pairs[known], among.weights.sum())),
            mean_difference_chance(of_pairs[known], among.weights, among.clusters, self.plan),
            both,
        )
