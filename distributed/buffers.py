"""Bytes of a file as a tensor."""

from __future__ import annotations

import torch


def tensor_of(data: memoryview, dtype: torch.dtype) -> torch.Tensor:
    """``data`` as a flat tensor; it shares the memory where that may be written to and lies on the type's grid."""
    tensor: torch.Tensor | None = None if data.readonly else torch.frombuffer(data, dtype=dtype)
    if tensor is None or tensor.data_ptr() % dtype.itemsize:
        tensor = torch.frombuffer(bytearray(data), dtype=dtype)
    return tensor
