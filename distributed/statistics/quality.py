"""Quality of a layer by the definitions of DESIGN §4 (Gavrikov & Keuper, arXiv 2203.15331)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

#: Output channels and weights per channel of one block of the orthogonality sum: two float64 operands of 16 MiB and
#: one 8 MiB product at most.
_CHANNEL_BLOCK = 1024
_WEIGHT_BLOCK = 2048


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


def orthogonality(weight: torch.Tensor) -> float | None:
    """1 - Σ|ŴŴᵀ - I| / (n(n-1)) of an (n, in_per_group, 3, 3) weight; None for one output channel.

    Rows of Ŵ are output channels (all weights of one) of unit L2 norm; a zero row stays zero, so its diagonal entry
    counts 1. Float64 products of blocks: extra memory stays below 48 MiB, whatever n. These n²·k / 2 multiplications,
    for k weights a channel, are most of an extraction's time; in float32 they would take half of it, and be wrong by
    1e-8 where channels are orthogonal.
    """
    rows = weight.flatten(1)
    channels = len(rows)
    if channels == 1:
        return None
    blocks = [rows[i : i + _CHANNEL_BLOCK] for i in range(0, channels, _CHANNEL_BLOCK)]
    total = rows.new_zeros((), dtype=torch.float64)
    inverses: list[torch.Tensor] = []
    for block in blocks:
        product = _product(block, block)
        squares = product.diagonal().clone()
        inverses.append(torch.where(squares > 0, squares.rsqrt(), 0.0))
        # The diagonal: 1 for a zero row, 0 for every other.
        total += (squares == 0).sum() + _absolute_sum(product.fill_diagonal_(0.0), inverses[-1], inverses[-1])
    for i, left in enumerate(blocks):
        for j in range(i):
            total += 2.0 * _absolute_sum(_product(left, blocks[j]), inverses[i], inverses[j])
    return 1.0 - float(total) / (channels * (channels - 1))


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """left · rightᵀ of float32 blocks, in float64 and in pieces of bounded size."""
    product = left.new_zeros(len(left), len(right), dtype=torch.float64)
    for k in range(0, left.shape[1], _WEIGHT_BLOCK):
        a = left[:, k : k + _WEIGHT_BLOCK].to(torch.float64)
        b = a if left is right else right[:, k : k + _WEIGHT_BLOCK].to(torch.float64)
        if a.device.type == "cpu":
            # NumPy sees when both sides are one matrix and computes one triangle, half of the work; torch does not.
            product += torch.from_numpy(a.numpy() @ b.numpy().T)
        else:
            product.addmm_(a, b.T)
    return product


def _absolute_sum(product: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Σ|product| after rows are multiplied by ``left`` and columns by ``right``; changes ``product``."""
    return product.mul_(left[:, None]).mul_(right[None, :]).abs_().sum()
