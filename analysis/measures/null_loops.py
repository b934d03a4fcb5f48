"""The loops of the permutation null, in the subset of Python that numba compiles; see ``dealing`` and ``drift``.

A thousand deals of two thousand pairs are a billion bins. BLAS would sum the histograms, but its threads wait busily
for each other between products this small: measured, ten times the work itself.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64, njit, types

_FLAGS = {"contract", "nsz", "reassoc"}

_READ_1D, _READ_2D = types.Array(float64, 1, "C", readonly=True), types.Array(float64, 2, "C", readonly=True)
_READ_3D = types.Array(float64, 3, "C", readonly=True)
_CHOSEN = types.Array(boolean, 2, "C", readonly=True)
_OUT_1D, _OUT_3D = types.Array(float64, 1, "C"), types.Array(float64, 3, "C")

#: Signatures, so that each loop is compiled once whatever arrays come (writable ones are accepted as read-only).
DEAL_SUMS = int64(_READ_3D, _READ_2D, _CHOSEN, boolean, _OUT_3D, _OUT_3D)
KL_OF_PAIRS = int64(_READ_3D, _READ_3D, _READ_1D, float64, _OUT_1D)


@njit(error_model="numpy", nogil=True)
def _sort(chosen, order):  # type: ignore[no-untyped-def]
    """Indices of the true entries to the front of ``order``, of the others to its end; how many are true."""
    n, end = 0, chosen.size - 1
    for j in range(chosen.size):
        # Written to both places, without a branch that could only be guessed; one is written again.
        order[n] = j
        order[end] = j
        n += chosen[j]
        end -= 1 - chosen[j]
    return n


@njit(error_model="numpy", nogil=True, fastmath=_FLAGS)
def _add(rows, which, sign, total):  # type: ignore[no-untyped-def]
    """Adds ``sign`` times some of the rows; four at a time share loads and stores."""
    k = 0
    while k + 4 <= which.size:
        a, b, c, d = rows[which[k]], rows[which[k + 1]], rows[which[k + 2]], rows[which[k + 3]]
        for i in range(total.size):
            total[i] += sign * ((a[i] + b[i]) + (c[i] + d[i]))
        k += 4
    while k < which.size:
        a = rows[which[k]]
        for i in range(total.size):
            total[i] += sign * a[i]
        k += 1


def deal_sums(rows, base, chosen, are_whole, first, second):  # type: ignore[no-untyped-def]
    """Both sides' sums of every deal; see ``dealing.Deals``. Returns how many deals.

    Args:
        rows: (C, N, B).
        base: (C, B).
        chosen: (D, N) the rows of the first side.
        are_whole: all are whole numbers: what is not on one side is on the other, exactly.
        first, second: (D, C, B) to be filled.
    """
    deals, number = chosen.shape
    orders, sizes = np.empty((deals, number), np.int64), np.empty(deals, np.int64)
    for d in range(deals):
        sizes[d] = _sort(chosen[d], orders[d])
    full, everyone = np.empty(first.shape[2]), np.arange(number)
    for c in range(rows.shape[0]):
        full[:] = base[c]
        if are_whole:
            _add(rows[c], everyone, 1.0, full)
        for d in range(deals):
            n, order = sizes[d], orders[d]
            one, other = first[d, c], second[d, c]
            if are_whole and 2 * n > number:
                one[:] = full
                _add(rows[c], order[n:], -1.0, one)
            else:
                one[:] = base[c]
                _add(rows[c], order[:n], 1.0, one)
            if are_whole:
                for i in range(other.size):
                    other[i] = full[i] + base[c, i] - one[i]
            else:
                other[:] = base[c]
                _add(rows[c], order[n:], 1.0, other)
    return deals


@njit(error_model="numpy", nogil=True, fastmath=_FLAGS)
def _shares(counts, empty, p):  # type: ignore[no-untyped-def]
    """Probabilities of one histogram; whether it has a count at all."""
    total = 0.0
    for i in range(p.size):
        total += counts[i]
    smallest, sum_ = empty * total, 0.0
    for i in range(p.size):
        p[i] = counts[i] if counts[i] > 0.0 else smallest
        sum_ += p[i]
    for i in range(p.size):
        p[i] /= sum_
    return total > 0.0


@njit(error_model="numpy", nogil=True, fastmath=_FLAGS)
def _symmetric_kl(p, q, ratio):  # type: ignore[no-untyped-def]
    for i in range(p.size):
        ratio[i] = p[i] / q[i]
    for i in range(p.size):
        ratio[i] = math.log(ratio[i])
    total = 0.0
    for i in range(p.size):
        total += (p[i] - q[i]) * ratio[i]
    return total


def kl_of_pairs(first, second, weights, empty, drift):  # type: ignore[no-untyped-def]
    """Symmetric KL of pairs of histograms, (D, C, B) counts each, into ``drift`` (D,). Returns how many pairs.

    An empty bin counts as ``empty`` of its histogram's total. NaN where a histogram has no count in some component.
    """
    bins = first.shape[2]
    p, q, ratio = np.empty(bins), np.empty(bins), np.empty(bins)
    for d in range(first.shape[0]):
        drift[d] = 0.0
        for c in range(weights.size):
            if _shares(first[d, c], empty, p) and _shares(second[d, c], empty, q):
                drift[d] += weights[c] * _symmetric_kl(p, q, ratio)
            else:
                drift[d] = np.nan
    return first.shape[0]
