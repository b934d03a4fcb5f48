"""The inert values that a pickle is read into: names that are never imported, objects that are never made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

#: Storage classes of torch, by the end of their names (``torch.FloatStorage``, ``torch.cuda.FloatStorage``).
STORAGE_DTYPES: dict[str, torch.dtype] = {
    **{"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16},
    **{"BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32},
    **{"ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool},
    **{"ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128, "QInt8Storage": torch.qint8},
    **{"QUInt8Storage": torch.quint8, "QInt32Storage": torch.qint32, "QUInt4x2Storage": torch.quint4x2},
    **{"QUInt2x4Storage": torch.quint2x4, "UntypedStorage": torch.uint8},
}


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle refers to, in Python 3's words. Nothing is imported for it.

    Attributes:
        module: as the pickle says.
        name: within the module; dots lead into classes.
        full_name: both.
    """

    module: str
    name: str
    full_name: str


@dataclass(eq=False, slots=True)
class StandIn:
    """What a call of ``name`` would have made, with everything the pickle gives it. Nothing is called.

    Attributes:
        name: full name of the class or function.
        arguments: of the call.
        state: what ``__setstate__`` would have been given.
        entries: set as of a mapping (``made[key] = value``).
        elements: appended or added as to a list or set.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Raw:
    """A long piece of the pickle, left where it is; ``text`` is how it is encoded, None for bytes."""

    data: memoryview
    text: str | None


class Content(Protocol):
    """Where the bytes of storages are."""

    def held(self, key: str, start: int, stop: int) -> int:
        """Bytes in memory while these bytes of the storage ``key`` are read."""

    def read(self, parts: Sequence[tuple[str, int, int]]) -> Sequence[memoryview]:
        """The bytes ``start`` to ``stop`` of storages, fetched together; fewer where a storage has no more.

        Raises:
            ValueError: they are not what the pickle says.
            UnextractableError: they are damaged.
            RetryableError: reading failed.
        """


@dataclass(frozen=True, eq=False, slots=True)
class InMemory:
    """``Content`` of one storage that is there, or is made of something that is."""

    content: Callable[[], memoryview]

    def held(self, key: str, start: int, stop: int) -> int:
        """See ``Content``."""
        return stop - start

    def read(self, parts: Sequence[tuple[str, int, int]]) -> Sequence[memoryview]:
        """See ``Content``."""
        content = self.content()
        return [content[start:stop] for _, start, stop in parts]


@dataclass(eq=False, slots=True)
class Storage:
    """Memory that tensors share.

    Attributes:
        key: its name in ``content``.
        nbytes: bytes that the pickle claims; None where only reading it tells.
        content: where its bytes are, once the file has been found to hold them.
        swapped: whether it was written by a machine of the other byte order.
    """

    key: str
    nbytes: int | None
    content: Content | None = None
    swapped: bool = False


@dataclass(frozen=True, slots=True)
class StorageView:
    """Elements ``first`` to ``first + count`` of a storage, of the type that its class says."""

    storage: Storage
    dtype: torch.dtype
    first: int
    count: int


def mappings_of(state: object) -> list[dict[Any, Any]]:
    """What an object's state sets by name: one mapping, or one for its dictionary and one for its slots."""
    parts = state[:2] if isinstance(state, tuple) else (state,)
    return [part for part in parts if isinstance(part, dict) and part]


def shown(value: object) -> str:
    """A few words for a value of the pickle: never longer than a line, whatever it holds."""
    if isinstance(value, Global):
        return value.full_name[:80]
    if isinstance(value, (int, float, str)):
        return str(value)[:80] if not isinstance(value, int) or value.bit_length() < 128 else "a huge number"
    return value.name[:80] if isinstance(value, StandIn) else f"a {type(value).__name__}"


def is_natural(value: object) -> bool:
    """Whether a value is a whole number that sizes and offsets can be."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
