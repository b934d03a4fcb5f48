"""The loops on a GPU, in PyTorch: the same verbs and the same numbers as on the CPU.

Everything is computed in float64, as the definition asks; rows are taken in pieces so that the memory of the device is
bounded. The code names no device: on CPU tensors it gives the same results, which is how it is tested where there is
no GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

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
from analysis.arrays.types import Int64
from distributed.errors import UserError

#: Rows on the device at a time: nine float64 columns of 2^20 rows are 75 MB, and a handful of arrays that size live.
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows start … stop − 1: ``weights`` (9, n) and ``inverse`` (n,) = 1 / max|f|, float64 on the device."""

    start: int
    stop: int
    weights: torch.Tensor
    inverse: torch.Tensor


class TorchKernels:
    """See ``Kernels``; on whatever device PyTorch names."""

    #: Large enough to keep a GPU busy, 36 MB of weights.
    batch_rows = _PIECE

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return self._device.type

    def warm(self) -> None:
        """See ``Kernels.warm``: makes the device's context, which takes a second."""
        torch.zeros(1, device=self._device)

    def extremes(self, columns: Columns, projection: Projection) -> Extremes:
        """See ``Kernels.extremes``."""
        matrix = self._on_device(checked_matrix(projection.matrix))
        offset = self._on_device(checked_vector(projection.offset))
        low, high = np.full(SIZE, np.inf), np.full(SIZE, -np.inf)
        for piece in self._pieces(checked_columns(columns)):
            lowest, highest = torch.aminmax(_projected(piece, matrix, offset), dim=1)
            low, high = np.minimum(low, lowest.cpu().numpy()), np.maximum(high, highest.cpu().numpy())
        return Extremes(low, high)

    def histograms(self, columns: Columns, starts: Int64, projection: Projection, binning: Binning) -> RunCounts:
        """See ``Kernels.histograms``."""
        columns = checked_columns(columns)
        runs = checked_starts(starts, columns[0].size)
        # As on the CPU: projected straight to slots, slot = 1 + (coefficient - low) * bins / (high - low).
        per_unit = binning.bins / (binning.high - binning.low)
        matrix = self._on_device(checked_matrix(projection.matrix * per_unit))
        offset = self._on_device(checked_vector((projection.offset - binning.low) * per_unit + 1.0))
        direction = self._on_device(CHECK_DIRECTION)
        tolerance = 1e-9 + 1e-12 * per_unit
        slots = binning.bins + 2
        counts = np.zeros((runs.size - 1, SIZE, slots), np.uint32)
        checks = np.zeros(runs.size - 1)
        for piece in self._pieces(columns):
            first, bounds = _runs_of(piece, runs)
            here = slice(first, first + bounds.size - 1)
            run = self._run_of_row(bounds)
            found = _slots(_projected(piece, matrix, offset), binning.bins, tolerance)
            row = torch.arange(SIZE, device=self._device)[:, None]
            index = ((run * SIZE + row) * slots + found).view(-1)
            number = (bounds.size - 1) * SIZE * slots
            counted = torch.bincount(index, minlength=number).cpu().numpy()
            counts[here] += counted.reshape(-1, SIZE, slots).astype(np.uint32)
            values = (direction @ piece.weights) * piece.inverse
            sums = torch.zeros(bounds.size - 1, dtype=torch.float64, device=self._device)
            checks[here] += sums.index_add_(0, run, values).cpu().numpy()
        return RunCounts(counts, checks)

    def _pieces(self, columns: Columns) -> Iterator[_Piece]:
        """The rows, on the device.

        Raises:
            NonFiniteFilterError: the first such row.
        """
        rows = columns[0].size
        on_gpu = self._device.type == "cuda"
        staging = torch.empty((SIZE, min(rows, _PIECE)), dtype=torch.float32, pin_memory=on_gpu)
        for start in range(0, rows, _PIECE):
            stop = min(start + _PIECE, rows)
            host = staging[:, : stop - start]
            for k, column in enumerate(columns):
                host.numpy()[k] = column[start:stop]
            # In two steps: converted on the device, so that half the bytes travel.
            weights = host.to(self._device).to(torch.float64)
            magnitude = weights.abs().amax(dim=0)
            wrong = ~torch.isfinite(magnitude)
            if bool(wrong.any()):
                raise NonFiniteFilterError(start + int(wrong.nonzero()[0, 0]))
            inverse = torch.where(magnitude > 0, magnitude.reciprocal(), 0.0)
            yield _Piece(start, stop, weights, inverse)

    def _run_of_row(self, bounds: Int64) -> torch.Tensor:
        lengths = self._on_device(np.diff(bounds))
        return torch.repeat_interleave(torch.arange(lengths.numel(), device=self._device), lengths)

    def _on_device(self, values: npt.NDArray[np.generic]) -> torch.Tensor:
        return torch.tensor(values, device=self._device)


class CudaKernels(TorchKernels):
    """See ``Kernels``: on the GPU that this process may use.

    Raises:
        UserError: PyTorch finds none.
    """

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise UserError("device=cuda: PyTorch finds no CUDA device here; use device=auto or device=cpu")
        super().__init__(torch.device("cuda"))


def _projected(piece: _Piece, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """(9, n) coefficients."""
    return (matrix @ piece.weights).mul_(piece.inverse).add_(offset[:, None])


def _slots(position: torch.Tensor, bins: int, tolerance: float) -> torch.Tensor:
    """0 below, 1 … bins inside, bins + 1 above; what is outside by no more than rounding lies on the edge."""
    top = bins + 1
    slot = position.clamp(0.0, float(top)).to(torch.int64)
    slot[(slot == 0) & (position >= 1.0 - tolerance)] = 1
    slot[(slot == top) & (position <= top + tolerance)] = bins
    return slot


def _runs_of(piece: _Piece, runs: Int64) -> tuple[int, Int64]:
    """The first run that reaches into a piece, and the bounds of those that do, counted from the piece's start."""
    first = int(np.searchsorted(runs, piece.start, "right")) - 1
    last = int(np.searchsorted(runs, piece.stop, "left"))
    bounds: Int64 = np.clip(runs[first : last + 1], piece.start, piece.stop) - piece.start
    return first, bounds


__all__ = ["CudaKernels", "TorchKernels"]
