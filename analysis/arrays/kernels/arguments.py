"""What every backend checks of its arguments."""

from __future__ import annotations

import numpy as np

from analysis.arrays.kernels import SIZE, Columns
from analysis.arrays.types import Float32, Float64, Int64


def checked_columns(columns: Columns) -> list[Float32]:
    """The nine columns, contiguous.

    Raises:
        ValueError: another number, another type, or different lengths.
    """
    if len(columns) != SIZE:
        raise ValueError(f"nine columns are needed, not {len(columns)}")
    for k, column in enumerate(columns):
        if column.dtype != np.float32 or column.shape != (columns[0].size,):
            raise ValueError(f"column {k} is {column.dtype}{column.shape}, not float32({columns[0].size},)")
    return [np.ascontiguousarray(column) for column in columns]


def checked_starts(starts: Int64, rows: int) -> Int64:
    """Bounds of runs, (R + 1,).

    Raises:
        ValueError: they do not rise from 0 to ``rows``.
    """
    runs = np.ascontiguousarray(starts, np.int64)
    if runs.ndim != 1 or runs.size < 1 or runs[0] != 0 or runs[-1] != rows or np.any(runs[1:] < runs[:-1]):
        raise ValueError(f"starts must rise from 0 to the number of rows, {rows}")
    return runs


def checked_matrix(matrix: Float64) -> Float64:
    """(9, 9)."""
    if matrix.shape != (SIZE, SIZE):
        raise ValueError(f"the matrix is {matrix.shape}, not (9, 9)")
    return np.ascontiguousarray(matrix, np.float64)


def checked_vector(offset: Float64) -> Float64:
    """(9,)."""
    if offset.shape != (SIZE,):
        raise ValueError(f"the offset is {offset.shape}, not (9,)")
    return np.ascontiguousarray(offset, np.float64)
