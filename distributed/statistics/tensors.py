"""The statistics of a layer that torch holds, on the device it lies on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from distributed.formulas import sparse_below
from distributed.records import EXTREME_DIRECTIONS, EXTREME_FILTERS
from distributed.statistics import passes
from distributed.statistics.fingerprint import Fingerprint
from distributed.statistics.moments import ScaledSums, Scatter, Sums
from distributed.statistics.passes import LayerStatistics, assembled, compiled_passes, non_finite
from distributed.statistics.quality import ARRAYS, WEIGHT_BLOCK, Algebra, orthogonality

#: Rows handled at a time: a GPU wants larger pieces than a CPU. Their four float64 arrays stay below 40 MB.
_GPU_ROWS = 1 << 17

#: Filters from which a layer on the CPU goes through the compiled loops: 25 ns/row where torch's operations take 55–70.
#: Smaller ones are not worth the second that loading numba takes.
_COMPILED_ROWS = 1 << 15


def tensor_statistics(weight: torch.Tensor, name: str) -> LayerStatistics:
    """See ``layer_statistics``, which has checked shape and type."""
    weight = weight.detach()
    is_large = weight.shape[0] * weight.shape[1] >= _COMPILED_ROWS
    if is_large and weight.device.type == "cpu":
        sums, max_abs, fingerprint = compiled_passes(weight.numpy(), name)
    else:
        max_abs = _largest_magnitude(weight, name)
        sums = _sums(weight, sparse_below(max_abs))
        fingerprint = Fingerprint.of(passes.pieces(weight.cpu().numpy()), compiled=is_large)
    return assembled(sums, max_abs, fingerprint, orthogonality(weight, TENSORS))


def _largest_magnitude(weight: torch.Tensor, name: str) -> float:
    largest = 0.0
    for chunk in _chunks(weight):
        low, high = torch.aminmax(chunk)  # NaN spreads to both, infinity is either
        largest = max(largest, -float(low), float(high))
        if not (math.isfinite(float(low)) and math.isfinite(float(high))):
            raise non_finite(weight.cpu().numpy(), name)
    return largest


def _sums(weight: torch.Tensor, limit: float) -> Sums:
    scaled = weight.new_zeros(2, 9, dtype=torch.float64)  # clean, sparse
    grams = scaled.new_zeros(2, 9, 9)
    clean, sparse, norms = Scatter.empty(9), Scatter.empty(9), Scatter.empty(1)
    directions = torch.tensor(EXTREME_DIRECTIONS, dtype=torch.float64, device=weight.device)
    farthest, extremes = [-math.inf] * EXTREME_FILTERS, weight.new_zeros(EXTREME_FILTERS, 9)
    for chunk in _chunks(weight):
        # One filter per column: reductions and divisions over nine weights then run along contiguous rows.
        filters = chunk.T.to(torch.float64, memory_format=torch.contiguous_format)
        peak = filters.abs().amax(dim=0)
        norms = norms.merge(scatter_of(filters.square().sum(dim=0, keepdim=True).sqrt_()))
        is_sparse = peak < limit
        few = bool(is_sparse.any())
        if few:
            sparse = sparse.merge(scatter_of(filters[:, is_sparse]))
            clean = clean.merge(scatter_of(filters[:, ~is_sparse]))
        else:
            clean = clean.merge(scatter_of(filters))
        filters.div_(torch.where(peak > 0, peak, 1.0))  # ``scale_filters``, in place
        for kind, part in enumerate((filters[:, ~is_sparse], filters[:, is_sparse]) if few else (filters,)):
            scaled[kind] += part.sum(dim=1)
            grams[kind].addmm_(part, part.T)
        along = directions @ filters
        low, high = torch.aminmax(along, dim=1)
        # argmax is slow; it is asked for only where a chunk reaches farther than those before.
        for i, reach in enumerate(torch.stack([high, -low], dim=1).flatten().tolist()):
            if reach > farthest[i]:
                values = along[i // 2]
                farthest[i], extremes[i] = reach, chunk[values.argmin() if i % 2 else values.argmax()]
    of_clean, of_sparse = (ScaledSums(s, g) for s, g in zip(scaled.cpu().numpy(), grams.cpu().numpy(), strict=True))
    return Sums(clean, sparse, norms, of_clean, of_sparse, extremes.cpu().numpy())


def scatter_of(columns: torch.Tensor) -> Scatter:
    """Of a (d, count) float64 matrix, one vector per column; count may be 0."""
    dimensions, count = columns.shape
    if count == 0:
        return Scatter.empty(dimensions)
    # Float32 values sum exactly in float64 while they agree in magnitude, so identical filters have exactly their
    # own value as mean and exactly zero scatter.
    mean = columns.sum(dim=1) / count
    centred = columns - mean[:, None]
    return Scatter(count, mean.cpu().numpy(), (centred @ centred.T).cpu().numpy())


def _chunks(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    return passes.cut(
        weight, passes.ROWS if weight.device.type == "cpu" else _GPU_ROWS, is_contiguous=weight.is_contiguous()
    )


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    if left.device.type == "cpu":
        array = left.numpy()
        # NumPy sees when both sides are one matrix and computes one triangle, half of the work; torch does not.
        return torch.from_numpy(ARRAYS.product(array, array if left is right else right.numpy()))
    product = left.new_zeros(len(left), len(right), dtype=torch.float64)
    for k in range(0, left.shape[1], WEIGHT_BLOCK):
        product.addmm_(left[:, k : k + WEIGHT_BLOCK].double(), right[:, k : k + WEIGHT_BLOCK].double().T)
    return product


TENSORS = Algebra(_product, lambda squares: torch.where(squares > 0, squares.rsqrt(), 0.0))
