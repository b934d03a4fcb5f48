"""Degenerate layers: those that look untrained, and those that collapsed (arXiv 2203.15331; DESIGN §4)."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analysis.arrays.types import Float64
from distributed.formulas import random_threshold

#: A layer counts as random from this far below T(n) on, in units of entropy.
RANDOM_MARGIN = 0.02

#: A layer has collapsed with less entropy than this and at least this share of sparse filters.
COLLAPSED_ENTROPY, COLLAPSED_SPARSITY = 0.5, 0.14


class Degeneracy(StrEnum):
    """What is wrong with a layer; the value is what tables and pictures say."""

    RANDOM = "random"
    COLLAPSED = "collapsed"
    ZERO = "all zero"


def random_thresholds(num_filters: npt.ArrayLike) -> Float64:
    """(N,) T(n) of each layer, at most 0 for n <= 2; ``distributed.formulas.random_threshold`` of each n."""
    numbers, inverse = np.unique(np.asarray(num_filters, dtype=np.int64), return_inverse=True)
    return np.array([random_threshold(int(n)) for n in numbers], dtype=np.float64)[inverse]


def degeneracies(entropy: Float64, sparsity: Float64, thresholds: Float64, max_abs: Float64) -> list[Degeneracy | None]:
    """What is wrong with each of N layers, None where nothing is.

    * random: entropy >= T(n) - 0.02. Not asked of layers with T(n) <= 0, that is n <= 2, which every entropy passes.
    * collapsed: entropy < 0.5 and sparsity >= 0.14.
    * all zero: every weight is 0, a kind of its own: it would count as collapsed (its sparsity is 1, its entropy 0).

    The rules exclude each other but for layers so small that T(n) - 0.02 < 0.5; there, collapsed goes first: the
    sparse filters are evidence, the threshold a curve fitted to larger layers.

    Args:
        entropy: (N,) variance entropy, neither normalised nor clean.
        sparsity: (N,) share of sparse filters.
        thresholds: (N,) T(n).
        max_abs: (N,) largest magnitude of a weight.
    """
    random = (thresholds > 0) & (entropy >= thresholds - RANDOM_MARGIN)
    collapsed = (entropy < COLLAPSED_ENTROPY) & (sparsity >= COLLAPSED_SPARSITY)
    kinds: list[Degeneracy | None] = [None] * len(entropy)
    for which, kind in (
        (random, Degeneracy.RANDOM),
        (collapsed, Degeneracy.COLLAPSED),
        (max_abs == 0, Degeneracy.ZERO),
    ):
        for index in np.flatnonzero(which):
            kinds[index] = kind
    return kinds
