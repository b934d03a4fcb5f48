"""The sums of a large layer on the CPU by compiled loops: one pass for the largest weight, one for everything else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from distributed.compiled import compile_once
from distributed.records import EXTREME_FILTERS
from distributed.statistics import loops
from distributed.statistics.moments import Scatter, Sums, unpack_lower

#: Pieces of a layer: (k, 9) float32 on the CPU.
Pieces = Iterable[torch.Tensor]


def largest_magnitude(pieces: Pieces) -> float:
    """Largest |w|; infinity or NaN if there is any."""
    find = _compiled("largest")
    bits = max(find(_bits(piece)) for piece in pieces)
    return float(np.array(bits, np.int32).view(np.float32))


def compiled_sums(pieces: Pieces, limit: float) -> Sums:
    """What one pass leaves, whatever the pieces; filters whose largest |w| is below ``limit`` are sparse."""
    clean, sparse = np.zeros(loops.SCATTER_STATE), np.zeros(loops.SCATTER_STATE)
    norms, scaled = np.zeros(loops.NORMS_STATE), np.zeros(loops.SCALED_STATE)
    farthest, kept = np.full(EXTREME_FILTERS, -np.inf), np.zeros((EXTREME_FILTERS, 9), np.float32)
    add = _compiled("layer_sums")
    for piece in pieces:
        add(_bits(piece), limit, clean, sparse, norms, scaled, farthest, kept)
    return Sums(
        clean=_scatter(clean),
        sparse=_scatter(sparse),
        norms=Scatter(int(norms[0]), torch.from_numpy(norms[1:2]), torch.from_numpy(norms[2:].reshape(1, 1))),
        scaled_sum=torch.from_numpy(scaled[:9]),
        scaled_gram=torch.from_numpy(unpack_lower(scaled[9:])),
        extremes=torch.from_numpy(kept),
    )


def _bits(piece: torch.Tensor) -> NDArray[np.int32]:
    return piece.contiguous().view(-1).numpy().view(np.int32)


def _scatter(state: NDArray[np.float64]) -> Scatter:
    return Scatter(int(state[0]), torch.from_numpy(state[1:10]), torch.from_numpy(unpack_lower(state[10:])))


@functools.cache
def _compiled(name: str) -> Callable[..., int]:
    return compile_once(getattr(loops, name), getattr(loops, name.upper()))
