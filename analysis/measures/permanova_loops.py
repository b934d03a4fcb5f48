"""The loop of PERMANOVA, in the subset of Python that numba compiles; see ``permanova``.

What a permutation changes is which observations lie in a level. So instead of an (N, N) projection, the matrix is
summed up by level: one addition for every pair and factor, 2 million a factor for 2 000 observations, where a matrix
product with the design would take hundreds of times as many.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int64, types

_READ_2D = types.Array(float64, 2, "C", readonly=True)
_READ_3D = types.Array(float64, 3, "C", readonly=True)
_WHOLE = types.Array(int64, 2, "C", readonly=True)

#: Signature, so that the loop is compiled once.
PROJECTED_TRACES = int64(_READ_2D, _WHOLE, _WHOLE, _READ_3D, types.Array(float64, 2, "C"))


def projected_traces(matrix, columns, places, inverses, traces):  # type: ignore[no-untyped-def]
    """tr(H A) of each permutation and set of factors, H = Z M Zᵀ with the rows of Z permuted; how many permutations.

    Args:
        matrix: A, (N, N) symmetric with a zero diagonal.
        columns: (K, N) which columns of Z are 1.
        places: (R, N) permutations.
        inverses: (S, L, L) M of each set.
        traces: (R, S) to be filled.
    """
    factors, number = columns.shape
    levels = inverses.shape[1]
    sums, row, own = np.empty((levels, levels)), np.empty(levels), np.empty((factors, number), np.int64)
    for r in range(places.shape[0]):
        for k in range(factors):
            for i in range(number):
                own[k, i] = columns[k, places[r, i]]
        sums[:] = 0.0
        for i in range(number - 1):
            row[:] = 0.0
            for k in range(factors):
                mine = own[k]
                for j in range(i + 1, number):
                    row[mine[j]] += matrix[i, j]
            for k in range(factors):
                into = sums[own[k, i]]
                for level in range(levels):
                    into[level] += row[level]
        for s in range(inverses.shape[0]):
            trace = 0.0
            for a in range(levels):
                for b in range(levels):
                    trace += inverses[s, a, b] * sums[a, b]
            traces[r, s] = 2.0 * trace  # the pairs below the diagonal are the same again
    return places.shape[0]
