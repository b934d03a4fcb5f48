"""Two passes over a layer's filters, in pieces of bounded size, and the statistics that they come to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distributed.errors import Place, SkipReason, UnextractableError
from distributed.formulas import random_threshold, sparse_below
from distributed.statistics.fingerprint import Fingerprint
from distributed.statistics.moments import Sums, pack_lower
from distributed.statistics.quality import variance_entropy

#: Rows handled at a time on a CPU: measured, 2^14 is the fastest (65 ns/row; 2^12 takes 90, 2^16 the same or more).
#: Their float64 arrays (72 bytes a row, four at once) stay below 5 MB.
ROWS = 1 << 14


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
        clean_sum, clean_gram: as ``scaled_sum`` and ``scaled_gram``, of the filters that are not sparse; 0 without any.
        num_clean: number of these.
        digest: SHA-256 of the weights, 64 hex digits (``fingerprint``).
        weight_sketch: (256,) float32, a count sketch of the weights (``fingerprint``).
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
    clean_sum: NDArray[np.float64]
    clean_gram: NDArray[np.float64]
    num_clean: int
    digest: str
    weight_sketch: NDArray[np.float32]


def compiled_passes(weight: NDArray[np.float32], name: str) -> tuple[Sums, float, Fingerprint]:
    """What two passes of compiled loops leave, the largest |w|, and what tells the weights again.

    Raises:
        UnextractableError: NON_FINITE.
    """
    from distributed.statistics.compiled_sums import compiled_sums, largest_magnitude  # imports numba

    max_abs = largest_magnitude(pieces(weight))
    if not math.isfinite(max_abs):
        raise non_finite(weight, name)
    fingerprint = Fingerprint(compiled=True)
    return compiled_sums(fingerprint.seeing(pieces(weight)), sparse_below(max_abs)), max_abs, fingerprint


def assembled(sums: Sums, max_abs: float, fingerprint: Fingerprint, orthogonality: float | None) -> LayerStatistics:
    """The statistics that passes over the filters and the products of channels come to."""
    everything, scaled = sums.clean.merge(sums.sparse), sums.scaled_clean + sums.scaled_sparse
    entropy = variance_entropy(everything.scatter)
    threshold = random_threshold(everything.count)
    if sums.sparse.count == 0:
        clean: float | None = entropy
    elif sums.clean.count == 0:
        clean = None
    else:
        clean = variance_entropy(sums.clean.scatter)
    return LayerStatistics(
        num_filters=everything.count,
        sparsity=sums.sparse.count / everything.count,
        variance_entropy=entropy,
        variance_entropy_normalized=entropy / threshold if threshold > 0 else None,
        variance_entropy_clean=clean,
        orthogonality=orthogonality,
        norm_mean=float(sums.norms.mean[0]),
        norm_std=math.sqrt(float(sums.norms.scatter[0, 0]) / everything.count),
        max_abs=max_abs,
        scaled_sum=scaled.sum,
        scaled_gram=pack_lower(scaled.gram),
        extreme_filters=sums.extremes.ravel(),
        clean_sum=sums.scaled_clean.sum,
        clean_gram=pack_lower(sums.scaled_clean.gram),
        num_clean=sums.clean.count,
        digest=fingerprint.digest,
        weight_sketch=fingerprint.sketch,
    )


def pieces(weight: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The filters as contiguous (k, 9) pieces, in row order, without a second copy of the whole layer."""
    for piece in cut(weight, ROWS, is_contiguous=weight.flags.c_contiguous):
        yield np.ascontiguousarray(piece)


def cut(weight: Any, rows: int, *, is_contiguous: bool) -> Iterator[Any]:
    """The filters of an array or a tensor as (k, 9) pieces of at most ``rows``, in row order."""
    if is_contiguous:
        filters = weight.reshape(-1, 9)
        for start in range(0, len(filters), rows):
            yield filters[start : start + rows]
        return
    # Other strides (channels_last, a slice): copied a few output channels at a time.
    channels = max(1, rows // weight.shape[1])
    for first in range(0, weight.shape[0], channels):
        for start in range(0, weight.shape[1], rows):
            yield weight[first : first + channels, start : start + rows].reshape(-1, 9)


def non_finite(weight: NDArray[np.float32], name: str) -> UnextractableError:
    """The error for NaN or infinite weights: how many, and the index and value of the first."""
    count, first, offset = 0, None, 0
    for piece in pieces(weight):
        bad = ~np.isfinite(piece).ravel()
        here = int(bad.sum())
        if here and first is None:
            first = offset + int(bad.argmax())
        count += here
        offset += bad.size
    index = tuple(int(i) for i in np.unravel_index(first or 0, weight.shape))
    found = f"{count} of {weight.size} weights are NaN or infinite, the first at {index}: {float(weight[index])}"
    message = f"{name}: {found}; the checkpoint is damaged or its training diverged"
    return UnextractableError(
        SkipReason.NON_FINITE, message, Place(tensor=name, expected="finite weights", found=found)
    )
