"""Which other files an ONNX graph keeps its weights in, read from the graph without its weights and without onnx.

Only what leads to ``TensorProto.external_data`` is looked at, in protobuf's wire format; inline weights are stepped
over, so that a graph of gigabytes costs what its nodes do. Formats: https://protobuf.dev/programming-guides/encoding/ ,
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto .
"""

from __future__ import annotations

import mmap
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Message → number of a field that leads to tensors → the message in it.
FIELDS: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {13: "StringStringEntryProto"},
    "StringStringEntryProto": {},
}
_KEY, _VALUE = 1, 2

#: A node of the main graph up to this size is searched for the key first: nearly none has it.
_SMALL_NODE = 2**20
#: Messages within messages: graphs in attributes of nodes of graphs …. Real ones have a dozen.
_MAX_DEPTH = 64
#: Fields looked at. The largest public exports have a few millions.
_MAX_FIELDS = 20_000_000
#: A path on any file system is shorter.
_MAX_PATH = 4096

_DRIVE = re.compile(r"^[A-Za-z]:")


def path_of_location(folder: str, location: str) -> str | None:
    """Path of external data, relative to the model's root as ``folder``, the graph's, is; None where it leads out.

    Only files beside or below the graph are read, whatever a graph asks for.
    """
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location or location[0] in "/\\" or _DRIVE.match(location) or ".." in parts:
        return None
    return posixpath.normpath(posixpath.join(folder, "/".join(parts)))


def locations_in_file(path: Path) -> list[str]:
    """The locations in a graph on disk, each once; what is no ONNX graph has none.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return locations_in(content)


def locations_in(content: bytes | mmap.mmap) -> list[str]:
    """The locations in a serialised graph, each once, in its order; of a damaged one those before the damage."""
    found: dict[str, None] = {}
    try:
        for location in _Scan(content).locations(0, len(content), "ModelProto", 0):
            found[location] = None
    except (_DamagedError, UnicodeDecodeError):
        pass  # reading the model will say what is wrong with it
    return list(found)


class _DamagedError(Exception):
    """The bytes are no protobuf message of that kind, or more of one than any model is."""


class _Scan:
    """One pass over the messages of a graph."""

    def __init__(self, content: bytes | mmap.mmap) -> None:
        self._content = content
        self._left = _MAX_FIELDS

    def locations(self, start: int, stop: int, message: str, depth: int) -> Iterator[str]:
        """The locations of all external data in one message."""
        if depth > _MAX_DEPTH:
            raise _DamagedError
        key = value = b""
        for field, first, last in self._fields(start, stop):
            if message == "StringStringEntryProto":
                text = bytes(self._content[first : min(last, first + _MAX_PATH)])
                key, value = (text, value) if field == _KEY else (key, text) if field == _VALUE else (key, value)
            elif (below := FIELDS[message].get(field)) is not None and self._may_hold(first, last, below, depth):
                yield from self.locations(first, last, below, depth + 1)
        if key == b"location":
            yield value.decode()

    def _may_hold(self, start: int, stop: int, message: str, depth: int) -> bool:
        if message != "NodeProto" or depth > 1 or stop - start > _SMALL_NODE:
            return True
        return self._content.find(b"location", start, stop) >= 0

    def _fields(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(number, start, stop) of each length-delimited field of a message; others are stepped over."""
        position = start
        while position < stop:
            self._left -= 1
            if not self._left:
                raise _DamagedError
            tag, position = self._varint(position, stop)
            kind = tag & 7
            if kind == 2:
                length, position = self._varint(position, stop)
                if length > stop - position:
                    raise _DamagedError
                yield tag >> 3, position, position + length
                position += length
            elif kind == 0:
                _, position = self._varint(position, stop)
            elif kind in (1, 5):
                position += 8 if kind == 1 else 4
            else:
                raise _DamagedError

    def _varint(self, position: int, stop: int) -> tuple[int, int]:
        value = shift = 0
        while position < stop and shift < 64:
            byte = self._content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise _DamagedError
