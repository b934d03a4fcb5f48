"""How far a layer is from untrained, from the second moments of its scaled filters alone: no filter is read.

Nine independent weights of one symmetric distribution have M = E f fᵀ proportional to the identity, whatever the
distribution and its scale. Training gives directions their own energies. With the nine eigenvalues λ of a layer's
M = Σ f fᵀ, the distance is their squared coefficient of variation,

    U = 9 tr(M²) / (tr M)² − 1 = var(λ) / mean(λ)²,

John's statistic of sphericity (John 1971, Biometrika 58; Ledoit & Wolf 2002, Annals of Statistics 30), less what
untrained filters show of it by their number alone. It is 0 for untrained layers, 8 where all filters are multiples of
one. For small values, half of it is what drift is between Gaussians of these variances with equal weights of the
components: symmetric KL of variances v and s is ½ (v/s + s/v − 2) ≈ ½ (v/s − 1)².

**Expected value.** In tr(M²) = Σᵢⱼ (fᵢ·fⱼ)², the n terms i = j are not directions but norms. With
κ = E|f|⁴ / (E|f|²)², E tr(M²) = n κ τ² + n (n − 1) τ² / 9 and E (tr M)² = n (n − 1 + κ) τ², τ = E|f|², so that

    E[U] ≈ 8 κ / (n − 1 + κ),

exact for n = 1 (U = 8) and within 1 % of simulations at every n (the tests). **Noise.** n U is then spread as a
weighted χ² of 44 degrees of freedom: a standard deviation of about 1.9 / n, and 1 untrained layer in 1 000 lies more
than 7.3 / n above the expected value.
"""

from __future__ import annotations

import numpy as np

from analysis.arrays.types import Float64, Int64

#: κ of normal filters. Those of uniform ones are 1.053: their layers lie 0.24 / n lower, an eighth of the noise.
KAPPA = 1.0832

#: n times what untrained layers do not exceed, but for 1 in 1 000.
_NOISE = 7.3

#: Of the lower triangle of a 9 x 9 matrix: how often each entry stands in the whole one, and which are its diagonal.
_ROWS, _COLUMNS = np.tril_indices(9)
_OFTEN = np.where(_ROWS == _COLUMNS, 1.0, 2.0)


def distance_from_untrained(filters: Int64, grams: Float64) -> Float64:
    """(L,) U − E[U] of each layer, NaN where all filters are zero or there is none.

    Args:
        filters: (L,) n of each layer.
        grams: (L, 45) lower half of Σ f fᵀ, row by row (the column ``scaled_gram``).
    """
    squares = (grams**2) @ _OFTEN
    traces = grams[:, _ROWS == _COLUMNS].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float64 = 9 * squares / traces**2 - 1 - 8 * KAPPA / (filters - 1 + KAPPA)
    return np.where((traces > 0) & (filters > 0), found, np.nan)


def untrained_threshold(filters: Int64) -> Float64:
    """(L,) the distance that 999 of 1 000 untrained layers of n filters stay below."""
    return _NOISE / np.maximum(filters, 1)
