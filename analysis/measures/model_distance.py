"""How far models are from each other, all pairs: d = √(Σᵢ EVRᵢ · Δᵢ), Δ a divergence of coefficients (DESIGN §4).

With the Jensen–Shannon divergence d is a metric, and one that a Euclidean space holds (Endres & Schindelin 2003;
Fuglede & Topsøe 2004: √JS is Hilbertian, and so is the root of a weighted sum of such squares). So it is with total
variation and Wasserstein-1, which are distances of the L1 kind: their roots are as well, as d is here. The paper's
symmetric KL violates the triangle inequality. Squares are what is kept: they add up over components, as sums of squares
do.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from analysis.arrays.types import Float64, Int64
from analysis.measures.drift import DIVERGENCES, Distributions, Divergence
from analysis.scanning.thread_workers import usable_cpus

#: Divergences whose weighted sum has no metric as its root.
NO_METRIC = frozenset({"kl"})


def component_divergences(models: Distributions, divergence: Divergence) -> Iterator[Float64]:
    """For each of C components the (M, M) divergences of all pairs, symmetric, 0 on the diagonal; one at a time.

    Jensen–Shannon is good to 1e-10 relative, and exactly 0 between equal distributions.
    """
    for component in range(models.probabilities.shape[1]):
        p = np.ascontiguousarray(models.probabilities[:, component])
        if divergence is DIVERGENCES["js"]:
            yield _jensen_shannon(p)
        else:
            yield divergence.matrix(Distributions(p[:, None], np.ones(1), models.width))


def squared_distances(models: Distributions, divergence: Divergence = DIVERGENCES["js"]) -> Float64:
    """(M, M) d² of all pairs."""
    total = np.zeros((len(models.probabilities),) * 2)
    for weight, each in zip(models.weights, component_divergences(models, divergence), strict=True):
        total += weight * each
    return total


def centroid_distances(squared: Float64, units: Int64) -> Float64:
    """(U, U) d² between the centroids of U units of M models, in the space that their (M, M) d² span.

    With A = −d²/2 averaged over two units, |x − y|² = A_xx + A_yy − 2 A_xy (Gower 1966): no coordinates are needed.

    Args:
        squared: of the models.
        units: (M,) 0 … U-1, every one with a model.
    """
    number = int(units.max()) + 1
    if number == len(units):
        order = np.argsort(units)
        return squared[np.ix_(order, order)]
    order = np.argsort(units, kind="stable")
    starts = np.searchsorted(units[order], np.arange(number))
    sizes = np.diff([*starts, len(units)]).astype(np.float64)
    sums = np.add.reduceat(np.add.reduceat(squared[np.ix_(order, order)], starts, axis=0), starts, axis=1)
    means = -sums / 2 / sizes[:, None] / sizes
    own = np.diag(means)
    between: Float64 = np.maximum(own[:, None] + own[None, :] - 2 * means, 0.0)
    np.fill_diagonal(between, 0.0)
    return between


def _jensen_shannon(p: Float64) -> Float64:
    from analysis.measures import js_loops  # imports numba
    from distributed.compiled import compiled

    result, threads, loop = np.zeros((len(p), len(p))), usable_cpus(), compiled(js_loops, "jensen_shannon_rows")
    with ThreadPoolExecutor(threads, thread_name_prefix="distances") as pool:
        list(pool.map(lambda start: loop(p, start, threads, result), range(threads)))
    return result
