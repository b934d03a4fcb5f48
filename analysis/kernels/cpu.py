"""The loops on one core of the CPU: checks and shapes around the compiled functions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.kernels import SIZE, Binning, Columns, Extremes, Int64, NonFiniteFilterError, Projection, RunSums, UInt32
from analysis.kernels.compiled import compiled
from analysis.kernels.loops import LANES

_MAXIMUM_ROWS = 2**32 - 1  # counts of one call are uint32


class CpuKernels:
    """See ``Kernels``. Stateless and safe to use from several threads: the compiled code releases the Python lock."""

    device = "cpu"

    def warm(self) -> None:
        """See ``Kernels.warm``: the two loops of a scan."""
        compiled("extremes")
        compiled("histograms")

    def moments(self, columns: Columns, starts: Int64) -> RunSums:
        """See ``Kernels.moments``."""
        bits = _bits(columns)
        runs = _checked_starts(starts, bits[0].size)
        result = RunSums(np.zeros((runs.size - 1, SIZE)), np.zeros((runs.size - 1, SIZE * (SIZE + 1) // 2)))
        _check_finite(compiled("moments")(bits, runs, result.sum, result.gram))
        return result

    def extremes(self, columns: Columns, projection: Projection) -> Extremes:
        """See ``Kernels.extremes``."""
        low, high = np.full((SIZE, LANES), np.inf), np.full((SIZE, LANES), -np.inf)
        matrix, offset = _matrix(projection.matrix), _vector(projection.offset)
        _check_finite(compiled("extremes")(_bits(columns), matrix, offset, low, high))
        return Extremes(low.min(axis=1), high.max(axis=1))

    def histograms(self, columns: Columns, starts: Int64, projection: Projection, binning: Binning) -> UInt32:
        """See ``Kernels.histograms``."""
        bits = _bits(columns)
        if bits[0].size > _MAXIMUM_ROWS:
            raise ValueError(f"at most {_MAXIMUM_ROWS} rows a call, not {bits[0].size}")
        runs = _checked_starts(starts, bits[0].size)
        # The loop projects straight to slots: slot = 1 + (coefficient - low) * bins / (high - low).
        per_unit = binning.bins / (binning.high - binning.low)
        matrix = _matrix(projection.matrix * per_unit)
        offset = _vector((projection.offset - binning.low) * per_unit + 1.0)
        tolerance = 1e-9 + 1e-12 * per_unit
        counts = np.zeros((runs.size - 1, SIZE, binning.bins + 2), np.uint32)
        _check_finite(compiled("histograms")(bits, runs, matrix, offset, tolerance, counts))
        return counts


def _bits(columns: Columns) -> tuple[npt.NDArray[np.int32], ...]:
    """The same memory as int32: the loops compare magnitudes, NaN included, as integers."""
    if len(columns) != SIZE:
        raise ValueError(f"nine columns are needed, not {len(columns)}")
    for k, column in enumerate(columns):
        if column.dtype != np.float32 or column.shape != (columns[0].size,):
            raise ValueError(f"column {k} is {column.dtype}{column.shape}, not float32({columns[0].size},)")
    return tuple(np.ascontiguousarray(column).view(np.int32) for column in columns)


def _checked_starts(starts: Int64, rows: int) -> Int64:
    runs = np.ascontiguousarray(starts, np.int64)
    if runs.ndim != 1 or runs.size < 1 or runs[0] != 0 or runs[-1] != rows or np.any(runs[1:] < runs[:-1]):
        raise ValueError(f"starts must rise from 0 to the number of rows, {rows}")
    return runs


def _matrix(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if matrix.shape != (SIZE, SIZE):
        raise ValueError(f"the matrix is {matrix.shape}, not (9, 9)")
    return np.ascontiguousarray(matrix, np.float64)


def _vector(offset: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if offset.shape != (SIZE,):
        raise ValueError(f"the offset is {offset.shape}, not (9,)")
    return np.ascontiguousarray(offset, np.float64)


def _check_finite(row: int) -> None:
    if row >= 0:
        raise NonFiniteFilterError(int(row))
