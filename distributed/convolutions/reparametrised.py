"""Weights that a module computes from several parameters, by torch's own operations, as the module does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distributed.convolutions.plan import Convolution, WeightForm
from distributed.convolutions.scales import over_singular_value, times_scale
from distributed.values import Values, as_tensor


def effective(convolution: Convolution, parts: Sequence[Values]) -> Tensor:
    """The weight as the live module has it in eval mode, in the stored precision.

    Raises:
        ValueError: the parts do not fit together.
        UncertainWeightError: their values contradict each other.
    """
    tensors = [as_tensor(part) for part in parts]
    with torch.no_grad():
        match convolution.form:
            case WeightForm.WEIGHT_NORM:
                return _weight_norm(tensors[0], tensors[1])
            case WeightForm.SPECTRAL_NORM:
                return _spectral_norm(tensors[0], tensors[1], tensors[2], convolution)
            case WeightForm.PRUNED:
                return tensors[1].to(dtype=tensors[0].dtype) * tensors[0]  # as torch.nn.utils.prune computes it
            case WeightForm.ITERATED_SPECTRAL_NORM:
                return over_singular_value(tensors[0], tensors[1], tensors[2], convolution.parts[2])
            case WeightForm.SCALED:
                return times_scale(*tensors)
            case WeightForm.PLAIN | WeightForm.DEQUANTISED:
                return tensors[0]


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
