"""Plain loops that never change, to compare the cost of the kernels with on whatever machine this is.

They do the work that no implementation can leave out, in the simplest form that compilers turn into vector code:
convert nine columns, scale, project; and the same with one increment per coefficient.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_BLOCK = 256


@njit(error_model="numpy", nogil=True, fastmath=True)
def _coefficients(columns, start, x, largest, matrix, out):  # type: ignore[no-untyped-def]
    largest[:] = 0.0
    for k in range(9):
        row, column = x[k], columns[k][start : start + _BLOCK]
        for i in range(_BLOCK):
            value = np.float64(column[i])
            row[i] = value
            largest[i] = max(largest[i], abs(value))
    for i in range(_BLOCK):
        largest[i] = 1.0 / largest[i]
    x0, x1, x2, x3, x4, x5, x6, x7, x8 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]
    for k in range(9):
        m, row = matrix[k], out[k]
        for i in range(_BLOCK):
            t = x0[i] * m[0] + x1[i] * m[1] + x2[i] * m[2] + x3[i] * m[3] + x4[i] * m[4]
            t += x5[i] * m[5] + x6[i] * m[6] + x7[i] * m[7] + x8[i] * m[8]
            row[i] = t * largest[i]


@njit(error_model="numpy", nogil=True)
def projected(columns, matrix):  # type: ignore[no-untyped-def]
    """Convert, scale and project every row, and keep nothing."""
    x, largest, out = np.empty((9, _BLOCK)), np.empty(_BLOCK), np.empty((9, _BLOCK))
    total = 0.0
    for start in range(0, columns[0].size, _BLOCK):
        _coefficients(columns, start, x, largest, matrix, out)
        total += out[0, 0]
    return total


@njit(error_model="numpy", nogil=True)
def counted(columns, matrix, counts):  # type: ignore[no-untyped-def]
    """The same, and one increment per coefficient, in one of 64 places."""
    x, largest, out = np.empty((9, _BLOCK)), np.empty(_BLOCK), np.empty((9, _BLOCK))
    for start in range(0, columns[0].size, _BLOCK):
        _coefficients(columns, start, x, largest, matrix, out)
        for k in range(9):
            row, count = out[k], counts[k]
            for i in range(_BLOCK):
                count[np.uint32(np.int32(row[i] * 8.0) & 63)] += np.uint32(1)
