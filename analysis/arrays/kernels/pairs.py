"""Two-dimensional histograms of pairs of coefficients: one more loop over filters, on one core of the CPU.

The same blocks, scaling, projection and rule for edges as ``loops.histograms``; see there for why the code is as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import float64, int32, int64, njit, types, uint32

from analysis.arrays.kernels import SIZE, Binning, Columns, NonFiniteFilterError, Projection, loops
from analysis.arrays.kernels.loops import (
    BLOCK,
    block_slots,
    fill_up,
    first_not_finite,
    load_block,
    reciprocals,
    settle,
)
from analysis.arrays.types import Int64, UInt32
from distributed.compiled import compile_once

_ONE = np.uint32(1)
_COLUMNS = types.UniTuple(types.Array(int32, 1, "C", readonly=True), 9)  # type: ignore[no-untyped-call]
_VECTOR = types.Array(float64, 1, "C", readonly=True)
_WHOLE = types.Array(int64, 1, "C", readonly=True)
_SIGNATURE = int64(
    _COLUMNS,
    _WHOLE,
    _WHOLE,
    types.Array(float64, 2, "C", readonly=True),
    _VECTOR,
    float64,
    types.Array(int64, 2, "C", readonly=True),
    types.Array(uint32, 4, "C"),
)


@njit(error_model="numpy", nogil=True)
def _scatter_pair(first, second, start, stop, top, counts):  # type: ignore[no-untyped-def]
    """Count pairs of slots of rows start … stop - 1 in counts (bins, bins); slots 0 and top are outside the range."""
    for i in range(start, stop):
        a, b = first[i], second[i]
        if 0 < a < top and 0 < b < top:
            counts[a - 1, b - 1] += _ONE


def _pair_loop(columns, starts, targets, matrix, offset, tolerance, pairs, counts):  # type: ignore[no-untyped-def]
    """Adds to ``counts`` (G, P, bins, bins); the first row that is not finite, else -1."""
    rows = columns[0].size
    top = counts.shape[2] + 1
    x, inverse = np.empty((9, BLOCK), np.float64), np.empty(BLOCK, np.float64)
    magnitude, slots = np.empty(BLOCK, np.int32), np.empty((9, BLOCK), np.int32)
    largest = magnitude.view(np.float32)
    run = 0
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        if not load_block(columns, start, stop, x, magnitude):
            return first_not_finite(start, stop, magnitude)
        if stop - start < BLOCK:
            fill_up(stop - start, x, magnitude)
        reciprocals(largest, inverse)
        if block_slots(x, inverse, matrix, offset, top, slots):
            settle(x, inverse, matrix, offset, top, tolerance, slots)
        at = start
        while at < stop:
            while starts[run + 1] <= at:
                run += 1
            until = min(stop, starts[run + 1])
            target = targets[run]
            if target >= 0:
                for p in range(pairs.shape[0]):
                    first, second = slots[pairs[p, 0]], slots[pairs[p, 1]]
                    _scatter_pair(first, second, at - start, until - start, top, counts[target, p])
            at = until
    return -1


def count_pairs(
    columns: Columns,
    starts: Int64,
    targets: Int64,
    projection: Projection,
    binning: Binning,
    pairs: Int64,
    counts: UInt32,
) -> None:
    """Add each filter to the two-dimensional histograms of its run's target.

    Args:
        columns: nine float32 arrays (n,).
        starts: (R + 1,) rising from 0 to n: run r is rows ``starts[r]`` … ``starts[r + 1] - 1``.
        targets: (R,) the group each run is counted in, -1 for none.
        projection: from scaled filters to coefficients.
        binning: of both axes; a filter with a coefficient of the pair outside is not counted.
        pairs: (P, 2) components, 0 … 8.
        counts: (G, P, bins, bins) uint32, added to: first component of the pair along the first axis. They are
            ``numpy.histogram2d``'s but for values within rounding of an edge. At most 2^32 - 1 rows a target in all.

    Raises:
        NonFiniteFilterError: the first such row; ``counts`` is then of no use.
        ValueError: shapes do not fit together.
    """
    bits = tuple(np.ascontiguousarray(column).view(np.int32) for column in columns)
    groups, number = counts.shape[:2]
    if len(bits) != SIZE or any(each.shape != bits[0].shape for each in bits):
        raise ValueError("nine columns of equal length are needed")
    if starts[0] != 0 or starts[-1] != bits[0].size or np.any(starts[1:] < starts[:-1]):
        raise ValueError(f"starts must rise from 0 to the number of rows, {bits[0].size}")
    if targets.shape != (starts.size - 1,) or (targets.size and not -1 <= targets.min() <= targets.max() < groups):
        raise ValueError(f"targets must be -1 … {groups - 1}, one for each of {starts.size - 1} runs")
    if pairs.shape != (number, 2) or (pairs.size and not 0 <= pairs.min() <= pairs.max() < SIZE):
        raise ValueError("pairs must be (P, 2) components 0 … 8")
    if counts.dtype != np.uint32 or counts.shape[2:] != (binning.bins, binning.bins) or not counts.flags.c_contiguous:
        raise ValueError(f"counts must be (G, P, {binning.bins}, {binning.bins}) uint32")
    per_unit = binning.bins / (binning.high - binning.low)
    matrix = np.ascontiguousarray(projection.matrix * per_unit)
    offset = np.ascontiguousarray((projection.offset - binning.low) * per_unit + 1.0)
    tolerance = 1e-9 + 1e-12 * per_unit
    whole = (np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(targets, np.int64))
    row = _compiled()(bits, *whole, matrix, offset, tolerance, np.ascontiguousarray(pairs, np.int64), counts)
    if row >= 0:
        raise NonFiniteFilterError(int(row))


@functools.cache
def _compiled() -> Callable[..., int]:
    """The loop as machine code, which holds parts of ``loops``."""
    return compile_once(_pair_loop, _SIGNATURE, uses=Path(loops.__file__))
