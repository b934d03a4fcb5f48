"""NumPy's arrays in a pickle, from their type, shape and bytes. NumPy itself makes none of them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from distributed.formats.pickle_values import InMemory, Raw, StandIn, Storage, StorageView, shown
from distributed.formats.pickled_tensor import PickledTensor, are_naturals, view_of

#: NumPy's codes of element types, without their byte order.
_CODES: dict[str, torch.dtype] = {
    **{"f8": torch.float64, "f4": torch.float32, "f2": torch.float16, "c8": torch.complex64, "c16": torch.complex128},
    **{"i8": torch.int64, "i4": torch.int32, "i2": torch.int16, "i1": torch.int8, "b1": torch.bool},
    **{"u8": torch.uint64, "u4": torch.uint32, "u2": torch.uint16, "u1": torch.uint8},
}


def array_of(node: StandIn) -> PickledTensor | None:
    """The array that ``node`` would have become; None where it is none, or holds no numbers.

    Raises:
        ValueError: its parts contradict each other.
    """
    function = node.name.rpartition(".")[2]
    if not node.name.startswith("numpy."):
        return None
    if function == "_reconstruct" and isinstance(node.state, tuple) and len(node.state) in (4, 5):
        shape, dtype, column_major, data = node.state[-4:]
    elif function == "_frombuffer" and len(node.arguments) == 4:  # protocol 5
        data, dtype, shape, order = node.arguments
        column_major = order == "F"
    else:
        return None
    kind, swapped = _element_type(dtype)
    content = bytes_of(data)
    if kind is None or content is None:
        return None
    if not are_naturals(shape) or not _can_have(content, math.prod(shape) * kind.itemsize):
        raise ValueError(f"an array whose data has another length than its shape {shown(shape)} says")
    count = math.prod(shape)
    storage = Storage("of an array", count * kind.itemsize, InMemory(partial(memory_of, content)), swapped)
    stride = [math.prod(shape[:axis] if column_major else shape[axis + 1 :]) for axis in range(len(shape))]
    return view_of(StorageView(storage, kind, 0, count), 0, shape, stride)


def plain_words(node: StandIn) -> str:
    """What ``node`` is called in a note."""
    if node.name.startswith("numpy.") and node.name.endswith(".multiarray.scalar"):
        return "numpy scalar"
    if node.name.startswith("numpy.") and node.name.endswith("._reconstruct"):
        return "numpy array of objects"
    is_instance = node.name in ("copyreg._reconstructor", "copyreg.__newobj__") and node.arguments
    return shown(node.arguments[0]) if is_instance else node.name


def bytes_of(value: Any) -> Raw | bytes | str | None:
    """The bytes that a value stands for, see ``memory_of``; None where it is no bytes.

    Protocols before 3 have no bytes: Python 3 writes them as text to be encoded in Latin-1, Python 2 as its strings.
    """
    if isinstance(value, StandIn) and value.name in ("_codecs.encode", "builtins.bytearray") and value.arguments:
        value = value.arguments[0]
    return value if isinstance(value, (bytes, str, Raw)) else None


def memory_of(value: bytes | str | Raw) -> memoryview:
    """What ``bytes_of`` found, as memory."""
    if isinstance(value, Raw) and value.text != "utf-8":
        return value.data  # Latin-1 is the bytes themselves
    text = str(value.data, "utf-8") if isinstance(value, Raw) else value
    return memoryview(text.encode("latin-1") if isinstance(text, str) else text)


def _can_have(data: bytes | str | Raw, count: int) -> bool:
    """Whether ``data`` is ``count`` bytes, as far as can be told at once: UTF-8 takes one or two for each."""
    if isinstance(data, Raw) and data.text == "utf-8":
        return count <= len(data.data) <= 2 * count
    return count == len(data.data if isinstance(data, Raw) else data)


def _element_type(dtype: Any) -> tuple[torch.dtype | None, bool]:
    """Element type, and whether its bytes are in the other order: big-endian, as ``>`` in the type's state says."""
    if not isinstance(dtype, StandIn) or dtype.name != "numpy.dtype" or not dtype.arguments:
        return None, False
    code = dtype.arguments[0]
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "="
    kind = _CODES.get(code.lstrip("<>=|")) if isinstance(code, str) else None
    return kind, order == ">" or (isinstance(code, str) and code.startswith(">"))
