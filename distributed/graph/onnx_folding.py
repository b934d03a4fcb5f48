"""Weights that an ONNX graph makes from stored tensors, before any data comes in: constants are folded.

Exporters leave such steps in the graph: Transpose (TensorFlow's order of axes), Reshape, Slice and Concat (grouped and
split layers), Mul by a constant, and quantisation. The same rules run twice, on shapes alone when a model is opened,
on values when a weight is read: whoever folds says how a stored tensor is loaded.

A float that is quantised and dequantised again (QuantizeLinear, DequantizeLinear: trained aware of quantisation) is
the float: that is what was learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from onnx import TensorProto

from distributed.graph.onnx_flow import OnnxFlow, Operator, StoredTensor
from distributed.graph.onnx_rules import RULES, dequantise
from distributed.values import Values, as_tensor, dtype_of, is_floating

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Unread:
    """What is known of a stored tensor before it is read; ``dtype`` in torch's words."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


Held: TypeAlias = "Values | Unread"

#: Gives a stored tensor, or what is known of it where only the shape matters.
Load: TypeAlias = "Callable[[StoredTensor], Held]"

#: Nodes between a tensor and its use. Exporters write a few; a hostile graph could make the search quadratic.
MAX_HANDS = 64

#: Values that folding may make of one weight: beyond any convolution, below what exhausts a worker.
MAX_VALUES = 2**28

#: What hands a tensor on with its values as they are, up to their type.
_HANDS_ON = frozenset({"Identity", "Cast", "CastLike"})

#: Domains of QuantizeLinear and DequantizeLinear: ONNX Runtime has its own, for more types.
_QUANTISING_DOMAINS = ("", "com.microsoft")

#: Types that Cast may give to integers. To any other it gives floats.
_INTEGERS = {
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
}


class NotConstantError(Exception):
    """A value is no weight of the file. The text says why, to stand behind "2-D convolution"."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A value that stored tensors alone determine.

    Attributes:
        held: as loaded, or computed from what was loaded: then a tensor, on the meta device if that was not read.
        key: equal for values of one folder that are made in the same way from the same tensors.
        principal: the largest of the stored tensors: it gives a weight its name and its stored type.
        leaves: value numbers of all stored tensors in it.
        is_stored: the value is a stored tensor itself, nothing is computed.
        is_scaled: the numbers are the weight's; False for integers whose scale has not been applied.
    """

    held: Held
    key: int
    principal: StoredTensor
    leaves: frozenset[int]
    is_stored: bool
    is_scaled: bool


class ConstantFolder:
    """Folds values of one flow, and keeps what it has folded: let go of it with its purpose.

    Args:
        flow: the model.
        load: how stored tensors are had. Small lists of integers (shapes, axes) have to be real.
    """

    def __init__(self, flow: OnnxFlow, load: Load) -> None:
        self._flow, self._load = flow, load
        self._folded: dict[int, Folded] = {}
        self._keys: dict[object, int] = {}

    def fold(self, value: int) -> Folded:
        """The constant behind a value.

        Raises:
            NotConstantError: it depends on data, or on operators that are not folded.
        """
        return self._fold(value, 0)

    def dequantised(self, weight: int, scale: int, zero_point: int, axis: int) -> Folded:
        """(weight - zero point) · scale of three values (-1: none), with the scale along ``axis`` if it has several.

        Raises:
            NotConstantError: see ``fold``.
        """
        return self._dequantised((weight, scale, zero_point), axis, 0, 0)

    def _fold(self, value: int, depth: int) -> Folded:
        known = self._folded.get(value)
        if known is None:
            known = self._folded[value] = self._made(value, depth)
        return known

    def _made(self, value: int, depth: int) -> Folded:
        if value in self._flow.tensors:
            stored = self._flow.tensors[value]
            held = self._load(stored)
            return Folded(held, -1 - value, stored, frozenset({value}), True, is_floating(dtype_of(held)))
        operator = self._producer(value, depth)
        if operator.op_type == "DequantizeLinear" and operator.domain in _QUANTISING_DOMAINS:
            weight, scale, zero_point = (*operator.inputs, -1, -1, -1)[:3]
            axis, block_size = operator.integer("axis", 1), operator.integer("block_size", 0)
            return self._dequantised((weight, scale, zero_point), axis, block_size, depth)
        if operator.op_type in _HANDS_ON and operator.domain == "" and operator.inputs:
            return self._handed_on(operator, depth)
        rule = RULES.get(operator.op_type) if operator.domain == "" else None
        if rule is None:
            raise NotConstantError(f"whose weight is computed in the graph ({operator.op_type or 'a body input'})")
        inputs = [self._fold(each, depth + 1) if each >= 0 else None for each in operator.inputs]
        output = operator.outputs.index(value)
        given = tuple(sorted((key, each.SerializeToString()) for key, each in operator.attributes.items()))
        return self._computed(operator.op_type, (given, output), inputs, lambda ts: rule(operator, ts, output))

    def _producer(self, value: int, depth: int) -> Operator:
        if depth >= MAX_HANDS:
            raise NotConstantError(f"whose weight passes through more than {MAX_HANDS} nodes")
        if value in self._flow.sparse:
            raise NotConstantError("with a sparse weight")
        if value not in self._flow.producers:
            raise NotConstantError("whose weight is an input of the model" if value >= 0 else "without a weight")
        return self._flow.operators[self._flow.producers[value]]

    def _handed_on(self, operator: Operator, depth: int) -> Folded:
        source = self._fold(operator.inputs[0], depth + 1)
        target = operator.integer("to", TensorProto.FLOAT)
        is_float = is_floating(dtype_of(source.held))
        if operator.op_type == "Identity" or (is_float and target not in _INTEGERS):
            return source  # a float as stored: what a Cast would add or take away was not learned
        if is_float:
            raise NotConstantError("whose weight is rounded to integers (Cast)")
        dtype = _INTEGERS.get(target, "float32")
        return self._computed("Cast", dtype, [source], lambda tensors: _cast(tensors[0], dtype))

    def _dequantised(self, values: tuple[int, int, int], axis: int, block_size: int, depth: int) -> Folded:
        learned = self._before_quantising(values[0], depth)
        if learned is not None:
            return learned
        inputs = [self._fold(each, depth + 1) if each >= 0 else None for each in values]

        def compute(tensors: Sequence[Tensor | None]) -> Tensor:
            weight, scale, zero_point = tensors
            if weight is None or scale is None:
                raise ValueError("it has no scale")
            return dequantise(weight, scale, zero_point, axis, block_size)

        scale = inputs[1]
        one = scale is not None and math.prod(scale.held.shape) == 1
        given = None if one else (axis, block_size)
        folded = self._computed("DequantizeLinear", given, inputs, compute)
        return replace(folded, is_scaled=True)

    def _before_quantising(self, value: int, depth: int) -> Folded | None:
        """The float that a QuantizeLinear above a value rounds; None where there is none."""
        for step in range(depth, MAX_HANDS):
            if value in self._flow.tensors or value not in self._flow.producers:
                return None
            operator = self._flow.operators[self._flow.producers[value]]
            if operator.op_type == "QuantizeLinear" and operator.domain in _QUANTISING_DOMAINS and operator.inputs:
                return self._fold(operator.inputs[0], step + 1)
            # Clip keeps the integers within a narrower range (4 bits), Cast gives them another type.
            if operator.op_type not in (*_HANDS_ON, "Clip") or operator.domain != "" or not operator.inputs:
                return None
            value = operator.inputs[0]
        return None

    def _computed(
        self,
        op_type: str,
        given: object,
        inputs: Sequence[Folded | None],
        compute: Callable[[Sequence[Tensor | None]], Tensor],
    ) -> Folded:
        present = [each for each in inputs if each is not None]
        try:
            tensor = compute([tensor_of(each.held) if each else None for each in inputs])
        except (ValueError, IndexError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise NotConstantError(f"whose weight cannot be computed ({op_type}: {reason})") from error
        if tensor.numel() > MAX_VALUES:
            raise NotConstantError(f"whose weight is blown up to {tensor.numel()} values ({op_type})")
        made = (op_type, given, tuple(each.key if each else None for each in inputs))
        principal = max(present, key=lambda each: math.prod(each.principal.proto.dims))
        # A product has the scale of one factor; all else is as good as the tensor that it is made from.
        is_scaled = any(each.is_scaled for each in present) if op_type in ("Mul", "Div") else principal.is_scaled
        return Folded(
            tensor,
            self._keys.setdefault(made, len(self._keys)),
            principal.principal,
            frozenset().union(*(each.leaves for each in present)),
            False,
            is_scaled,
        )


def tensor_of(held: Held) -> Tensor:
    """The same for torch to compute with; on the meta device if it was not read."""
    if not isinstance(held, Unread):
        return as_tensor(held)
    import torch

    return torch.empty(held.shape, dtype=getattr(torch, held.dtype), device="meta")


def permuted(held: Held, axes: tuple[int, ...]) -> Held:
    """With its axes in another order."""
    if isinstance(held, Unread):
        return Unread(tuple(held.shape[axis] for axis in axes), held.dtype)
    return held.transpose(axes) if isinstance(held, np.ndarray) else held.permute(axes)


def _cast(tensor: Tensor | None, dtype: str) -> Tensor:
    import torch

    if tensor is None:
        raise ValueError("it has no input")
    return tensor.to(getattr(torch, dtype))
