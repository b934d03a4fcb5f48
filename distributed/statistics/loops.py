"""The statistics of a layer's filters as one loop that numba compiles; ``compiled_sums`` calls it, nothing else should.

Filters are taken in blocks of ``BLOCK``: each is turned into nine columns of float64 that stay in the first-level
cache, and everything the statistics need is summed from there. Blocks are merged by Chan's formula (see
``moments.Scatter``), so that a small variance on a large common offset is kept. All values are finite here: the caller
has looked. Flags that reorder sums are given only to loops whose order does not matter.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types

#: Filters per block: two copies of 9 x 256 float64 are 36 KB.
BLOCK = 256

_MAGNITUDE = np.int32(0x7FFFFFFF)  # all bits of a float32 but the sign: ordered like the magnitude
_FINITE_FLAGS = {"contract", "nsz", "reassoc", "nnan", "ninf"}

_BITS = types.Array(int32, 1, "C", readonly=True)
_STATE = types.Array(float64, 1, "C")

#: Signatures, so that each loop is compiled once whatever arrays come (writable ones are accepted as read-only).
LARGEST = int64(_BITS)
LAYER_SUMS = int64(_BITS, float64, _STATE, _STATE, _STATE, _STATE, _STATE, _STATE, types.Array(float32, 2, "C"))

#: Length of the state of a scatter: count, mean (9), lower triangle of the scatter (45).
SCATTER_STATE = 55
#: Length of the state of norms: count, mean, squared deviations.
NORMS_STATE = 3
#: Length of scaled moments: sum (9), lower triangle of the products (45).
SCALED_STATE = 54


def largest(bits):  # type: ignore[no-untyped-def]
    """Bits of the largest magnitude: infinity is 0x7F800000, NaN lies above."""
    worst = np.int32(0)
    for i in range(bits.size):
        worst = max(worst, np.int32(bits[i] & _MAGNITUDE))
    return np.int64(worst)


@njit(error_model="numpy", nogil=True)
def _load(weights, x):  # type: ignore[no-untyped-def]
    """(n * 9,) float32, filter by filter, into the columns x (9, BLOCK) float64."""
    x0, x1, x2, x3, x4, x5, x6, x7, x8 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]
    for i in range(weights.size // 9):
        at = 9 * i
        x0[i] = weights[at]
        x1[i] = weights[at + 1]
        x2[i] = weights[at + 2]
        x3[i] = weights[at + 3]
        x4[i] = weights[at + 4]
        x5[i] = weights[at + 5]
        x6[i] = weights[at + 6]
        x7[i] = weights[at + 7]
        x8[i] = weights[at + 8]


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def _peaks_and_norms(x, n, peaks, norms):  # type: ignore[no-untyped-def]
    peaks[:n] = 0.0
    norms[:n] = 0.0
    for k in range(9):
        xk = x[k, :n]
        for i in range(n):
            peaks[i] = max(peaks[i], abs(xk[i]))
            norms[i] += xk[i] * xk[i]
    for i in range(n):
        norms[i] = np.sqrt(norms[i])


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def _sum(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def _add_products(x, n, out):  # type: ignore[no-untyped-def]
    """Adds the 45 products of the lower triangle, row by row, over the first n filters; three at a time share loads."""
    at = 0
    for a in range(9):
        xa = x[a, :n]
        b = 0
        while b + 2 <= a:
            xb, xc, xd = x[b, :n], x[b + 1, :n], x[b + 2, :n]
            s = t = u = 0.0
            for i in range(n):
                v = xa[i]
                s += v * xb[i]
                t += v * xc[i]
                u += v * xd[i]
            out[at + b] += s
            out[at + b + 1] += t
            out[at + b + 2] += u
            b += 3
        while b <= a:
            xb = x[b, :n]
            s = 0.0
            for i in range(n):
                s += xa[i] * xb[i]
            out[at + b] += s
            b += 1
        at += a + 1


@njit(error_model="numpy", nogil=True)
def _merge_scatter(x, n, y, block, state):  # type: ignore[no-untyped-def]
    """The first n filters of x into a scatter's state; y is scratch like x. Chan, Golub & LeVeque (1983)."""
    block[:] = 0.0
    for k in range(9):
        mean = _sum(x[k, :n]) / n
        block[1 + k] = mean
        xk, yk = x[k, :n], y[k, :n]
        for i in range(n):
            yk[i] = xk[i] - mean
    _add_products(y, n, block[10:])
    before = state[0]
    count = before + n
    at = 10
    for a in range(9):
        delta = block[1 + a] - state[1 + a]
        for b in range(a + 1):
            state[at] += block[at] + delta * (block[1 + b] - state[1 + b]) * (before * (n / count))
            at += 1
    for k in range(9):
        state[1 + k] += (block[1 + k] - state[1 + k]) * (n / count)
    state[0] = count


@njit(error_model="numpy", nogil=True)
def _merge_norms(norms, state):  # type: ignore[no-untyped-def]
    n = norms.size
    mean = _sum(norms) / n
    squares = 0.0
    for i in range(n):
        squares += (norms[i] - mean) * (norms[i] - mean)
    count = state[0] + n
    delta = mean - state[1]
    state[2] += squares + delta * delta * (state[0] * (n / count))
    state[1] += delta * (n / count)
    state[0] = count


@njit(error_model="numpy", nogil=True)
def _places(n, peaks, limit, wanted, places):  # type: ignore[no-untyped-def]
    """Where the filters are whose being sparse is ``wanted``; how many. Without a branch: it could not be foretold."""
    m = 0
    for i in range(n):
        places[m] = i
        m += (peaks[i] < limit) == wanted
    return m


@njit(error_model="numpy", nogil=True)
def _chosen(x, places, m, chosen):  # type: ignore[no-untyped-def]
    """Copies m filters to the front of ``chosen`` (9, BLOCK)."""
    for k in range(9):
        xk, to = x[k], chosen[k]
        for j in range(m):
            to[j] = xk[places[j]]


@njit(error_model="numpy", nogil=True)
def _scale(x, n, peaks, divisors):  # type: ignore[no-untyped-def]
    """Scales the filters in place, one division a weight as in ``scale_filters``; ``divisors`` is scratch."""
    for i in range(n):
        divisors[i] = peaks[i] if peaks[i] > 0.0 else 1.0
    for k in range(9):
        xk = x[k, :n]
        for i in range(n):
            xk[i] /= divisors[i]


@njit(error_model="numpy", nogil=True)
def _add_sums(x, n, scaled):  # type: ignore[no-untyped-def]
    """Adds sums and products of scaled filters."""
    for k in range(9):
        scaled[k] += _sum(x[k, :n])
    _add_products(x, n, scaled[9:])


@njit(error_model="numpy", nogil=True, fastmath=_FINITE_FLAGS)
def _along(x, n, constant, checkerboard):  # type: ignore[no-untyped-def]
    """Three times the products of the filters with ``records.EXTREME_DIRECTIONS``."""
    constant[:n], checkerboard[:n] = 0.0, 0.0
    for k in range(9):
        xk, total = x[k, :n], checkerboard if k % 2 else constant  # odd and even weights
        for i in range(n):
            total[i] += xk[i]
    for i in range(n):
        even, odd = constant[i], checkerboard[i]
        constant[i], checkerboard[i] = even + odd, even - odd


@njit(error_model="numpy", nogil=True)
def _keep_extremes(values, weights, row, farthest, kept):  # type: ignore[no-untyped-def]
    """Rows ``row`` and ``row + 1`` of kept: the filters with the largest and the smallest value so far."""
    smallest, largest = values[0], values[0]
    for i in range(values.size):
        smallest, largest = min(smallest, values[i]), max(largest, values[i])
    if largest > farthest[row]:
        at = np.argmax(values)
        farthest[row] = largest
        kept[row] = weights[9 * at : 9 * at + 9]
    if -smallest > farthest[row + 1]:
        at = np.argmin(values)
        farthest[row + 1] = -smallest
        kept[row + 1] = weights[9 * at : 9 * at + 9]


def layer_sums(  # type: ignore[no-untyped-def]
    bits, limit, clean, sparse, norms, scaled_clean, scaled_sparse, farthest, kept
):
    """Adds filters, (n * 9,) float32 given as their bits, to the five states (see above). Returns the sparse ones.

    A filter is sparse if its largest magnitude is below ``limit``. ``kept`` (4, 9) takes the filters of the column
    ``extreme_filters``, ``farthest`` (4,) how far they lie; begin with -inf.
    """
    weights = bits.view(np.float32)
    x, y, chosen = np.empty((9, BLOCK)), np.empty((9, BLOCK)), np.empty((9, BLOCK))
    peaks, lengths, block = np.empty(BLOCK), np.empty(BLOCK), np.empty(SCATTER_STATE)
    # One longer: a place is written before it is known whether it stays.
    few_places, other_places = np.empty(BLOCK + 1, np.uint64), np.empty(BLOCK + 1, np.uint64)
    found = 0
    for start in range(0, weights.size, 9 * BLOCK):
        part = weights[start : min(start + 9 * BLOCK, weights.size)]
        n = part.size // 9
        _load(part, x)
        _peaks_and_norms(x, n, peaks, lengths)
        _merge_norms(lengths[:n], norms)
        few = 0
        for i in range(n):
            few += peaks[i] < limit
        if few == 0:
            _merge_scatter(x, n, y, block, clean)
            _scale(x, n, peaks, lengths)
            _add_sums(x, n, scaled_clean)
        elif few == n:
            _merge_scatter(x, n, y, block, sparse)
            _scale(x, n, peaks, lengths)
            _add_sums(x, n, scaled_sparse)
        else:
            m = _places(n, peaks, limit, True, few_places)
            _places(n, peaks, limit, False, other_places)
            _chosen(x, few_places, m, chosen)
            _merge_scatter(chosen, m, y, block, sparse)
            _chosen(x, other_places, n - m, chosen)
            _merge_scatter(chosen, n - m, y, block, clean)
            _scale(x, n, peaks, lengths)
            _chosen(x, few_places, m, chosen)
            _add_sums(chosen, m, scaled_sparse)
            _chosen(x, other_places, n - m, chosen)
            _add_sums(chosen, n - m, scaled_clean)
        found += few
        _along(x, n, peaks, lengths)
        _keep_extremes(peaks[:n], part, 0, farthest, kept)
        _keep_extremes(lengths[:n], part, 2, farthest, kept)
    return found
