"""Pickles written opcode by opcode, and the files that hold them."""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from pathlib import Path

import torch


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str, protocol: int = 2) -> bytes:
    """A name, as protocols below 4 or from 4 on refer to it."""
    return text(module) + text(name) + b"\x93" if protocol >= 4 else f"c{module}\n{name}\n".encode()


def tensor(
    key: str = "0", size: tuple[int, ...] = (1, 1, 3, 3), elements: int = 9, kind: str = "FloatStorage"
) -> bytes:
    """A tensor of a storage in the file."""
    storage = b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu") + number(elements) + b"tQ"
    strides = [math.prod(size[axis + 1 :]) % 2**62 for axis in range(len(size))]
    shape = b"(" + b"".join(map(number, size)) + b"t(" + b"".join(map(number, strides)) + b"t"
    hooks = named("collections", "OrderedDict") + b")R"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + number(0) + shape + b"\x89" + hooks + b"tR"


def number(value: int) -> bytes:
    size = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def entries(**values: bytes) -> bytes:
    """A dict."""
    return b"}" + b"".join(text(key) + value + b"s" for key, value in values.items())


def whole(value: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + value + b"."


def zipped(path: Path, data: bytes, constants: bytes | None = None) -> Path:
    """A torch.save archive, or with constants a TorchScript one."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", data)
        archive.writestr("m/data/0", struct.pack("<9f", *range(9)))
        if constants is not None:
            archive.writestr("m/constants.pkl", constants)
            archive.writestr("m/code/__torch__.py", "import os; os.abort()")
    return path


def legacy(path: Path, data: bytes) -> Path:
    """A file of the time before torch 1.6 with one storage of nine floats."""
    buffer = io.BytesIO()
    for part in (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {"little_endian": True}):
        pickle.dump(part, buffer, protocol=2)
    buffer.write(data)
    pickle.dump(["0"] if b"FloatStorage" in data else [], buffer, protocol=2)
    if b"FloatStorage" in data:
        buffer.write(struct.pack("<q9f", 9, *range(9)))
    path.write_bytes(buffer.getvalue())
    return path


def plain(path: Path, data: bytes) -> Path:
    """A pickle alone."""
    path.write_bytes(data)
    return path
