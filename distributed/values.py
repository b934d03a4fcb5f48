"""The values of a stored tensor: a NumPy array, or a tensor of torch where NumPy lacks the type.

torch takes seconds to import, and what reads ONNX and safetensors files of ordinary types can do without. Types are
named in torch's words (``float32``, ``bfloat16``, ``float8_e4m3fn``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Values: TypeAlias = "NDArray[Any] | torch.Tensor"

#: Types that NumPy has by the same name.
_SHARED = frozenset(
    {
        *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "float32", "float64", "complex64"),
    }
)


def is_floating(dtype: str) -> bool:
    """Whether a type, by its name, holds floating-point numbers."""
    return dtype.startswith(("float", "bfloat"))


def item_size(dtype: str) -> int:
    """Bytes of one element; of a 4-bit type, of the two that share one."""
    if dtype in _SHARED:
        return np.dtype(dtype).itemsize
    return 2 if dtype == "bfloat16" else 1


def dtype_of(values: Any) -> str:
    """The name of the elements' type of anything that has a ``dtype``."""
    return str(values.dtype).removeprefix("torch.")


def values_of(data: bytes | bytearray | memoryview, dtype: str, shape: tuple[int, ...]) -> Values:
    """Bytes of a file as values; they share the memory where that may be written to and lies on the type's grid."""
    if dtype not in _SHARED:
        return _tensor_of(data, dtype, shape)
    if not len(data):
        return np.empty(shape, dtype)
    array = np.frombuffer(data, dtype)
    return (array if array.flags.writeable and array.flags.aligned else array.copy()).reshape(shape)


def _tensor_of(data: bytes | bytearray | memoryview, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    from distributed.buffers import tensor_of

    kind: torch.dtype = getattr(torch, dtype)
    return tensor_of(memoryview(data), kind).reshape(shape) if len(data) else torch.empty(shape, dtype=kind)


def as_tensor(values: Values) -> torch.Tensor:
    """The same as a tensor, without a copy."""
    if isinstance(values, np.ndarray):
        import torch

        return torch.from_numpy(values)
    return values.detach()


def as_float32(values: Values) -> NDArray[np.float32]:
    """Rounded to float32, exactly where the type is narrower; a quantised tensor as the numbers it stands for."""
    if isinstance(values, np.ndarray):
        with np.errstate(over="ignore"):  # beyond float32's range lies infinity, which the statistics refuse
            return values.astype(np.float32, copy=False)
    tensor = values.detach()
    array: NDArray[np.float32] = (tensor.dequantize() if tensor.is_quantized else tensor).float().numpy()
    return array
