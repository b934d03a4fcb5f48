"""What tests compare with torch, as its tensors: weights as read and as materialised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from distributed import convolutions
from distributed.convolutions import Convolution
from distributed.formats.base import Checkpoint
from distributed.values import as_tensor


def read(checkpoint: Checkpoint, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """``Checkpoint.read``."""
    return ((name, as_tensor(values)) for name, values in checkpoint.read(names))


def materialise(convolution: Convolution, tensors: Mapping[str, Any]) -> torch.Tensor:
    """``distributed.convolutions.materialise``."""
    return as_tensor(convolutions.materialise(convolution, tensors))


def is_fixed(weight: torch.Tensor, dtype: str = "float32", *, is_named: bool = False) -> bool:
    """``distributed.convolutions.is_fixed``."""
    return convolutions.is_fixed(weight.numpy(), dtype, is_named=is_named)
