"""The sums of a large layer on the CPU by compiled loops: one pass for the largest weight, one for everything else."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from distributed.compiled import compiled
from distributed.records import EXTREME_FILTERS
from distributed.statistics import loops
from distributed.statistics.moments import Scatter, Sums, unpack_lower

#: Pieces of a layer: (k, 9) float32 on the CPU.
Pieces = Iterable[NDArray[np.float32]]


def largest_magnitude(pieces: Pieces) -> float:
    """Largest |w|; infinity or NaN if there is any."""
    find = compiled(loops, "largest")
    bits = max(find(_bits(piece)) for piece in pieces)
    return float(np.array(bits, np.int32).view(np.float32))


def compiled_sums(pieces: Pieces, limit: float) -> Sums:
    """What one pass leaves, whatever the pieces; filters whose largest |w| is below ``limit`` are sparse."""
    clean, sparse = np.zeros(loops.SCATTER_STATE), np.zeros(loops.SCATTER_STATE)
    norms, scaled = np.zeros(loops.NORMS_STATE), np.zeros(loops.SCALED_STATE)
    farthest, kept = np.full(EXTREME_FILTERS, -np.inf), np.zeros((EXTREME_FILTERS, 9), np.float32)
    add = compiled(loops, "layer_sums")
    for piece in pieces:
        add(_bits(piece), limit, clean, sparse, norms, scaled, farthest, kept)
    return Sums(
        clean=_scatter(clean),
        sparse=_scatter(sparse),
        norms=Scatter(int(norms[0]), norms[1:2], norms[2:].reshape(1, 1)),
        scaled_sum=scaled[:9],
        scaled_gram=unpack_lower(scaled[9:]),
        extremes=kept,
    )


def _bits(piece: NDArray[np.float32]) -> NDArray[np.int32]:
    return piece.reshape(-1).view(np.int32)


def _scatter(state: NDArray[np.float64]) -> Scatter:
    return Scatter(int(state[0]), state[1:10], unpack_lower(state[10:]))
