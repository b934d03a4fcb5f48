"""Everything the ``layers`` table says of a layer's weights, in two passes over rows of bounded size.

An array goes through compiled loops. A tensor is worked on where it lies: on a GPU by torch's operations, on a CPU by
the compiled loops if it is large, and by torch's if it is small (``tensors``). The ways agree to about 1e-12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distributed.statistics.passes import LayerStatistics, assembled, compiled_passes
from distributed.statistics.quality import orthogonality
from distributed.values import dtype_of

if TYPE_CHECKING:
    import torch


def layer_statistics(weight: NDArray[np.float32] | torch.Tensor, name: str = "weight") -> LayerStatistics:
    """Statistics of an (out_channels, in_channels per group, 3, 3) float32 weight, computed on the device it is on.

    Reductions run in float64. Extra memory does not grow with the number of filters.

    Args:
        weight: raw weights.
        name: parameter name, for the error.

    Raises:
        UnextractableError: NON_FINITE, saying how many weights are NaN or infinite and where the first is.
        ValueError: another shape or dtype, or no filter at all.
    """
    if len(weight.shape) != 4 or weight.shape[2:] != (3, 3) or 0 in weight.shape:
        raise ValueError(f"{name}: expected a shape (out, in, 3, 3) without zeros, found {tuple(weight.shape)}")
    if dtype_of(weight) != "float32":
        raise ValueError(f"{name}: expected float32, found {weight.dtype}")
    if not isinstance(weight, np.ndarray):
        from distributed.statistics.tensors import tensor_statistics  # and torch

        return tensor_statistics(weight, name)
    sums, max_abs, fingerprint = compiled_passes(weight, name)
    return assembled(sums, max_abs, fingerprint, orthogonality(weight))
