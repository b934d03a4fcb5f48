"""The functions by which torch rebuilds its tensors, read for what they would make. None of them is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import torch

from distributed.formats.pickle_values import Global, StandIn, mappings_of, shown
from distributed.formats.pickled_tensor import PickledTensor, Quantizer, are_naturals, view_of

_DTYPES: dict[str, torch.dtype] = {f"torch.{n}": v for n, v in vars(torch).items() if isinstance(v, torch.dtype)}

#: What a part of the pickle means (``Meanings.value``).
Value: TypeAlias = Callable[[Any], Any]


def _first(node: StandIn, value: Value) -> Any:
    """What is made of one tensor and remarks on it."""
    inner = node.arguments or (node.state if isinstance(node.state, tuple) else ())
    return value(inner[0]) if inner else None


def _tensor(node: StandIn, value: Value) -> PickledTensor:
    """(storage, offset, size, stride, requires_grad, hooks[, dtype][, metadata])."""
    view, offset, size, stride, *more = node.arguments
    dtype = _dtype(more.pop(2)) if node.name.endswith("_v3") else None
    tensor = view_of(value(view), offset, value(size), value(stride), dtype)
    if len(more) > 2 and value(more[2]):
        return replace(tensor, storage=None, obstacle="a lazily conjugated or negated tensor")
    return tensor


def _quantised(node: StandIn, value: Value) -> PickledTensor:
    """(storage, offset, size, stride, (scheme, scale, zero point[, axis]), …)."""
    view, offset, size, stride, parameters = node.arguments[:5]
    tensor = view_of(value(view), offset, value(size), value(stride))
    _, scale, zero_point, *axis = value(parameters)
    quantizer = Quantizer(scale, zero_point, axis[0] if axis else None)
    if quantizer.fits(tensor.shape):
        return replace(tensor, quantizer=quantizer)
    return replace(tensor, storage=None, obstacle="a tensor quantised in a way that is not known")


def _of_type(node: StandIn, value: Value) -> Any:
    """(function, subclass, arguments, state) of a tensor subclass."""
    function, kind, arguments, state = node.arguments[:4]
    if not isinstance(arguments, tuple):
        raise ValueError(f"a tensor made of {shown(arguments)}")
    made = value(StandIn(shown(function), arguments, state))
    local = next((value(part["_local_tensor"]) for part in mappings_of(state) if "_local_tensor" in part), None)
    if not isinstance(made, PickledTensor) or made.storage is not None or not isinstance(local, PickledTensor):
        return made
    # A DTensor on one rank, or replicated: what is here is the whole.
    name = shown(kind).rpartition(".")[2]
    shard = f"the shard {list(local.shape)} of a {name} {list(made.shape)}: save its full_tensor() instead"
    return local if local.shape == made.shape else replace(made, obstacle=shard)


def _wrapped(node: StandIn, value: Value) -> PickledTensor:
    """(class, dtype, size, …) of a subclass that keeps its data in ways of its own."""
    kind, dtype, size = node.arguments[:3]
    return _hidden(f"a tensor of class {shown(kind)}", value(size), _dtype(dtype))


def _on_meta(node: StandIn, value: Value) -> PickledTensor:
    """(dtype, size, stride, requires_grad)."""
    return _hidden("a meta tensor", value(node.arguments[1]), _dtype(node.arguments[0]))


def _sparse(node: StandIn, value: Value) -> PickledTensor:
    """(layout, data)."""
    layout = node.arguments[0]
    name = layout.arguments[0] if isinstance(layout, StandIn) and layout.arguments else "sparse"
    return _hidden(f"a {shown(name).removeprefix('torch.')} tensor", (), torch.float32)


def _nested(node: StandIn, value: Value) -> PickledTensor:
    """(buffer, sizes, strides, offsets)."""
    return _hidden("a nested tensor", (), torch.float32)


def _hidden(obstacle: str, size: Any, dtype: torch.dtype) -> PickledTensor:
    return PickledTensor(tuple(size) if are_naturals(size) else (), dtype, obstacle=obstacle)


def _dtype(name: Any) -> torch.dtype:
    dtype = _DTYPES.get(name.full_name) if isinstance(name, Global) else None
    if dtype is None:
        raise ValueError(f"a tensor of type {shown(name)}")
    return dtype


#: Name of the function → the tensor that it would make.
TENSORS: dict[str, Callable[[StandIn, Value], Any]] = {
    **{f"torch._utils._rebuild_tensor{version}": _tensor for version in ("", "_v2", "_v3")},
    **{f"torch._utils._rebuild_parameter{more}": _first for more in ("", "_with_state")},
    **{f"torch._utils._rebuild_{kind}_tensor": _first for kind in ("xla", "hpu", "mlc", "ort", "maia")},
    **{f"torch._utils._rebuild_device_tensor_from_{origin}": _first for origin in ("cpu_tensor", "numpy")},
    **{f"torch.jit._pickle.{name}": _first for name in ("restore_type_tag", "build_tensorlist")},
    **{f"torch.nn.parameter.{name}": _first for name in ("Parameter", "Buffer")},
    "torch.autograd.variable.Variable": _first,
    **{f"torch._tensor._rebuild_from_type{version}": _of_type for version in ("", "_v2")},
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_wrapper_subclass": _wrapped,
    "torch._utils._rebuild_meta_tensor_no_storage": _on_meta,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_nested_tensor": _nested,
}
