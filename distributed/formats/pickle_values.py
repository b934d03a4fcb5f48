"""The inert values that a pickle scan makes: names, storages, and what a whole pickle says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from distributed.errors import UnextractableError

#: Bytes per element of torch's storage classes, by the end of their names (``torch.FloatStorage``).
STORAGE_BYTES = {
    **{"ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "ShortStorage": 2, "HalfStorage": 2, "BFloat16Storage": 2},
    **{"IntStorage": 4, "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8, "ComplexFloatStorage": 8},
    **{"ComplexDoubleStorage": 16, "QInt8Storage": 1, "QUInt8Storage": 1, "QInt32Storage": 4, "QUInt4x2Storage": 1},
    **{"QUInt2x4Storage": 1, "UntypedStorage": 1},
}


@dataclass(frozen=True, slots=True)
class Global:
    """A name the pickle refers to, as ``module.name`` in Python 3's words."""

    name: str


@dataclass(frozen=True, slots=True)
class StorageClaim:
    """A storage the pickle refers to: its key, and the bytes it says that it has."""

    key: str
    elements: int
    element_bytes: int

    @property
    def nbytes(self) -> int:
        return self.elements * self.element_bytes


@dataclass
class Scan:
    """What a pickle says. ``value`` is its result: real for numbers, strings, tuples and lists, else inert."""

    value: Any = None
    globals: list[str] = field(default_factory=list)
    storages: dict[str, StorageClaim] = field(default_factory=dict)
    problems: list[UnextractableError] = field(default_factory=list)
    foreign_opcode: str | None = None
