"""A tensor of a pickle, known before its data is read, and read without what the pickle says being believed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch

from distributed.buffers import tensor_of
from distributed.formats.pickle_values import Content, Storage, StorageView, is_natural, shown

#: Bytes ``start`` to ``stop`` of a storage.
StoragePart: TypeAlias = tuple[Storage, int, int]

#: The bytes of some parts, or why there are none.
Read: TypeAlias = Mapping[StoragePart, "memoryview | ValueError"]


@dataclass(frozen=True, slots=True)
class Quantizer:
    """How the integers of a quantised tensor stand for numbers; scale and zero point are one value or one a channel."""

    scale: PickledTensor | float
    zero_point: PickledTensor | int
    axis: int | None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it is one for tensors of this shape: torch itself does not check, and reads beyond the end."""
        if self.axis is None:
            small = isinstance(self.zero_point, int) and abs(self.zero_point) < 2**31
            return small and isinstance(self.scale, float)
        if not is_natural(self.axis) or self.axis >= len(shape):
            return False
        channels = [part for part in (self.scale, self.zero_point) if isinstance(part, PickledTensor)]
        return len(channels) == 2 and all(p.storage is not None and p.shape == (shape[self.axis],) for p in channels)


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """Where a tensor's elements lie.

    Attributes:
        shape: of the tensor; () where an ``obstacle`` hides it.
        dtype: of an element.
        storage: its memory; None with an ``obstacle``.
        offset: bytes from the storage's beginning.
        stride: elements from one index to the next, for each dimension.
        quantizer: of a quantised tensor.
        obstacle: why it cannot be read, as in "left out 'x': a …"; None where it can.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    storage: Storage | None = None
    offset: int = 0
    stride: tuple[int, ...] = ()
    quantizer: Quantizer | None = None
    obstacle: str | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, repeated ones included."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def memory(self) -> tuple[object, ...]:
        """Equal for two tensors that are the same memory in the same order."""
        return id(self.storage), self.offset, self.dtype, self.shape, self.stride

    @property
    def part(self) -> StoragePart | None:
        """Where its own elements are; None where it has none, or an obstacle."""
        if self.storage is None or 0 in self.shape:
            return None
        return self.storage, self.offset, self.offset + _extent(self.shape, self.stride) * self.dtype.itemsize

    @property
    def parts(self) -> list[StoragePart]:
        """All that it is made of: its own elements, and the scales of a quantised one."""
        quantizer = self.quantizer and (self.quantizer.scale, self.quantizer.zero_point)
        tensors = [self, *(each for each in quantizer or () if isinstance(each, PickledTensor))]
        return [part for tensor in tensors if (part := tensor.part) is not None]

    def made_of(self, read: Read) -> torch.Tensor:
        """The tensor, on the CPU, as a view of memory that holds its ``parts``.

        Raises:
            ValueError: the storage is shorter than it should be, the tensor has an obstacle, or torch cannot hold it.
        """
        try:
            return self._made_of(read)
        except (RuntimeError, TypeError) as error:
            raise ValueError(str(error).splitlines()[0]) from None

    def _made_of(self, read: Read) -> torch.Tensor:
        if self.storage is None or self.storage.content is None:
            raise ValueError(self.obstacle or "its storage is not in the file")
        dtype = _INTEGERS.get(self.dtype, self.dtype)
        part = self.part
        if part is None:
            return torch.empty(self.shape, dtype=dtype)
        data, length = read[part], part[2] - part[1]
        if isinstance(data, ValueError):
            raise data
        if len(data) < length:
            raise ValueError(f"its storage has {part[1] + len(data)} bytes, expected at least {part[2]}")
        flat = tensor_of(data, dtype)
        if self.storage.swapped:
            flat = flat.view(torch.uint8).reshape(-1, dtype.itemsize).flip(1).reshape(-1).view(dtype)
        tensor = flat.as_strided(self.shape, self.stride)
        return tensor if self.quantizer is None else _quantised(tensor, self.quantizer, read)


def held_bytes(parts: Iterable[StoragePart]) -> int:
    """Bytes in memory while these are read."""
    return sum(s.content.held(s.key, start, stop) for s, start, stop in parts if s.content is not None)


def read_together(parts: Iterable[StoragePart]) -> Read:
    """The bytes of parts of storages, fetched in one call from each place.

    Raises:
        UnextractableError: they are damaged.
        RetryableError: reading failed.
    """
    places: dict[Content, list[StoragePart]] = {}
    for part in dict.fromkeys(parts):
        if part[0].content is not None:
            places.setdefault(part[0].content, []).append(part)
    found: dict[StoragePart, memoryview | ValueError] = {}
    for content, wanted in places.items():
        try:
            data = content.read([(storage.key, start, stop) for storage, start, stop in wanted])
        except ValueError as error:
            found |= dict.fromkeys(wanted, error)
        else:
            found |= zip(wanted, data, strict=True)
    return found


_MOST_DIMENSIONS = 64

#: What the elements of quantised types are stored as.
_INTEGERS = {torch.qint8: torch.int8, torch.quint8: torch.uint8, torch.qint32: torch.int32}

#: Several integers a byte: torch makes no plain tensor of these (it crashes when asked to).
_PACKED = frozenset({torch.quint4x2, torch.quint2x4})


def view_of(view: object, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None = None) -> PickledTensor:
    """The tensor that torch would make of a storage; ``dtype`` None takes the storage's.

    Raises:
        ValueError: the arguments are none, or the tensor is larger than its storage.
    """
    if not isinstance(view, StorageView):
        raise ValueError(f"a tensor of {shown(view)}, expected a storage")
    if not are_naturals(size) or not are_naturals(stride) or len(size) != len(stride) or not is_natural(offset):
        raise ValueError(f"a tensor with size {shown(size)}, stride {shown(stride)} and offset {shown(offset)}")
    dtype = view.dtype if dtype is None else dtype
    first = view.first * view.dtype.itemsize + offset * dtype.itemsize
    tensor = PickledTensor(tuple(size), dtype, view.storage, first, tuple(stride))
    stop = first + _extent(tensor.shape, tensor.stride) * dtype.itemsize if math.prod(size) else 0
    limit = (view.first + view.count) * view.dtype.itemsize
    if stop > limit:
        raise ValueError(f"tensor {list(size)[:8]} is larger than its storage ({limit} bytes, found {stop} bytes)")
    if dtype in _PACKED:
        return replace(tensor, storage=None, obstacle=f"a tensor of packed integers ({str(dtype).partition('.')[2]})")
    return tensor


def are_naturals(values: object) -> bool:
    """Whether a value is the size or stride of a tensor."""
    return isinstance(values, (tuple, list)) and len(values) <= _MOST_DIMENSIONS and all(map(is_natural, values))


def _extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements from the first to the last one of a tensor that has some."""
    return 1 + sum((extent - 1) * step for extent, step in zip(shape, stride, strict=True))


def _quantised(integers: torch.Tensor, quantizer: Quantizer, read: Read) -> torch.Tensor:
    scale, zero_point = quantizer.scale, quantizer.zero_point
    if isinstance(scale, PickledTensor) and isinstance(zero_point, PickledTensor) and quantizer.axis is not None:
        channels = scale.made_of(read), zero_point.made_of(read)
        return torch._make_per_channel_quantized_tensor(integers, *channels, quantizer.axis)
    if isinstance(scale, PickledTensor) or isinstance(zero_point, PickledTensor):
        raise ValueError("scale and zero point of different kinds")
    return torch._make_per_tensor_quantized_tensor(integers, scale, zero_point)
