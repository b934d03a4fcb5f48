"""The two inner loops over filters, behind one small interface: range, histograms.

All take nine flat float32 columns (the columns ``w0`` … ``w8`` of the store, see ``distributed.records``) and work in
float64: a filter is scaled by its largest magnitude, f / max|f| (an all-zero filter stays zero and counts), and
projected, ``coefficients = matrix @ scaled + offset``. A backend is anything with these verbs; ``kernels_for`` chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analysis.arrays.types import Float32, Float64, Int64, UInt32
from distributed.cluster import connected_ray

#: Nine arrays of equal length (n,), float32, contiguous.
Columns = Sequence[Float32]

#: Weights of a 3x3 filter, and components of their PCA.
SIZE = 9


#: What ``kernels_for`` understands; ``auto`` is the GPU that Ray gave this task, if it gave one, else the CPU.
DEVICES = ("auto", "cpu", "cuda")

#: A fixed direction of no meaning, all entries different: the sum of its products with the scaled filters changes when
#: any weight does, or two columns are exchanged. The histograms give it per run, to be compared with the moments.
CHECK_DIRECTION: Float64 = np.array([0.913, -1.271, 0.618, 1.414, -0.732, 1.099, -0.577, 0.841, -1.359])
CHECK_DIRECTION.setflags(write=False)


class NonFiniteFilterError(ValueError):
    """A filter holds NaN or infinity. ``row`` is its index within the columns that were given."""

    def __init__(self, row: int) -> None:
        super().__init__(f"filter {row} holds NaN or infinity")
        self.row = row

    def __reduce__(self) -> tuple[type[NonFiniteFilterError], tuple[int]]:
        return type(self), (self.row,)


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """From a scaled filter to its coefficients: rows of ``matrix`` (9, 9) are components, ``offset`` is (9,)."""

    matrix: Float64
    offset: Float64


@dataclass(frozen=True, slots=True, eq=False)
class Extremes:
    """Smallest and largest coefficient per component, ``low`` (9,) and ``high`` (9,); ±inf where there is no filter."""

    low: Float64
    high: Float64


@dataclass(frozen=True, slots=True, eq=False)
class RunCounts:
    """Of the coefficients of R runs.

    Attributes:
        counts: (R, 9, bins + 2) uint32. Slot 0 counts coefficients below the range, slots 1 … bins those in the bins,
            the last one those above.
        checks: (R,) float64, Σ ``CHECK_DIRECTION`` · scaled filter: what was read, in one number.
    """

    counts: UInt32
    checks: Float64


@dataclass(frozen=True, slots=True)
class Binning:
    """``bins`` equal bins over [low, high]; the last bin is closed.

    Coefficients outside are counted apart. A coefficient that is outside by no more than rounding (1e-9 of a bin plus
    1e-12) counts as lying on the edge: the range comes from another loop, perhaps on another processor, whose last
    digit may differ.
    """

    low: float
    high: float
    bins: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high and self.bins >= 1):
            raise ValueError(f"no bins over [{self.low}, {self.high}] with {self.bins} bins")


class Kernels(Protocol):
    """The inner loops of one device. One call runs on one thread (one core, or one stream) and holds no Python lock."""

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""

    @property
    def batch_rows(self) -> int:
        """How many rows a call should be given at most to run at full speed."""

    def warm(self) -> None:
        """Compile, or load what this machine compiled before, ahead of the first rows."""

    def extremes(self, columns: Columns, projection: Projection) -> Extremes:
        """Smallest and largest coefficients of all rows.

        Raises:
            NonFiniteFilterError: the first such row.
        """

    def histograms(self, columns: Columns, starts: Int64, projection: Projection, binning: Binning) -> RunCounts:
        """Counts of the coefficients per run and component.

        ``starts`` (R + 1,) rises from 0 to the number of rows; run r is rows ``starts[r]`` … ``starts[r + 1] - 1``. The
        counts are NumPy's except for values within rounding of an edge. At most 2^32 - 1 rows a call.

        Raises:
            NonFiniteFilterError: the first such row.
        """


def kernels_for(device: str = "cpu") -> Kernels:
    """The loops for one of ``DEVICES``.

    Raises:
        ValueError: there are none for it.
        UserError: ``cuda`` where PyTorch finds no CUDA device.
    """
    if device == "cuda" or (device == "auto" and _has_gpu_of_ray()):
        from analysis.arrays.kernels.cuda import CudaKernels

        return CudaKernels()
    if device in ("cpu", "auto"):
        # Imported here: importing numba takes half a second that a run without a scan need not pay.
        from analysis.arrays.kernels.cpu import CpuKernels

        return CpuKernels()
    raise ValueError(f"no kernels for device {device!r}; there are: {', '.join(DEVICES)}")


def _has_gpu_of_ray() -> bool:
    """Whether Ray gave this task a GPU and PyTorch can use it. Without one neither Ray nor torch is imported for it."""
    ray = connected_ray()
    if ray is None:
        return False
    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        return False
    import torch

    return torch.cuda.is_available()


__all__ = [
    "CHECK_DIRECTION",
    "DEVICES",
    "SIZE",
    "Binning",
    "Columns",
    "Extremes",
    "Kernels",
    "NonFiniteFilterError",
    "Projection",
    "RunCounts",
    "kernels_for",
]
