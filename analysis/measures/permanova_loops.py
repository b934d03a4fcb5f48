"""The loop of PERMANOVA, in the subset of Python that numba compiles; see ``permanova``.

What a permutation changes is which observations lie in a level. So instead of an (N, N) projection, the matrix is
summed up by level: one addition for every pair and factor, 2 million a factor for 2 000 observations, where a matrix
product with the design would take hundreds of times as many. ``packed`` holds ``WIDTH`` rows side by side, so that as
many additions are one instruction or two.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int64, types

from analysis.arrays.types import Float64

#: Rows that are summed at once.
WIDTH = 8

_READ_3D = types.Array(float64, 3, "C", readonly=True)
_WHOLE = types.Array(int64, 2, "C", readonly=True)

#: Signature, so that the loop is compiled once.
PROJECTED_TRACES = int64(_READ_3D, _WHOLE, _WHOLE, _READ_3D, types.Array(float64, 2, "C"))


def packed(matrix: Float64) -> Float64:
    """(B, N, WIDTH) of (N, N): ``[b, j, u]`` is row ``WIDTH`` b + u, column j above the diagonal, else 0."""
    number = len(matrix)
    blocks = -(-number // WIDTH)
    rows = np.zeros((blocks * WIDTH, number))
    rows[:number] = np.triu(matrix, 1)
    return np.ascontiguousarray(rows.reshape(blocks, WIDTH, number).transpose(0, 2, 1))


def projected_traces(rows, columns, places, inverses, traces):  # type: ignore[no-untyped-def]
    """tr(H A) of each permutation and set of factors, H = Z M Zᵀ with the rows of Z permuted; how many permutations.

    Args:
        rows: A, (N, N) symmetric with a zero diagonal, ``packed``.
        columns: (K, N) which columns of Z are 1.
        places: (R, N) permutations.
        inverses: (S, L, L) M of each set.
        traces: (R, S) to be filled.
    """
    factors, number = columns.shape
    levels = inverses.shape[1]
    sums, some = np.empty((levels, levels)), np.empty((levels, WIDTH))
    own = np.empty((number, factors), np.uint32)  # unsigned: no index counts from the end
    for r in range(places.shape[0]):
        for k in range(factors):
            for i in range(number):
                own[i, k] = columns[k, places[r, i]]
        sums[:] = 0.0
        for block in range(rows.shape[0]):
            first = block * WIDTH
            some[:] = 0.0
            for j in range(first + 1, number):
                value = rows[block, j]
                for k in range(factors):
                    into = some[own[j, k]]
                    for u in range(WIDTH):
                        into[u] += value[u]
            for u in range(min(WIDTH, number - first)):
                for k in range(factors):
                    into = sums[own[first + u, k]]
                    for level in range(levels):
                        into[level] += some[level, u]
        for s in range(inverses.shape[0]):
            trace = 0.0
            for a in range(levels):
                for b in range(levels):
                    trace += inverses[s, a, b] * sums[a, b]
            traces[r, s] = 2.0 * trace  # the pairs below the diagonal are the same again
    return places.shape[0]
