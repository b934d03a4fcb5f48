"""From a checkpoint's tensors to the weight that the live module would use, as float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from distributed.convolutions.layout import AxisOrder, in_torch_order
from distributed.convolutions.plan import Convolution, WeightForm
from distributed.convolutions.scales import over_singular_value, times_scale


def materialise(convolution: Convolution, tensors: Mapping[str, Tensor]) -> Tensor:
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
    parts = [tensors[name].detach() for name in convolution.parts]
    with torch.no_grad():
        if convolution.form is WeightForm.WEIGHT_NORM:
            weight = _weight_norm(parts[0], parts[1])
        elif convolution.form is WeightForm.SPECTRAL_NORM:
            weight = _spectral_norm(parts[0], parts[1], parts[2], convolution)
        elif convolution.form is WeightForm.PRUNED:
            weight = parts[1].to(dtype=parts[0].dtype) * parts[0]  # as torch.nn.utils.prune computes it
        elif convolution.form is WeightForm.ITERATED_SPECTRAL_NORM:
            weight = over_singular_value(parts[0], parts[1], parts[2], convolution.parts[2])
        elif convolution.form is WeightForm.SCALED:
            weight = times_scale(*parts)
        else:
            weight = parts[0].dequantize() if parts[0].is_quantized else parts[0]
        weight = in_torch_order(weight.to(torch.float32), convolution.order)
        if convolution.is_transposed and convolution.order is not AxisOrder.OHWI:
            weight = _rows_are_outputs(weight, convolution.groups or 1)
    if tuple(weight.shape) != convolution.shape:
        raise ValueError(
            f"{convolution.name}: expected shape {list(convolution.shape)}, found {list(weight.shape)}; the checkpoint "
            "changed since it was planned"
        )
    return weight.contiguous()


def _weight_norm(g: Tensor, v: Tensor) -> Tensor:
    """g · v / ‖v‖, the norm over every dimension but the one that g keeps (arXiv 1602.07868)."""
    kept = [d for d in range(g.ndim) if g.shape[d] != 1]
    # Where g keeps one value only, any dimension of length one is the same; without one the norm is over all (-1).
    alone = [d for d in range(g.ndim) if v.shape[d] == 1]
    dim = (kept or alone or [-1])[0]
    return torch._weight_norm(v, g, dim)


def _spectral_norm(weight: Tensor, u: Tensor, v: Tensor, convolution: Convolution) -> Tensor:
    """W / (uᵀ W v), W as a matrix whose rows are one dimension (arXiv 1802.05957, eval mode: no power iteration)."""
    fitting = {}
    for dim in range(weight.ndim):
        if u.shape == (weight.shape[dim],) and v.numel() * weight.shape[dim] == weight.numel():
            order = [dim, *(d for d in range(weight.ndim) if d != dim)]
            fitting[dim] = weight.permute(*order).reshape(weight.shape[dim], -1)
    if not fitting:
        raise ValueError(
            f"{convolution.name}: spectral norm vectors of length {u.numel()} and {v.numel()} do not fit "
            f"{list(weight.shape)}"
        )
    # Every power iteration ends with u = W v / ‖W v‖. Where two dimensions fit by length, that tells which was meant;
    # a module that never trained has no such trace, and torch's default stands.
    default = 1 if convolution.is_transposed else 0
    chosen = default if default in fitting else next(iter(fitting))
    traces = {dim: _cosine(u, torch.mv(matrix, v)) for dim, matrix in fitting.items()}
    clear = max(traces, key=lambda dim: traces[dim])
    if traces[clear] > 0.9 > traces[chosen]:
        chosen = clear
    sigma = torch.dot(u, torch.mv(fitting[chosen], v))
    return weight / sigma


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def _rows_are_outputs(weight: Tensor, groups: int) -> Tensor:
    """(in, out/groups, kh, kw) of a transposed convolution → (out, in/groups, kh, kw)."""
    rows, columns, height, width = weight.shape
    grouped = weight.reshape(groups, rows // groups, columns, height, width)
    return grouped.transpose(1, 2).reshape(groups * columns, rows // groups, height, width)
