"""The loops themselves, in the subset of Python that numba compiles. ``cpu`` calls them; nothing else should.

Rows are taken in blocks of ``BLOCK`` whose nine columns, as float64, stay in the first-level cache. Shapes that let the
compiler use vector instructions decide the form: few arrays per loop (more need too many overlap checks), slices from 0
(no wrap-around of indices), and a constant trip count in the projection. The last also makes results independent of how
rows are split into calls: every row goes through the same instructions, a short block is filled up with its last row.

Floating-point flags (fused multiply-add, reordered sums, no NaN) are given only where all values are known to be finite
and the order of a sum does not matter.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int32, int64, njit, types, uint32

#: Rows per block: 9 x 256 float64 are 18 KB.
BLOCK = 256

#: Running minima and maxima kept side by side.
LANES = 32

_MAGNITUDE = np.int32(0x7FFFFFFF)  # all bits of a float32 but the sign: ordered like the magnitude
_NOT_FINITE = np.int32(0x7F800000)  # the magnitude bits of infinity; NaN lies above
_ONE = np.uint32(1)
_FINITE_FLAGS = {"contract", "nsz", "reassoc", "nnan", "ninf"}

_COLUMNS = types.UniTuple(types.Array(int32, 1, "C", readonly=True), 9)  # type: ignore[no-untyped-call]
_MATRIX = types.Array(float64, 2, "C", readonly=True)
_VECTOR = types.Array(float64, 1, "C", readonly=True)
_STARTS = types.Array(int64, 1, "C", readonly=True)

#: Signatures, so that each loop is compiled once whatever arrays come (writable ones are accepted as read-only).
EXTREMES = int64(_COLUMNS, _MATRIX, _VECTOR, types.Array(float64, 2, "C"), types.Array(float64, 2, "C"))
HISTOGRAMS = int64(
    _COLUMNS, _STARTS, _MATRIX, _VECTOR, float64, _VECTOR, types.Array(uint32, 3, "C"), types.Array(float64, 1, "C")
)


@njit(error_model="numpy", nogil=True)
def _load_three(a, b, c, x0, x1, x2, magnitude, first):  # type: ignore[no-untyped-def]
    for i in range(a.size):
        va, vb, vc = a[i], b[i], c[i]
        x0[i] = np.float64(np.int32(va).view(np.float32))
        x1[i] = np.float64(np.int32(vb).view(np.float32))
        x2[i] = np.float64(np.int32(vc).view(np.float32))
        largest = max(max(np.int32(va & _MAGNITUDE), np.int32(vb & _MAGNITUDE)), np.int32(vc & _MAGNITUDE))
        if not first:
            largest = max(largest, magnitude[i])
        magnitude[i] = largest


@njit(error_model="numpy", nogil=True)
def load_block(columns, start, stop, x, magnitude):  # type: ignore[no-untyped-def]
    """Rows start … stop - 1 into x (9, BLOCK), the bits of max|f| into magnitude; False if one is not finite."""
    n = stop - start
    _load_three(
        columns[0][start:stop], columns[1][start:stop], columns[2][start:stop], x[0], x[1], x[2], magnitude, True
    )
    _load_three(
        columns[3][start:stop], columns[4][start:stop], columns[5][start:stop], x[3], x[4], x[5], magnitude, False
    )
    _load_three(
        columns[6][start:stop], columns[7][start:stop], columns[8][start:stop], x[6], x[7], x[8], magnitude, False
    )
    worst = np.int32(0)
    for i in range(n):
        worst = max(worst, magnitude[i])
    return worst < _NOT_FINITE


@njit(error_model="numpy", nogil=True)
def fill_up(n, x, magnitude):  # type: ignore[no-untyped-def]
    for k in range(9):
        x[k, n:] = x[k, n - 1]
    magnitude[n:] = magnitude[n - 1]


@njit(error_model="numpy", nogil=True)
def first_not_finite(start, stop, magnitude):  # type: ignore[no-untyped-def]
    for i in range(stop - start):
        if magnitude[i] >= _NOT_FINITE:
            return start + i
    return start


@njit(error_model="numpy", nogil=True)
def reciprocals(largest, inverse):  # type: ignore[no-untyped-def]
    """1 / max|f| in float64, 0 for an all-zero filter. The smallest denormal's is 7e44: no overflow."""
    for i in range(largest.size):
        m = np.float64(largest[i])
        r = 1.0 / m
        inverse[i] = r if m > 0.0 else 0.0


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def _block_extremes(x, inverse, matrix, offset, values, low, high):  # type: ignore[no-untyped-def]
    """Lane by lane: low and high are (9, LANES), because a minimum over one scalar is not vectorised."""
    x0, x1, x2, x3, x4, x5, x6, x7, x8 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]
    for k in range(9):
        w0, w1, w2, w3, w4 = matrix[k, 0], matrix[k, 1], matrix[k, 2], matrix[k, 3], matrix[k, 4]
        w5, w6, w7, w8 = matrix[k, 5], matrix[k, 6], matrix[k, 7], matrix[k, 8]
        shift, smallest, largest = offset[k], low[k], high[k]
        for i in range(BLOCK):
            t = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4
            t += x5[i] * w5 + x6[i] * w6 + x7[i] * w7 + x8[i] * w8
            values[i] = t * inverse[i] + shift
        for first in range(0, BLOCK, LANES):
            part = values[first : first + LANES]
            for i in range(LANES):
                t = part[i]
                a = smallest[i]
                b = largest[i]
                smallest[i] = t if t < a else a
                largest[i] = t if t > b else b


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def block_slots(x, inverse, matrix, offset, top, slots):  # type: ignore[no-untyped-def]
    """The slot of every coefficient, cut to 0 … top; True if any fell into the first or the last one."""
    x0, x1, x2, x3, x4, x5, x6, x7, x8 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]
    limit = np.float64(top)
    smallest, largest = np.int32(top), np.int32(0)
    for k in range(9):
        w0, w1, w2, w3, w4 = matrix[k, 0], matrix[k, 1], matrix[k, 2], matrix[k, 3], matrix[k, 4]
        w5, w6, w7, w8 = matrix[k, 5], matrix[k, 6], matrix[k, 7], matrix[k, 8]
        shift, out = offset[k], slots[k]
        for i in range(BLOCK):
            t = x0[i] * w0 + x1[i] * w1 + x2[i] * w2 + x3[i] * w3 + x4[i] * w4
            t += x5[i] * w5 + x6[i] * w6 + x7[i] * w7 + x8[i] * w8
            t = t * inverse[i] + shift
            slot = np.int32(min(max(t, 0.0), limit))
            smallest = min(smallest, slot)
            largest = max(largest, slot)
            out[i] = slot
    return smallest == 0 or largest == top


@njit(error_model="numpy", nogil=True)
def settle(x, inverse, matrix, offset, top, tolerance, slots):  # type: ignore[no-untyped-def]
    """Coefficients cut to the outer slots that lie on the range's edge, up to rounding, belong to the nearest bin."""
    for k in range(9):
        for i in range(BLOCK):
            slot = slots[k, i]
            if slot != 0 and slot != top:
                continue
            t = 0.0
            for j in range(9):
                t += x[j, i] * matrix[k, j]
            t = t * inverse[i] + offset[k]
            if slot == 0 and t >= 1.0 - tolerance:
                slots[k, i] = 1
            elif slot == top and t <= top + tolerance:
                slots[k, i] = top - 1


@njit(error_model="numpy", nogil=True)
def _scatter(slots, start, stop, counts):  # type: ignore[no-untyped-def]
    """Count the slots (9, BLOCK) of rows start … stop - 1 in counts (9, bins + 2); unsigned: no wrap-around."""
    s0, s1, s2, s3, s4, s5, s6, s7, s8 = (
        slots[0, start:stop], slots[1, start:stop], slots[2, start:stop], slots[3, start:stop], slots[4, start:stop],
        slots[5, start:stop], slots[6, start:stop], slots[7, start:stop], slots[8, start:stop],
    )  # fmt: skip
    h0, h1, h2, h3, h4 = counts[0], counts[1], counts[2], counts[3], counts[4]
    h5, h6, h7, h8 = counts[5], counts[6], counts[7], counts[8]
    for i in range(stop - start):
        h0[s0[i]] += _ONE
        h1[s1[i]] += _ONE
        h2[s2[i]] += _ONE
        h3[s3[i]] += _ONE
        h4[s4[i]] += _ONE
        h5[s5[i]] += _ONE
        h6[s6[i]] += _ONE
        h7[s7[i]] += _ONE
        h8[s8[i]] += _ONE


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def _block_checks(x, inverse, direction, values):  # type: ignore[no-untyped-def]
    """direction · scaled filter of every row of a block."""
    x0, x1, x2, x3, x4, x5, x6, x7, x8 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]
    d0, d1, d2, d3, d4 = direction[0], direction[1], direction[2], direction[3], direction[4]
    d5, d6, d7, d8 = direction[5], direction[6], direction[7], direction[8]
    for i in range(BLOCK):
        t = x0[i] * d0 + x1[i] * d1 + x2[i] * d2 + x3[i] * d3 + x4[i] * d4
        t += x5[i] * d5 + x6[i] * d6 + x7[i] * d7 + x8[i] * d8
        values[i] = t * inverse[i]


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def _sum(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total


def extremes(columns, matrix, offset, low, high):  # type: ignore[no-untyped-def]
    """Lowers ``low`` (9, LANES), raises ``high`` to the coefficients; the first row that is not finite, else -1."""
    rows = columns[0].size
    x, inverse = np.empty((9, BLOCK), np.float64), np.empty(BLOCK, np.float64)
    magnitude, values = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.float64)
    largest = magnitude.view(np.float32)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        if not load_block(columns, start, stop, x, magnitude):
            return first_not_finite(start, stop, magnitude)
        if stop - start < BLOCK:
            fill_up(stop - start, x, magnitude)
        reciprocals(largest, inverse)
        _block_extremes(x, inverse, matrix, offset, values, low, high)
    return -1


def histograms(columns, starts, matrix, offset, tolerance, direction, counts, checks):  # type: ignore[no-untyped-def]
    """Adds to ``counts`` (R, 9, bins + 2) and ``checks`` (R,); the first row that is not finite, else -1.

    ``matrix`` and ``offset`` give slots instead of coefficients: 1 at the low edge, bins + 1 at the high one.
    """
    rows = columns[0].size
    top = counts.shape[2] - 1
    x, inverse = np.empty((9, BLOCK), np.float64), np.empty(BLOCK, np.float64)
    magnitude, slots = np.empty(BLOCK, np.int32), np.empty((9, BLOCK), np.int32)
    values = np.empty(BLOCK, np.float64)
    largest, unsigned = magnitude.view(np.float32), slots.view(np.uint32)
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
        _block_checks(x, inverse, direction, values)
        at = start
        while at < stop:
            while starts[run + 1] <= at:
                run += 1
            until = min(stop, starts[run + 1])
            _scatter(unsigned, at - start, until - start, counts[run])
            checks[run] += _sum(values[at - start : until - start])
            at = until
    return -1
