"""All weights of one file in torch's order of axes, whatever wrote it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from distributed.convolutions.evidence import is_weight_name
from distributed.convolutions.layout import (
    AxisOrder,
    order_of_file,
    order_of_tensor,
    speaks_against,
    torch_shape,
)
from distributed.convolutions.stored import StoredWeight
from distributed.convolutions.unusual_names import is_unusual_name

#: What a modulated convolution (StyleGAN2, arXiv 1912.04958) has beside its weight: the layer that makes its style.
_MODULATION = re.compile(r"modulation|^affine$|style", re.IGNORECASE)


def in_order(weights: Sequence[StoredWeight], framework: str | None) -> tuple[list[StoredWeight], tuple[str, ...]]:
    """The weights with their order found and their shapes in torch's, and what is to be said about it.

    Args:
        weights: of one file.
        framework: what its header says wrote it.

    Raises:
        AxisOrderError: the order of the 4-D weights cannot be told.
    """
    listed = {w.name for w in weights if len(w.shape) == 4 and (is_weight_name(w.name) or is_unusual_name(w.name))}
    file = order_of_file([weight.shape for weight in weights if weight.name in listed], framework)
    ordered = []
    modulated = _modulated(weights)
    for weight in weights:
        order = AxisOrder.ONE_OIHW if weight.name in modulated else AxisOrder.OIHW
        if weight.name in listed:
            order = order_of_tensor(weight.name, weight.shape, file.order)
            if speaks_against(weight.shape, file.order):
                weight = replace(weight, form=None, problem="its axes are in another order than those of the others")
        if order is not AxisOrder.OIHW:
            weight = replace(weight, order=order, shape=torch_shape(weight.shape, order))
        ordered.append(weight)
    return ordered, file.notes


def _modulated(weights: Sequence[StoredWeight]) -> set[str]:
    """Names of 5-D weights (1, out, in, kh, kw) that are 2-D convolutions.

    The layer that makes its style stands beside it. Without that a 3-D convolution of one output, (1, in, kd, kh, kw),
    looks alike, but others with more outputs are in the file, and its depth is that of a kernel.
    """
    found = [weight for weight in weights if len(weight.shape) == 5 and is_weight_name(weight.name)]
    styled = {_parent(_parent(weight.name)) for weight in weights if _MODULATION.search(_leaf(_parent(weight.name)))}
    only_ones = all(weight.shape[0] == 1 for weight in found)
    return {
        weight.name
        for weight in found
        if weight.shape[0] == 1
        and (_parent(weight.name) in styled or (only_ones and weight.shape[2] > weight.shape[3] == weight.shape[4]))
    }


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
