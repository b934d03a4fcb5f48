"""From a checkpoint's tensors to the weight that the live module would use, as float32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from distributed.convolutions.layout import AxisOrder, in_torch_order
from distributed.convolutions.plan import Convolution, WeightForm
from distributed.values import Values, as_float32


def materialise(convolution: Convolution, tensors: Mapping[str, Values]) -> NDArray[np.float32]:
    """The weight, float32, contiguous, shape (out, in/groups, kh, kw).

    Reparametrised weights are computed with torch's own operations in the stored precision, so that they equal the
    live module's ``.weight`` in eval mode bit for bit; half precisions convert exactly, float64 is rounded.

    Args:
        convolution: from ``find_convolutions``.
        tensors: at least its ``parts``.

    Raises:
        KeyError: a part is missing.
        ValueError: the parts do not fit together.
        UncertainWeightError: the values of the parts contradict each other.
    """
    parts = [tensors[name] for name in convolution.parts]
    if convolution.form in (WeightForm.PLAIN, WeightForm.DEQUANTISED):
        weight = as_float32(parts[0])
    else:
        from distributed.convolutions.reparametrised import effective  # and torch: seconds

        weight = as_float32(effective(convolution, parts))
    weight = in_torch_order(weight, convolution.order)
    if convolution.is_transposed and convolution.order is not AxisOrder.OHWI:
        weight = _rows_are_outputs(weight, convolution.groups or 1)
    if weight.shape != convolution.shape:
        raise ValueError(
            f"{convolution.name}: expected shape {list(convolution.shape)}, found {list(weight.shape)}; the checkpoint "
            "changed since it was planned"
        )
    return np.ascontiguousarray(weight)


def _rows_are_outputs(weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """(in, out/groups, kh, kw) of a transposed convolution → (out, in/groups, kh, kw)."""
    rows, columns, height, width = weight.shape
    grouped = weight.reshape(groups, rows // groups, columns, height, width)
    return grouped.swapaxes(1, 2).reshape(groups * columns, rows // groups, height, width)
