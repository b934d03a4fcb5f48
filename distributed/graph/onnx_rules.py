"""ONNX operators on constants, as torch computes them: of shapes on the meta device, of values elsewhere.

Operators: https://onnx.ai/onnx/operators/ . A rule takes the node, its inputs (None where one is omitted) and which of
its outputs is asked for. It raises ``ValueError`` for what it cannot do, and torch's own errors for what does not fit.
"""

from __future__ import annotations

import operator as arithmetic
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from distributed.graph.onnx_flow import Operator

if TYPE_CHECKING:  # whoever has a tensor has imported torch
    from torch import Tensor

Inputs: TypeAlias = "Sequence[Tensor | None]"
Rule: TypeAlias = "Callable[[Operator, Inputs, int], Tensor]"


def _first(inputs: Inputs) -> Tensor:
    tensor = inputs[0] if inputs else None
    if tensor is None:
        raise ValueError("it has no input")
    return tensor


def _listed(operator: Operator, inputs: Inputs, attribute: str, position: int) -> list[int] | None:
    """Integers that old operator sets keep in an attribute and newer ones in an input; None where neither is given."""
    found = operator.integers(attribute)
    if found is not None:
        return list(found)
    tensor = inputs[position] if position < len(inputs) else None
    if tensor is None:
        return None
    if tensor.device.type == "meta" or tensor.is_floating_point() or tensor.ndim > 1:
        raise ValueError(f"its {attribute} are not in the file")
    return [int(value) for value in tensor.reshape(-1).tolist()]


def _transpose(operator: Operator, inputs: Inputs, output: int) -> Tensor:
    tensor = _first(inputs)
    return tensor.permute(operator.integers("perm") or tuple(reversed(range(tensor.ndim))))


def _reshape(operator: Operator, inputs: Inputs, output: int) -> Tensor:
    tensor, shape = _first(inputs), _listed(operator, inputs, "shape", 1)
    if shape is None:
        raise ValueError("it has no shape")
    if not operator.integer("allowzero", 0):
        shape = [tensor.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return tensor.reshape(shape)


def _unsqueeze(operator: Operator, inputs: Inputs, output: int) -> Tensor:
    tensor, axes = _first(inputs), _listed(operator, inputs, "axes", 1)
    if not axes or len(set(axes)) < len(axes):
        raise ValueError("its axes are none, or repeat")
    rank = tensor.ndim + len(axes)
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        tensor = tensor.unsqueeze(axis)
    return tensor


def _squeeze(operator: Operator, inputs: Inputs, output: int) -> Tensor:
    tensor, axes = _first(inputs), _listed(operator, inputs, "axes", 1)
    return tensor.squeeze() if axes is None else tensor.squeeze(tuple(axes))


def _concat(operator: Operator, inputs: Inputs, output: int) -> Tensor:
    import torch

    tensors = [tensor for tensor in inputs if tensor is not None]
    if len({tensor.dtype for tensor in tensors}) != 1:
        raise ValueError("its inputs are of several types")
    return torch.cat(_together(tensors), operator.integer("axis", 1))


def _slice(operator: Operator, inputs: Inputs, output: int) -> Tensor:
    tensor = _first(inputs)
    starts, ends = _listed(operator, inputs, "starts", 1), _listed(operator, inputs, "ends", 2)
    axes, steps = _listed(operator, inputs, "axes", 3), _listed(operator, inputs, "steps", 4)
    if starts is None or ends is None:
        raise ValueError("it has no bounds")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # ONNX clamps bounds as Python's slices do, also for negative steps, which torch's do not have.
        taken = range(tensor.shape[axis])[start:end:step]
        length = (taken[-1] - taken[0]) // step * abs(step) + 1 if taken else 0
        strided = tensor.narrow(axis, min(taken, default=0), length).unfold(axis, 1, abs(step)).squeeze(-1)
        tensor = strided if step > 0 else strided.flip(axis)
    return tensor


def _split(operator: Operator, inputs: Inputs, output: int) -> Tensor:
    tensor, axis = _first(inputs), operator.integer("axis", 0)
    sizes = _listed(operator, inputs, "split", 1)
    if sizes is None:
        count = operator.integer("num_outputs", len(operator.outputs))
        if count < 1:
            raise ValueError("it has no outputs")
        each = -(-tensor.shape[axis] // count)
        sizes = [min(each, tensor.shape[axis] - start) for start in range(0, tensor.shape[axis], each)]
    import torch

    return torch.split(tensor, sizes, axis)[output]


def _together(tensors: Sequence[Tensor]) -> list[Tensor]:
    """On one device: a few numbers may be real where all else is known by its shape only."""
    is_shape = any(tensor.device.type == "meta" for tensor in tensors)
    return [tensor.to("meta") if is_shape else tensor for tensor in tensors]


def _arithmetic(compute: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    def rule(operator: Operator, inputs: Inputs, output: int) -> Tensor:
        left, right = inputs
        if left is None or right is None or not (left.is_floating_point() and right.is_floating_point()):
            raise ValueError("it is not of floating-point numbers")
        # In float32 at least: a Cast before it is looked through, and 8-bit floats have no arithmetic.
        wide = [each if each.element_size() == 8 else each.float() for each in (left, right)]
        return compute(*_together(wide))

    return rule


#: Operators of the standard domain that are folded, beside those that hand on or dequantise.
RULES: Mapping[str, Rule] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Mul": _arithmetic(arithmetic.mul),
    "Div": _arithmetic(arithmetic.truediv),
    "Add": _arithmetic(arithmetic.add),
    "Sub": _arithmetic(arithmetic.sub),
}


def dequantise(weight: Tensor, scale: Tensor, zero_point: Tensor | None, axis: int, block_size: int = 0) -> Tensor:
    """(weight - zero point) · scale, computed in float32.

    Args:
        weight: integers or 8-bit floats, any shape.
        scale: one value; or one for each index of ``axis``; or, with ``block_size``, one for each block along it.
        zero_point: of the scale's shape and the weight's type, or None.
        axis: negative counts from the end.
        block_size: 0: no blocks.

    Raises:
        ValueError: the shapes do not fit.
    """
    if not scale.is_floating_point():
        raise ValueError("its scale is no floating-point number")
    stepped = _along(scale.float(), weight, axis, block_size)
    weight = weight.to(stepped.device)
    if weight.is_floating_point():
        return weight.float() * stepped
    steps = weight.int()
    if zero_point is not None:
        steps = steps - _along(zero_point.int(), weight, axis, block_size)
    return steps.float() * stepped


def _along(values: Tensor, weight: Tensor, axis: int, block_size: int) -> Tensor:
    """Scales or zero points in a shape that broadcasts over the weight."""
    values = values.to(weight.device)
    if values.numel() == 1:
        return values.reshape(())
    axis += weight.ndim if axis < 0 else 0
    if not 0 <= axis < weight.ndim:
        raise ValueError(f"its axis {axis} is none of the weight's")
    if 0 < block_size <= weight.shape[axis] and values.ndim == weight.ndim:
        spread = values.repeat_interleave(block_size, axis).narrow(axis, 0, weight.shape[axis])
        if spread.shape == weight.shape:
            return spread
    elif values.numel() == max(values.shape) == weight.shape[axis]:
        return values.reshape([-1 if each == axis else 1 for each in range(weight.ndim)])
    raise ValueError(f"its scale {list(values.shape)} does not fit the weight {list(weight.shape)}")
