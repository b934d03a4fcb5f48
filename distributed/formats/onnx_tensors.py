"""The values of ONNX tensors: typed fields, raw bytes and external data, exactly as stored.

Layout of the fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (TensorProto).
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx

from distributed.errors import UnextractableError
from distributed.external_data import path_of_location
from distributed.formats.base import ByteSource
from distributed.formats.fetching import Fetched, Part
from distributed.formats.problems import unreadable
from distributed.values import Values, item_size, values_of

_Type: Final = onnx.TensorProto

#: ONNX element type → torch's name of it, for every floating-point type that both know.
TORCH_DTYPES: Mapping[int, str] = {
    _Type.FLOAT: "float32",
    _Type.DOUBLE: "float64",
    _Type.FLOAT16: "float16",
    _Type.BFLOAT16: "bfloat16",
    _Type.FLOAT8E4M3FN: "float8_e4m3fn",
    _Type.FLOAT8E4M3FNUZ: "float8_e4m3fnuz",
    _Type.FLOAT8E5M2: "float8_e5m2",
    _Type.FLOAT8E5M2FNUZ: "float8_e5m2fnuz",
    _Type.FLOAT8E8M0: "float8_e8m0fnu",
}

#: With the integers that weights are quantised to, and those that shapes and axes are listed in.
DTYPES: Mapping[int, str] = {
    **TORCH_DTYPES,
    _Type.INT8: "int8",
    _Type.UINT8: "uint8",
    _Type.INT16: "int16",
    _Type.UINT16: "uint16",
    _Type.INT32: "int32",
    _Type.INT64: "int64",
}

#: Sizes whose product passes this overflow strides in torch, even where one of them is zero.
MAX_VALUES: Final = 2**56


class TensorReader:
    """Checks and decodes the tensors of one model.

    Args:
        graph: the ONNX file itself; locations of external data are relative to its folder.
        others: the model's other files.
    """

    def __init__(self, graph: ByteSource, others: Mapping[str, ByteSource]) -> None:
        self._file = graph.name
        self._folder = posixpath.dirname(graph.name)
        self._others = others

    def check(self, name: str, proto: onnx.TensorProto) -> Part | None:
        """Whether the values that the header promises are there, without decoding them.

        Returns:
            Where external data is, None for data in the graph file.

        Raises:
            UnextractableError: data is missing, too short or too long, or lies where it may not.
        """
        if any(size < 0 for size in proto.dims) or math.prod(max(size, 1) for size in proto.dims) >= MAX_VALUES:
            raise self._error(
                name,
                "has an impossible shape",
                f"sizes >= 0, fewer than 2^{MAX_VALUES.bit_length() - 1} values",
                str(list(proto.dims)[:8]),
            )
        if proto.HasField("segment"):
            raise self._error(name, "is stored in segments, which no exporter writes", "one piece", "a segment")
        count = math.prod(proto.dims)
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            return self._external(name, proto, count * item_size(DTYPES[proto.data_type]))
        if proto.HasField("raw_data"):
            self._compare(name, "bytes", count * item_size(DTYPES[proto.data_type]), len(proto.raw_data))
        else:
            self._compare(name, "values", count, len(_field(proto)))
        return None

    def tensor(self, name: str, proto: onnx.TensorProto, fetched: Fetched | None = None) -> Values:
        """The tensor as stored (shape, type); of external data in what was ``fetched``, where that has it.

        Raises:
            UnextractableError: as for ``check``.
            RetryableError: reading external data failed for a reason that may pass.
        """
        dtype = DTYPES[proto.data_type]
        external = self.check(name, proto)
        if external is not None:
            raw = (fetched if fetched is not None and external in fetched else Fetched([external])).view(external)
            return values_of(raw, dtype, tuple(proto.dims))
        if proto.HasField("raw_data"):
            return values_of(proto.raw_data, dtype, tuple(proto.dims))
        return _from_field(proto, dtype)

    def _external(self, name: str, proto: onnx.TensorProto, expected: int) -> Part:
        entries = {entry.key: entry.value for entry in proto.external_data}
        source = self._others.get(self._path(name, entries.get("location", "")))
        if source is None:
            message = (
                f"needs the file {entries['location']!r}, which is not among the model's files: put it beside the graph"
            )
            raise self._error(name, message, entries["location"], "no such file")
        start, length = self._number(name, entries, "offset", 0), self._number(name, entries, "length", expected)
        self._compare(name, f"bytes in {source.name!r}", expected, length)
        if start + length > source.size:
            message = f"lies outside its file {source.name!r}: fetch the file again"
            raise self._error(name, message, f"at least {start + length} bytes", f"{source.size} bytes")
        return Part(source, start, start + length)

    def _path(self, name: str, location: str) -> str:
        """Path of external data relative to the model's root; only files beside or below the graph are allowed."""
        path = path_of_location(self._folder, location)
        if path is None:
            message = f"points to external data at {location!r}, outside the model's folder, which is never read"
            raise self._error(name, message, "a file beside the graph", repr(location))
        return path

    def _number(self, name: str, entries: Mapping[str, str], key: str, default: int) -> int:
        text = entries.get(key, "")
        # isdecimal and the length keep out signs, blanks, digits of other scripts' size and numbers without end.
        if text and not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise self._error(name, f"has an external data {key} that is no size", "a number of bytes", repr(text[:40]))
        return int(text) if text else default

    def _compare(self, name: str, unit: str, expected: int, found: int) -> None:
        if expected != found:
            raise self._error(name, "does not hold what its shape needs", f"{expected} {unit}", f"{found} {unit}")

    def _error(self, name: str, what: str, expected: str, found: str) -> UnextractableError:
        return unreadable(self._file, what, tensor=name, expected=expected, found=found)


def _field(proto: onnx.TensorProto) -> list[float] | list[int]:
    """The typed field that holds a tensor's values; types below 32 bits are in int32_data."""
    if proto.data_type == _Type.FLOAT:
        return proto.float_data  # type: ignore[no-any-return]
    if proto.data_type == _Type.DOUBLE:
        return proto.double_data  # type: ignore[no-any-return]
    if proto.data_type == _Type.INT64:
        return proto.int64_data  # type: ignore[no-any-return]
    return proto.int32_data  # type: ignore[no-any-return]


#: Types whose field holds values of their own size.
_OWN_FIELD = frozenset({"float32", "float64", "int32", "int64"})


def _from_field(proto: onnx.TensorProto, dtype: str) -> Values:
    values, shape = _field(proto), tuple(proto.dims)
    if dtype in _OWN_FIELD:
        return np.array(values, dtype=dtype).reshape(shape)
    # Bit patterns, one per int32; the unused high bits are sign extension in some writers.
    bits = np.array(values, dtype=np.int32).astype(np.uint16 if item_size(dtype) == 2 else np.uint8)
    return values_of(bits.tobytes(), dtype, shape)
