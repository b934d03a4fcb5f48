"""Is a difference between paired sides real? The sides of every pair swapped at random, clusters of pairs together.

If nothing but chance decides which of two paired models stands on which side, swapping them changes nothing of what is
expected (Fisher 1935, *The Design of Experiments*, ch. 3). Pairs that share a model are not independent: all pairs of a
cluster swap together (whole blocks: Winkler et al. 2014), so that a statistic is a sum over clusters. Swapping all
clusters changes neither a distance nor the size of a difference: half of all swaps say it all, and with C clusters no
p-value is below 2 / 2^C.

* **Exact**: over all swaps, where half of them are no more than ``most``: share of swaps with a statistic at least as
  large, the one that was observed among them.
* **Sampled**: (1 + number at least as large) / (1 + number drawn) (Phipson & Smyth 2010).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.arrays.types import Bool, Float64, Int64
from analysis.measures.dealing import Deals
from analysis.measures.drift import Resampled
from analysis.ties.components import components

#: What this share of swaps stays below is told beside p-values.
HIGH = 0.95

#: A statistic met again must not miss the observed one by a rounding.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Chance:
    """What swapped sides make of a statistic: the ``p_value`` of the observed one, and their ``HIGH`` quantile."""

    p_value: float
    high: float


#: Of no pair at all.
NO_CHANCE = Chance(float("nan"), float("nan"))


@dataclass(frozen=True, slots=True, eq=False)
class Swaps:
    """R ways to swap C clusters: ``swapped`` (R, C); ``are_all``: each of them once, up to swapping everything."""

    swapped: Bool
    are_all: bool

    def chance(self, found: Float64, observed: float) -> Chance:
        """Of a statistic that is ``found`` (R,) when sides are swapped; as large as ``observed`` is large enough."""
        drawn = 0 if self.are_all else 1
        p_value = (drawn + int((found >= observed).sum())) / (drawn + len(found))
        return Chance(p_value, float(np.quantile(found, HIGH, method="inverted_cdf")))


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """How swaps are made: ``most`` of them at a time, drawn by ``seed`` where they are not all."""

    most: int = 10_000
    seed: int = 0
    _made: dict[int, Swaps] = field(default_factory=dict, repr=False, compare=False)

    def are_all(self, clusters: int) -> bool:
        """Whether every swap of so many clusters is made, up to swapping everything."""
        return clusters < 64 and 1 << max(0, clusters - 1) <= self.most

    def of(self, clusters: int) -> Swaps:
        """The swaps of so many clusters; the same each time. The first cluster stays where it is in exact ones."""
        if clusters not in self._made:
            self._made[clusters] = self._make(clusters)
        return self._made[clusters]

    def _make(self, clusters: int) -> Swaps:
        if self.are_all(clusters):
            free = max(0, clusters - 1)
            bits = np.arange(1 << free)[:, None] >> np.arange(free)[None, :] & 1
            fixed = np.zeros((len(bits), clusters - free), np.int64)
            return Swaps(np.concatenate([fixed, bits], axis=1).astype(bool), True)
        random = np.random.default_rng(self.seed)
        return Swaps(random.integers(0, 2, size=(self.most, clusters)).astype(bool), False)


def mean_difference_chance(differences: Float64, weights: Float64, clusters: Int64, plan: SwapPlan) -> Chance:
    """Of the absolute weighted mean of (P,) paired differences: two-sided.

    Args:
        differences: (P,) finite.
        weights: (P,) positive.
        clusters: (P,) the cluster of each pair, any integers.
        plan: how they are swapped.
    """
    if not len(differences):
        return NO_CHANCE
    places = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(places, weights * differences) / weights.sum()
    swaps = plan.of(len(sums))
    found = np.abs(np.where(swaps.swapped, -1.0, 1.0) @ sums)
    # Sums that cancel are off by the last digits of their terms, not of themselves.
    observed = abs(float(sums.sum())) - _SLACK * float(np.abs(sums).sum())
    return swaps.chance(found, observed)


def drift_chance(first: Float64, second: Float64, measure: Resampled, plan: SwapPlan) -> Chance:
    """Of the drift between both sides' sums.

    Args:
        first, second: (C, 9, B) counts of each cluster on either side.
        measure: of the drift.
        plan: how they are swapped.
    """
    swaps = plan.of(len(first))
    are_whole = bool((first == np.rint(first)).all() and (second == np.rint(second)).all())
    deals = Deals.of(first[:0], swaps.swapped[:, :0], first, second, swaps.swapped, are_whole=are_whole)
    observed = float(measure.pairs(first.sum(axis=0)[None], second.sum(axis=0)[None])[0])
    return swaps.chance(deals.drifts(measure.pairs), observed * (1 - _SLACK))


def clusters_of(first: Int64, second: Int64) -> Int64:
    """(P,) the cluster 0 … C-1 of each of P pairs of units: pairs that share a unit, or are tied by others, are one.

    Numbered in order of the pairs.
    """
    units = np.unique(np.concatenate([first, second]))
    a, b = np.searchsorted(units, first), np.searchsorted(units, second)
    _, first_pair, place = np.unique(components(a, b, len(units))[a], return_index=True, return_inverse=True)
    clusters: Int64 = np.argsort(np.argsort(first_pair))[place]
    return clusters
