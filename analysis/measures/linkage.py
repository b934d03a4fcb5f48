"""Who is nearest to whom: single linkage of a matrix of cosines, that is its maximum spanning tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64


@dataclass(frozen=True, slots=True, eq=False)
class Linkage:
    """G items, each beside its nearest.

    Attributes:
        labels: (G,) in the order of the leaves.
        cosines: (G, G) in the same order, symmetric; 0: nothing ties the two.
        merges: ``(first, second, cosine)`` by falling cosine: the cluster with leaf ``first`` joins that with
            ``second``, to its right. Clusters that nothing ties stay apart.
    """

    labels: list[str]
    cosines: Float64
    merges: tuple[tuple[int, int, float], ...]


def single_linkage(labels: Sequence[str], cosines: Float64) -> Linkage:
    """The tree of G items with a symmetric (G, G) matrix of cosines (Gower & Ross 1969, by Kruskal's algorithm)."""
    a, b = np.triu_indices(len(labels), 1)
    tied = cosines[a, b] > 0
    a, b = a[tied], b[tied]
    order = np.lexsort((b, a, -cosines[a, b]))
    cluster = [[item] for item in range(len(labels))]
    joined = []
    for i, j in zip(a[order].tolist(), b[order].tolist(), strict=True):
        left, right = sorted((cluster[i], cluster[j]), key=min)
        if left is right:
            continue
        joined.append((left[0], right[0], float(cosines[i, j])))
        left += right
        for item in right:
            cluster[item] = left
    leaves = list(dict.fromkeys(item for each in cluster for item in each))
    place = {item: at for at, item in enumerate(leaves)}
    merges = tuple((place[i], place[j], cosine) for i, j, cosine in joined)
    return Linkage([labels[item] for item in leaves], cosines[np.ix_(leaves, leaves)], merges)
