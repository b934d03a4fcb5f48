"""What stands behind a pickle's opcodes: numbers, lines, texts and bytes, each bounded by the file."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any

from distributed.formats.pickle_values import Raw

#: Texts and bytes longer than this stay where they are (an array's data); no name is that long.
LONGEST_TEXT = 1 << 16

_LONGEST_LINE = 4096


class PickleBytes:
    """The bytes of a pickle, read one after the other.

    Args:
        memory: what holds them.
        position: of the pickle's first byte; after reading, right behind its last.
    """

    def __init__(self, memory: memoryview, position: int = 0) -> None:
        self.memory, self.position = memory, position

    def byte(self) -> int:
        """The next byte: most of what pickles are made of."""
        self.position += 1
        return self.memory[self.position - 1]

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        return bytes(self.place(size))

    def place(self, size: int) -> memoryview:
        """The next ``size`` bytes where they are."""
        start = self.position
        self.position = stop = start + size
        if stop > len(self.memory):
            raise ValueError(f"ends {stop - len(self.memory)} bytes too early")
        return self.memory[start:stop]

    def piece(self, size: int, text: str | None) -> bytes | str | Raw:
        """The next ``size`` bytes as text of that encoding, or as bytes; in place if they are many."""
        if size > LONGEST_TEXT:
            return Raw(self.place(size), text)
        return self.exactly(size) if text is None else str(self.place(size), text, "replace")

    def line(self) -> str:
        """The next line, as the opcodes of protocol 0 write their arguments."""
        start = self.position
        head, end, _ = bytes(self.memory[start : start + _LONGEST_LINE]).partition(b"\n")
        if not end:
            raise ValueError("a line without an end")
        self.position = start + len(head) + 1
        return head.decode("utf-8", "replace")


def _number(size: int, *, signed: bool = False) -> Callable[[PickleBytes], int]:
    def read(source: PickleBytes) -> int:
        return int.from_bytes(source.exactly(size), "little", signed=signed)

    return read


def _sized(size: int, text: str | None) -> Callable[[PickleBytes], Any]:
    length = PickleBytes.byte if size == 1 else _number(size)
    return lambda source: source.piece(length(source), text)


def _long(size: int) -> Callable[[PickleBytes], int]:
    length = PickleBytes.byte if size == 1 else _number(size)

    def read(source: PickleBytes) -> int:
        count = length(source)
        if count > LONGEST_TEXT:
            raise ValueError(f"a number of {count} bytes")
        return int.from_bytes(source.exactly(count), "little", signed=True)

    return read


def _decimal(source: PickleBytes) -> int | bool:
    line = source.line()
    return {"00": False, "01": True}[line] if line in ("00", "01") else int(line.removesuffix("L"))


def _quoted(source: PickleBytes) -> str:
    return source.line().strip("\"'")


#: Readers by the names that ``pickletools`` gives the kinds of argument.
_READERS: dict[str, Callable[[PickleBytes], Any]] = {
    **{"uint1": PickleBytes.byte, "uint2": _number(2), "uint4": _number(4), "uint8": _number(8)},
    **{"int4": _number(4, signed=True), "long1": _long(1), "long4": _long(4)},
    **{"decimalnl_short": _decimal, "decimalnl_long": _decimal, "floatnl": lambda source: float(source.line())},
    **{"float8": lambda source: struct.unpack(">d", source.exactly(8))[0]},
    **{"stringnl": _quoted, "stringnl_noescape": PickleBytes.line, "unicodestringnl": PickleBytes.line},
    **{"stringnl_noescape_pair": lambda source: (source.line(), source.line())},
    # Python 2 wrote its byte strings so; Latin-1 keeps every byte.
    **{"string1": _sized(1, "latin-1"), "string4": _sized(4, "latin-1")},
    **{"unicodestring1": _sized(1, "utf-8"), "unicodestring4": _sized(4, "utf-8")},
    **{"unicodestring8": _sized(8, "utf-8"), "bytes1": _sized(1, None), "bytes4": _sized(4, None)},
    **{"bytes8": _sized(8, None), "bytearray8": _sized(8, None)},
}

#: Opcode → its name in lower case, and how its argument is read (None: it has none).
OPCODES: dict[int, tuple[str, Callable[[PickleBytes], Any] | None]] = {
    ord(opcode.code): (opcode.name.lower(), _READERS[opcode.arg.name] if opcode.arg else None)
    for opcode in pickletools.opcodes
}
