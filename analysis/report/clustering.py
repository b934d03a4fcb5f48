"""An order of groups in which those alike stand together: average linkage on the drift matrix."""

from __future__ import annotations

import numpy as np

from analysis.arrays.types import Float64


def cluster_order(distances: Float64) -> list[int]:
    """Leaves of the average-linkage tree (UPGMA, Sokal & Michener 1958) of a symmetric (G, G) matrix, left to right.

    Merges the two nearest clusters until one is left; their distance to a third is the mean over all pairs. Of the
    four ways to lay two clusters side by side, the one whose touching ends are nearest is taken.
    """
    leaves = [[index] for index in range(len(distances))]
    sizes = np.ones(len(distances))
    between = np.array(distances, dtype=np.float64)
    np.fill_diagonal(between, np.inf)
    for _ in range(len(distances) - 1):
        a, b = sorted(int(i) for i in np.unravel_index(int(between.argmin()), between.shape))
        leaves[a] = _joined(leaves[a], leaves[b], distances)
        merged = (sizes[a] * between[a] + sizes[b] * between[b]) / (sizes[a] + sizes[b])
        between[a], between[:, a] = merged, merged
        between[b], between[:, b] = np.inf, np.inf
        between[a, a] = np.inf
        sizes[a] += sizes[b]
    return leaves[0] if leaves else []


def _joined(first: list[int], second: list[int], distances: Float64) -> list[int]:
    ways = [(f, s) for f in (first, first[::-1]) for s in (second, second[::-1])]
    left, right = min(ways, key=lambda way: float(distances[way[0][-1], way[1][0]]))
    return left + right
