"""Quality of a layer by the definitions of DESIGN §4 (Gavrikov & Keuper, arXiv 2203.15331)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Output channels and weights per channel of one block of the orthogonality sum: two float64 operands of 16 MiB and
#: one 8 MiB product at most.
CHANNEL_BLOCK = 1024
WEIGHT_BLOCK = 2048


def variance_entropy(scatter: NDArray[np.float64]) -> float:
    """Base-10 entropy of the normalised variances, from the (9, 9) scatter matrix of mean-centred filters.

    The eigenvalues are the squared singular values of the centred (n, 9) layer. 0 when all variance is 0, at most
    log10(9).
    """
    total = float(np.trace(scatter))
    if total <= 0.0:
        return 0.0
    # Normalised first, so that layers of tiny or huge weights don't leave the range LAPACK is accurate in.
    # Rounding may push a zero eigenvalue below zero.
    shares = np.clip(np.linalg.eigvalsh(scatter / total), 0.0, None)
    shares = shares[shares > 0.0] / shares.sum()
    # "+ 0.0": a single share gives -0.0.
    return float(-(shares * np.log10(shares)).sum()) + 0.0


@dataclass(frozen=True, slots=True)
class Algebra:
    """What orthogonality needs of arrays, or of tensors, beyond what both can do alike.

    Attributes:
        product: left · rightᵀ of float32 blocks, in float64 and in pieces of bounded size.
        inverse_root: 1/√x of each; 0 of 0.
    """

    product: Callable[[Any, Any], Any]
    inverse_root: Callable[[Any], Any]


def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    product = np.zeros((len(left), len(right)))
    for k in range(0, left.shape[1], WEIGHT_BLOCK):
        a = left[:, k : k + WEIGHT_BLOCK].astype(np.float64)
        product += a @ (a if left is right else right[:, k : k + WEIGHT_BLOCK].astype(np.float64)).T
    return product


def _inverse_root(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(1.0, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)


ARRAYS = Algebra(_product, _inverse_root)


def orthogonality(weight: Any, algebra: Algebra = ARRAYS) -> float | None:
    """1 - Σ|ŴŴᵀ - I| / (n(n-1)) of an (n, in_per_group, 3, 3) weight; None for one output channel.

    Rows of Ŵ are output channels (all weights of one) of unit L2 norm; a zero row stays zero, so its diagonal entry
    counts 1. Float64 products of blocks: extra memory stays below 48 MiB, whatever n. These n²·k / 2 multiplications,
    for k weights a channel, are most of an extraction's time; in float32 they would take half of it, and be wrong by
    1e-8 where channels are orthogonal.

    Args:
        weight: array or tensor.
        algebra: for it.
    """
    rows = weight.reshape(len(weight), -1)
    channels = len(rows)
    if channels == 1:
        return None
    blocks = [rows[i : i + CHANNEL_BLOCK] for i in range(0, channels, CHANNEL_BLOCK)]
    total = 0.0
    inverses: list[Any] = []
    for block in blocks:
        product = algebra.product(block, block)
        squares = 1.0 * product.diagonal()
        inverses.append(algebra.inverse_root(squares))
        product.reshape(-1)[:: len(block) + 1] = 0.0
        # The diagonal: 1 for a zero row, 0 for every other.
        total += float((squares == 0).sum()) + _absolute_sum(product, inverses[-1], inverses[-1])
    for i, left in enumerate(blocks):
        for j in range(i):
            total += 2.0 * _absolute_sum(algebra.product(left, blocks[j]), inverses[i], inverses[j])
    return 1.0 - total / (channels * (channels - 1))


def _absolute_sum(product: Any, left: Any, right: Any) -> float:
    """Σ|product| after rows are multiplied by ``left`` and columns by ``right``; changes ``product``."""
    product *= left[:, None]
    product *= right[None, :]
    return float(abs(product).sum())
