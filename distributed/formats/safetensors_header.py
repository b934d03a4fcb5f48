"""The header of a safetensors file, checked before anything it claims is believed.

Format: https://github.com/huggingface/safetensors#format — 8 bytes little-endian length N, N bytes of JSON, then the
data, which the tensors' ``data_offsets`` must cover without holes or overlaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed.errors import UnextractableError
from distributed.formats.problems import unreadable

#: The limit of the safetensors crate (``MAX_HEADER_SIZE``).
MAX_HEADER_BYTES = 100_000_000

#: torch has no tensors of more dimensions.
MAX_RANK = 64

#: safetensors name → (bits per element, torch's name of the type; None where torch has no such type).
DTYPES: Mapping[str, tuple[int, str | None]] = {
    "BOOL": (8, "bool"),
    "F4": (4, "float4_e2m1fn_x2"),  # two elements per byte
    "F6_E2M3": (6, None),
    "F6_E3M2": (6, None),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E8M0": (8, "float8_e8m0fnu"),
    "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "I16": (16, "int16"),
    "U16": (16, "uint16"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "I32": (32, "int32"),
    "U32": (32, "uint32"),
    "F32": (32, "float32"),
    "C64": (64, "complex64"),
    "F64": (64, "float64"),
    "I64": (64, "int64"),
    "U64": (64, "uint64"),
}


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """One tensor of the header: ``start`` and ``stop`` are byte positions in the whole file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def dtype_name(self) -> str:
        """In torch's words (``bfloat16``), or the lower-cased stored name where torch has no such type."""
        return DTYPES[self.dtype][1] or self.dtype.lower()


def header_length(first: bytes, file_size: int, file: str) -> int:
    """Length of the JSON header from the file's first 8 bytes; raises before a byte of it is read or stored."""
    if len(first) < 8:
        raise unreadable(file, "truncated safetensors file", expected="at least 8 bytes", found=f"{file_size} bytes")
    length = int.from_bytes(first[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise unreadable(
            file,
            "safetensors header too long",
            expected=f"at most {MAX_HEADER_BYTES} bytes",
            found=f"a declared length of {length} bytes",
        )
    if 8 + length > file_size:
        raise unreadable(
            file, "truncated safetensors header", expected=f"{8 + length} bytes", found=f"{file_size} bytes"
        )
    if length < 2:
        raise unreadable(file, "safetensors header is not JSON", expected="at least 2 bytes", found=f"{length} bytes")
    return length


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says: the tensors in its order, and what wrote the file (``__metadata__.format``), if it does."""

    records: dict[str, TensorRecord]
    framework: str | None


def parse_header(header: bytes, file_size: int, file: str) -> Header:
    """A header, given without its 8 length bytes.

    Raises:
        UnextractableError: (unreadable) the JSON, a dtype, a shape or an offset is not what the format allows.
    """
    try:
        document = json.loads(header.decode("utf-8"), object_pairs_hook=_unique_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise unreadable(file, "safetensors header is not valid JSON", found=str(error) or "too deep nesting") from None
    if not isinstance(document, dict):
        raise unreadable(
            file, "safetensors header is not a JSON object", expected="an object", found=type(document).__name__
        )
    metadata = document.pop("__metadata__", None)
    framework = metadata.get("format") if isinstance(metadata, dict) else None
    base = 8 + len(header)
    records = {name: _record(name, value, base, file) for name, value in document.items()}
    _check_coverage(records, base, file_size, file)
    return Header(records, framework if isinstance(framework, str) else None)


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"duplicate key {name!r}")
            seen.add(name)
    return result


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _record(name: str, value: object, base: int, file: str) -> TensorRecord:
    def wrong(what: str, expected: str, found: object) -> UnextractableError:
        return unreadable(file, what, tensor=name, expected=expected, found=repr(found)[:80])

    if not isinstance(value, dict) or not {"dtype", "shape", "data_offsets"} <= value.keys():
        raise wrong("malformed header entry", "dtype, shape and data_offsets", value)
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise wrong("unknown dtype", f"one of {', '.join(DTYPES)}", dtype)
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(_is_natural(extent) for extent in shape):
        raise wrong("malformed shape", f"a list of at most {MAX_RANK} non-negative integers", shape)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_natural(offset) for offset in offsets):
        raise wrong("malformed data_offsets", "two non-negative integers", offsets)
    begin, end = offsets
    bits = math.prod(shape) * DTYPES[dtype][0]
    if begin > end or bits != 8 * (end - begin):
        expected = f"{bits / 8:g} bytes for {dtype} {shape}" if bits < 2**63 else f"the bytes of {dtype} {shape}"
        raise wrong("data_offsets do not fit dtype and shape", expected, offsets)
    return TensorRecord(dtype, tuple(shape), base + begin, base + end)


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_coverage(records: Mapping[str, TensorRecord], base: int, file_size: int, file: str) -> None:
    position, before = base, ""
    for name, record in sorted(records.items(), key=lambda item: (item[1].start, item[1].stop)):
        if record.start != position:
            what = "tensors overlap" if record.start < position else "hole between tensors"
            raise unreadable(
                file,
                f"{what} (after {before!r})" if before else what,
                tensor=name,
                expected=f"data at offset {position - base}",
                found=f"offset {record.start - base}",
            )
        position, before = record.stop, name
    if position > file_size:
        raise unreadable(file, "truncated safetensors file", expected=f"{position} bytes", found=f"{file_size} bytes")
    if position < file_size:
        raise unreadable(file, "bytes after the last tensor", expected=f"{position} bytes", found=f"{file_size} bytes")
