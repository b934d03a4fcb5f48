"""Which symmetries the filters of a group have: shares of the energy of its scaled filters.

A symmetry of the square is a permutation of the nine weights, S with S² = 1, and splits a kernel into an even part
(f + S f)/2 and an odd one, (f − S f)/2 = P f, which are orthogonal. With M = Σ f fᵀ (the column ``scaled_gram``) the
share of the filters' energy Σ|f|² that is odd is Σ|P f|² / Σ|f|² = tr(P M) / tr(M): no filter is read (DESIGN §4). Each
filter counts by its own energy, 1 … 9 once it is scaled by its largest magnitude.

Frequencies are those of the orthonormal 3x3 DCT-II (Ahmed, Natarajan & Rao 1974), the kernels
u(i) v(j) of 0, 1 or 2 half waves down and across: their nine shares sum to 1. ``0,0`` is the mean, ``1,0`` and ``0,1``
are first derivatives, orders are u + v. Filters of independent weights have 1/9 in each, and of every symmetry the
share of its odd dimensions (``INDEPENDENT``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.arrays.moments import Moments
from analysis.arrays.types import Float64

_PLACES = np.arange(9).reshape(3, 3)

#: What is odd under which symmetry: name of its column → where each weight goes.
SYMMETRIES: Mapping[str, tuple[str, Float64]] = {
    name: (title, np.eye(9)[places.ravel()])
    for name, title, places in (
        ("odd_rotation", "odd under 180°", _PLACES[::-1, ::-1]),
        ("odd_left_right", "odd left–right", _PLACES[:, ::-1]),
        ("odd_up_down", "odd up–down", _PLACES[::-1]),
        ("antisymmetric", "antisymmetric", _PLACES.T),
    )
}

#: The share of each of them in filters of independent weights: 4/9, and thrice 3/9.
INDEPENDENT: Mapping[str, float] = {name: (9 - float(np.trace(s))) / 18 for name, (_, s) in SYMMETRIES.items()}

_WAVES = np.cos(np.pi * np.outer(np.arange(3), 2 * np.arange(3) + 1) / 6) * np.sqrt([[1 / 3], [2 / 3], [2 / 3]])

#: (9, 9) the DCT-II kernels, one a row: half waves down, then across.
DCT: Float64 = np.kron(_WAVES, _WAVES)


@dataclass(frozen=True, slots=True, eq=False)
class Symmetry:
    """Shares of the energy of a set of filters, NaN where all of them are zero.

    Attributes:
        energy: mean |f|² of the scaled filters, 0 … 9.
        odd: name in ``SYMMETRIES`` → share that is odd under it.
        dct: (3, 3) share of each frequency, half waves down by half waves across.
    """

    energy: float
    odd: Mapping[str, float]
    dct: Float64

    @property
    def orders(self) -> Float64:
        """(5,) share of the frequencies of each order u + v, 0 … 4."""
        return np.array([np.trace(self.dct[::-1], offset=order - 2) for order in range(5)])


def symmetry_of(moments: Moments) -> Symmetry:
    """Of filters of these moments."""
    gram = moments.scatter + moments.count * np.outer(moments.mean, moments.mean)
    energy = float(np.trace(gram))
    if not energy > 0:
        return Symmetry(0.0, dict.fromkeys(SYMMETRIES, float("nan")), np.full((3, 3), np.nan))
    # tr(P M) with P = (1 - S) / 2; what is exactly even is left with a rounding.
    odd = {name: max(0.0, (1 - float((s * gram).sum()) / energy) / 2) for name, (_, s) in SYMMETRIES.items()}
    dct = np.maximum(np.einsum("ki,ij,kj->k", DCT, gram, DCT), 0.0) / energy
    return Symmetry(energy / moments.count, odd, dct.reshape(3, 3))
