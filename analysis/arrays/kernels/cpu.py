"""The loops on one core of the CPU: checks and shapes around the compiled functions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.arrays.kernels import (
    CHECK_DIRECTION,
    SIZE,
    Binning,
    Columns,
    Extremes,
    NonFiniteFilterError,
    Projection,
    RunCounts,
)
from analysis.arrays.kernels.arguments import checked_columns, checked_matrix, checked_starts, checked_vector
from analysis.arrays.kernels.compiled import compiled
from analysis.arrays.kernels.loops import LANES
from analysis.arrays.types import Int64

_MAXIMUM_ROWS = 2**32 - 1  # counts of one call are uint32


class CpuKernels:
    """See ``Kernels``. Stateless and safe to use from several threads: the compiled code releases the Python lock."""

    device = "cpu"
    #: Nine columns of 65 536 float32 are 2.4 MB and stay in the cache between decoder and kernel.
    batch_rows = 1 << 16

    def warm(self) -> None:
        """See ``Kernels.warm``: the two loops of a scan."""
        compiled("extremes")
        compiled("histograms")

    def extremes(self, columns: Columns, projection: Projection) -> Extremes:
        """See ``Kernels.extremes``."""
        low, high = np.full((SIZE, LANES), np.inf), np.full((SIZE, LANES), -np.inf)
        matrix, offset = checked_matrix(projection.matrix), checked_vector(projection.offset)
        _check_finite(compiled("extremes")(_bits(columns), matrix, offset, low, high))
        return Extremes(low.min(axis=1), high.max(axis=1))

    def histograms(self, columns: Columns, starts: Int64, projection: Projection, binning: Binning) -> RunCounts:
        """See ``Kernels.histograms``."""
        bits = _bits(columns)
        if bits[0].size > _MAXIMUM_ROWS:
            raise ValueError(f"at most {_MAXIMUM_ROWS} rows a call, not {bits[0].size}")
        runs = checked_starts(starts, bits[0].size)
        # The loop projects straight to slots: slot = 1 + (coefficient - low) * bins / (high - low).
        per_unit = binning.bins / (binning.high - binning.low)
        matrix = checked_matrix(projection.matrix * per_unit)
        offset = checked_vector((projection.offset - binning.low) * per_unit + 1.0)
        tolerance = 1e-9 + 1e-12 * per_unit
        counts = np.zeros((runs.size - 1, SIZE, binning.bins + 2), np.uint32)
        checks = np.zeros(runs.size - 1)
        _check_finite(compiled("histograms")(bits, runs, matrix, offset, tolerance, CHECK_DIRECTION, counts, checks))
        return RunCounts(counts, checks)


def _bits(columns: Columns) -> tuple[npt.NDArray[np.int32], ...]:
    """The same memory as int32: the loops compare magnitudes, NaN included, as integers."""
    return tuple(column.view(np.int32) for column in checked_columns(columns))


def _check_finite(row: int) -> None:
    if row >= 0:
        raise NonFiniteFilterError(int(row))
