"""How far apart two groups of distributions are: the divergences beside the paper's, each one formula on arrays.

All take distributions of shape (..., C, B), components and bins, rows summing to 1, and give (..., C): one number per
component. ``analysis.measures.drift`` weights the components by the explained variance ratio.
"""

from __future__ import annotations

import numpy as np

from analysis.arrays.types import Float64


def symmetric_kl_of(p: Float64, q: Float64, width: float) -> Float64:
    """KL(P‖Q) + KL(Q‖P), nats (Jeffreys' divergence); the paper's choice. ``width`` plays no part."""
    result: Float64 = ((p - q) * log_ratio(p, q)).sum(axis=-1)
    return result


def jensen_shannon_of(p: Float64, q: Float64, width: float) -> Float64:
    """Jensen–Shannon divergence, nats, 0 … ln 2 (Lin 1991): mean KL of P and Q to their mixture."""
    mixture = (p + q) / 2
    result: Float64 = (p * log_ratio(p, mixture) + q * log_ratio(q, mixture)).sum(axis=-1) / 2
    return np.maximum(result, 0.0)


def wasserstein_of(p: Float64, q: Float64, width: float) -> Float64:
    """Wasserstein-1 distance in units of the coefficients: area between the two cumulative distributions.

    Of histograms, as if each bin's mass sat at the bin's centre (what ``scipy.stats.wasserstein_distance`` gives for
    bin centres with these weights).
    """
    difference = np.cumsum(p - q, axis=-1)[..., :-1]
    result: Float64 = np.abs(difference).sum(axis=-1) * width
    return result


def total_variation_of(p: Float64, q: Float64, width: float) -> Float64:
    """Total variation distance, 0 … 1: half the L1 distance."""
    result: Float64 = np.abs(p - q).sum(axis=-1) / 2
    return result


def log_ratio(p: Float64, q: Float64) -> Float64:
    """ln(p / q), good to the last digits near 1 as well, where the logarithms' own rounding would drown it."""
    relative = (p - q) / q
    near = np.abs(relative) < 0.5
    result: Float64 = np.where(near, np.log1p(np.where(near, relative, 0.0)), np.log(p / q))
    return result
