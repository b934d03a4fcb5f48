"""Divergences between groups of filters, from histograms of their coefficients (DESIGN §4).

D(P, Q) = sum over components i of EVR_i · [KL(P_i‖Q_i) + KL(Q_i‖P_i)], natural logarithm: the drift of Gavrikov &
Keuper, arXiv 2201.08465. Everything is a function of counts of shape (G, C, B): groups, components, bins. So a subset,
a bootstrap replicate or another weighting is another array of counts, and costs no scan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: What an empty bin's density becomes: float32 machine epsilon.
EMPTY_BIN_DENSITY = float(np.finfo(np.float32).eps)

#: An entry below this share of its two summands has lost digits to cancellation and is computed again, directly.
_CANCELLATION = 1e-3

#: Pairs computed directly at once: 2 048 pairs of 9 x 70 float64 are 10 MB an array.
_PAIRS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Distributions:
    """What a divergence is computed from.

    Attributes:
        probabilities: (G, C, B) float64, every row of bins sums to 1, no entry is 0.
        weights: (C,) float64, of the components: the basis's explained variance ratio.
        width: of a bin, in units of the coefficients.
    """

    probabilities: FloatArray
    weights: FloatArray
    width: float


@dataclass(frozen=True, slots=True)
class Divergence:
    """A way to compare distributions: ``title`` for people, ``matrix`` from distributions to (G, G) float64."""

    title: str
    matrix: Callable[[Distributions], FloatArray]


def distributions(counts: npt.NDArray[np.integer], weights: npt.ArrayLike, low: float, high: float) -> Distributions:
    """Distributions of (G, C, B) counts over B equal bins from ``low`` to ``high``.

    The density is that of ``numpy.histogram(density=True)``; empty bins become ``EMPTY_BIN_DENSITY``; then each row is
    renormalised to 1.

    Raises:
        ValueError: a group has no count at all in some component, or the range is empty.
    """
    if not high > low:
        raise ValueError(f"the range {low} … {high} is empty")
    totals = counts.sum(axis=-1, keepdims=True, dtype=np.float64)
    if not totals.all():
        raise ValueError(f"group {int(np.argwhere(totals == 0)[0][0])} holds no filter")
    widths = np.diff(np.linspace(low, high, counts.shape[-1] + 1))
    density = counts / widths / totals
    density[counts == 0] = EMPTY_BIN_DENSITY
    density /= density.sum(axis=-1, keepdims=True)
    return Distributions(density, np.asarray(weights, dtype=np.float64), (high - low) / counts.shape[-1])


def symmetric_kl(groups: Distributions) -> FloatArray:
    """(G, G) drift D of every pair: exactly symmetric, exactly 0 on the diagonal, never negative.

    sum_b (p - q)(ln p - ln q) expands into products of the matrices of p and ln p, both centred on the mean group,
    which changes no difference and keeps the products small. Where a difference is much smaller than the products it
    comes from, it is computed directly, so that every entry is good to about 1e-12 relative.
    """
    number = len(groups.probabilities)
    p = groups.probabilities.reshape(number, -1)
    weights = np.repeat(groups.weights, groups.probabilities.shape[-1])
    p_centred = p - p.mean(axis=0)
    log_centred = np.log(p)
    log_centred -= log_centred.mean(axis=0)
    cross = (p_centred * weights) @ log_centred.T
    own = np.diag(cross)
    scale = np.abs(own[:, None]) + np.abs(own[None, :])
    drift: FloatArray = own[:, None] + own[None, :] - (cross + cross.T)
    first, second = np.nonzero(np.triu(drift <= _CANCELLATION * scale, k=1))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        a, b = first[start : start + _PAIRS_AT_ONCE], second[start : start + _PAIRS_AT_ONCE]
        exact = ((p[a] - p[b]) * _log_ratio(p[a], p[b])) @ weights
        drift[a, b] = exact
        drift[b, a] = exact
    np.fill_diagonal(drift, 0.0)
    return drift


def _log_ratio(p: FloatArray, q: FloatArray) -> FloatArray:
    """ln(p / q), good to the last digits near 1 as well, where the logarithms' own rounding would drown it."""
    relative = (p - q) / q
    near = np.abs(relative) < 0.5
    result: FloatArray = np.where(near, np.log1p(np.where(near, relative, 0.0)), np.log(p / q))
    return result


#: The divergences there are, by the name under which a setting asks for them.
DIVERGENCES: Mapping[str, Divergence] = {"kl": Divergence("symmetric KL, EVR-weighted", symmetric_kl)}
