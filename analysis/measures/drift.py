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

from analysis.arrays.types import Float64
from analysis.measures.divergences import (
    jensen_shannon_of,
    log_ratio,
    symmetric_kl_of,
    total_variation_of,
    wasserstein_of,
)
from analysis.settings import ComponentWeight
from distributed.errors import UserError

Between = Callable[[Float64, Float64, float], Float64]

#: From counts (R, C, B) twice to the drifts (R,) between them, as ``Resampled.pairs``.
PairMeasure = Callable[[Float64, Float64], Float64]

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

    probabilities: Float64
    weights: Float64
    width: float


def distributions(counts: npt.NDArray[np.number], weights: npt.ArrayLike, low: float, high: float) -> Distributions:
    """Distributions of (G, C, B) counts over B equal bins from ``low`` to ``high``.

    The density is that of ``numpy.histogram(density=True)``; empty bins become ``EMPTY_BIN_DENSITY``; then each row is
    renormalised to 1. Counts may be weighted (``analysis.measures.weighting``): only their proportions matter.

    Raises:
        ValueError: a group has no count at all in some component, or the range is empty.
    """
    probabilities = _probabilities(counts, low, high)
    empty = np.isnan(probabilities).any(axis=(1, 2))
    if empty.any():
        raise ValueError(f"group {int(np.argmax(empty))} holds no filter")
    return Distributions(probabilities, np.asarray(weights, dtype=np.float64), (high - low) / counts.shape[-1])


def _probabilities(counts: npt.NDArray[np.number], low: float, high: float) -> Float64:
    """(…, B) probabilities of (…, B) counts; NaN where a histogram has no count at all."""
    if not high > low:
        raise ValueError(f"the range {low} … {high} is empty")
    totals = counts.sum(axis=-1, keepdims=True, dtype=np.float64)
    widths = np.diff(np.linspace(low, high, counts.shape[-1] + 1))
    density: Float64 = counts.astype(np.float64) / widths / np.where(totals > 0, totals, np.nan)
    density[(counts == 0) & (totals > 0)] = EMPTY_BIN_DENSITY
    density /= density.sum(axis=-1, keepdims=True)
    return density


def symmetric_kl(groups: Distributions) -> Float64:
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
    drift: Float64 = own[:, None] + own[None, :] - (cross + cross.T)
    first, second = np.nonzero(np.triu(drift <= _CANCELLATION * scale, k=1))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        a, b = first[start : start + _PAIRS_AT_ONCE], second[start : start + _PAIRS_AT_ONCE]
        exact = ((p[a] - p[b]) * log_ratio(p[a], p[b])) @ weights
        drift[a, b] = exact
        drift[b, a] = exact
    np.fill_diagonal(drift, 0.0)
    return drift


def _by_pairs(groups: Distributions, between: Between) -> Float64:
    """(G, G) by ``between`` for each row of pairs: for divergences that no matrix product gives."""
    number = len(groups.probabilities)
    drift = np.zeros((number, number))
    for row in range(number - 1):
        others = groups.probabilities[row + 1 :]
        drift[row, row + 1 :] = between(groups.probabilities[row], others, groups.width) @ groups.weights
    return drift + drift.T


@dataclass(frozen=True, slots=True)
class Divergence:
    """A way to compare distributions.

    Attributes:
        title: for people.
        between: distributions (…, C, B) twice and the bin width → (…, C), one number per component.
        quick: (G, G) at once by a matrix product, where there is one.
    """

    title: str
    between: Between
    quick: Callable[[Distributions], Float64] | None = None

    def title_with(self, components: ComponentWeight) -> str:
        """For people, with what the components count."""
        return self.title if components is ComponentWeight.evr else self.title.replace("EVR-weighted", "equal weights")

    def matrix(self, groups: Distributions) -> Float64:
        """(G, G) drift of every pair: exactly symmetric, 0 on the diagonal."""
        return self.quick(groups) if self.quick is not None else _by_pairs(groups, self.between)

    def resampled(self, weights: npt.ArrayLike, low: float, high: float) -> Resampled:
        """The same from counts over bins from ``low`` to ``high``, with these weights of the components."""
        kind = ResampledKl if self.between is symmetric_kl_of else Resampled
        return kind(self.between, np.asarray(weights, dtype=np.float64), low, high)


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """A divergence for many replicates at once, from their counts. NaN where a group has no count in some component.

    Attributes:
        between: see ``Divergence``.
        weights: (C,) of the components.
        low, high: range of the bins.
    """

    between: Between
    weights: Float64
    low: float
    high: float

    def matrices(self, counts: Float64) -> Float64:
        """Of the groups of each replicate, (R, G, C, B) → (R, G, G)."""
        p = _probabilities(counts, self.low, self.high)
        replicates, number = p.shape[:2]
        drift = np.zeros((replicates, number, number))
        for row in range(number - 1):
            pairs = self.between(p[:, row, None], p[:, row + 1 :], (self.high - self.low) / p.shape[-1])
            drift[:, row, row + 1 :] = pairs @ self.weights
        return drift + drift.transpose(0, 2, 1)

    def pairs(self, first: Float64, second: Float64) -> Float64:
        """Of pairs, (R, C, B) twice → (R,)."""
        p, q = (_probabilities(counts, self.low, self.high) for counts in (first, second))
        return self.between(p, q, (self.high - self.low) / p.shape[-1]) @ self.weights


class ResampledKl(Resampled):
    """``symmetric_kl`` good to 1e-12 of the largest of a matrix, enough for quantiles, in a fraction of the time."""

    def matrices(self, counts: Float64) -> Float64:
        """See ``Resampled``; by R matrix products."""
        p = _probabilities(counts, self.low, self.high)
        weights = np.repeat(self.weights, p.shape[-1])
        p = p.reshape(*p.shape[:2], -1)
        logs = np.log(p)
        logs -= np.nanmean(logs, axis=1, keepdims=True)
        cross = ((p - np.nanmean(p, axis=1, keepdims=True)) * weights) @ logs.transpose(0, 2, 1)
        own = np.diagonal(cross, axis1=1, axis2=2)
        drift: Float64 = own[:, :, None] + own[:, None, :] - cross - cross.transpose(0, 2, 1)
        drift = np.maximum(drift, 0.0)  # keeps NaN
        diagonal = np.arange(p.shape[1])
        drift[:, diagonal, diagonal] = 0.0
        return drift

    def pairs(self, first: Float64, second: Float64) -> Float64:
        """See ``Resampled``; compiled."""
        from analysis.measures import null_loops  # imports numba
        from distributed.compiled import compiled

        empty = EMPTY_BIN_DENSITY * (self.high - self.low) / first.shape[-1]
        drift = np.empty(len(first))
        compiled(null_loops, "kl_of_pairs")(first, second, self.weights, empty, drift)
        return drift


#: The divergences there are, by the name under which a setting asks for them; the first is the paper's.
DIVERGENCES: Mapping[str, Divergence] = {
    "kl": Divergence("symmetric KL, EVR-weighted", symmetric_kl_of, symmetric_kl),
    "js": Divergence("Jensen–Shannon, EVR-weighted", jensen_shannon_of),
    "wasserstein": Divergence("Wasserstein-1, EVR-weighted", wasserstein_of),
    "tv": Divergence("total variation, EVR-weighted", total_variation_of),
}


def divergence_named(name: str) -> Divergence:
    """The divergence that a setting asks for.

    Raises:
        UserError: there is none of this name; the message lists them.
    """
    if name not in DIVERGENCES:
        raise UserError(f"divergence={name}: there are {', '.join(DIVERGENCES)}")
    return DIVERGENCES[name]
