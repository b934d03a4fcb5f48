"""Everything the ``layers`` table says of a layer's weights, in two passes over rows of bounded size.

The passes are compiled loops for large layers on a CPU, and torch's operations elsewhere: on a GPU, and for small
layers, which are not worth the second that loading numba takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distributed.errors import Place, SkipReason, UnextractableError
from distributed.formulas import random_threshold
from distributed.records import EXTREME_DIRECTIONS, EXTREME_FILTERS
from distributed.statistics.moments import Scatter, Sums, pack_lower
from distributed.statistics.quality import orthogonality, variance_entropy

#: Rows handled at a time: measured, 2^14 is the fastest on a CPU (65 ns/row; 2^12 takes 90, 2^16 the same or more), a
#: GPU wants larger pieces. Their float64 arrays (72 bytes a row, four at once) stay below 5 MB and 40 MB.
_CPU_ROWS = 1 << 14
_GPU_ROWS = 1 << 17

#: Filters from which a layer on the CPU goes through the compiled loops: 25 ns/row where torch's operations take 55–70.
_COMPILED_ROWS = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class LayerStatistics:
    """Quality columns and moments of one layer; fields are named like the columns of ``LAYERS_SCHEMA``.

    Attributes:
        num_filters: n = out_channels * in_channels per group.
        sparsity: share of filters whose nine |w| are all < max|layer| / 100, compared in float64; 1 for an all-zero
            layer, all of whose filters count as sparse.
        variance_entropy: 0 … log10(9).
        variance_entropy_normalized: entropy / T(n); None where T(n) <= 0, that is n <= 2.
        variance_entropy_clean: entropy without the sparse filters; None when there is no other.
        orthogonality: None for one output channel.
        norm_mean, norm_std: of the filters' L2 norms; population standard deviation.
        max_abs: largest |w| of the layer.
        scaled_sum: (9,) float64, sum of the scaled filters (``scale_filters``).
        scaled_gram: (45,) float64, lower triangle of Σ s sᵀ over scaled filters s, not centred.
        extreme_filters: (36,) float32, raw weights of four filters: those whose scaled form lies farthest along and
            against each of ``records.EXTREME_DIRECTIONS``; the first of several.
    """

    num_filters: int
    sparsity: float
    variance_entropy: float
    variance_entropy_normalized: float | None
    variance_entropy_clean: float | None
    orthogonality: float | None
    norm_mean: float
    norm_std: float
    max_abs: float
    scaled_sum: NDArray[np.float64]
    scaled_gram: NDArray[np.float64]
    extreme_filters: NDArray[np.float32]


def layer_statistics(weight: torch.Tensor, name: str = "weight") -> LayerStatistics:
    """Statistics of an (out_channels, in_channels per group, 3, 3) float32 weight, computed on the device it is on.

    Reductions run in float64. Extra memory does not grow with the number of filters.

    Args:
        weight: raw weights.
        name: parameter name, for the error.

    Raises:
        UnextractableError: NON_FINITE, saying how many weights are NaN or infinite and where the first is.
        ValueError: another shape or dtype, or no filter at all.
    """
    if weight.ndim != 4 or weight.shape[2:] != (3, 3) or weight.numel() == 0:
        raise ValueError(f"{name}: expected a shape (out, in, 3, 3) without zeros, found {tuple(weight.shape)}")
    if weight.dtype != torch.float32:
        raise ValueError(f"{name}: expected float32, found {weight.dtype}")
    weight = weight.detach()
    max_abs = _largest_magnitude(weight, name)
    sums = _sums(weight, sparse_below=max_abs / 100.0 if max_abs > 0.0 else math.inf)
    everything = sums.clean.merge(sums.sparse)
    entropy = variance_entropy(everything.scatter.cpu().numpy())
    threshold = random_threshold(everything.count)
    if sums.sparse.count == 0:
        clean: float | None = entropy
    elif sums.clean.count == 0:
        clean = None
    else:
        clean = variance_entropy(sums.clean.scatter.cpu().numpy())
    return LayerStatistics(
        num_filters=everything.count,
        sparsity=sums.sparse.count / everything.count,
        variance_entropy=entropy,
        variance_entropy_normalized=entropy / threshold if threshold > 0 else None,
        variance_entropy_clean=clean,
        orthogonality=orthogonality(weight),
        norm_mean=float(sums.norms.mean[0]),
        norm_std=math.sqrt(float(sums.norms.scatter[0, 0]) / everything.count),
        max_abs=max_abs,
        scaled_sum=sums.scaled_sum.cpu().numpy(),
        scaled_gram=pack_lower(sums.scaled_gram.cpu().numpy()),
        extreme_filters=sums.extremes.cpu().numpy().ravel(),
    )


def _is_compiled(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.shape[0] * weight.shape[1] >= _COMPILED_ROWS


def _sums(weight: torch.Tensor, *, sparse_below: float) -> Sums:
    if _is_compiled(weight):
        from distributed.statistics.compiled_sums import compiled_sums  # imports numba

        return compiled_sums(_chunks(weight), sparse_below)
    scaled_sum = weight.new_zeros(9, dtype=torch.float64)
    scaled_gram = scaled_sum.new_zeros(9, 9)
    empty = scaled_sum.new_zeros(9, 0)
    clean = sparse = Scatter.of(empty)
    norms = Scatter.of(empty[:1])
    directions = torch.tensor(EXTREME_DIRECTIONS, dtype=torch.float64, device=weight.device)
    farthest, extremes = [-math.inf] * EXTREME_FILTERS, weight.new_zeros(EXTREME_FILTERS, 9)
    for chunk in _chunks(weight):
        # One filter per column: reductions and divisions over nine weights then run along contiguous rows.
        filters = chunk.T.to(torch.float64, memory_format=torch.contiguous_format)
        peak = filters.abs().amax(dim=0)
        norms = norms.merge(Scatter.of(filters.square().sum(dim=0, keepdim=True).sqrt_()))
        is_sparse = peak < sparse_below
        if bool(is_sparse.any()):
            sparse = sparse.merge(Scatter.of(filters[:, is_sparse]))
            clean = clean.merge(Scatter.of(filters[:, ~is_sparse]))
        else:
            clean = clean.merge(Scatter.of(filters))
        scaled = filters.div_(torch.where(peak > 0, peak, 1.0))  # ``scale_filters``, in place
        scaled_sum += scaled.sum(dim=1)
        scaled_gram.addmm_(scaled, scaled.T)
        along = directions @ scaled
        low, high = torch.aminmax(along, dim=1)
        # argmax is slow; it is asked for only where a chunk reaches farther than those before.
        for i, reach in enumerate(torch.stack([high, -low], dim=1).flatten().tolist()):
            if reach > farthest[i]:
                values = along[i // 2]
                farthest[i], extremes[i] = reach, chunk[values.argmin() if i % 2 else values.argmax()]
    return Sums(clean, sparse, norms, scaled_sum, scaled_gram, extremes)


def _chunks(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    """The filters as (k, 9) pieces, in row order, without a second copy of the whole layer."""
    limit = _CPU_ROWS if weight.device.type == "cpu" else _GPU_ROWS
    if weight.is_contiguous():
        filters = weight.view(-1, 9)
        for start in range(0, len(filters), limit):
            yield filters[start : start + limit]
        return
    # Other strides (channels_last, a slice): copied a few output channels at a time.
    channels = max(1, limit // weight.shape[1])
    for first in range(0, weight.shape[0], channels):
        for start in range(0, weight.shape[1], limit):
            yield weight[first : first + channels, start : start + limit].reshape(-1, 9)


def _largest_magnitude(weight: torch.Tensor, name: str) -> float:
    if _is_compiled(weight):
        from distributed.statistics.compiled_sums import largest_magnitude

        found = largest_magnitude(_chunks(weight))
        if not math.isfinite(found):
            raise _non_finite(weight, name)
        return found
    largest = 0.0
    for chunk in _chunks(weight):
        low, high = torch.aminmax(chunk)  # NaN spreads to both, infinity is either
        largest = max(largest, -float(low), float(high))
        if not (math.isfinite(float(low)) and math.isfinite(float(high))):
            raise _non_finite(weight, name)
    return largest


def _non_finite(weight: torch.Tensor, name: str) -> UnextractableError:
    """The error for NaN or infinite weights: how many, and the index and value of the first."""
    count, first, offset = 0, None, 0
    for chunk in _chunks(weight):
        bad = ~torch.isfinite(chunk).flatten()
        here = int(bad.sum())
        if here and first is None:
            first = offset + int(bad.to(torch.uint8).argmax())
        count += here
        offset += bad.numel()
    index = tuple(int(i) for i in np.unravel_index(first or 0, tuple(weight.shape)))
    found = f"{count} of {weight.numel()} weights are NaN or infinite, the first at {index}: {float(weight[index])}"
    message = f"{name}: {found}; the checkpoint is damaged or its training diverged"
    return UnextractableError(
        SkipReason.NON_FINITE, message, Place(tensor=name, expected="finite weights", found=found)
    )
